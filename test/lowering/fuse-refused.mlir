// RUN: fovea-opt %s --attn-fuse | FileCheck %s

// What is not a softmax over one dimension of one dot product, aggregated once, stays as it is.
// CHECK-NOT: attn.attend

#q = affine_map<(i, j, d) -> (i, d)>
#k = affine_map<(i, j, d) -> (j, d)>
#s = affine_map<(i, j, d) -> (i, j)>
#ij = affine_map<(i, j) -> (i, j)>
#w = affine_map<(i, j, e) -> (i, j)>
#v = affine_map<(i, j, e) -> (j, e)>
#o = affine_map<(i, j, e) -> (i, e)>

// CHECK-LABEL: func @no_contraction
// CHECK: attn.aggregate
func.func @no_contraction(%x: tensor<8x9xf32>, %v: tensor<9x5xf32>, %out: tensor<8x5xf32>) -> tensor<8x5xf32> {
  %e = tensor.empty() : tensor<8x9xf32>
  %score = attn.score ins(%x : tensor<8x9xf32>) outs(%e : tensor<8x9xf32>) attributes {indexing_maps = [#ij, #ij]} {
  ^bb0(%a: f32):
    %true = arith.constant true
    attn.yield %a, %true : f32
  } -> tensor<8x9xf32>
  %w = attn.normalise <softmax>(%score : tensor<8x9xf32>) along [1] outs(%e : tensor<8x9xf32>) -> tensor<8x9xf32>
  %r = attn.aggregate ins(%w, %v : tensor<8x9xf32>, tensor<9x5xf32>) outs(%out : tensor<8x5xf32>) attributes {indexing_maps = [#w, #v, #o]} -> tensor<8x5xf32>
  return %r : tensor<8x5xf32>
}

// A logsumexp with other sinks is another divisor.
// CHECK-LABEL: func @other_divisor
// CHECK: attn.normalise <softmax>
// CHECK: attn.aggregate
func.func @other_divisor(%q: tensor<8x4xf32>, %k: tensor<9x4xf32>, %v: tensor<9x5xf32>, %sink: tensor<f32>, %out: tensor<8x5xf32>, %l: tensor<8xf32>) -> (tensor<8x5xf32>, tensor<8xf32>) {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<8x9xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<8x9xf32>) -> tensor<8x9xf32>
  %dot = linalg.generic {indexing_maps = [#q, #k, #s], iterator_types = ["parallel", "parallel", "reduction"]} ins(%q, %k : tensor<8x4xf32>, tensor<9x4xf32>) outs(%f : tensor<8x9xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %p = arith.mulf %a, %b : f32
    %sum = arith.addf %acc, %p : f32
    linalg.yield %sum : f32
  } -> tensor<8x9xf32>
  %score = attn.score ins(%dot : tensor<8x9xf32>) outs(%e : tensor<8x9xf32>) attributes {indexing_maps = [#ij, #ij]} {
  ^bb0(%a: f32):
    %true = arith.constant true
    attn.yield %a, %true : f32
  } -> tensor<8x9xf32>
  %w = attn.normalise <softmax>(%score : tensor<8x9xf32>) along [1] sinks(%sink : tensor<f32>) outs(%e : tensor<8x9xf32>) {sink_maps = [affine_map<(i) -> ()>]} -> tensor<8x9xf32>
  %lse = attn.normalise <logsumexp>(%score : tensor<8x9xf32>) along [1] outs(%l : tensor<8xf32>) -> tensor<8xf32>
  %r = attn.aggregate ins(%w, %v : tensor<8x9xf32>, tensor<9x5xf32>) outs(%out : tensor<8x5xf32>) attributes {indexing_maps = [#w, #v, #o]} -> tensor<8x5xf32>
  return %r, %lse : tensor<8x5xf32>, tensor<8xf32>
}

// The weights are a result too: they must be in memory anyway.
// CHECK-LABEL: func @weights_used
// CHECK: %[[W:.*]] = attn.normalise <softmax>
// CHECK: attn.aggregate ins(%[[W]]
// CHECK: return %{{.*}}, %[[W]]
func.func @weights_used(%q: tensor<8x4xf32>, %k: tensor<9x4xf32>, %v: tensor<9x5xf32>, %out: tensor<8x5xf32>) -> (tensor<8x5xf32>, tensor<8x9xf32>) {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<8x9xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<8x9xf32>) -> tensor<8x9xf32>
  %dot = linalg.generic {indexing_maps = [#q, #k, #s], iterator_types = ["parallel", "parallel", "reduction"]} ins(%q, %k : tensor<8x4xf32>, tensor<9x4xf32>) outs(%f : tensor<8x9xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %p = arith.mulf %a, %b : f32
    %sum = arith.addf %acc, %p : f32
    linalg.yield %sum : f32
  } -> tensor<8x9xf32>
  %score = attn.score ins(%dot : tensor<8x9xf32>) outs(%e : tensor<8x9xf32>) attributes {indexing_maps = [#ij, #ij]} {
  ^bb0(%a: f32):
    %true = arith.constant true
    attn.yield %a, %true : f32
  } -> tensor<8x9xf32>
  %w = attn.normalise <softmax>(%score : tensor<8x9xf32>) along [1] outs(%e : tensor<8x9xf32>) -> tensor<8x9xf32>
  %r = attn.aggregate ins(%w, %v : tensor<8x9xf32>, tensor<9x5xf32>) outs(%out : tensor<8x5xf32>) attributes {indexing_maps = [#w, #v, #o]} -> tensor<8x5xf32>
  return %r, %w : tensor<8x5xf32>, tensor<8x9xf32>
}
