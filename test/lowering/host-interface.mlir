// RUN: fovea-opt %s --attn-host-interface | FileCheck %s

// CHECK: llvm.func internal @kernel.body(
llvm.func @kernel(%q: !llvm.ptr, %n: i32, %flag: i1) {
  llvm.return
}

// CHECK: llvm.func internal @_mlir_ciface_kernel(
// CHECK: llvm.call @kernel.body(
llvm.func @_mlir_ciface_kernel(%q: !llvm.ptr, %n: i32, %flag: i1) {
  llvm.call @kernel(%q, %n, %flag) : (!llvm.ptr, i32, i1) -> ()
  llvm.return
}

// A function without the C interface is left alone.
// CHECK: llvm.func @helper()
llvm.func @helper() {
  llvm.return
}

// Declared only: nothing to implement.
// CHECK: llvm.func @_mlir_ciface_outside(
llvm.func @_mlir_ciface_outside(!llvm.ptr)

// A memref's descriptor is passed on, a scalar is loaded, a bool is a byte that is not 0; the status is 0.
// CHECK: llvm.func @kernel.impl(%[[ARGS:.*]]: !llvm.ptr) -> i32
// CHECK: %[[S0:.*]] = llvm.getelementptr %[[ARGS]][0]
// CHECK: %[[Q:.*]] = llvm.load %[[S0]] : !llvm.ptr -> !llvm.ptr
// CHECK: %[[S1:.*]] = llvm.getelementptr %[[ARGS]][1]
// CHECK: %[[P1:.*]] = llvm.load %[[S1]] : !llvm.ptr -> !llvm.ptr
// CHECK: %[[N:.*]] = llvm.load %[[P1]] : !llvm.ptr -> i32
// CHECK: %[[S2:.*]] = llvm.getelementptr %[[ARGS]][2]
// CHECK: %[[P2:.*]] = llvm.load %[[S2]] : !llvm.ptr -> !llvm.ptr
// CHECK: %[[BYTE:.*]] = llvm.load %[[P2]] : !llvm.ptr -> i8
// CHECK: %[[FLAG:.*]] = llvm.icmp "ne" %[[BYTE]]
// CHECK: llvm.call @_mlir_ciface_kernel(%[[Q]], %[[N]], %[[FLAG]])
// CHECK: %[[OK:.*]] = llvm.mlir.constant(0 : i32)
// CHECK: llvm.return %[[OK]]
// CHECK-NOT: outside.impl
