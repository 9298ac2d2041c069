// RUN: fovea-opt %s --attn-tile-contract --split-input-file | FileCheck %s

#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (k, n)>
#t = affine_map<(m, n, k) -> (n, k)>
#c = affine_map<(m, n, k) -> (m, n)>

module attributes {attn.target = "x86-64-v3"} {
  // Weights of known shape are packed in panels, zero beyond the last column; whole tiles and edges have a leaf each.
  // CHECK: attn.leaves = [
  // CHECK-LABEL: func.func @product
  // CHECK: scf.if
  // CHECK: memref.alloc() : memref<[[PANELS:[0-9]+]]x32x[[COLUMNS:[0-9]+]]xf32>
  // CHECK: scf.parallel
  // CHECK: call @[[FULL:fovea_leaf_[0-9a-f]+]](
  // CHECK: else
  // CHECK-NOT: call @[[FULL]](
  // CHECK: call @fovea_leaf_
  // CHECK: else
  // CHECK: linalg.generic
  func.func @product(%a: memref<?x32xf32>, %b: memref<32x40xf32>, %c: memref<?x40xf32>) {
    linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%a, %b : memref<?x32xf32>, memref<32x40xf32>) outs(%c : memref<?x40xf32>) {
    ^bb0(%x: f32, %y: f32, %acc: f32):
      %p = arith.mulf %x, %y : f32
      %s = arith.addf %acc, %p : f32
      linalg.yield %s : f32
    }
    return
  }

  // Weights that lie as [N, K] too.
  // CHECK-LABEL: func.func @transposed
  // CHECK: memref.load %arg1[%{{.*}}, %[[K:.*]]]
  // CHECK: call @fovea_leaf_
  func.func @transposed(%a: memref<?x32xf32>, %b: memref<40x32xf32>, %c: memref<?x40xf32>) {
    linalg.generic {indexing_maps = [#a, #t, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%a, %b : memref<?x32xf32>, memref<40x32xf32>) outs(%c : memref<?x40xf32>) {
    ^bb0(%x: f32, %y: f32, %acc: f32):
      %p = arith.mulf %x, %y : f32
      %s = arith.addf %acc, %p : f32
      linalg.yield %s : f32
    }
    return
  }
}

// -----

// What stays with attn-loops: unknown weights, small products, another combination, f16.
#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (k, n)>
#c = affine_map<(m, n, k) -> (m, n)>
// CHECK: module
// CHECK-NOT: fovea_leaf_
module attributes {attn.target = "x86-64-v3"} {
  func.func @unknown_weights(%a: memref<?x32xf32>, %b: memref<32x?xf32>, %c: memref<?x?xf32>) {
    linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%a, %b : memref<?x32xf32>, memref<32x?xf32>) outs(%c : memref<?x?xf32>) {
    ^bb0(%x: f32, %y: f32, %acc: f32):
      %p = arith.mulf %x, %y : f32
      %s = arith.addf %acc, %p : f32
      linalg.yield %s : f32
    }
    return
  }
  func.func @small(%a: memref<?x4xf32>, %b: memref<4x5xf32>, %c: memref<?x5xf32>) {
    linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%a, %b : memref<?x4xf32>, memref<4x5xf32>) outs(%c : memref<?x5xf32>) {
    ^bb0(%x: f32, %y: f32, %acc: f32):
      %p = arith.mulf %x, %y : f32
      %s = arith.addf %acc, %p : f32
      linalg.yield %s : f32
    }
    return
  }
  func.func @distance(%a: memref<?x32xf32>, %b: memref<32x40xf32>, %c: memref<?x40xf32>) {
    linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%a, %b : memref<?x32xf32>, memref<32x40xf32>) outs(%c : memref<?x40xf32>) {
    ^bb0(%x: f32, %y: f32, %acc: f32):
      %p = arith.subf %x, %y : f32
      %s = arith.addf %acc, %p : f32
      linalg.yield %s : f32
    }
    return
  }
  func.func @half(%a: memref<?x32xf16>, %b: memref<32x40xf16>, %c: memref<?x40xf32>) {
    linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%a, %b : memref<?x32xf16>, memref<32x40xf16>) outs(%c : memref<?x40xf32>) {
    ^bb0(%x: f16, %y: f16, %acc: f32):
      %wide = arith.extf %x : f16 to f32
      %wider = arith.extf %y : f16 to f32
      %p = arith.mulf %wide, %wider : f32
      %s = arith.addf %acc, %p : f32
      linalg.yield %s : f32
    }
    return
  }
}
