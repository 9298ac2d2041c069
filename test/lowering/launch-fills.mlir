// RUN: fovea-opt %s --linalg-generalize-named-ops --attn-launch | FileCheck %s

#point = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (i)>

module attributes {attn.target = "opencl"} {
// A temporary that is filled for one nest to fold into is not filled: the nest begins with the constant, its third number.
// CHECK: attn.leaves = ["{{.*}}[\22f32\22,[],\22-inf\22]{{.*}}\22outputs\22:{{\[\[}}{{[0-9]+,[0-9]+,[0-9]+}}]]
// CHECK-LABEL: func.func @maximum
// CHECK-COUNT-1: call @fovea_rt_launch
// CHECK-NOT: call @fovea_rt_launch
func.func @maximum(%x: memref<?x?xf32>, %n: index) -> memref<?xf32> {
  %lowest = arith.constant 0xFF800000 : f32
  %o = memref.alloc(%n) : memref<?xf32>
  linalg.fill ins(%lowest : f32) outs(%o : memref<?xf32>)
  linalg.generic {indexing_maps = [#point, #row], iterator_types = ["parallel", "reduction"]} ins(%x : memref<?x?xf32>) outs(%o : memref<?xf32>) {
  ^bb0(%in: f32, %out: f32):
    %r = arith.maximumf %out, %in : f32
    linalg.yield %r : f32
  }
  return %o : memref<?xf32>
}

// What a loop comes back to is filled, and so is a temporary that something reads first, and memory of the caller's.
// CHECK-LABEL: func.func @in_turns
// CHECK: call @fovea_rt_launch
// CHECK: scf.for
// CHECK: call @fovea_rt_launch
func.func @in_turns(%x: memref<?x?xf32>, %n: index) -> memref<?xf32> {
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %o = memref.alloc(%n) : memref<?xf32>
  linalg.fill ins(%zero : f32) outs(%o : memref<?xf32>)
  scf.for %t = %c0 to %n step %c1 {
    linalg.generic {indexing_maps = [#point, #row], iterator_types = ["parallel", "reduction"]} ins(%x : memref<?x?xf32>) outs(%o : memref<?xf32>) {
    ^bb0(%in: f32, %out: f32):
      %r = arith.addf %out, %in : f32
      linalg.yield %r : f32
    }
  }
  return %o : memref<?xf32>
}

// CHECK-LABEL: func.func @read_first
// CHECK-COUNT-3: call @fovea_rt_launch
func.func @read_first(%x: memref<?x?xf32>, %y: memref<?xf32>, %n: index) -> memref<?xf32> {
  %zero = arith.constant 0.0 : f32
  %o = memref.alloc(%n) : memref<?xf32>
  linalg.fill ins(%zero : f32) outs(%o : memref<?xf32>)
  linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]} ins(%o : memref<?xf32>) outs(%y : memref<?xf32>) {
  ^bb0(%in: f32, %out: f32):
    linalg.yield %in : f32
  }
  linalg.generic {indexing_maps = [#point, #row], iterator_types = ["parallel", "reduction"]} ins(%x : memref<?x?xf32>) outs(%o : memref<?xf32>) {
  ^bb0(%in: f32, %out: f32):
    %r = arith.addf %out, %in : f32
    linalg.yield %r : f32
  }
  return %o : memref<?xf32>
}

// CHECK-LABEL: func.func @of_the_caller
// CHECK-COUNT-2: call @fovea_rt_launch
func.func @of_the_caller(%x: memref<?x?xf32>, %o: memref<?xf32>) {
  %zero = arith.constant 0.0 : f32
  linalg.fill ins(%zero : f32) outs(%o : memref<?xf32>)
  linalg.generic {indexing_maps = [#point, #row], iterator_types = ["parallel", "reduction"]} ins(%x : memref<?x?xf32>) outs(%o : memref<?xf32>) {
  ^bb0(%in: f32, %out: f32):
    %r = arith.addf %out, %in : f32
    linalg.yield %r : f32
  }
  return
}
}
