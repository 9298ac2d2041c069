// RUN: not fovea-opt %s 2>&1 | FileCheck %s

// Upstream's parser takes any attribute for the dictionary it wants here, and reads memory that is none.
// CHECK: properties.mlir:[[# @LINE + 2]]: error: the properties of an operation are a dictionary
func.func @f(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = linalg.exp <f32> ins(%x : tensor<4xf32>) outs(%x : tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}
