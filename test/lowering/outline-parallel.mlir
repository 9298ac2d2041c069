// RUN: fovea-opt %s --attn-outline-parallel | FileCheck %s

// CHECK: func.func private @fovea_parallel_for((i64, !llvm.ptr) -> (), !llvm.ptr, i64)

// The body is a function, named by the line it comes from, of the index and of a context that holds what it uses; constants are made again inside.
// CHECK: func.func private @fill.line{{[0-9]+}}.0(%[[I:.*]]: i64, %[[CONTEXT:.*]]: !llvm.ptr)
// CHECK-SAME: linkage = #llvm.linkage<internal>
// CHECK-DAG: %[[SEVEN:.*]] = arith.constant 7.0
// CHECK-DAG: llvm.getelementptr %[[CONTEXT]][0, 0]
// CHECK-DAG: %[[AT:.*]] = arith.index_cast %[[I]] : i64 to index
// CHECK: memref.store %[[SEVEN]], %{{.*}}[%[[AT]]]
// CHECK: return

// CHECK: func.func @fill(%[[OUT:.*]]: memref<?xf32>, %[[N:.*]]: index)
// CHECK: %[[STORAGE:.*]] = llvm.alloca {{.*}} x !llvm.struct<(struct<
// CHECK-NOT: scf.parallel
// CHECK: llvm.store
// CHECK-DAG: %[[BODY:.*]] = {{(func\.)?}}constant @fill.line{{[0-9]+}}.0
// CHECK-DAG: %[[COUNT:.*]] = arith.index_cast %[[N]] : index to i64
// CHECK: call @fovea_parallel_for(%[[BODY]], %[[STORAGE]], %[[COUNT]])
func.func @fill(%out: memref<?xf32>, %n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %seven = arith.constant 7.0 : f32
  scf.parallel (%i) = (%c0) to (%n) step (%c1) {
    memref.store %seven, %out[%i] : memref<?xf32>
  }
  return
}

// A parallel loop inside one is a call inside the outer one's function.
// CHECK: func.func private @nested.line{{[0-9]+}}.1.line{{[0-9]+}}.2(
// CHECK: func.func private @nested.line{{[0-9]+}}.1(
// CHECK: llvm.alloca
// CHECK: constant @nested.line{{[0-9]+}}.1.line{{[0-9]+}}.2
// CHECK: call @fovea_parallel_for
// CHECK: func.func @nested(
// CHECK: constant @nested.line{{[0-9]+}}.1 :
// CHECK: call @fovea_parallel_for
// CHECK-NOT: call @fovea_parallel_for
func.func @nested(%out: memref<?x?xf32>, %n: index, %x: f32) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.parallel (%i) = (%c0) to (%n) step (%c1) {
    scf.parallel (%j) = (%c0) to (%n) step (%c1) {
      memref.store %x, %out[%i, %j] : memref<?x?xf32>
    }
  }
  return
}
