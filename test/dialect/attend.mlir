// RUN: fovea-opt %s | fovea-opt | FileCheck %s
// RUN: fovea-opt %s --attn-decompose | FileCheck %s --check-prefix=MEANING

#q = affine_map<(i, j, d, e) -> (i, d)>
#k = affine_map<(i, j, d, e) -> (j, d)>
#v = affine_map<(i, j, d, e) -> (j, e)>
#o = affine_map<(i, j, d, e) -> (i, e)>
#len = affine_map<(i, j, d, e) -> ()>
#l = affine_map<(i, j, d, e) -> (i)>

// CHECK-LABEL: func @attend
// CHECK: %{{.*}}:2 = attn.attend ins(%{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} : tensor<?x?xf16>, tensor<?x?xf16>, tensor<?x?xf16>, tensor<i32>) outs(%{{.*}}, %{{.*}} : tensor<?x?xf16>, tensor<?xf32>)
// CHECK-SAME: roles = ["row", "key", "contracted", "value"]
// CHECK-NEXT: ^bb0(%{{.*}}: f32, %{{.*}}: i32):
// CHECK: attn.yield

// MEANING-LABEL: func @attend
// MEANING-NOT: attn.
// The scores: a contraction in f32 of f16 operands.
// MEANING: linalg.generic {{.*}}["parallel", "parallel", "reduction"]
// MEANING: arith.extf %{{.*}} : f16 to f32
// The mask.
// MEANING: arith.cmpi slt
// MEANING: arith.select
// Maximum and sum of each row, weights, aggregate, one rounding at the end; then the logsumexp.
// MEANING: arith.maximumf
// MEANING: math.exp
// MEANING: arith.divf
// MEANING: linalg.generic {{.*}}["parallel", "reduction", "parallel"]
// MEANING: arith.truncf %{{.*}} : f32 to f16
// MEANING: math.log
// MEANING: return %{{.*}}, %{{.*}} : tensor<?x?xf16>, tensor<?xf32>
func.func @attend(%q: tensor<?x?xf16>, %k: tensor<?x?xf16>, %v: tensor<?x?xf16>, %n: tensor<i32>, %o: tensor<?x?xf16>, %l: tensor<?xf32>) -> (tensor<?x?xf16>, tensor<?xf32>) {
  %r:2 = attn.attend ins(%q, %k, %v, %n : tensor<?x?xf16>, tensor<?x?xf16>, tensor<?x?xf16>, tensor<i32>) outs(%o, %l : tensor<?x?xf16>, tensor<?xf32>)
      attributes {indexing_maps = [#q, #k, #v, #len, #o, #l], roles = ["row", "key", "contracted", "value"]} {
  ^bb0(%dot: f32, %length: i32):
    %j = attn.index 1
    %j32 = arith.index_cast %j : index to i32
    %keep = arith.cmpi slt, %j32, %length : i32
    attn.yield %dot, %keep : f32
  } -> tensor<?x?xf16>, tensor<?xf32>
  return %r#0, %r#1 : tensor<?x?xf16>, tensor<?xf32>
}

// A schedule does not change the meaning.
// CHECK-LABEL: func @scheduled
// CHECK: attn.attend {{.*}}schedule = {keys = 128 : i64}
// MEANING-LABEL: func @scheduled
// MEANING-NOT: attn.
func.func @scheduled(%q: tensor<?x?xf32>, %k: tensor<?x?xf32>, %v: tensor<?x?xf32>, %o: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %r = attn.attend ins(%q, %k, %v : tensor<?x?xf32>, tensor<?x?xf32>, tensor<?x?xf32>) outs(%o : tensor<?x?xf32>)
      attributes {indexing_maps = [#q, #k, #v, #o], roles = ["row", "key", "contracted", "value"], schedule = {keys = 128}} {
  ^bb0(%dot: f32):
    %true = arith.constant true
    attn.yield %dot, %true : f32
  } -> tensor<?x?xf32>
  return %r : tensor<?x?xf32>
}
