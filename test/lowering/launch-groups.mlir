// RUN: fovea-opt %s --attn-launch --split-input-file | sed 's/\\22/"/g' | FileCheck %s

// Rows whose length is known when it runs: 32 threads side by side fold one, or, up to 16 steps, one does.
// CHECK: "groups":{"threads":32,"points":8,"together":true},"name":"[[GROUPS:fovea_nest_[0-9a-f]+]]"
// CHECK-SAME: "outputs":{{\[\[}}1,4]],"name":"[[POINTS:fovea_nest_[0-9a-f]+]]"
// CHECK-LABEL: func.func @maxima
// CHECK-DAG: %[[G:.*]] = constant @[[GROUPS]]_argv
// CHECK-DAG: %[[LIMIT:.*]] = arith.constant 16 : index
// CHECK-DAG: %[[SMALL:.*]] = arith.cmpi ule, %{{.*}}, %[[LIMIT]]
// CHECK-DAG: %[[P:.*]] = constant @[[POINTS]]_argv
// CHECK: %[[NEST:.*]] = arith.select %[[SMALL]], %[[P]], %[[G]]
// CHECK: call @fovea_rt_launch(%[[NEST]],
module attributes {attn.target = "opencl"} {
  func.func @maxima(%x: memref<?x?xf32>, %o: memref<?xf32>) {
    linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]} ins(%x : memref<?x?xf32>) outs(%o : memref<?xf32>) {
    ^bb0(%a: f32, %was: f32):
      %m = arith.maximumf %was, %a : f32
      linalg.yield %m : f32
    }
    return
  }
}

// -----

// In a model's stage how a row is summed does not depend on how long it is: it may be padded. Columns go to neighbouring threads. A row of 16 is one thread's.
// CHECK: "groups":{"threads":32,"points":8,"together":true}
// CHECK-SAME: "groups":{"threads":8,"points":32,"together":false}
// CHECK-NOT: "groups"
// CHECK-LABEL: func.func @stage
// CHECK-NOT: arith.select
module attributes {attn.target = "opencl"} {
  func.func @stage(%x: memref<?x?xf32>, %short: memref<?x16xf32>, %o: memref<?xf32>, %p: memref<?xf32>) attributes {attn.exact_rows} {
    linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]} ins(%x : memref<?x?xf32>) outs(%o : memref<?xf32>) {
    ^bb0(%a: f32, %was: f32):
      %s = arith.addf %was, %a : f32
      linalg.yield %s : f32
    }
    linalg.generic {indexing_maps = [affine_map<(j, i) -> (i, j)>, affine_map<(j, i) -> (j)>], iterator_types = ["parallel", "reduction"]} ins(%x : memref<?x?xf32>) outs(%p : memref<?xf32>) {
    ^bb0(%a: f32, %was: f32):
      %s = arith.addf %was, %a : f32
      linalg.yield %s : f32
    }
    linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]} ins(%short : memref<?x16xf32>) outs(%o : memref<?xf32>) {
    ^bb0(%a: f32, %was: f32):
      %s = arith.addf %was, %a : f32
      linalg.yield %s : f32
    }
    return
  }
}

// -----

// A place and a value that are folded together: no order but one gives the same result.
// CHECK-NOT: "groups"
// CHECK-LABEL: func.func @best
module attributes {attn.target = "opencl"} {
  func.func @best(%x: memref<?x?xf32>, %m: memref<?xf32>, %a: memref<?xi32>) {
    linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]}
        ins(%x : memref<?x?xf32>) outs(%m, %a : memref<?xf32>, memref<?xi32>) {
    ^bb0(%e: f32, %most: f32, %where: i32):
      %j = linalg.index 1 : index
      %here = arith.index_cast %j : index to i32
      %more = arith.cmpf ogt, %e, %most : f32
      %value = arith.select %more, %e, %most : f32
      %place = arith.select %more, %here, %where : i32
      linalg.yield %value, %place : f32, i32
    }
    return
  }
}
