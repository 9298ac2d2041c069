// RUN: fovea-opt %s | fovea-opt | FileCheck %s
// RUN: fovea-opt %s --attn-decompose | FileCheck %s --check-prefix=MEANING

// As a value, a support is its operand.
// CHECK: %[[S:.*]] = attn.support %{{.*}}
// CHECK: arith.select %[[S]]
// MEANING-NOT: attn.
// MEANING: %[[KEEP:.*]] = arith.cmpi
// MEANING: arith.select %[[KEEP]]
func.func @support(%x: tensor<?xf32>, %out: tensor<f32>, %n: index) -> tensor<f32> {
  %r = linalg.generic {indexing_maps = [affine_map<(j) -> (j)>, affine_map<(j) -> ()>], iterator_types = ["reduction"]}
      ins(%x : tensor<?xf32>) outs(%out : tensor<f32>) {
  ^bb0(%a: f32, %acc: f32):
    %j = linalg.index 0 : index
    %keep = arith.cmpi slt, %j, %n : index
    %s = attn.support %keep
    %sum = arith.addf %acc, %a : f32
    %next = arith.select %s, %sum, %acc : f32
    linalg.yield %next : f32
  } -> tensor<f32>
  return %r : tensor<f32>
}
