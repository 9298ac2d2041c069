// RUN: fovea-opt %s | fovea-opt | FileCheck %s
// RUN: fovea-opt %s --attn-decompose | FileCheck %s --check-prefix=MEANING

// CHECK: attn.normalise <softmax>(%{{.*}} : tensor<2x3xf32>) along [1] outs(%{{.*}} : tensor<2x3xf32>) -> tensor<2x3xf32>

// Maximum, exponentials, their sum, weights; an empty row gives 0.
// MEANING-LABEL: func @softmax
// MEANING-NOT: attn.
// MEANING: linalg.generic {{.*}}["parallel", "reduction"]
// MEANING: arith.maximumf
// MEANING: linalg.generic {{.*}}["parallel", "parallel"]
// MEANING: math.exp
// MEANING: linalg.generic {{.*}}["parallel", "reduction"]
// MEANING: arith.addf
// MEANING: linalg.generic {{.*}}["parallel", "parallel"]
// MEANING: %[[EMPTY:.*]] = arith.cmpf oeq, %{{.*}}, %[[ZERO:.*]] : f32
// MEANING: %[[W:.*]] = arith.divf
// MEANING: arith.select %[[EMPTY]], %[[ZERO]], %[[W]]
func.func @softmax(%s: tensor<2x3xf32>, %out: tensor<2x3xf32>) -> tensor<2x3xf32> {
  %w = attn.normalise <softmax>(%s : tensor<2x3xf32>) along [1] outs(%out : tensor<2x3xf32>) -> tensor<2x3xf32>
  return %w : tensor<2x3xf32>
}

// CHECK: attn.normalise <softmax1>({{.*}}) along [0, 1]

// The sink's exp(-m) joins the sum, and m is at least 0; both dimensions are reduced.
// MEANING-LABEL: func @softmax1
// MEANING-NOT: attn.
// MEANING: %[[FLOOR:.*]] = arith.constant 0.000000e+00 : f32
// MEANING: linalg.generic {{.*}}["reduction", "reduction"]
// MEANING: linalg.generic {{.*}}["parallel", "parallel"]
// MEANING: %[[M:.*]] = arith.maximumf %{{.*}}, %[[FLOOR]]
// MEANING: %[[MINUS:.*]] = arith.negf %[[M]]
// MEANING: %[[SINK:.*]] = math.exp %[[MINUS]]
// MEANING: arith.addf %{{.*}}, %[[SINK]]
func.func @softmax1(%s: tensor<2x3xf32>, %out: tensor<2x3xf32>) -> tensor<2x3xf32> {
  %w = attn.normalise <softmax1>(%s : tensor<2x3xf32>) along [0, 1] outs(%out : tensor<2x3xf32>) -> tensor<2x3xf32>
  return %w : tensor<2x3xf32>
}

// CHECK: attn.normalise <logsumexp>({{.*}}) along [0] outs(%{{.*}} : tensor<3xf32>) -> tensor<3xf32>

// MEANING-LABEL: func @logsumexp
// MEANING-NOT: attn.
// MEANING: %[[LOG:.*]] = math.log
// MEANING: arith.addf %{{.*}}, %[[LOG]]
// MEANING: return %{{.*}} : tensor<3xf32>
func.func @logsumexp(%s: tensor<2x3xf32>, %out: tensor<3xf32>) -> tensor<3xf32> {
  %l = attn.normalise <logsumexp>(%s : tensor<2x3xf32>) along [0] outs(%out : tensor<3xf32>) -> tensor<3xf32>
  return %l : tensor<3xf32>
}
