// RUN: fovea-opt %s --attn-tile-contract --split-input-file | FileCheck %s

#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (k, n)>
#c = affine_map<(m, n, k) -> (m, n)>
#d = affine_map<(d) -> (d)>

// An embedding that is the output projection too: its rows are read from the product's panels, 3 of 16 columns here, and it is no argument any more.
// CHECK: attn.panels = {"e@product" = array<i64: 1, 16>}, attn.stages = {step = {added = [], dropped = ["e"]}}
// CHECK-LABEL: func.func @step(
// CHECK-SAME: %[[P:.*]]: memref<32x40xf32>, %{{.*}}: memref<?x32xf32>, %{{.*}}: memref<?x40xf32>, %[[ROW:.*]]: index, %{{.*}}: memref<32xf32>)
// CHECK: %[[FLAT:.*]] = memref.reinterpret_cast %[[P]] to offset: [0], sizes: [1536], strides: [1]
// CHECK: %[[K:.*]] = linalg.index 0
// CHECK: %[[PANEL:.*]] = arith.divui %[[ROW]], %[[COLUMNS:.*]] : index
// CHECK: %[[COLUMN:.*]] = arith.remui %[[ROW]]
// CHECK: %[[BEFORE:.*]] = arith.muli %[[PANEL]], %c32
// CHECK: %[[LINE:.*]] = arith.addi %[[BEFORE]], %[[K]]
// CHECK: %[[FIRST:.*]] = arith.muli %[[LINE]], %c16
// CHECK: %[[AT:.*]] = arith.addi %[[FIRST]], %[[COLUMN]]
// CHECK: memref.load %[[FLAT]][%[[AT]]]
module attributes {attn.target = "x86-64-v3"} {
  func.func @step(%e: memref<40x32xf32> {attn.parameter = "e"}, %p: memref<32x40xf32> {attn.copy = {axes = array<i64: 1, 0>, of = "e"}, attn.parameter = "e@product"}, %a: memref<?x32xf32>, %c: memref<?x40xf32>, %row: index, %out: memref<32xf32>) {
    linalg.generic {indexing_maps = [#d], iterator_types = ["parallel"]} outs(%out : memref<32xf32>) {
    ^bb0(%o: f32):
      %k = linalg.index 0 : index
      %x = memref.load %e[%row, %k] : memref<40x32xf32>
      linalg.yield %x : f32
    }
    linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%a, %p : memref<?x32xf32>, memref<32x40xf32>) outs(%c : memref<?x40xf32>) {
    ^bb0(%x: f32, %y: f32, %acc: f32):
      %p0 = arith.mulf %x, %y : f32
      %s = arith.addf %acc, %p0 : f32
      linalg.yield %s : f32
    }
    return
  }
}

// -----

#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (k, n)>
#c = affine_map<(m, n, k) -> (m, n)>
#d = affine_map<(d) -> (d)>

// A copy of what is not there, or whose axes are others, is a parameter like any.
// CHECK-NOT: attn.stages
// CHECK-LABEL: func.func @step(
// CHECK-SAME: %[[E:.*]]: memref<40x32xf32>, %{{.*}}: memref<32x40xf32>
// CHECK: memref.load %[[E]]
module attributes {attn.target = "x86-64-v3"} {
  func.func @step(%e: memref<40x32xf32> {attn.parameter = "e"}, %p: memref<32x40xf32> {attn.copy = {axes = array<i64: 1, 0>, of = "f"}, attn.parameter = "e@product"}, %a: memref<?x32xf32>, %c: memref<?x40xf32>, %row: index, %out: memref<32xf32>) {
    linalg.generic {indexing_maps = [#d], iterator_types = ["parallel"]} outs(%out : memref<32xf32>) {
    ^bb0(%o: f32):
      %k = linalg.index 0 : index
      %x = memref.load %e[%row, %k] : memref<40x32xf32>
      linalg.yield %x : f32
    }
    linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%a, %p : memref<?x32xf32>, memref<32x40xf32>) outs(%c : memref<?x40xf32>) {
    ^bb0(%x: f32, %y: f32, %acc: f32):
      %p0 = arith.mulf %x, %y : f32
      %s = arith.addf %acc, %p0 : f32
      linalg.yield %s : f32
    }
    return
  }
}

// -----

#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (k, n)>
#c = affine_map<(m, n, k) -> (m, n)>
#d = affine_map<(d) -> (d)>

// CHECK-NOT: attn.stages
// CHECK-LABEL: func.func @step(
// CHECK-SAME: %[[E:.*]]: memref<40x32xf32>, %{{.*}}: memref<32x40xf32>
// CHECK: memref.load %[[E]]
module attributes {attn.target = "x86-64-v3"} {
  func.func @step(%e: memref<40x32xf32> {attn.parameter = "e"}, %p: memref<32x40xf32> {attn.copy = {axes = array<i64: 0, 1>, of = "e"}, attn.parameter = "e@product"}, %a: memref<?x32xf32>, %c: memref<?x40xf32>, %row: index, %out: memref<32xf32>) {
    linalg.generic {indexing_maps = [#d], iterator_types = ["parallel"]} outs(%out : memref<32xf32>) {
    ^bb0(%o: f32):
      %k = linalg.index 0 : index
      %x = memref.load %e[%row, %k] : memref<40x32xf32>
      linalg.yield %x : f32
    }
    linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%a, %p : memref<?x32xf32>, memref<32x40xf32>) outs(%c : memref<?x40xf32>) {
    ^bb0(%x: f32, %y: f32, %acc: f32):
      %p0 = arith.mulf %x, %y : f32
      %s = arith.addf %acc, %p0 : f32
      linalg.yield %s : f32
    }
    return
  }
}
