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

// CHECK: attn.normalise <softmax>({{.*}}) along [1, 2] sinks(%{{.*}} : tensor<2xf32>)

// The sink joins the maximum and, as an exponential, the sum; both dimensions are reduced.
// MEANING-LABEL: func @sinks
// MEANING-NOT: attn.
// MEANING: linalg.generic {{.*}}["parallel", "reduction", "reduction"]
// MEANING: linalg.generic {{.*}}["parallel"]} ins(%[[SINK:.*]], %{{.*}} :
// MEANING: arith.maximumf
// MEANING: arith.maximumf
// MEANING: linalg.generic {{.*}}["parallel", "parallel", "parallel"]
// MEANING: math.exp
// MEANING: linalg.generic {{.*}}["parallel", "reduction", "reduction"]
// MEANING: linalg.generic {{.*}}["parallel"]} ins(%[[SINK]], %{{.*}}, %{{.*}} :
// MEANING: %[[JOINED:.*]] = math.exp
// MEANING: arith.addf %{{.*}}, %[[JOINED]]
func.func @sinks(%s: tensor<2x3x4xf32>, %sink: tensor<2xf32>, %out: tensor<2x3x4xf32>) -> tensor<2x3x4xf32> {
  %w = attn.normalise <softmax>(%s : tensor<2x3x4xf32>) along [1, 2] sinks(%sink : tensor<2xf32>) outs(%out : tensor<2x3x4xf32>) {sink_maps = [affine_map<(i) -> (i)>]} -> tensor<2x3x4xf32>
  return %w : tensor<2x3x4xf32>
}

// CHECK: attn.normalise <total>({{.*}}) along [1] outs(%{{.*}} : tensor<2xf32>) -> tensor<2xf32>

// MEANING-LABEL: func @total
// MEANING-NOT: attn.
// MEANING: linalg.generic {{.*}}["parallel", "reduction"]
// MEANING-NEXT: ^bb0
// MEANING-NEXT: arith.addf
// MEANING-NEXT: linalg.yield
func.func @total(%s: tensor<2x3xf32>, %out: tensor<2xf32>) -> tensor<2xf32> {
  %t = attn.normalise <total>(%s : tensor<2x3xf32>) along [1] outs(%out : tensor<2xf32>) -> tensor<2xf32>
  return %t : tensor<2xf32>
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
