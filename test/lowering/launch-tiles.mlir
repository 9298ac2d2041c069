// RUN: fovea-opt %s --attn-launch --split-input-file | sed 's/\\22/"/g' | FileCheck %s

// A product with weights: the two axes of its rows are one side of a tile. How many rows there are is known when it runs: two nests, one of them is launched.
// CHECK: "tiles":{"down":[0,1],"across":[2],"rows":64,"columns":64,"depth":16,"threads_across":16,"threads_down":16,"unroll":true},"name":"[[MANY:fovea_nest_[0-9a-f]+]]"
// CHECK-SAME: "tiles":{"down":[0,1],"across":[2],"rows":8,"columns":32,"depth":32,"threads_across":32,"threads_down":8,"unroll":true},"name":"[[FEW:fovea_nest_[0-9a-f]+]]"
// CHECK-LABEL: func.func @weights
// CHECK-DAG: %[[M:.*]] = constant @[[MANY]]_argv
// CHECK-DAG: %[[LIMIT:.*]] = arith.constant 16 : index
// CHECK-DAG: %[[SMALL:.*]] = arith.cmpi ule, %{{.*}}, %[[LIMIT]]
// CHECK-DAG: %[[F:.*]] = constant @[[FEW]]_argv
// CHECK: %[[NEST:.*]] = arith.select %[[SMALL]], %[[F]], %[[M]]
// CHECK: call @fovea_rt_launch(%[[NEST]],
module attributes {attn.target = "cuda"} {
  func.func @weights(%x: memref<?x?x?xf32>, %w: memref<?x?xf32>, %o: memref<?x?x?xf32>) {
    linalg.generic {indexing_maps = [affine_map<(b, i, e, d) -> (b, i, d)>, affine_map<(b, i, e, d) -> (d, e)>, affine_map<(b, i, e, d) -> (b, i, e)>],
                    iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%x, %w : memref<?x?x?xf32>, memref<?x?xf32>) outs(%o : memref<?x?x?xf32>) {
    ^bb0(%a: f32, %c: f32, %was: f32):
      %p = arith.mulf %a, %c : f32
      %s = arith.addf %was, %p : f32
      linalg.yield %s : f32
    }
    return
  }
}

// -----

// Few rows that are known, and few columns: one nest. For OpenCL, whose compilers unroll by themselves.
// CHECK: "tiles":{"down":[0],"across":[1],"rows":8,"columns":8,"depth":32,"threads_across":8,"threads_down":8,"unroll":false},"name":"[[NEST:fovea_nest_[0-9a-f]+]]"
// CHECK-NOT: "tiles"
// CHECK-LABEL: func.func @few
// CHECK: %[[F:.*]] = constant @[[NEST]]_argv
// CHECK-NOT: arith.select
// CHECK: call @fovea_rt_launch(%[[F]],
module attributes {attn.target = "opencl"} {
  func.func @few(%x: memref<9x?xf32>, %w: memref<?x5xf32>, %o: memref<9x5xf32>) {
    linalg.generic {indexing_maps = [affine_map<(i, e, d) -> (i, d)>, affine_map<(i, e, d) -> (d, e)>, affine_map<(i, e, d) -> (i, e)>],
                    iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : memref<9x?xf32>, memref<?x5xf32>) outs(%o : memref<9x5xf32>) {
    ^bb0(%a: f32, %c: f32, %was: f32):
      %p = arith.mulf %a, %c : f32
      %s = arith.addf %was, %p : f32
      linalg.yield %s : f32
    }
    return
  }
}

// -----

// Additive scores: both sides go through tanh, with the batch outside; a thread has 2 x 2 points. A tanh takes long: what is unrolled gains nothing.
// CHECK: "tiles":{"down":[1],"across":[2],"rows":32,"columns":32,"depth":16,"threads_across":16,"threads_down":16,"unroll":false}
// CHECK-LABEL: func.func @additive
module attributes {attn.target = "cuda"} {
  func.func @additive(%x: memref<?x?x?xf32>, %y: memref<?x?x?xf32>, %v: memref<?xf32>, %o: memref<?x?x?xf32>) {
    linalg.generic {indexing_maps = [affine_map<(h, i, j, a) -> (h, i, a)>, affine_map<(h, i, j, a) -> (h, j, a)>, affine_map<(h, i, j, a) -> (a)>, affine_map<(h, i, j, a) -> (h, i, j)>],
                    iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%x, %y, %v : memref<?x?x?xf32>, memref<?x?x?xf32>, memref<?xf32>) outs(%o : memref<?x?x?xf32>) {
    ^bb0(%a: f32, %c: f32, %w: f32, %was: f32):
      %t = arith.addf %a, %c : f32
      %u = math.tanh %t : f32
      %p = arith.mulf %w, %u : f32
      %s = arith.addf %was, %p : f32
      linalg.yield %s : f32
    }
    return
  }
}

// -----

// One operand has all parallel axes: nothing is used twice along one side. One row that is known is none.
// CHECK-NOT: "tiles"
// CHECK-LABEL: func.func @none
module attributes {attn.target = "cuda"} {
  func.func @none(%x: memref<?x?x?xf32>, %q: memref<?x?xf32>, %one: memref<1x?xf32>, %k: memref<?x?xf32>, %o: memref<?x?xf32>, %p: memref<1x?xf32>) {
    linalg.generic {indexing_maps = [affine_map<(i, j, d) -> (i, j, d)>, affine_map<(i, j, d) -> (i, d)>, affine_map<(i, j, d) -> (i, j)>],
                    iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %q : memref<?x?x?xf32>, memref<?x?xf32>) outs(%o : memref<?x?xf32>) {
    ^bb0(%a: f32, %c: f32, %was: f32):
      %m = arith.mulf %a, %c : f32
      %s = arith.addf %was, %m : f32
      linalg.yield %s : f32
    }
    linalg.generic {indexing_maps = [affine_map<(i, j, d) -> (i, d)>, affine_map<(i, j, d) -> (j, d)>, affine_map<(i, j, d) -> (i, j)>],
                    iterator_types = ["parallel", "parallel", "reduction"]} ins(%one, %k : memref<1x?xf32>, memref<?x?xf32>) outs(%p : memref<1x?xf32>) {
    ^bb0(%a: f32, %c: f32, %was: f32):
      %m = arith.mulf %a, %c : f32
      %s = arith.addf %was, %m : f32
      linalg.yield %s : f32
    }
    return
  }
}
