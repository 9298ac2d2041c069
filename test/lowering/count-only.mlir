// RUN: fovea-opt %s --attn-count-only | FileCheck %s
// What decides the counts stays: loops, bounds, and the memory that those are read from. The rest goes, and what is read is told.

func.func private @fovea_count(i32, i32, index)
func.func private @leaf(!llvm.ptr) -> i32

// CHECK: func.func @kernel({{.*}}attributes {attn.reads = array<i64: 1>
// CHECK-NOT: leaf
// CHECK: %[[ALLOC:.*]] = memref.alloc() : memref<4xindex>
// CHECK-NOT: memref.alloc
// CHECK: memref.store %{{.*}}, %[[ALLOC]]
// CHECK: scf.for %[[I:[a-z0-9_]+]] = %{{.*}} to %{{.*}} step %{{[a-z0-9_]+}} {
// CHECK: %[[HIGH:.*]] = memref.load %[[ALLOC]][%[[I]]]
// CHECK-NOT: scf.for
// CHECK-NOT: memref.load
// CHECK: call @fovea_count(%{{.*}}, %{{.*}}, %[[HIGH]])
// CHECK-NOT: memref.store
// CHECK: return
func.func @kernel(%x: memref<?xf32>, %len: memref<4xi32>, %o: memref<4xf32>) attributes {llvm.emit_c_interface} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  %zero = arith.constant 0 : i32
  %start = arith.constant 0.0 : f32
  %lengths = memref.alloc() : memref<4xindex>
  %scratch = memref.alloc() : memref<4xf32>
  scf.for %i = %c0 to %c4 step %c1 {
    %l = memref.load %len[%i] : memref<4xi32>
    %cast = arith.index_cast %l : i32 to index
    memref.store %cast, %lengths[%i] : memref<4xindex>
    memref.store %start, %scratch[%i] : memref<4xf32>
  }
  %total = scf.for %i = %c0 to %c4 step %c1 iter_args(%sum = %start) -> f32 {
    %high = memref.load %lengths[%i] : memref<4xindex>
    func.call @fovea_count(%zero, %zero, %high) : (i32, i32, index) -> ()
    %inner = scf.for %j = %c0 to %high step %c1 iter_args(%acc = %sum) -> f32 {
      %v = memref.load %x[%j] : memref<?xf32>
      %next = arith.addf %acc, %v : f32
      scf.yield %next : f32
    }
    %address = memref.extract_aligned_pointer_as_index %scratch : memref<4xf32> -> index
    %number = arith.index_cast %address : index to i64
    %pointer = llvm.inttoptr %number : i64 to !llvm.ptr
    %status = func.call @leaf(%pointer) : (!llvm.ptr) -> i32
    memref.store %inner, %o[%i] : memref<4xf32>
    scf.yield %inner : f32
  }
  return
}

// A loop whose bounds are what a leaf wrote keeps the leaf.
// CHECK-LABEL: func.func @leafs
// CHECK: call @leaf
// CHECK: memref.load
// CHECK: call @fovea_count
func.func @leafs() attributes {llvm.emit_c_interface} {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0 : i32
  %scratch = memref.alloc() : memref<4xindex>
  %address = memref.extract_aligned_pointer_as_index %scratch : memref<4xindex> -> index
  %number = arith.index_cast %address : index to i64
  %pointer = llvm.inttoptr %number : i64 to !llvm.ptr
  %status = func.call @leaf(%pointer) : (!llvm.ptr) -> i32
  %high = memref.load %scratch[%c0] : memref<4xindex>
  func.call @fovea_count(%zero, %zero, %high) : (i32, i32, index) -> ()
  return
}
