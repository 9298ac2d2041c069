// RUN: fovea-opt %s --attn-device-memory | FileCheck %s

// Temporaries of code for a GPU are the device's; what else is called stays.
// CHECK-NOT: _mlir_memref_to_llvm
// CHECK-DAG: llvm.func @fovea_rt_device_alloc(i64) -> !llvm.ptr
// CHECK-DAG: llvm.func @fovea_rt_device_free(!llvm.ptr)
// CHECK-DAG: llvm.func @fovea_alloc(i64) -> !llvm.ptr
llvm.func @_mlir_memref_to_llvm_alloc(i64) -> !llvm.ptr
llvm.func @_mlir_memref_to_llvm_free(!llvm.ptr)
llvm.func @fovea_alloc(i64) -> !llvm.ptr

// CHECK-LABEL: llvm.func @temporary
// CHECK: %[[T:.*]] = llvm.call @fovea_rt_device_alloc(%{{.*}}) : (i64) -> !llvm.ptr
// CHECK: llvm.call @fovea_alloc
// CHECK: llvm.call @fovea_rt_device_free(%[[T]])
llvm.func @temporary(%bytes: i64) {
  %t = llvm.call @_mlir_memref_to_llvm_alloc(%bytes) : (i64) -> !llvm.ptr
  %h = llvm.call @fovea_alloc(%bytes) : (i64) -> !llvm.ptr
  llvm.call @_mlir_memref_to_llvm_free(%t) : (!llvm.ptr) -> ()
  llvm.return
}
