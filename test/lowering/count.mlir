// RUN: fovea-opt %s --attn-loops | FileCheck %s
// For target host-count, a marked reduction under a mask adds its rows and the points between its bounds to its counter.

module attributes {attn.counting} {
  // CHECK: attn.counters = [{column = 5 : i64, file = "t.attn", line = 3 : i64, masks = array<i64: 3>, node = 7 : i64, over = array<i64: 1>, text = "sum[j]"}]
  // CHECK-SAME: attn.fates = {{\[\[}}"t.attn", array<i64: 2, 8, 1, 0, 1, 0, 1, 0>]]
  // CHECK: func.func private @fovea_count(i32, i32, index)
  // CHECK-LABEL: func @causal
  // CHECK: %[[ROWS:.*]] = arith.constant 1 : i32
  // CHECK: call @fovea_count(%{{.*}}, %[[ROWS]], %c1{{.*}})
  // CHECK: %[[HIGH:.*]] = arith.maxsi
  // CHECK: %[[SIZE:.*]] = arith.subi %[[HIGH]], %[[LOW:.*]] : index
  // CHECK: %[[POINTS:.*]] = arith.muli %c1{{.*}}, %[[SIZE]]
  // CHECK: call @fovea_count(%{{.*}}, %{{.*}}, %[[POINTS]])
  // CHECK: scf.for %{{.*}} = %[[LOW]] to %[[HIGH]] step
  func.func @causal(%x: memref<4x64xf32>, %out: memref<4xf32>) {
    linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]}
        ins(%x : memref<4x64xf32>) outs(%out : memref<4xf32>) attrs = {attn.reduction = {masked = false, masks = array<i64: 3>, node = 7 : i64, over = array<i64: 1>, text = "sum[j]"}} {
    ^bb0(%a: f32, %acc: f32):
      %i = linalg.index 0 : index
      %j = linalg.index 1 : index
      %i32 = arith.index_cast %i : index to i32
      %j32 = arith.index_cast %j : index to i32
      %keep = arith.cmpi sle, %j32, %i32 : i32 loc("t.attn":2:8)
      %support = attn.support %keep
      %s = arith.addf %acc, %a : f32
      %n = arith.select %support, %s, %acc : f32
      linalg.yield %n : f32
    } loc("t.attn":3:5)
    return
  }

  // One without a mask is not counted.
  // CHECK-LABEL: func @whole
  // CHECK-NOT: fovea_count
  func.func @whole(%x: memref<4x64xf32>, %out: memref<4xf32>) {
    linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]}
        ins(%x : memref<4x64xf32>) outs(%out : memref<4xf32>) attrs = {attn.reduction = {masked = false, masks = array<i64>, node = 8 : i64, over = array<i64: 1>, text = "sum[j]"}} {
    ^bb0(%a: f32, %acc: f32):
      %s = arith.addf %acc, %a : f32
      linalg.yield %s : f32
    }
    return
  }
}
