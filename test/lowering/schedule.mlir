// RUN: fovea-opt %s --attn-schedule --split-input-file --verify-diagnostics | FileCheck %s

#q = affine_map<(i, j, d, e) -> (i, d)>
#k = affine_map<(i, j, d, e) -> (j, d)>
#kt = affine_map<(i, j, d, e) -> (d, j)>
#v = affine_map<(i, j, d, e) -> (j, e)>
#o = affine_map<(i, j, d, e) -> (i, e)>

module attributes {attn.target = "x86-64-v3"} {
  // Keys whose rows are contiguous: packed for many queries, read in place for few.
  // CHECK-LABEL: func @many_or_few
  // CHECK: schedule = {few = {key_layout = "rows", {{.*}}queries = {{[0-9]+}} : i64, rows = {{[0-9]+}} : i64, target = "x86-64-v3"}, key_layout = "packed", keys = {{[0-9]+}} : i64, panel = {{[0-9]+}} : i64, queries = {{[0-9]+}} : i64, target = "x86-64-v3"}
  func.func @many_or_few(%q: tensor<?x?xf32>, %k: tensor<?x?xf32>, %v: tensor<?x?xf32>, %o: tensor<?x?xf32>) -> tensor<?x?xf32> {
    %r = attn.attend ins(%q, %k, %v : tensor<?x?xf32>, tensor<?x?xf32>, tensor<?x?xf32>) outs(%o : tensor<?x?xf32>)
        attributes {indexing_maps = [#q, #k, #v, #o], roles = ["row", "key", "contracted", "value"]} {
    ^bb0(%dot: f32):
      %true = arith.constant true
      attn.yield %dot, %true : f32
    } -> tensor<?x?xf32>
    return %r : tensor<?x?xf32>
  }

  // Keys that lie transposed are always packed.
  // CHECK-LABEL: func @transposed_keys
  // CHECK: schedule = {key_layout = "packed"
  func.func @transposed_keys(%q: tensor<?x?xf32>, %k: tensor<?x?xf32>, %v: tensor<?x?xf32>, %o: tensor<?x?xf32>) -> tensor<?x?xf32> {
    %r = attn.attend ins(%q, %k, %v : tensor<?x?xf32>, tensor<?x?xf32>, tensor<?x?xf32>) outs(%o : tensor<?x?xf32>)
        attributes {indexing_maps = [#q, #kt, #v, #o], roles = ["row", "key", "contracted", "value"]} {
    ^bb0(%dot: f32):
      %true = arith.constant true
      attn.yield %dot, %true : f32
    } -> tensor<?x?xf32>
    return %r : tensor<?x?xf32>
  }

  // No dimension of rows (a decoding step): one query a tile.
  // CHECK-LABEL: func @one_query
  // CHECK: schedule = {key_layout = "rows", {{.*}}queries = 1 : i64, target = "x86-64-v3"}
  func.func @one_query(%q: tensor<?xf32>, %k: tensor<?x?xf32>, %v: tensor<?x?xf32>, %o: tensor<?xf32>) -> tensor<?xf32> {
    %r = attn.attend ins(%q, %k, %v : tensor<?xf32>, tensor<?x?xf32>, tensor<?x?xf32>) outs(%o : tensor<?xf32>)
        attributes {indexing_maps = [affine_map<(j, d, e) -> (d)>, affine_map<(j, d, e) -> (j, d)>, affine_map<(j, d, e) -> (j, e)>, affine_map<(j, d, e) -> (e)>],
                    roles = ["key", "contracted", "value"]} {
    ^bb0(%dot: f32):
      %true = arith.constant true
      attn.yield %dot, %true : f32
    } -> tensor<?xf32>
    return %r : tensor<?xf32>
  }

  // A schedule that is there stays.
  // CHECK-LABEL: func @given
  // CHECK: schedule = {keys = 7 : i64}
  func.func @given(%q: tensor<?x?xf32>, %k: tensor<?x?xf32>, %v: tensor<?x?xf32>, %o: tensor<?x?xf32>) -> tensor<?x?xf32> {
    %r = attn.attend ins(%q, %k, %v : tensor<?x?xf32>, tensor<?x?xf32>, tensor<?x?xf32>) outs(%o : tensor<?x?xf32>)
        attributes {indexing_maps = [#q, #k, #v, #o], roles = ["row", "key", "contracted", "value"], schedule = {keys = 7}} {
    ^bb0(%dot: f32):
      %true = arith.constant true
      attn.yield %dot, %true : f32
    } -> tensor<?x?xf32>
    return %r : tensor<?x?xf32>
  }
}

// -----

// expected-error @+1 {{unknown leaf target "z80"}}
module attributes {attn.target = "z80"} {
}

// -----

// Settings of the program (GivenSchedule.cpp): what is no setting, and a schedule that they cannot be applied to.
// expected-error @+2 {{`attn.schedule`: not a setting: {attend = 1 : i64, key = "keys"}}}
module attributes {attn.target = "x86-64-v3"} {
  func.func @nothing() attributes {attn.schedule = [{attend = 1, key = "keys"}]} { return }
}

// -----

#q = affine_map<(i, j, d, e) -> (i, d)>
#k = affine_map<(i, j, d, e) -> (j, d)>
#v = affine_map<(i, j, d, e) -> (j, e)>
#o = affine_map<(i, j, d, e) -> (i, e)>

module attributes {attn.target = "x86-64-v3"} {
  func.func @lacking(%q: tensor<?x?xf32>, %k: tensor<?x?xf32>, %v: tensor<?x?xf32>, %o: tensor<?x?xf32>) -> tensor<?x?xf32>
      attributes {attn.schedule = [{attend = 0, version = "", key = "keys", value = 64, place = loc("x.attn":1:1)}]} {
    // expected-error @+1 {{the schedule lacks an entry}}
    %r = attn.attend ins(%q, %k, %v : tensor<?x?xf32>, tensor<?x?xf32>, tensor<?x?xf32>) outs(%o : tensor<?x?xf32>)
        attributes {indexing_maps = [#q, #k, #v, #o], roles = ["row", "key", "contracted", "value"], schedule = {keys = 7}} {
    ^bb0(%dot: f32):
      %true = arith.constant true
      attn.yield %dot, %true : f32
    } -> tensor<?x?xf32>
    return %r : tensor<?x?xf32>
  }
}
