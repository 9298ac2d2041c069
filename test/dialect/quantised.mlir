// RUN: fovea-opt %s | fovea-opt | FileCheck %s --check-prefix=SAME
// RUN: fovea-opt %s --attn-decompose --split-input-file | FileCheck %s

// Codes and scales: the largest magnitude by its bits, then each number.
// SAME-LABEL: func.func @quantise
// SAME: attn.quantise ins(%{{.*}} : tensor<?x3x5xf32>) outs(%{{.*}}, %{{.*}} : tensor<?x16xi8>, tensor<?xf32>) {axes = 2 : i64} -> tensor<?x16xi8>, tensor<?xf32>
// CHECK-LABEL: func.func @quantise
// CHECK: linalg.generic {{.*}}iterator_types = ["parallel", "reduction", "reduction"]{{.*}} ins(%arg0 : tensor<?x3x5xf32>) outs({{.*}} : tensor<?xi32>)
// CHECK: arith.maxsi
// CHECK: arith.divf
// CHECK: math.roundeven
// CHECK: arith.cmpf ord
// CHECK: arith.fptosi
// CHECK: arith.addi {{.*}} : i32
// CHECK: arith.trunci {{.*}} : i32 to i8
// CHECK-NOT: attn.
func.func @quantise(%x: tensor<?x3x5xf32>, %c: tensor<?x16xi8>, %s: tensor<?xf32>) -> (tensor<?x16xi8>, tensor<?xf32>) {
  %r:2 = attn.quantise ins(%x : tensor<?x3x5xf32>) outs(%c, %s : tensor<?x16xi8>, tensor<?xf32>) {axes = 2 : i64} -> tensor<?x16xi8>, tensor<?xf32>
  return %r#0, %r#1 : tensor<?x16xi8>, tensor<?xf32>
}

// Sums of integers, then the scales.
// SAME-LABEL: func.func @product
// SAME: attn.quantised_product ins({{.*}} : tensor<?x6xi16>, tensor<?xf32>, tensor<2x3x16xi8>, tensor<2x8xf32>) outs(%{{.*}} : tensor<?x3x3xf32>) -> tensor<?x3x3xf32>
// CHECK-LABEL: func.func @product
// CHECK: iterator_types = ["parallel", "parallel", "parallel", "reduction"]
// CHECK: arith.muli {{.*}} : i32
// CHECK: arith.addi {{.*}} : i32
// CHECK: arith.sitofp
// CHECK-NOT: attn.
func.func @product(%c: tensor<?x6xi16>, %s: tensor<?xf32>, %w: tensor<2x3x16xi8>, %ws: tensor<2x8xf32>, %out: tensor<?x3x3xf32>) -> tensor<?x3x3xf32> {
  %r = attn.quantised_product ins(%c, %s, %w, %ws : tensor<?x6xi16>, tensor<?xf32>, tensor<2x3x16xi8>, tensor<2x8xf32>) outs(%out : tensor<?x3x3xf32>) -> tensor<?x3x3xf32>
  return %r : tensor<?x3x3xf32>
}

// With codes of i8, the sums of the weights take their 128 off again.
// CHECK-LABEL: func.func @offset
// CHECK: arith.extui {{.*}} : i8 to i32
// CHECK: arith.muli {{.*}}, %c128
// CHECK: arith.subi
func.func @offset(%c: tensor<?x8xi8>, %s: tensor<?xf32>, %w: tensor<1x2x32xi8>, %ws: tensor<1x8xf32>, %sums: tensor<1x8xi32>, %out: tensor<?x5xf32>) -> tensor<?x5xf32> {
  %r = attn.quantised_product ins(%c, %s, %w, %ws, %sums : tensor<?x8xi8>, tensor<?xf32>, tensor<1x2x32xi8>, tensor<1x8xf32>, tensor<1x8xi32>) outs(%out : tensor<?x5xf32>) -> tensor<?x5xf32>
  return %r : tensor<?x5xf32>
}
