// RUN: fovea-opt %s --attn-copies | FileCheck %s

// CHECK-LABEL: func @copy
// CHECK-NOT: memref.copy
// CHECK: linalg.copy ins(%arg0 : memref<?xf32>) outs(%arg1 : memref<?xf32, strided<[2]>>)
func.func @copy(%from: memref<?xf32>, %to: memref<?xf32, strided<[2]>>) {
  memref.copy %from, %to : memref<?xf32> to memref<?xf32, strided<[2]>>
  return
}
