// RUN: fovea-opt %s --attn-fuse-points | FileCheck %s

#point = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (i)>
#turned = affine_map<(i, j) -> (j, i)>
#one = affine_map<(i) -> (i)>

// Into a reduction that reads every point once, where nobody else wants it. The place where results go stays.
// CHECK-LABEL: func.func @into_a_reduction
// CHECK: linalg.generic
// CHECK-SAME: iterator_types = ["parallel", "reduction"]
// CHECK-SAME: outs(%arg1
// CHECK: math.exp
// CHECK: arith.addf
// CHECK-NOT: linalg.generic
func.func @into_a_reduction(%x: tensor<?x?xf32>, %sums: tensor<?xf32>) -> tensor<?xf32> {
  %e = linalg.generic {indexing_maps = [#turned, #turned], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<?x?xf32>) outs(%x : tensor<?x?xf32>) {
  ^bb0(%in: f32, %out: f32):
    %r = math.exp %in : f32
    linalg.yield %r : f32
  } -> tensor<?x?xf32>
  %s = linalg.generic {indexing_maps = [#point, #row], iterator_types = ["parallel", "reduction"]} ins(%e : tensor<?x?xf32>) outs(%sums : tensor<?xf32>) {
  ^bb0(%in: f32, %out: f32):
    %r = arith.addf %out, %in : f32
    linalg.yield %r : f32
  } -> tensor<?xf32>
  return %s : tensor<?xf32>
}

// A value of each row costs too much to be computed at every point of it.
// CHECK-LABEL: func.func @costly_for_every_point
// CHECK: math.exp
// CHECK: linalg.yield
// CHECK: linalg.generic
// CHECK-NOT: math.exp
// CHECK: arith.mulf
func.func @costly_for_every_point(%x: tensor<?xf32>, %y: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %e = linalg.generic {indexing_maps = [#one, #one], iterator_types = ["parallel"]} ins(%x : tensor<?xf32>) outs(%x : tensor<?xf32>) {
  ^bb0(%in: f32, %out: f32):
    %r = math.exp %in : f32
    linalg.yield %r : f32
  } -> tensor<?xf32>
  %s = linalg.generic {indexing_maps = [#row, #point, #point], iterator_types = ["parallel", "parallel"]} ins(%e, %y : tensor<?xf32>, tensor<?x?xf32>) outs(%y : tensor<?x?xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %r = arith.mulf %a, %b : f32
    linalg.yield %r : f32
  } -> tensor<?x?xf32>
  return %s : tensor<?x?xf32>
}

// A division does not, even for two readers: each has its own, with one result.
// CHECK-LABEL: func.func @cheap_for_two
// CHECK: linalg.generic
// CHECK: arith.divf
// CHECK: arith.subf
// CHECK: -> tensor<?x?xf32>
// CHECK: linalg.generic
// CHECK: arith.divf
// CHECK: arith.mulf
// CHECK: -> tensor<?x?xf32>
// CHECK-NOT: linalg.generic
func.func @cheap_for_two(%x: tensor<?xf32>, %y: tensor<?x?xf32>, %z: tensor<?x?xf32>) -> (tensor<?x?xf32>, tensor<?x?xf32>) {
  %n = arith.constant 7.0 : f32
  %m = linalg.generic {indexing_maps = [#one, #one], iterator_types = ["parallel"]} ins(%x : tensor<?xf32>) outs(%x : tensor<?xf32>) {
  ^bb0(%in: f32, %out: f32):
    %r = arith.divf %in, %n : f32
    linalg.yield %r : f32
  } -> tensor<?xf32>
  %a = linalg.generic {indexing_maps = [#row, #point, #point], iterator_types = ["parallel", "parallel"]} ins(%m, %y : tensor<?xf32>, tensor<?x?xf32>) outs(%y : tensor<?x?xf32>) {
  ^bb0(%u: f32, %v: f32, %out: f32):
    %r = arith.subf %v, %u : f32
    linalg.yield %r : f32
  } -> tensor<?x?xf32>
  %b = linalg.generic {indexing_maps = [#row, #point, #point], iterator_types = ["parallel", "parallel"]} ins(%m, %z : tensor<?xf32>, tensor<?x?xf32>) outs(%z : tensor<?x?xf32>) {
  ^bb0(%u: f32, %v: f32, %out: f32):
    %r = arith.mulf %v, %u : f32
    linalg.yield %r : f32
  } -> tensor<?x?xf32>
  return %a, %b : tensor<?x?xf32>, tensor<?x?xf32>
}
