// RUN: fovea-opt %s --attn-tile-contract --split-input-file | FileCheck %s

#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (k, n)>
#t = affine_map<(m, n, k) -> (n, k)>
#c = affine_map<(m, n, k) -> (m, n)>

module attributes {attn.target = "x86-64-v3"} {
  // Weights of known shape are packed in panels, zero beyond the last column; whole tiles and edges have a leaf each.
  // CHECK: attn.leaves = [
  // CHECK-LABEL: func.func @product
  // CHECK: memref.alloc() : memref<[[PANELS:[0-9]+]]x32x[[COLUMNS:[0-9]+]]xf32>
  // CHECK: scf.parallel
  // CHECK: call @[[FULL:fovea_leaf_[0-9a-f]+]](
  // CHECK: else
  // CHECK-NOT: call @[[FULL]](
  // CHECK: call @fovea_leaf_
  // CHECK-NOT: linalg.generic
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

// A parameter that only products read as [K, N] lies in panels already; the module says which. A fill with 0 before is not needed.
#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (k, n)>
#t = affine_map<(m, n, k) -> (n, k)>
#c = affine_map<(m, n, k) -> (m, n)>
// CHECK: attn.panels = {up = array<i64: 1, 16>}
module attributes {attn.target = "x86-64-v3"} {
  // CHECK-LABEL: func.func @laid
  // CHECK-SAME: %arg1: memref<32x40xf32>,
  // CHECK-NOT: memref.alloc
  // CHECK-NOT: linalg.fill
  // CHECK: call @fovea_leaf_
  // CHECK: return
  func.func @laid(%a: memref<?x32xf32>, %b: memref<32x40xf32> {attn.parameter = "up"}, %c: memref<?x40xf32>) {
    %zero = arith.constant 0.0 : f32
    linalg.fill ins(%zero : f32) outs(%c : memref<?x40xf32>)
    linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%a, %b : memref<?x32xf32>, memref<32x40xf32>) outs(%c : memref<?x40xf32>) {
    ^bb0(%x: f32, %y: f32, %acc: f32):
      %p = arith.mulf %x, %y : f32
      %s = arith.addf %acc, %p : f32
      linalg.yield %s : f32
    }
    return
  }
  // Another stage reads this one as a table: it stays as it is in both.
  // CHECK-LABEL: func.func @shared
  // CHECK: memref.alloc
  // CHECK: call @fovea_leaf_
  // CHECK: memref.load %arg1[%{{.*}}, %{{.*}}]
  func.func @shared(%a: memref<?x32xf32>, %b: memref<32x40xf32> {attn.parameter = "table"}, %c: memref<?x40xf32>, %i: index) -> f32 {
    linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%a, %b : memref<?x32xf32>, memref<32x40xf32>) outs(%c : memref<?x40xf32>) {
    ^bb0(%x: f32, %y: f32, %acc: f32):
      %p = arith.mulf %x, %y : f32
      %s = arith.addf %acc, %p : f32
      linalg.yield %s : f32
    }
    %v = memref.load %b[%i, %i] : memref<32x40xf32>
    return %v : f32
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
