// RUN: fovea-opt %s --verify-diagnostics --split-input-file

#ij = affine_map<(i, j) -> (i, j)>
func.func @score_1_count(%x: tensor<2x3xf32>, %o: tensor<2x3xf32>) -> tensor<2x3xf32> {
  // expected-error @+1 {{A-score-1: expects 2 indexing maps, has 1}}
  %s = attn.score ins(%x : tensor<2x3xf32>) outs(%o : tensor<2x3xf32>) attributes {indexing_maps = [#ij]} {
  ^bb0(%a: f32):
    %true = arith.constant true
    attn.yield %a, %true : f32
  } -> tensor<2x3xf32>
  return %s : tensor<2x3xf32>
}

// -----

#ij = affine_map<(i, j) -> (i, j)>
#i = affine_map<(i, j) -> (i)>
func.func @score_1_rank(%x: tensor<2x3xf32>, %o: tensor<2x3xf32>) -> tensor<2x3xf32> {
  // expected-error @+1 {{A-score-1: map affine_map<(d0, d1) -> (d0)> does not fit 'tensor<2x3xf32>'}}
  %s = attn.score ins(%x : tensor<2x3xf32>) outs(%o : tensor<2x3xf32>) attributes {indexing_maps = [#i, #ij]} {
  ^bb0(%a: f32):
    %true = arith.constant true
    attn.yield %a, %true : f32
  } -> tensor<2x3xf32>
  return %s : tensor<2x3xf32>
}

// -----

#ij = affine_map<(i, j) -> (i, j)>
#more = affine_map<(i, j, k) -> (i, j)>
func.func @score_1_dimensions(%x: tensor<2x3xf32>, %o: tensor<2x3xf32>) -> tensor<2x3xf32> {
  // expected-error @+1 {{A-score-1: every indexing map must have the same dimensions and no symbols}}
  %s = attn.score ins(%x : tensor<2x3xf32>) outs(%o : tensor<2x3xf32>) attributes {indexing_maps = [#more, #ij]} {
  ^bb0(%a: f32):
    %true = arith.constant true
    attn.yield %a, %true : f32
  } -> tensor<2x3xf32>
  return %s : tensor<2x3xf32>
}

// -----

#ij = affine_map<(i, j) -> (i, j)>
#ji = affine_map<(i, j) -> (j, i)>
func.func @score_2(%x: tensor<2x3xf32>, %o: tensor<3x2xf32>) -> tensor<3x2xf32> {
  // expected-error @+1 {{A-score-2: the output's map must be the identity}}
  %s = attn.score ins(%x : tensor<2x3xf32>) outs(%o : tensor<3x2xf32>) attributes {indexing_maps = [#ij, #ji]} {
  ^bb0(%a: f32):
    %true = arith.constant true
    attn.yield %a, %true : f32
  } -> tensor<3x2xf32>
  return %s : tensor<3x2xf32>
}

// -----

#ij = affine_map<(i, j) -> (i, j)>
func.func @score_3_count(%x: tensor<2x3xf32>, %o: tensor<2x3xf32>) -> tensor<2x3xf32> {
  // expected-error @+1 {{A-score-3: expects 1 block arguments, has 2}}
  %s = attn.score ins(%x : tensor<2x3xf32>) outs(%o : tensor<2x3xf32>) attributes {indexing_maps = [#ij, #ij]} {
  ^bb0(%a: f32, %b: f32):
    %true = arith.constant true
    attn.yield %a, %true : f32
  } -> tensor<2x3xf32>
  return %s : tensor<2x3xf32>
}

// -----

#ij = affine_map<(i, j) -> (i, j)>
func.func @score_3_type(%x: tensor<2x3xf16>, %o: tensor<2x3xf32>) -> tensor<2x3xf32> {
  // expected-error @+1 {{A-score-3: block argument of type 'f32', expected 'f16'}}
  %s = attn.score ins(%x : tensor<2x3xf16>) outs(%o : tensor<2x3xf32>) attributes {indexing_maps = [#ij, #ij]} {
  ^bb0(%a: f32):
    %true = arith.constant true
    attn.yield %a, %true : f32
  } -> tensor<2x3xf32>
  return %s : tensor<2x3xf32>
}

// -----

#ij = affine_map<(i, j) -> (i, j)>
func.func @score_4(%x: tensor<2x3xf16>, %o: tensor<2x3xf32>) -> tensor<2x3xf32> {
  // expected-error @+1 {{A-score-4: the body must yield a score of type 'f32'}}
  %s = attn.score ins(%x : tensor<2x3xf16>) outs(%o : tensor<2x3xf32>) attributes {indexing_maps = [#ij, #ij]} {
  ^bb0(%a: f16):
    %true = arith.constant true
    attn.yield %a, %true : f16
  } -> tensor<2x3xf32>
  return %s : tensor<2x3xf32>
}

// -----

func.func @normalise_1_empty(%s: tensor<2x3xf32>, %o: tensor<2x3xf32>) -> tensor<2x3xf32> {
  // expected-error @+1 {{A-normalise-1: dimensions must not be empty}}
  %w = attn.normalise <softmax>(%s : tensor<2x3xf32>) along [] outs(%o : tensor<2x3xf32>) -> tensor<2x3xf32>
  return %w : tensor<2x3xf32>
}

// -----

func.func @normalise_1_order(%s: tensor<2x3xf32>, %o: tensor<2x3xf32>) -> tensor<2x3xf32> {
  // expected-error @+1 {{A-normalise-1: dimensions must be ascending and within the score's rank}}
  %w = attn.normalise <softmax>(%s : tensor<2x3xf32>) along [1, 0] outs(%o : tensor<2x3xf32>) -> tensor<2x3xf32>
  return %w : tensor<2x3xf32>
}

// -----

func.func @normalise_1_range(%s: tensor<2x3xf32>, %o: tensor<2x3xf32>) -> tensor<2x3xf32> {
  // expected-error @+1 {{A-normalise-1: dimensions must be ascending and within the score's rank}}
  %w = attn.normalise <softmax>(%s : tensor<2x3xf32>) along [2] outs(%o : tensor<2x3xf32>) -> tensor<2x3xf32>
  return %w : tensor<2x3xf32>
}

// -----

func.func @normalise_2_softmax(%s: tensor<2x3xf32>, %o: tensor<2xf32>) -> tensor<2xf32> {
  // expected-error @+1 {{A-normalise-2: the output's shape does not follow from the score's}}
  %w = attn.normalise <softmax>(%s : tensor<2x3xf32>) along [1] outs(%o : tensor<2xf32>) -> tensor<2xf32>
  return %w : tensor<2xf32>
}

// -----

func.func @normalise_2_logsumexp(%s: tensor<2x3xf32>, %o: tensor<3xf32>) -> tensor<3xf32> {
  // expected-error @+1 {{A-normalise-2: the output's shape does not follow from the score's}}
  %l = attn.normalise <logsumexp>(%s : tensor<2x3xf32>) along [1] outs(%o : tensor<3xf32>) -> tensor<3xf32>
  return %l : tensor<3xf32>
}

// -----

#w = affine_map<(i, j, e) -> (i, j)>
#v = affine_map<(i, j, e) -> (j, e)>
func.func @aggregate_1(%w: tensor<2x3xf32>, %v: tensor<3x4xf32>, %o: tensor<2x4xf32>) -> tensor<2x4xf32> {
  // expected-error @+1 {{A-aggregate-1: expects 3 indexing maps, has 2}}
  %r = attn.aggregate ins(%w, %v : tensor<2x3xf32>, tensor<3x4xf32>) outs(%o : tensor<2x4xf32>) attributes {indexing_maps = [#w, #v]} -> tensor<2x4xf32>
  return %r : tensor<2x4xf32>
}

// -----

#w = affine_map<(i, j, e) -> (i, j)>
#v = affine_map<(i, j, e) -> (j, e)>
#o = affine_map<(i, j, e) -> (i, i)>
func.func @aggregate_2(%w: tensor<2x3xf32>, %v: tensor<3x4xf32>, %o: tensor<2x2xf32>) -> tensor<2x2xf32> {
  // expected-error @+1 {{A-aggregate-2: the output's map must be a projected permutation}}
  %r = attn.aggregate ins(%w, %v : tensor<2x3xf32>, tensor<3x4xf32>) outs(%o : tensor<2x2xf32>) attributes {indexing_maps = [#w, #v, #o]} -> tensor<2x2xf32>
  return %r : tensor<2x2xf32>
}

// -----

#q = affine_map<(i, j, d, e) -> (i, d)>
#k = affine_map<(i, j, d, e) -> (j, d)>
#v = affine_map<(i, j, d, e) -> (j, e)>
func.func @attend_1(%q: tensor<2x4xf32>, %k: tensor<3x4xf32>, %v: tensor<3x5xf32>, %o: tensor<2x5xf32>) {
  // expected-error @+1 {{A-attend-1: expects 4 indexing maps, has 3}}
  %r = attn.attend ins(%q, %k, %v : tensor<2x4xf32>, tensor<3x4xf32>, tensor<3x5xf32>) outs(%o : tensor<2x5xf32>)
      attributes {indexing_maps = [#q, #k, #v], roles = ["row", "key", "contracted", "value"]} {
  ^bb0(%dot: f32):
    %true = arith.constant true
    attn.yield %dot, %true : f32
  } -> tensor<2x5xf32>
  return
}

// -----

#q = affine_map<(i, j, d, e) -> (i, d)>
#k = affine_map<(i, j, d, e) -> (j, d)>
#v = affine_map<(i, j, d, e) -> (j, e)>
#o = affine_map<(i, j, d, e) -> (i, e)>
func.func @attend_2_count(%q: tensor<2x4xf32>, %k: tensor<3x4xf32>, %v: tensor<3x5xf32>, %o: tensor<2x5xf32>) {
  // expected-error @+1 {{A-attend-2: expects one role per dimension}}
  %r = attn.attend ins(%q, %k, %v : tensor<2x4xf32>, tensor<3x4xf32>, tensor<3x5xf32>) outs(%o : tensor<2x5xf32>)
      attributes {indexing_maps = [#q, #k, #v, #o], roles = ["key", "contracted", "value"]} {
  ^bb0(%dot: f32):
    %true = arith.constant true
    attn.yield %dot, %true : f32
  } -> tensor<2x5xf32>
  return
}

// -----

#q = affine_map<(i, j, d, e) -> (i, d)>
#k = affine_map<(i, j, d, e) -> (j, d)>
#v = affine_map<(i, j, d, e) -> (j, e)>
#o = affine_map<(i, j, d, e) -> (i, e)>
func.func @attend_2_roles(%q: tensor<2x4xf32>, %k: tensor<3x4xf32>, %v: tensor<3x5xf32>, %o: tensor<2x5xf32>) {
  // expected-error @+1 {{A-attend-2: expects one `key`, one `contracted`, one `value`, at most one `row`, and `batch` dimensions}}
  %r = attn.attend ins(%q, %k, %v : tensor<2x4xf32>, tensor<3x4xf32>, tensor<3x5xf32>) outs(%o : tensor<2x5xf32>)
      attributes {indexing_maps = [#q, #k, #v, #o], roles = ["key", "key", "contracted", "value"]} {
  ^bb0(%dot: f32):
    %true = arith.constant true
    attn.yield %dot, %true : f32
  } -> tensor<2x5xf32>
  return
}

// -----

#q = affine_map<(i, j, d, e) -> (i, d)>
#k = affine_map<(i, j, d, e) -> (j, d)>
#v = affine_map<(i, j, d, e) -> (j, e)>
#o = affine_map<(i, j, d, e) -> (i, e)>
func.func @attend_3_count(%q: tensor<2x4xf32>, %k: tensor<3x4xf32>, %v: tensor<3x5xf32>, %o: tensor<2x5xf32>) {
  // expected-error @+1 {{A-attend-3: expects 1 block arguments, has 2}}
  %r = attn.attend ins(%q, %k, %v : tensor<2x4xf32>, tensor<3x4xf32>, tensor<3x5xf32>) outs(%o : tensor<2x5xf32>)
      attributes {indexing_maps = [#q, #k, #v, #o], roles = ["row", "key", "contracted", "value"]} {
  ^bb0(%dot: f32, %more: f32):
    %true = arith.constant true
    attn.yield %dot, %true : f32
  } -> tensor<2x5xf32>
  return
}

// -----

#q = affine_map<(i, j, d, e) -> (i, d)>
#k = affine_map<(i, j, d, e) -> (j, d)>
#v = affine_map<(i, j, d, e) -> (j, e)>
#o = affine_map<(i, j, d, e) -> (i, e)>
func.func @attend_3_dot(%q: tensor<2x4xf32>, %k: tensor<3x4xf32>, %v: tensor<3x5xf32>, %o: tensor<2x5xf32>, %s: f32) {
  // expected-error @+1 {{A-attend-3: the first block argument must be the dot product}}
  %r = attn.attend ins(%q, %k, %v : tensor<2x4xf32>, tensor<3x4xf32>, tensor<3x5xf32>) outs(%o : tensor<2x5xf32>)
      attributes {indexing_maps = [#q, #k, #v, #o], roles = ["row", "key", "contracted", "value"]} {
  ^bb0(%dot: i32):
    %true = arith.constant true
    attn.yield %s, %true : f32
  } -> tensor<2x5xf32>
  return
}

// -----

#q = affine_map<(i, j, d, e) -> (i, d)>
#k = affine_map<(i, j, d, e) -> (j, d)>
#v = affine_map<(i, j, d, e) -> (j, e)>
#o = affine_map<(i, j, d, e) -> (i, e)>
#l = affine_map<(i, j, d, e) -> (i)>
func.func @attend_4(%q: tensor<2x4xf32>, %k: tensor<3x4xf32>, %v: tensor<3x5xf32>, %o: tensor<2x5xf32>, %l: tensor<2xf32>) {
  // expected-error @+1 {{A-attend-4: expects one or two outputs}}
  %r:3 = attn.attend ins(%q, %k, %v : tensor<2x4xf32>, tensor<3x4xf32>, tensor<3x5xf32>) outs(%o, %l, %l : tensor<2x5xf32>, tensor<2xf32>, tensor<2xf32>)
      attributes {indexing_maps = [#q, #k, #v, #o, #l, #l], roles = ["row", "key", "contracted", "value"]} {
  ^bb0(%dot: f32):
    %true = arith.constant true
    attn.yield %dot, %true : f32
  } -> tensor<2x5xf32>, tensor<2xf32>, tensor<2xf32>
  return
}

// -----

#q = affine_map<(i, j, d, e) -> (i, d)>
#k = affine_map<(i, j, d, e) -> (j, d)>
#v = affine_map<(i, j, d, e) -> (j, e)>
#o = affine_map<(i, j, d, e) -> (i, e)>
#t = affine_map<(i, j, d, e) -> (j)>
func.func @attend_5_key(%q: tensor<2x4xf32>, %k: tensor<3x4xf32>, %v: tensor<3x5xf32>, %o: tensor<2x5xf32>, %t: tensor<3xf32>) {
  // expected-error @+1 {{A-attend-5: a sink must not vary along the key dimension}}
  %r = attn.attend ins(%q, %k, %v : tensor<2x4xf32>, tensor<3x4xf32>, tensor<3x5xf32>) sinks(%t : tensor<3xf32>) outs(%o : tensor<2x5xf32>)
      attributes {indexing_maps = [#q, #k, #v, #t, #o], roles = ["row", "key", "contracted", "value"]} {
  ^bb0(%dot: f32):
    %true = arith.constant true
    attn.yield %dot, %true : f32
  } -> tensor<2x5xf32>
  return
}

// -----

#q = affine_map<(i, j, d, e) -> (i, d)>
#k = affine_map<(i, j, d, e) -> (j, d)>
#v = affine_map<(i, j, d, e) -> (j, e)>
#o = affine_map<(i, j, d, e) -> (i, e)>
#t = affine_map<(i, j, d, e) -> (i)>
func.func @attend_5_pointwise(%q: tensor<2x4xf32>, %k: tensor<3x4xf32>, %v: tensor<3x5xf32>, %o: tensor<2x5xf32>, %t: tensor<2xf32>) {
  // expected-error @+1 {{A-attend-5: pointwise weights have no sinks}}
  %r = attn.attend ins(%q, %k, %v : tensor<2x4xf32>, tensor<3x4xf32>, tensor<3x5xf32>) sinks(%t : tensor<2xf32>) outs(%o : tensor<2x5xf32>)
      attributes {indexing_maps = [#q, #k, #v, #t, #o], roles = ["row", "key", "contracted", "value"], pointwise} {
  ^bb0(%dot: f32):
    %true = arith.constant true
    attn.yield %dot, %true : f32
  } -> tensor<2x5xf32>
  return
}

// -----

#q = affine_map<(i, j, d, e) -> (i, d)>
#k = affine_map<(i, j, d, e) -> (j, d)>
#v = affine_map<(i, j, d, e) -> (j, e)>
#o = affine_map<(i, j, d, e) -> (i, e)>
#w = affine_map<(i, j, d, e) -> (j, i)>
func.func @attend_6_order(%q: tensor<2x4xf32>, %k: tensor<3x4xf32>, %v: tensor<3x5xf32>, %o: tensor<2x5xf32>, %w: tensor<3x2xf32>) {
  // expected-error @+1 {{A-attend-6: the last axis of the weights must be the key}}
  %r:2 = attn.attend ins(%q, %k, %v : tensor<2x4xf32>, tensor<3x4xf32>, tensor<3x5xf32>) outs(%o, %w : tensor<2x5xf32>, tensor<3x2xf32>)
      attributes {indexing_maps = [#q, #k, #v, #o, #w], roles = ["row", "key", "contracted", "value"], weights} {
  ^bb0(%dot: f32):
    %true = arith.constant true
    attn.yield %dot, %true : f32
  } -> tensor<2x5xf32>, tensor<3x2xf32>
  return
}

// -----

#q = affine_map<(i, j, d, e) -> (i, d)>
#k = affine_map<(i, j, d, e) -> (j, d)>
#v = affine_map<(i, j, d, e) -> (j, e)>
#o = affine_map<(i, j, d, e) -> (i, e)>
#w = affine_map<(i, j, d, e) -> (i, j)>
func.func @attend_6_pointwise(%q: tensor<2x4xf32>, %k: tensor<3x4xf32>, %v: tensor<3x5xf32>, %o: tensor<2x5xf32>, %w: tensor<2x3xf32>) {
  // expected-error @+1 {{A-attend-6: pointwise weights are no output}}
  %r:2 = attn.attend ins(%q, %k, %v : tensor<2x4xf32>, tensor<3x4xf32>, tensor<3x5xf32>) outs(%o, %w : tensor<2x5xf32>, tensor<2x3xf32>)
      attributes {indexing_maps = [#q, #k, #v, #o, #w], roles = ["row", "key", "contracted", "value"], pointwise, weights} {
  ^bb0(%dot: f32):
    %true = arith.constant true
    attn.yield %dot, %true : f32
  } -> tensor<2x5xf32>, tensor<2x3xf32>
  return
}

// -----

func.func @normalise_3_total(%s: tensor<2x3xf32>, %t: tensor<f32>, %out: tensor<2xf32>) {
  // expected-error @+1 {{A-normalise-3: a total takes no sinks}}
  %r = attn.normalise <total>(%s : tensor<2x3xf32>) along [1] sinks(%t : tensor<f32>) outs(%out : tensor<2xf32>) {sink_maps = [affine_map<(i) -> ()>]} -> tensor<2xf32>
  return
}

// -----

func.func @normalise_3_count(%s: tensor<2x3xf32>, %t: tensor<f32>, %out: tensor<2x3xf32>) {
  // expected-error @+1 {{A-normalise-3: expects 1 indexing maps, has 0}}
  %r = attn.normalise <softmax>(%s : tensor<2x3xf32>) along [1] sinks(%t : tensor<f32>) outs(%out : tensor<2x3xf32>) -> tensor<2x3xf32>
  return
}

// -----

func.func @normalise_3_map(%s: tensor<2x3xf32>, %t: tensor<2xf32>, %out: tensor<2x3xf32>) {
  // expected-error @+1 {{A-normalise-3: a sink's map runs over the score's dimensions without those normalised over}}
  %r = attn.normalise <softmax>(%s : tensor<2x3xf32>) along [1] sinks(%t : tensor<2xf32>) outs(%out : tensor<2x3xf32>) {sink_maps = [affine_map<(i, j) -> (i)>]} -> tensor<2x3xf32>
  return
}

// -----

func.func @quantise_1_axes(%x: tensor<4xf32>, %c: tensor<4xi8>, %s: tensor<f32>) {
  // expected-error @+1 {{A-quantise-1: the source must be of f32 and have the `axes` and others}}
  %r:2 = attn.quantise ins(%x : tensor<4xf32>) outs(%c, %s : tensor<4xi8>, tensor<f32>) {axes = 1 : i64} -> tensor<4xi8>, tensor<f32>
  return
}

// -----

func.func @quantise_1_unknown(%x: tensor<2x?xf32>, %c: tensor<2x8xi8>, %s: tensor<2xf32>) {
  // expected-error @+1 {{A-quantise-1: the extents of a row must be known, and not 0}}
  %r:2 = attn.quantise ins(%x : tensor<2x?xf32>) outs(%c, %s : tensor<2x8xi8>, tensor<2xf32>) {axes = 1 : i64} -> tensor<2x8xi8>, tensor<2xf32>
  return
}

// -----

func.func @quantise_1_group(%x: tensor<2x5xf32>, %c: tensor<2x6xi8>, %s: tensor<2xf32>) {
  // expected-error @+1 {{A-quantise-1: the codes' shape does not follow from the source's}}
  %r:2 = attn.quantise ins(%x : tensor<2x5xf32>) outs(%c, %s : tensor<2x6xi8>, tensor<2xf32>) {axes = 1 : i64} -> tensor<2x6xi8>, tensor<2xf32>
  return
}

// -----

func.func @quantise_2(%x: tensor<2x5xf32>, %c: tensor<2x6xi16>, %s: tensor<3xf32>) {
  // expected-error @+1 {{A-quantise-2: the scales must be of f32 and have the source's other axes}}
  %r:2 = attn.quantise ins(%x : tensor<2x5xf32>) outs(%c, %s : tensor<2x6xi16>, tensor<3xf32>) {axes = 1 : i64} -> tensor<2x6xi16>, tensor<3xf32>
  return
}

// -----

func.func @quantised_1(%c: tensor<2x6xi16>, %s: tensor<2x1xf32>, %w: tensor<1x3x16xi8>, %ws: tensor<1x8xf32>, %out: tensor<2x7xf32>) {
  // expected-error @+1 {{A-quantised-1: the scales must be of f32 and have the codes' axes but the last}}
  %r = attn.quantised_product ins(%c, %s, %w, %ws : tensor<2x6xi16>, tensor<2x1xf32>, tensor<1x3x16xi8>, tensor<1x8xf32>) outs(%out : tensor<2x7xf32>) -> tensor<2x7xf32>
  return
}

// -----

func.func @quantised_2(%c: tensor<2x6xi16>, %s: tensor<2xf32>, %w: tensor<1x3x16xi8>, %ws: tensor<1x8xf32>, %out: tensor<2x?xf32>) {
  // expected-error @+1 {{A-quantised-2: the extents of the output's last axes must be known, and not 0}}
  %r = attn.quantised_product ins(%c, %s, %w, %ws : tensor<2x6xi16>, tensor<2xf32>, tensor<1x3x16xi8>, tensor<1x8xf32>) outs(%out : tensor<2x?xf32>) -> tensor<2x?xf32>
  return
}

// -----

func.func @quantised_3(%c: tensor<2x6xi16>, %s: tensor<2xf32>, %w: tensor<1x3x16xi8>, %ws: tensor<1x8xf32>, %out: tensor<2x9xf32>) {
  // expected-error @+1 {{A-quantised-3: the panels do not hold the output's columns and the codes}}
  %r = attn.quantised_product ins(%c, %s, %w, %ws : tensor<2x6xi16>, tensor<2xf32>, tensor<1x3x16xi8>, tensor<1x8xf32>) outs(%out : tensor<2x9xf32>) -> tensor<2x9xf32>
  return
}

// -----

func.func @quantised_4_scales(%c: tensor<2x6xi16>, %s: tensor<2xf32>, %w: tensor<1x3x16xi8>, %ws: tensor<1x7xf32>, %out: tensor<2x7xf32>) {
  // expected-error @+1 {{A-quantised-4: the weights' scales must be f32, one for each column of the panels}}
  %r = attn.quantised_product ins(%c, %s, %w, %ws : tensor<2x6xi16>, tensor<2xf32>, tensor<1x3x16xi8>, tensor<1x7xf32>) outs(%out : tensor<2x7xf32>) -> tensor<2x7xf32>
  return
}

// -----

func.func @quantised_4_sums(%c: tensor<2x8xi8>, %s: tensor<2xf32>, %w: tensor<1x2x32xi8>, %ws: tensor<1x8xf32>, %out: tensor<2x7xf32>) {
  // expected-error @+1 {{A-quantised-4: sums go with codes of i8, and only with them}}
  %r = attn.quantised_product ins(%c, %s, %w, %ws : tensor<2x8xi8>, tensor<2xf32>, tensor<1x2x32xi8>, tensor<1x8xf32>) outs(%out : tensor<2x7xf32>) -> tensor<2x7xf32>
  return
}
