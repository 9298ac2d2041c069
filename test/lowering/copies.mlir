// RUN: fovea-opt %s --attn-copies | FileCheck %s

// CHECK-LABEL: func @copy
// CHECK-NOT: memref.copy
// CHECK: linalg.copy ins(%arg0 : memref<?xf32>) outs(%arg1 : memref<?xf32, strided<[2]>>)
func.func @copy(%from: memref<?xf32>, %to: memref<?xf32, strided<[2]>>) {
  memref.copy %from, %to : memref<?xf32> to memref<?xf32, strided<[2]>>
  return
}

// A temporary that is made only to be copied into a result is made there.
// CHECK-LABEL: func @made
// CHECK-NOT: memref.alloc
// CHECK: linalg.fill {{.*}} outs(%arg0 : memref<?xf32>)
// CHECK-NOT: linalg.copy
// CHECK: return
func.func @made(%to: memref<?xf32>, %n: index, %x: f32) {
  %made = memref.alloc(%n) : memref<?xf32>
  linalg.fill ins(%x : f32) outs(%made : memref<?xf32>)
  memref.copy %made, %to : memref<?xf32> to memref<?xf32>
  return
}

// Not where it is read later, or where the result is read before.
// CHECK-LABEL: func @later
// CHECK: memref.alloc
// CHECK: linalg.copy
func.func @later(%to: memref<?xf32>, %n: index, %x: f32, %i: index) -> f32 {
  %made = memref.alloc(%n) : memref<?xf32>
  linalg.fill ins(%x : f32) outs(%made : memref<?xf32>)
  memref.copy %made, %to : memref<?xf32> to memref<?xf32>
  %read = memref.load %made[%i] : memref<?xf32>
  return %read : f32
}

// CHECK-LABEL: func @before
// CHECK: memref.alloc
// CHECK: linalg.copy
func.func @before(%to: memref<?xf32>, %n: index, %i: index) {
  %made = memref.alloc(%n) : memref<?xf32>
  %read = memref.load %to[%i] : memref<?xf32>
  linalg.fill ins(%read : f32) outs(%made : memref<?xf32>)
  memref.copy %made, %to : memref<?xf32> to memref<?xf32>
  return
}
