// RUN: fovea-opt %s --attn-launch --split-input-file | sed 's/\\22/"/g' | FileCheck %s

// Every point is one of the launch; a constant is a step; the last axis is dense. Words: points, two extents, offset, stride and memory of each
// buffer, and once more the memory that is written.
// CHECK: "reduced":[false,false],"scalars":[],"buffers":[{"type":"f32","rank":2,"dense":true},{"type":"f32","rank":2,"dense":true}]
// CHECK-SAME: {{\[\[}}"loop",[]],["loop",[],1],["load",[0,1]],["f32",[],2.0],["mulf",[2,3]]],"axes":[0,1],"outputs":{{\[\[}}1,4]],"name":"[[NEST:fovea_nest_[0-9a-f]+]]"
// CHECK-LABEL: func.func @twice
// CHECK: %[[WORDS:.*]] = memref.alloca() : memref<20xi64>
// CHECK: call @fovea_mul
// CHECK-NOT: memref.load
// CHECK: %[[F:.*]] = constant @[[NEST]]_argv : (!llvm.ptr) -> i32
// CHECK: %[[AT:.*]] = memref.extract_aligned_pointer_as_index %[[WORDS]]
// CHECK: %[[COUNT:.*]] = arith.constant 20 : i64
// CHECK: call @fovea_rt_launch(%[[F]], %[[AT]], %[[COUNT]])
// CHECK-NOT: linalg
module attributes {attn.target = "opencl"} {
  func.func @twice(%x: memref<?x4xf32, strided<[?, 1], offset: ?>>, %o: memref<?x4xf32, strided<[?, 1], offset: ?>>) {
    %two = arith.constant 2.0 : f32
    linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]}
        ins(%x : memref<?x4xf32, strided<[?, 1], offset: ?>>) outs(%o : memref<?x4xf32, strided<[?, 1], offset: ?>>) {
    ^bb0(%a: f32, %was: f32):
      %y = arith.mulf %a, %two : f32
      linalg.yield %y : f32
    }
    return
  }
}

// -----

// A reduction with two outputs, of which one lies with a stride: it is computed beside, and copied before, since it is read, and after.
// CHECK: "reduced":[false,true]
// CHECK-SAME: ["before",[]],["before",[],1],["loop",[],1],["cmpf_ogt",[2,3]],["select",[6,2,3]],["select",[6,5,4]]],"axes":[0],"outputs":{{\[\[}}1,7],[2,8]],"name":"[[BEST:fovea_nest_[0-9a-f]+]]"
// CHECK-SAME: {"type":"i32","rank":1,"dense":false},{"type":"i32","rank":1,"dense":true}],"steps":{{\[\[}}"loop",[]],["load",[0]]],"axes":[0],"outputs":{{\[\[}}1,1]],"name":"[[IN:fovea_nest_[0-9a-f]+]]"
// CHECK-SAME: {"type":"i32","rank":1,"dense":true},{"type":"i32","rank":1,"dense":false}],"steps":{{\[\[}}"loop",[]],["load",[0]]],"axes":[0],"outputs":{{\[\[}}1,1]],"name":"[[OUT:fovea_nest_[0-9a-f]+]]"
// CHECK-LABEL: func.func @best
// CHECK: %[[BESIDE:.*]] = memref.alloc(%{{.*}}) : memref<?xi32>
// CHECK: constant @[[IN]]_argv
// CHECK: call @fovea_rt_launch
// CHECK: constant @[[BEST]]_argv
// CHECK: call @fovea_rt_launch
// CHECK: constant @[[OUT]]_argv
// CHECK: call @fovea_rt_launch
// CHECK: memref.dealloc %[[BESIDE]]
module attributes {attn.target = "opencl"} {
  func.func @best(%x: memref<?x?xf32>, %m: memref<?xf32>, %a: memref<?xi32, strided<[?], offset: ?>>) {
    linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]}
        ins(%x : memref<?x?xf32>) outs(%m, %a : memref<?xf32>, memref<?xi32, strided<[?], offset: ?>>) {
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

// -----

// A bound of the host's loop is read from the device. What is the same at every point is computed by the host and is a scalar argument.
// CHECK: "scalars":["f32"]
// CHECK-SAME: {{\[\[}}"before",[]],["scalar",[]],["addf",[0,1]]]
// CHECK-LABEL: func.func @rounds
// CHECK-DAG: %[[MEMORY:.*]] = memref.extract_aligned_pointer_as_index
// CHECK-DAG: %[[FOUR:.*]] = arith.constant 4 : index
// CHECK: %[[READ:.*]] = call @fovea_rt_device_read(%[[MEMORY]], %{{.*}}, %[[FOUR]]) : (index, index, index) -> i64
// CHECK: %[[N:.*]] = arith.trunci %[[READ]] : i64 to i32
// CHECK: %[[BOUND:.*]] = arith.index_cast %[[N]] : i32 to index
// CHECK: scf.for %{{.*}} to %[[BOUND]]
// CHECK: %[[TWICE:.*]] = arith.addf
// CHECK: arith.bitcast %[[TWICE]] : f32 to i32
// CHECK: func.call @fovea_rt_launch
module attributes {attn.target = "opencl"} {
  func.func @rounds(%n: memref<i32>, %x: f32, %o: memref<?xf32>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %count = memref.load %n[] : memref<i32>
    %bound = arith.index_cast %count : i32 to index
    scf.for %k = %c0 to %bound step %c1 {
      linalg.generic {indexing_maps = [affine_map<(i) -> (i)>], iterator_types = ["parallel"]} outs(%o : memref<?xf32>) {
      ^bb0(%was: f32):
        %twice = arith.addf %x, %x : f32
        %next = arith.addf %was, %twice : f32
        linalg.yield %next : f32
      }
    }
    return
  }
}
