// RUN: fovea-opt %s | fovea-opt | FileCheck %s
// RUN: fovea-opt %s --attn-decompose | FileCheck %s --check-prefix=MEANING

// CHECK: attn.aggregate ins(%{{.*}}, %{{.*}} : tensor<?x?xf32>, tensor<?x8xf16>) outs(%{{.*}} : tensor<?x8xf32>) {{.*}}-> tensor<?x8xf32>

// A weight of 0 removes its value, whatever that holds (rule M7); values are widened first.
// MEANING-LABEL: func @aggregate
// MEANING-NOT: attn.
// MEANING: linalg.fill
// MEANING: linalg.generic {{.*}}["parallel", "reduction", "parallel"]
// MEANING: ^bb0(%[[W:.*]]: f32, %[[V:.*]]: f16, %[[ACC:.*]]: f32):
// MEANING-DAG: %[[ZERO:.*]] = arith.constant 0.000000e+00 : f32
// MEANING-DAG: %[[WIDE:.*]] = arith.extf %[[V]] : f16 to f32
// MEANING: %[[PRODUCT:.*]] = arith.mulf %[[W]], %[[WIDE]]
// MEANING: %[[REMOVED:.*]] = arith.cmpf oeq, %[[W]], %[[ZERO]]
// MEANING: %[[TERM:.*]] = arith.select %[[REMOVED]], %[[ZERO]], %[[PRODUCT]]
// MEANING: arith.addf %[[ACC]], %[[TERM]]
func.func @aggregate(%w: tensor<?x?xf32>, %v: tensor<?x8xf16>, %out: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %o = attn.aggregate ins(%w, %v : tensor<?x?xf32>, tensor<?x8xf16>) outs(%out : tensor<?x8xf32>)
      attributes {indexing_maps = [affine_map<(i, j, e) -> (i, j)>, affine_map<(i, j, e) -> (j, e)>, affine_map<(i, j, e) -> (i, e)>]} -> tensor<?x8xf32>
  return %o : tensor<?x8xf32>
}
