// RUN: fovea-opt %s --attn-arena | FileCheck %s

// Without an allocation in a loop nothing is added.
// CHECK-NOT: fovea_arena
func.func @nothing(%n: index, %x: f32, %t: memref<?xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.for %i = %c0 to %n step %c1 {
    memref.store %x, %t[%i] : memref<?xf32>
  }
  return
}
