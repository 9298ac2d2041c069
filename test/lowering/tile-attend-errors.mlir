// RUN: fovea-opt %s --attn-tile-attend --verify-diagnostics --split-input-file

#q = affine_map<(i, j, d, e) -> (i, d)>
#k = affine_map<(i, j, d, e) -> (j, d)>
#v = affine_map<(i, j, d, e) -> (j, e)>
#o = affine_map<(i, j, d, e) -> (i, e)>
func.func @panel(%q: memref<?x?xf32>, %k: memref<?x?xf32>, %v: memref<?x?xf32>, %o: memref<?x?xf32>) {
  // expected-error @+1 {{leaf: }}
  attn.attend ins(%q, %k, %v : memref<?x?xf32>, memref<?x?xf32>, memref<?x?xf32>) outs(%o : memref<?x?xf32>)
      attributes {indexing_maps = [#q, #k, #v, #o], roles = ["row", "key", "contracted", "value"],
                  schedule = {key_layout = "packed", keys = 128 : i64, panel = 7 : i64, queries = 48 : i64, target = "x86-64-v3"}} {
  ^bb0(%dot: f32):
    %true = arith.constant true
    attn.yield %dot, %true : f32
  }
  return
}

// -----

#q = affine_map<(i, j, d, e) -> (i, d)>
#k = affine_map<(i, j, d, e) -> (j, d)>
#v = affine_map<(i, j, d, e) -> (j, e)>
#o = affine_map<(i, j, d, e) -> (i, e)>
func.func private @outside(f32) -> f32
func.func @call(%q: memref<?x?xf32>, %k: memref<?x?xf32>, %v: memref<?x?xf32>, %o: memref<?x?xf32>) {
  // expected-error @+1 {{the score cannot be computed by a leaf}}
  attn.attend ins(%q, %k, %v : memref<?x?xf32>, memref<?x?xf32>, memref<?x?xf32>) outs(%o : memref<?x?xf32>)
      attributes {indexing_maps = [#q, #k, #v, #o], roles = ["row", "key", "contracted", "value"],
                  schedule = {key_layout = "packed", keys = 128 : i64, panel = 16 : i64, queries = 48 : i64, target = "x86-64-v3"}} {
  ^bb0(%dot: f32):
    %true = arith.constant true
    %s = func.call @outside(%dot) : (f32) -> f32
    attn.yield %s, %true : f32
  }
  return
}
