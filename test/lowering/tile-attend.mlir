// RUN: fovea-opt %s --attn-tile-attend --canonicalize | FileCheck %s

#q = affine_map<(i, j, d, e) -> (i, d)>
#k = affine_map<(i, j, d, e) -> (j, d)>
#v = affine_map<(i, j, d, e) -> (j, e)>
#o = affine_map<(i, j, d, e) -> (i, e)>
#schedule = {key_layout = "packed", keys = 128 : i64, panel = 16 : i64, queries = 48 : i64, target = "x86-64-v3"}
#rows = {key_layout = "rows", keys = 128 : i64, panel = 16 : i64, queries = 8 : i64, target = "x86-64-v3"}

// The leaves are asked for by name; two a score: one for full tiles, one that tests each point.
// CHECK: module attributes {attn.leaves = [
// CHECK-DAG: func.func private @fovea_leaf_

// Blocks of 48 rows in parallel; in each, the blocks of 128 keys that one of the rows visits.
// CHECK-LABEL: func.func @causal
// CHECK-NOT: attn.attend
// CHECK: memref.alloc({{.*}}) : memref<{{[?1]}}x?x?x8xf32>
// Keys are transposed in squares of 8 x 8, so far as there are any.
// CHECK: scf.parallel
// CHECK-COUNT-8: vector.load
// CHECK-COUNT-24: vector.shuffle
// CHECK-COUNT-8: vector.store
// CHECK: scf.parallel (%[[BLOCK:[a-z0-9]+]]) =
// CHECK: memref.alloc({{.*}}) : memref<{{[?1]}}x48xf32>
// CHECK: %[[SEEN:[a-z0-9]+]]:4 = scf.for
// CHECK: %[[HIGH:[a-z0-9]+]] = arith.minsi %dim{{.*}}, %{{.*}}
// CHECK-NEXT: %[[VISITED:[a-z0-9]+]] = arith.maxsi %[[HIGH]], %c0
// CHECK: %[[SOME:[a-z0-9]+]] = arith.select %{{.*}}, %[[VISITED]], %c0
// CHECK: arith.maxsi %{{.*}}, %[[SOME]]
// CHECK: scf.for %{{.*}} = %{{.*}} to %[[SEEN]]#1 step %c128
// CHECK: scf.if
// CHECK: call @[[FULL:fovea_leaf_[0-9a-f]+]](
// CHECK: else
// CHECK-NOT: call @[[FULL]](
// CHECK: call @fovea_leaf_
// An empty row gives 0.
// CHECK: arith.cmpf oeq
// CHECK: arith.select
func.func @causal(%q: memref<?x?xf32>, %k: memref<?x?xf32>, %v: memref<?x?xf32>, %o: memref<?x?xf32>) {
  attn.attend ins(%q, %k, %v : memref<?x?xf32>, memref<?x?xf32>, memref<?x?xf32>) outs(%o : memref<?x?xf32>)
      attributes {indexing_maps = [#q, #k, #v, #o], roles = ["row", "key", "contracted", "value"], schedule = #schedule} {
  ^bb0(%dot: f32):
    %i = attn.index 0
    %j = attn.index 1
    %i32 = arith.index_cast %i : index to i32
    %j32 = arith.index_cast %j : index to i32
    %keep = arith.cmpi sle, %j32, %i32 : i32
    attn.yield %dot, %keep : f32
  }
  return
}

// Keys in rows are not packed.
// CHECK-LABEL: func.func @keys_in_rows
// CHECK-NOT: memref<{{[?1]}}x?x?x8xf32>
// CHECK: call @fovea_leaf_
func.func @keys_in_rows(%q: memref<?x?xf32>, %k: memref<?x?xf32>, %v: memref<?x?xf32>, %o: memref<?x?xf32>) {
  attn.attend ins(%q, %k, %v : memref<?x?xf32>, memref<?x?xf32>, memref<?x?xf32>) outs(%o : memref<?x?xf32>)
      attributes {indexing_maps = [#q, #k, #v, #o], roles = ["row", "key", "contracted", "value"], schedule = #rows} {
  ^bb0(%dot: f32):
    %true = arith.constant true
    attn.yield %dot, %true : f32
  }
  return
}

// A mask that bounds nothing leaves one leaf, which tests each point.
// CHECK-LABEL: func.func @tested
// CHECK: call @fovea_leaf_
// CHECK-NOT: call @fovea_leaf_
// CHECK: return
func.func @tested(%q: memref<?x?xf32>, %k: memref<?x?xf32>, %v: memref<?x?xf32>, %m: memref<?xi32>, %o: memref<?x?xf32>) {
  attn.attend ins(%q, %k, %v, %m : memref<?x?xf32>, memref<?x?xf32>, memref<?x?xf32>, memref<?xi32>) outs(%o : memref<?x?xf32>)
      attributes {indexing_maps = [#q, #k, #v, affine_map<(i, j, d, e) -> (j)>, #o], roles = ["row", "key", "contracted", "value"], schedule = #schedule} {
  ^bb0(%dot: f32, %kind: i32):
    %one = arith.constant 1 : i32
    %keep = arith.cmpi eq, %kind, %one : i32
    attn.yield %dot, %keep : f32
  }
  return
}

// Two schedules: the number of rows chooses.
// CHECK-LABEL: func.func @few_or_many
// CHECK: %[[ROWS:.*]] = memref.dim %arg0, %c0
// CHECK: %[[FEW:.*]] = arith.cmpi sle, %[[ROWS]], %c8
// CHECK: scf.if %[[FEW]] {
// CHECK-NOT: memref<{{[?1]}}x?x?x8xf32>
// CHECK: } else {
// CHECK: memref<{{[?1]}}x?x?x8xf32>
func.func @few_or_many(%q: memref<?x?xf32>, %k: memref<?x?xf32>, %v: memref<?x?xf32>, %o: memref<?x?xf32>) {
  attn.attend ins(%q, %k, %v : memref<?x?xf32>, memref<?x?xf32>, memref<?x?xf32>) outs(%o : memref<?x?xf32>)
      attributes {indexing_maps = [#q, #k, #v, #o], roles = ["row", "key", "contracted", "value"],
                  schedule = {few = {key_layout = "rows", keys = 128 : i64, panel = 16 : i64, queries = 8 : i64, rows = 8 : i64, target = "x86-64-v3"},
                              key_layout = "packed", keys = 128 : i64, panel = 16 : i64, queries = 48 : i64, target = "x86-64-v3"}} {
  ^bb0(%dot: f32):
    %true = arith.constant true
    attn.yield %dot, %true : f32
  }
  return
}

// Three heads share their keys and values: a tile's rows are those heads, and its queries follow each other within a block of keys.
#heads = {key_layout = "packed", keys = 128 : i64, panel = 16 : i64, queries = 48 : i64, target = "x86-64-v3",
          grouped = {key_layout = "rows", keys = 128 : i64, panel = 16 : i64, queries = 3 : i64, rows = 8 : i64, target = "x86-64-v3"}}
// CHECK-LABEL: func.func @grouped
// CHECK: %[[QUERIES:.*]] = memref.dim %arg0, %c1
// CHECK: %[[FEW:.*]] = arith.cmpi sle, %[[QUERIES]], %c8
// CHECK: scf.if %[[FEW]]
// Of thousands of keys, parts are visited side by side, each with a state of its own; then these are put together.
// CHECK: arith.ceildivsi %{{.*}}, %c3
// CHECK: %[[WANTED:.*]] = arith.ceildivui %c32
// CHECK: %[[MOST:.*]] = arith.divui %{{.*}}, %c1024
// CHECK: arith.minui %[[WANTED]], %[[MOST]]
// CHECK: %[[STATES:.*]] = memref.alloc(%{{.*}}) : memref<?x?x?x3xf32>
// CHECK: scf.parallel
// CHECK: memref.subview %[[STATES]]
// CHECK: scf.for
// CHECK: scf.for
// CHECK: scf.if
// CHECK: call @fovea_leaf_
// CHECK: } else {
// CHECK: call @fovea_leaf_
// CHECK: scf.parallel
// CHECK: %[[FIRST:.*]] = memref.subview %[[STATES]]
// CHECK: %[[OTHER:.*]] = memref.subview %[[STATES]]
// CHECK: memref.load %[[FIRST]]
// CHECK: memref.load %[[OTHER]]
// CHECK: math.exp2
func.func @grouped(%q: memref<?x?x?xf32>, %k: memref<?x?x?xf32>, %v: memref<?x?x?xf32>, %o: memref<?x?x?xf32>) {
  attn.attend ins(%q, %k, %v : memref<?x?x?xf32>, memref<?x?x?xf32>, memref<?x?x?xf32>) outs(%o : memref<?x?x?xf32>)
      attributes {indexing_maps = [affine_map<(h, i, j, d, e) -> (h, i, d)>, affine_map<(h, i, j, d, e) -> (h floordiv 3, j, d)>,
                                   affine_map<(h, i, j, d, e) -> (h floordiv 3, j, e)>, affine_map<(h, i, j, d, e) -> (h, i, e)>],
                  roles = ["batch", "row", "key", "contracted", "value"], schedule = #heads} {
  ^bb0(%dot: f32):
    %h = attn.index 0
    %j = attn.index 2
    %h32 = arith.index_cast %h : index to i32
    %j32 = arith.index_cast %j : index to i32
    %keep = arith.cmpi sge, %j32, %h32 : i32
    attn.yield %dot, %keep : f32
  }
  return
}

// From three queries on, the keys of a tile are packed where it is visited, in panels of eight.
#several = {key_layout = "packed", keys = 128 : i64, panel = 16 : i64, queries = 48 : i64, target = "x86-64-v3",
            grouped = {key_layout = "rows", keys = 128 : i64, panel = 16 : i64, queries = 3 : i64, rows = 8 : i64, unpacked = 2 : i64, target = "x86-64-v3"}}
// CHECK-LABEL: func.func @grouped_and_packed
// CHECK: %[[FEW:.*]] = arith.cmpi sle, %{{.*}}, %c8
// CHECK: scf.if %[[FEW]]
// CHECK: %[[UNPACKED:.*]] = arith.cmpi sle, %{{.*}}, %c2
// CHECK: scf.if %[[UNPACKED]]
// CHECK-NOT: x8xf32>
// CHECK: memref.alloc({{.*}}) : memref<1x16x?x8xf32>
// CHECK: scf.for
// CHECK: memref.prefetch %arg1
// CHECK: memref.prefetch %arg2
// CHECK: vector.shuffle
func.func @grouped_and_packed(%q: memref<?x?x?xf32>, %k: memref<?x?x?xf32>, %v: memref<?x?x?xf32>, %o: memref<?x?x?xf32>) {
  attn.attend ins(%q, %k, %v : memref<?x?x?xf32>, memref<?x?x?xf32>, memref<?x?x?xf32>) outs(%o : memref<?x?x?xf32>)
      attributes {indexing_maps = [affine_map<(h, i, j, d, e) -> (h, i, d)>, affine_map<(h, i, j, d, e) -> (h floordiv 3, j, d)>,
                                   affine_map<(h, i, j, d, e) -> (h floordiv 3, j, e)>, affine_map<(h, i, j, d, e) -> (h, i, e)>],
                  roles = ["batch", "row", "key", "contracted", "value"], schedule = #several} {
  ^bb0(%dot: f32):
    %h = attn.index 0
    %j = attn.index 2
    %h32 = arith.index_cast %h : index to i32
    %j32 = arith.index_cast %j : index to i32
    %keep = arith.cmpi sge, %j32, %h32 : i32
    attn.yield %dot, %keep : f32
  }
  return
}

// From five queries of whole groups on, all of them are lanes: nothing is packed but the queries, and a head and a query are a lane's remainder and quotient.
#lanes = {key_layout = "packed", keys = 128 : i64, panel = 16 : i64, queries = 48 : i64, target = "x86-64-v3",
          grouped = {broadcast = 5 : i64, key_layout = "rows", keys = 128 : i64, panel = 16 : i64, queries = 3 : i64, rows = 8 : i64, target = "x86-64-v3"}}
// CHECK-LABEL: func.func @grouped_lanes
// CHECK: %[[FEW:.*]] = arith.cmpi sle, %{{.*}}, %c8
// CHECK: scf.if %[[FEW]]
// CHECK: %[[REST:.*]] = arith.remui %{{.*}}, %c3
// CHECK: %[[WHOLE:.*]] = arith.cmpi eq, %[[REST]], %c0
// CHECK: %[[MANY:.*]] = arith.cmpi sge, %{{.*}}, %c5
// CHECK: %[[LANES:.*]] = arith.andi %[[WHOLE]], %[[MANY]]
// CHECK: scf.if %[[LANES]]
// CHECK: memref.alloc({{.*}}) : memref<?x?x8xf32>
// CHECK: arith.remui
// CHECK: vector.shuffle
// CHECK: call @fovea_leaf
func.func @grouped_lanes(%q: memref<?x?x?xf32>, %k: memref<?x?x?xf32>, %v: memref<?x?x?xf32>, %o: memref<?x?x?xf32>) {
  attn.attend ins(%q, %k, %v : memref<?x?x?xf32>, memref<?x?x?xf32>, memref<?x?x?xf32>) outs(%o : memref<?x?x?xf32>)
      attributes {indexing_maps = [affine_map<(h, i, j, d, e) -> (h, i, d)>, affine_map<(h, i, j, d, e) -> (h floordiv 3, j, d)>,
                                   affine_map<(h, i, j, d, e) -> (h floordiv 3, j, e)>, affine_map<(h, i, j, d, e) -> (h, i, e)>],
                  roles = ["batch", "row", "key", "contracted", "value"], schedule = #lanes} {
  ^bb0(%dot: f32):
    %h = attn.index 0
    %i = attn.index 1
    %j = attn.index 2
    %h32 = arith.index_cast %h : index to i32
    %i32 = arith.index_cast %i : index to i32
    %j32 = arith.index_cast %j : index to i32
    %least = arith.addi %h32, %i32 : i32
    %keep = arith.cmpi sge, %j32, %least : i32
    attn.yield %dot, %keep : f32
  }
  return
}
