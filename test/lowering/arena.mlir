// RUN: fovea-opt %s --attn-arena | FileCheck %s

// CHECK-DAG: func.func private @fovea_arena_mark() -> i64
// CHECK-DAG: func.func private @fovea_arena_release(i64)

// What a loop's body allocates is released at its end, by the loop nearest to it.
// CHECK-LABEL: func @temporary
// CHECK: scf.for
// CHECK-NOT: fovea_arena_mark
// CHECK: scf.for
// CHECK-NEXT: %[[MARK:.*]] = func.call @fovea_arena_mark()
// CHECK: func.call @fovea_check_size
// CHECK-NEXT: memref.alloc
// CHECK-NEXT: memref.store
// CHECK-NEXT: func.call @fovea_arena_release(%[[MARK]])
// CHECK-NEXT: }
// CHECK-NEXT: }
func.func @temporary(%n: index, %x: f32) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.for %i = %c0 to %n step %c1 {
    scf.for %j = %c0 to %n step %c1 {
      %t = memref.alloc(%n) : memref<?xf32>
      memref.store %x, %t[%c0] : memref<?xf32>
    }
  }
  return
}

// An allocation outside loops stays until the function ends, and one in a branch counts. Its size is four bytes an element, multiplied
// by the runtime, which ends the kernel if that overflows.
// CHECK-LABEL: func @outside
// CHECK: %[[BYTES:.*]] = call @fovea_mul(%c4_i64, %{{.*}})
// CHECK-NEXT: call @fovea_check_size(%[[BYTES]])
// CHECK-NEXT: memref.alloc
// CHECK-NOT: fovea_arena
// CHECK: return
func.func @outside(%n: index) {
  %t = memref.alloc(%n) : memref<?xf32>
  return
}

// CHECK-LABEL: func @branch
// CHECK: scf.for
// CHECK-NEXT: func.call @fovea_arena_mark
func.func @branch(%n: index, %x: f32, %b: i1) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.for %i = %c0 to %n step %c1 {
    scf.if %b {
      %t = memref.alloc(%n) : memref<?xf32>
      memref.store %x, %t[%c0] : memref<?xf32>
    }
  }
  return
}
