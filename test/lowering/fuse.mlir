// RUN: fovea-opt %s --attn-fuse --canonicalize | FileCheck %s

#id = affine_map<(i, d) -> (i, d)>
#q = affine_map<(i, j, d) -> (i, d)>
#k = affine_map<(i, j, d) -> (j, d)>
#s = affine_map<(i, j, d) -> (i, j)>
#ij = affine_map<(i, j) -> (i, j)>
#w = affine_map<(i, j, e) -> (i, j)>
#v = affine_map<(i, j, e) -> (j, e)>
#o = affine_map<(i, j, e) -> (i, e)>

// A score over a dot product, its softmax and the aggregate are one op; the score's body becomes its body.
// CHECK-DAG: #[[Q:.*]] = affine_map<(d0, d1, d2, d3) -> (d0, d2)>
// CHECK-DAG: #[[K:.*]] = affine_map<(d0, d1, d2, d3) -> (d1, d2)>
// CHECK-DAG: #[[V:.*]] = affine_map<(d0, d1, d2, d3) -> (d1, d3)>
// CHECK-DAG: #[[O:.*]] = affine_map<(d0, d1, d2, d3) -> (d0, d3)>
// CHECK-LABEL: func @softmax
// CHECK-NOT: linalg.generic
// CHECK-NOT: attn.normalise
// CHECK: %[[R:.*]] = attn.attend ins(%arg0, %arg1, %arg2 : {{.*}}) outs(%arg3 : {{.*}})
// CHECK-SAME: indexing_maps = [#[[Q]], #[[K]], #[[V]], #[[O]]]
// CHECK-SAME: roles = ["row", "key", "contracted", "value"]
// CHECK-NEXT: ^bb0(%[[DOT:.*]]: f32):
// CHECK: %[[SCORE:.*]] = arith.mulf %[[DOT]]
// CHECK: arith.cmpi sle
// CHECK: attn.yield %[[SCORE]]
// CHECK: return %[[R]]
func.func @softmax(%q: tensor<8x4xf32>, %k: tensor<9x4xf32>, %v: tensor<9x5xf32>, %out: tensor<8x5xf32>) -> tensor<8x5xf32> {
  %zero = arith.constant 0.0 : f32
  %half = arith.constant 0.5 : f32
  %e = tensor.empty() : tensor<8x9xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<8x9xf32>) -> tensor<8x9xf32>
  %dot = linalg.generic {indexing_maps = [#q, #k, #s], iterator_types = ["parallel", "parallel", "reduction"]} ins(%q, %k : tensor<8x4xf32>, tensor<9x4xf32>) outs(%f : tensor<8x9xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %p = arith.mulf %a, %b : f32
    %sum = arith.addf %acc, %p : f32
    linalg.yield %sum : f32
  } -> tensor<8x9xf32>
  %score = attn.score ins(%dot : tensor<8x9xf32>) outs(%e : tensor<8x9xf32>) attributes {indexing_maps = [#ij, #ij]} {
  ^bb0(%x: f32):
    %y = arith.mulf %x, %half : f32
    %i = attn.index 0
    %j = attn.index 1
    %i32 = arith.index_cast %i : index to i32
    %j32 = arith.index_cast %j : index to i32
    %keep = arith.cmpi sle, %j32, %i32 : i32
    attn.yield %y, %keep : f32
  } -> tensor<8x9xf32>
  %w = attn.normalise <softmax>(%score : tensor<8x9xf32>) along [1] outs(%e : tensor<8x9xf32>) -> tensor<8x9xf32>
  %r = attn.aggregate ins(%w, %v : tensor<8x9xf32>, tensor<9x5xf32>) outs(%out : tensor<8x5xf32>) attributes {indexing_maps = [#w, #v, #o]} -> tensor<8x5xf32>
  return %r : tensor<8x5xf32>
}

// Weights that are also copied, here with their axes in another order, are the op's last output.
// CHECK-LABEL: func @weights
// CHECK-NOT: attn.normalise
// CHECK: %[[R:.*]]:2 = attn.attend {{.*}} outs(%arg3, %arg4 : tensor<8x2x5xf32>, tensor<2x8x9xf32>)
// CHECK-SAME: weights
// CHECK: return %[[R]]#0, %[[R]]#1
func.func @weights(%q: tensor<8x2x4xf32>, %k: tensor<9x2x4xf32>, %v: tensor<9x2x5xf32>, %out: tensor<8x2x5xf32>, %map: tensor<2x8x9xf32>) -> (tensor<8x2x5xf32>, tensor<2x8x9xf32>) {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<8x2x9xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<8x2x9xf32>) -> tensor<8x2x9xf32>
  %dot = linalg.generic {indexing_maps = [affine_map<(i, h, j, d) -> (i, h, d)>, affine_map<(i, h, j, d) -> (j, h, d)>, affine_map<(i, h, j, d) -> (i, h, j)>],
      iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%q, %k : tensor<8x2x4xf32>, tensor<9x2x4xf32>) outs(%f : tensor<8x2x9xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %p = arith.mulf %a, %b : f32
    %sum = arith.addf %acc, %p : f32
    linalg.yield %sum : f32
  } -> tensor<8x2x9xf32>
  %score = attn.score ins(%dot : tensor<8x2x9xf32>) outs(%e : tensor<8x2x9xf32>) attributes {indexing_maps = [affine_map<(i, h, j) -> (i, h, j)>, affine_map<(i, h, j) -> (i, h, j)>]} {
  ^bb0(%x: f32):
    %true = arith.constant true
    attn.yield %x, %true : f32
  } -> tensor<8x2x9xf32>
  %w = attn.normalise <softmax>(%score : tensor<8x2x9xf32>) along [2] outs(%e : tensor<8x2x9xf32>) -> tensor<8x2x9xf32>
  %r = attn.aggregate ins(%w, %v : tensor<8x2x9xf32>, tensor<9x2x5xf32>) outs(%out : tensor<8x2x5xf32>)
      attributes {indexing_maps = [affine_map<(i, h, e, j) -> (i, h, j)>, affine_map<(i, h, e, j) -> (j, h, e)>, affine_map<(i, h, e, j) -> (i, h, e)>]} -> tensor<8x2x5xf32>
  %m = linalg.generic {indexing_maps = [affine_map<(h, i, j) -> (i, h, j)>, affine_map<(h, i, j) -> (h, i, j)>], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%w : tensor<8x2x9xf32>) outs(%map : tensor<2x8x9xf32>) {
  ^bb0(%x: f32, %o: f32):
    linalg.yield %x : f32
  } -> tensor<2x8x9xf32>
  return %r, %m : tensor<8x2x5xf32>, tensor<2x8x9xf32>
}

// The logsumexp of the same scores is the op's second output.
// CHECK-LABEL: func @logsumexp
// CHECK: %[[R:.*]]:2 = attn.attend {{.*}} outs(%arg3, %arg4 : tensor<8x5xf32>, tensor<8xf32>)
// CHECK: return %[[R]]#0, %[[R]]#1
func.func @logsumexp(%q: tensor<8x4xf32>, %k: tensor<9x4xf32>, %v: tensor<9x5xf32>, %out: tensor<8x5xf32>, %l: tensor<8xf32>) -> (tensor<8x5xf32>, tensor<8xf32>) {
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
  ^bb0(%x: f32):
    %true = arith.constant true
    attn.yield %x, %true : f32
  } -> tensor<8x9xf32>
  %w = attn.normalise <softmax>(%score : tensor<8x9xf32>) along [1] outs(%e : tensor<8x9xf32>) -> tensor<8x9xf32>
  %r = attn.aggregate ins(%w, %v : tensor<8x9xf32>, tensor<9x5xf32>) outs(%out : tensor<8x5xf32>) attributes {indexing_maps = [#w, #v, #o]} -> tensor<8x5xf32>
  %lse = attn.normalise <logsumexp>(%score : tensor<8x9xf32>) along [1] outs(%l : tensor<8xf32>) -> tensor<8xf32>
  return %r, %lse : tensor<8x5xf32>, tensor<8xf32>
}

// A result that is rounded to f16 is written as f16 by the op itself.
// CHECK-LABEL: func @rounded
// CHECK: %[[R:.*]] = attn.attend {{.*}} outs(%arg3 : tensor<8x5xf16>)
// CHECK-NOT: arith.truncf
// CHECK: return %[[R]]
func.func @rounded(%q: tensor<8x4xf16>, %k: tensor<9x4xf16>, %v: tensor<9x5xf16>, %out: tensor<8x5xf16>) -> tensor<8x5xf16> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<8x9xf32>
  %wide = tensor.empty() : tensor<8x5xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<8x9xf32>) -> tensor<8x9xf32>
  %dot = linalg.generic {indexing_maps = [#q, #k, #s], iterator_types = ["parallel", "parallel", "reduction"]} ins(%q, %k : tensor<8x4xf16>, tensor<9x4xf16>) outs(%f : tensor<8x9xf32>) {
  ^bb0(%a: f16, %b: f16, %acc: f32):
    %a32 = arith.extf %a : f16 to f32
    %b32 = arith.extf %b : f16 to f32
    %p = arith.mulf %a32, %b32 : f32
    %sum = arith.addf %acc, %p : f32
    linalg.yield %sum : f32
  } -> tensor<8x9xf32>
  %score = attn.score ins(%dot : tensor<8x9xf32>) outs(%e : tensor<8x9xf32>) attributes {indexing_maps = [#ij, #ij]} {
  ^bb0(%x: f32):
    %true = arith.constant true
    attn.yield %x, %true : f32
  } -> tensor<8x9xf32>
  %w = attn.normalise <softmax>(%score : tensor<8x9xf32>) along [1] outs(%e : tensor<8x9xf32>) -> tensor<8x9xf32>
  %r = attn.aggregate ins(%w, %v : tensor<8x9xf32>, tensor<9x5xf16>) outs(%wide : tensor<8x5xf32>) attributes {indexing_maps = [#w, #v, #o]} -> tensor<8x5xf32>
  %rounded = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%r : tensor<8x5xf32>) outs(%out : tensor<8x5xf16>) {
  ^bb0(%a: f32, %b: f16):
    %t = arith.truncf %a : f32 to f16
    linalg.yield %t : f16
  } -> tensor<8x5xf16>
  return %rounded : tensor<8x5xf16>
}

// Sinks join the sum, and the logsumexp with the same sinks is the logarithm of that.
// CHECK-LABEL: func @sinks
// CHECK-NOT: attn.normalise
// CHECK: %[[R:.*]]:2 = attn.attend {{.*}} sinks(%arg3 : tensor<8xf32>) outs(%arg4, %arg5 : tensor<8x5xf32>, tensor<8xf32>)
// CHECK: return %[[R]]#0, %[[R]]#1
func.func @sinks(%q: tensor<8x4xf32>, %k: tensor<9x4xf32>, %v: tensor<9x5xf32>, %sink: tensor<8xf32>, %out: tensor<8x5xf32>, %l: tensor<8xf32>) -> (tensor<8x5xf32>, tensor<8xf32>) {
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
  ^bb0(%x: f32):
    %true = arith.constant true
    attn.yield %x, %true : f32
  } -> tensor<8x9xf32>
  %w = attn.normalise <softmax>(%score : tensor<8x9xf32>) along [1] sinks(%sink : tensor<8xf32>) outs(%e : tensor<8x9xf32>) {sink_maps = [affine_map<(i) -> (i)>]} -> tensor<8x9xf32>
  %lse = attn.normalise <logsumexp>(%score : tensor<8x9xf32>) along [1] sinks(%sink : tensor<8xf32>) outs(%l : tensor<8xf32>) {sink_maps = [affine_map<(i) -> (i)>]} -> tensor<8xf32>
  %r = attn.aggregate ins(%w, %v : tensor<8x9xf32>, tensor<9x5xf32>) outs(%out : tensor<8x5xf32>) attributes {indexing_maps = [#w, #v, #o]} -> tensor<8x5xf32>
  return %r, %lse : tensor<8x5xf32>, tensor<8xf32>
}

// Weights without a normaliser: the scores themselves, and their total as the second output.
// CHECK-LABEL: func @pointwise
// CHECK-NOT: attn.score
// CHECK: %[[R:.*]]:2 = attn.attend {{.*}} outs(%arg3, %arg4 : tensor<8x5xf32>, tensor<8xf32>)
// CHECK-SAME: pointwise
// CHECK: return %[[R]]#0, %[[R]]#1
func.func @pointwise(%q: tensor<8x4xf32>, %k: tensor<9x4xf32>, %v: tensor<9x5xf32>, %out: tensor<8x5xf32>, %t: tensor<8xf32>) -> (tensor<8x5xf32>, tensor<8xf32>) {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<8x9xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<8x9xf32>) -> tensor<8x9xf32>
  %dot = linalg.generic {indexing_maps = [#q, #k, #s], iterator_types = ["parallel", "parallel", "reduction"]} ins(%q, %k : tensor<8x4xf32>, tensor<9x4xf32>) outs(%f : tensor<8x9xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %p = arith.mulf %a, %b : f32
    %sum = arith.addf %acc, %p : f32
    linalg.yield %sum : f32
  } -> tensor<8x9xf32>
  %score = attn.score ins(%dot : tensor<8x9xf32>) outs(%e : tensor<8x9xf32>) attributes {indexing_maps = [#ij, #ij], pointwise} {
  ^bb0(%x: f32):
    %true = arith.constant true
    attn.yield %x, %true : f32
  } -> tensor<8x9xf32>
  %total = attn.normalise <total>(%score : tensor<8x9xf32>) along [1] outs(%t : tensor<8xf32>) -> tensor<8xf32>
  %r = attn.aggregate ins(%score, %v : tensor<8x9xf32>, tensor<9x5xf32>) outs(%out : tensor<8x5xf32>) attributes {indexing_maps = [#w, #v, #o]} -> tensor<8x5xf32>
  return %r, %total : tensor<8x5xf32>, tensor<8xf32>
}

// Two aggregates of the same weights: each computes them on its way.
// CHECK-LABEL: func @two_values
// CHECK-DAG: attn.attend ins(%arg0, %arg1, %arg2
// CHECK-DAG: attn.attend ins(%arg0, %arg1, %arg3
// CHECK: return
func.func @two_values(%q: tensor<8x4xf32>, %k: tensor<9x4xf32>, %v: tensor<9x5xf32>, %u: tensor<9x5xf32>, %out: tensor<8x5xf32>, %other: tensor<8x5xf32>) -> (tensor<8x5xf32>, tensor<8x5xf32>) {
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
  ^bb0(%x: f32):
    %true = arith.constant true
    attn.yield %x, %true : f32
  } -> tensor<8x9xf32>
  %w = attn.normalise <softmax>(%score : tensor<8x9xf32>) along [1] outs(%e : tensor<8x9xf32>) -> tensor<8x9xf32>
  %r = attn.aggregate ins(%w, %v : tensor<8x9xf32>, tensor<9x5xf32>) outs(%out : tensor<8x5xf32>) attributes {indexing_maps = [#w, #v, #o]} -> tensor<8x5xf32>
  %s = attn.aggregate ins(%w, %u : tensor<8x9xf32>, tensor<9x5xf32>) outs(%other : tensor<8x5xf32>) attributes {indexing_maps = [#w, #v, #o]} -> tensor<8x5xf32>
  return %r, %s : tensor<8x5xf32>, tensor<8x5xf32>
}
