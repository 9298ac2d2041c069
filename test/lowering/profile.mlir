// RUN: fovea-opt %s --attn-profile | FileCheck %s
// RUN: fovea-opt %s --attn-profile --attn-tile-contract | FileCheck %s --check-prefix=TILED

#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (k, n)>
#c = affine_map<(m, n, k) -> (m, n)>
#same = affine_map<(m, n) -> (m, n)>

// CHECK: attn.operations = [{place = "profile.mlir:[[#@LINE+14]]", stage = "step", what = "product ? x 40 over 32"}, {place = "profile.mlir:[[#@LINE+23]]", stage = "step", what = "elementwise ? x 40"}]
// A weight gets no other reader, and the product still starts from 0 by itself.
// TILED: attn.panels = {w = array<i64: 1, 16>}
// TILED-LABEL: func.func @step
// TILED-NOT: linalg.fill
module attributes {attn.target = "x86-64-v3"} {
  // CHECK-LABEL: func.func @step
  // CHECK: %[[BEGAN:.*]] = call @fovea_rt_operation_begin() : () -> i64
  // CHECK-NEXT: linalg.fill
  // CHECK-NEXT: linalg.generic
  // CHECK-NOT: memref.dim %arg1
  func.func @step(%x: memref<?x32xf32>, %w: memref<32x40xf32> {attn.parameter = "w"}, %y: memref<?x40xf32>, %z: memref<?x40xf32>) attributes {attn.stage} {
    %zero = arith.constant 0.0 : f32
    linalg.fill ins(%zero : f32) outs(%y : memref<?x40xf32>)
    linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : memref<?x32xf32>, memref<32x40xf32>) outs(%y : memref<?x40xf32>) {
    ^bb0(%in: f32, %weight: f32, %sum: f32):
      %p = arith.mulf %in, %weight : f32
      %s = arith.addf %sum, %p : f32
      linalg.yield %s : f32
    }
    // CHECK: call @fovea_rt_operation_end(%{{.*}}, %[[BEGAN]], %{{.*}}, %{{.*}}) : (i64, i64, i64, i64) -> ()
    // CHECK: call @fovea_rt_operation_begin
    // CHECK: call @fovea_rt_operation_end
    linalg.generic {indexing_maps = [#same, #same], iterator_types = ["parallel", "parallel"]} ins(%y : memref<?x40xf32>) outs(%z : memref<?x40xf32>) {
    ^bb0(%in: f32, %out: f32):
      %e = math.exp %in : f32
      linalg.yield %e : f32
    }
    return
  }

  // Kernels are not measured.
  // CHECK-LABEL: func.func @kernel
  // CHECK-NOT: fovea_rt_operation
  // CHECK: return
  func.func @kernel(%y: memref<?x40xf32>, %z: memref<?x40xf32>) {
    linalg.generic {indexing_maps = [#same, #same], iterator_types = ["parallel", "parallel"]} ins(%y : memref<?x40xf32>) outs(%z : memref<?x40xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    }
    return
  }
}
