// RUN: fovea-opt %s | fovea-opt | FileCheck %s
// RUN: fovea-opt %s --attn-decompose | FileCheck %s --check-prefix=MEANING

// A score and a mask: a removed point holds -inf.
// CHECK-LABEL: func @causal
// CHECK: attn.score ins(%{{.*}} : tensor<?x?xf32>) outs(%{{.*}} : tensor<?x?xf32>)
// CHECK-NEXT: ^bb0(%[[X:.*]]: f32):
// CHECK: attn.index 0
// CHECK: attn.index 1
// CHECK: attn.yield %[[X]], %{{.*}} : f32

// MEANING-LABEL: func @causal
// MEANING-NOT: attn.
// MEANING: linalg.generic {{.*}}iterator_types = ["parallel", "parallel"]
// MEANING: ^bb0(%[[X:.*]]: f32, %{{.*}}: f32):
// MEANING: %[[I:.*]] = linalg.index 0
// MEANING: %[[J:.*]] = linalg.index 1
// MEANING: %[[KEEP:.*]] = arith.cmpi sle, %[[J]], %[[I]]
// MEANING: %[[REMOVED:.*]] = arith.constant 0xFF800000 : f32
// MEANING: %[[S:.*]] = arith.select %[[KEEP]], %[[X]], %[[REMOVED]]
// MEANING: linalg.yield %[[S]]
func.func @causal(%x: tensor<?x?xf32>, %out: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %s = attn.score ins(%x : tensor<?x?xf32>) outs(%out : tensor<?x?xf32>)
      attributes {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>]} {
  ^bb0(%a: f32):
    %i = attn.index 0
    %j = attn.index 1
    %keep = arith.cmpi sle, %j, %i : index
    attn.yield %a, %keep : f32
  } -> tensor<?x?xf32>
  return %s : tensor<?x?xf32>
}

// An input that linalg cannot read through its map is read by its position: b[i + j].
// MEANING-LABEL: func @relative
// MEANING: linalg.generic
// MEANING: %[[SUM:.*]] = arith.addi
// MEANING: tensor.extract %arg0[%[[SUM]]]
func.func @relative(%b: tensor<?xf32>, %out: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %s = attn.score ins(%b : tensor<?xf32>) outs(%out : tensor<?x?xf32>)
      attributes {indexing_maps = [affine_map<(i, j) -> (i + j)>, affine_map<(i, j) -> (i, j)>]} {
  ^bb0(%a: f32):
    %true = arith.constant true
    attn.yield %a, %true : f32
  } -> tensor<?x?xf32>
  return %s : tensor<?x?xf32>
}
