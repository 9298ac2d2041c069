// RUN: fovea-opt %s --attn-fills | FileCheck %s

// Two products from one fill: two fills, each right before its user.
// CHECK-LABEL: func.func @two
// CHECK: tensor.empty() : tensor<4x4xf32>
// CHECK: %[[A:.*]] = tensor.empty() : tensor<4x4xf32>
// CHECK-NEXT: %[[FA:.*]] = linalg.fill {{.*}} outs(%[[A]]
// CHECK: linalg.matmul {{.*}} outs(%[[FA]]
// CHECK: %[[B:.*]] = tensor.empty() : tensor<4x4xf32>
// CHECK-NEXT: %[[FB:.*]] = linalg.fill {{.*}} outs(%[[B]]
// CHECK: linalg.matmul {{.*}} outs(%[[FB]]
// CHECK-NOT: linalg.fill
func.func @two(%x: tensor<4x4xf32>, %y: tensor<4x4xf32>) -> (tensor<4x4xf32>, tensor<4x4xf32>) {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<4x4xf32>
  %fill = linalg.fill ins(%zero : f32) outs(%empty : tensor<4x4xf32>) -> tensor<4x4xf32>
  %a = linalg.matmul ins(%x, %y : tensor<4x4xf32>, tensor<4x4xf32>) outs(%fill : tensor<4x4xf32>) -> tensor<4x4xf32>
  %b = linalg.matmul ins(%y, %x : tensor<4x4xf32>, tensor<4x4xf32>) outs(%fill : tensor<4x4xf32>) -> tensor<4x4xf32>
  return %a, %b : tensor<4x4xf32>, tensor<4x4xf32>
}

// A tensor that comes from elsewhere is filled once.
// CHECK-LABEL: func.func @given
// CHECK-COUNT-1: linalg.fill
// CHECK-NOT: linalg.fill
func.func @given(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %zero = arith.constant 0.0 : f32
  %fill = linalg.fill ins(%zero : f32) outs(%x : tensor<4xf32>) -> tensor<4xf32>
  return %fill, %fill : tensor<4xf32>, tensor<4xf32>
}
