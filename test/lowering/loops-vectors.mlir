// RUN: fovea-opt %s --attn-loops --canonicalize | FileCheck %s

// The last parallel dimension, or a reduced one, becomes vectors of the target's lanes where all that moves along it lies along it.
#x = affine_map<(i, j) -> (i, j)>
#r = affine_map<(i, j) -> (i)>
#v = affine_map<(i, j) -> (j)>
#t = affine_map<(i, j) -> (j, i)>
module attributes {attn.target = "x86-64-v3"} {
  // A known extent that the lanes divide has no tail; what does not move is loaded once a row.
  // CHECK-LABEL: func.func @elementwise
  // CHECK: %[[MEAN:.*]] = memref.load
  // CHECK: scf.for %[[J:.*]] = %c0{{.*}} to %c64{{.*}} step %c8
  // CHECK: vector.load %{{.*}}[%{{.*}}, %[[J]]] : memref<4x64xf32>, vector<8xf32>
  // CHECK: %[[WIDE:.*]] = vector.broadcast %[[MEAN]]
  // CHECK: arith.subf %{{.*}}, %[[WIDE]]
  // CHECK: vector.store
  // CHECK-NOT: maskedload
  // CHECK: return
  func.func @elementwise(%x: memref<4x64xf32>, %mean: memref<4xf32>, %out: memref<4x64xf32>) {
    linalg.generic {indexing_maps = [#x, #r, #x], iterator_types = ["parallel", "parallel"]} ins(%x, %mean : memref<4x64xf32>, memref<4xf32>) outs(%out : memref<4x64xf32>) {
    ^bb0(%a: f32, %m: f32, %o: f32):
      %d = arith.subf %a, %m : f32
      linalg.yield %d : f32
    }
    return
  }

  // An unknown extent ends in a masked vector.
  // CHECK-LABEL: func.func @tail
  // CHECK: vector.load
  // CHECK: vector.store
  // CHECK: vector.create_mask
  // CHECK: vector.maskedload
  // CHECK: vector.maskedstore
  func.func @tail(%x: memref<4x?xf32>, %out: memref<4x?xf32>) {
    linalg.generic {indexing_maps = [#x, #x], iterator_types = ["parallel", "parallel"]} ins(%x : memref<4x?xf32>) outs(%out : memref<4x?xf32>) {
    ^bb0(%a: f32, %o: f32):
      %d = arith.addf %a, %a : f32
      linalg.yield %d : f32
    }
    return
  }

  // A sum: four vectors side by side, put together at the end.
  // CHECK-LABEL: func.func @sum
  // CHECK: scf.for %{{.*}} to %c64{{.*}} step %c32{{.*}} iter_args
  // CHECK-COUNT-4: vector.load
  // CHECK: scf.yield
  // CHECK-COUNT-3: vector.extract_strided_slice {{.*}}offsets = [0]
  // CHECK: vector.extract %{{.*}}[0]
  // CHECK: memref.store
  func.func @sum(%x: memref<4x64xf32>, %out: memref<4xf32>) {
    linalg.generic {indexing_maps = [#x, #r], iterator_types = ["parallel", "reduction"]} ins(%x : memref<4x64xf32>) outs(%out : memref<4xf32>) {
    ^bb0(%a: f32, %acc: f32):
      %s = arith.addf %acc, %a : f32
      linalg.yield %s : f32
    }
    return
  }

  // In a model's stage a sum over an axis of unknown extent is taken in order; a maximum may still be taken in any.
  // CHECK-LABEL: func.func @in_order
  // CHECK-NOT: vector.load
  // CHECK: arith.addf %{{.*}} : f32
  // CHECK: vector.load
  // CHECK: arith.maxsi %{{.*}} : vector<8xi32>
  func.func @in_order(%x: memref<4x?xf32>, %out: memref<4xf32>, %n: memref<4x?xi32>, %most: memref<4xi32>) attributes {attn.exact_rows} {
    linalg.generic {indexing_maps = [#x, #r], iterator_types = ["parallel", "reduction"]} ins(%x : memref<4x?xf32>) outs(%out : memref<4xf32>) {
    ^bb0(%a: f32, %acc: f32):
      %s = arith.addf %acc, %a : f32
      linalg.yield %s : f32
    }
    linalg.generic {indexing_maps = [#x, #r], iterator_types = ["parallel", "reduction"]} ins(%n : memref<4x?xi32>) outs(%most : memref<4xi32>) {
    ^bb0(%a: i32, %acc: i32):
      %s = arith.maxsi %acc, %a : i32
      linalg.yield %s : i32
    }
    return
  }

  // A position for each lane: what they read is gathered, but for lanes whose position is none.
  // CHECK-LABEL: func.func @gather
  // CHECK: arith.index_cast %{{.*}} : vector<8xi32> to vector<8xindex>
  // CHECK: %[[INSIDE:.*]] = arith.cmpi ult, %{{.*}} : vector<8xindex>
  // CHECK: arith.muli
  // CHECK: vector.gather %{{.*}}[%c0{{.*}}, %{{.*}}] [%{{.*}}], %[[INSIDE]]
  func.func @gather(%x: memref<?x4xf32>, %at: memref<64xi32>, %out: memref<4x64xf32>) {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f32
    %size = memref.dim %x, %c0 : memref<?x4xf32>
    linalg.generic {indexing_maps = [#v, #x], iterator_types = ["parallel", "parallel"]} ins(%at : memref<64xi32>) outs(%out : memref<4x64xf32>) {
    ^bb0(%n: i32, %o: f32):
      %i = linalg.index 0 : index
      %p = arith.index_cast %n : i32 to index
      %inside = arith.cmpi ult, %p, %size : index
      %row = arith.select %inside, %p, %c0 : index
      %read = memref.load %x[%row, %i] : memref<?x4xf32>
      %v = arith.select %inside, %read, %zero : f32
      linalg.yield %v : f32
    }
    return
  }

  // One position for all lanes: where it is none, no lane is read, so the position need not be chosen, nor the value.
  // CHECK-LABEL: func.func @rows
  // CHECK: %[[AT:.*]] = arith.index_cast
  // CHECK: %[[INSIDE:.*]] = arith.cmpi ult, %[[AT]]
  // CHECK-NOT: arith.select
  // CHECK: %[[ALL:.*]] = vector.broadcast %[[INSIDE]] : i1 to vector<8xi1>
  // CHECK: vector.maskedload %{{.*}}[%[[AT]], %{{.*}}], %[[ALL]]
  // CHECK-NOT: arith.select
  // CHECK: vector.store
  func.func @rows(%x: memref<?x64xf32>, %at: memref<4xi32>, %out: memref<4x64xf32>) {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f32
    %size = memref.dim %x, %c0 : memref<?x64xf32>
    linalg.generic {indexing_maps = [#r, #x], iterator_types = ["parallel", "parallel"]} ins(%at : memref<4xi32>) outs(%out : memref<4x64xf32>) {
    ^bb0(%n: i32, %o: f32):
      %j = linalg.index 1 : index
      %p = arith.index_cast %n : i32 to index
      %inside = arith.cmpi ult, %p, %size : index
      %row = arith.select %inside, %p, %c0 : index
      %column = arith.select %inside, %j, %c0 : index
      %read = memref.load %x[%row, %column] : memref<?x64xf32>
      %v = arith.select %inside, %read, %zero : f32
      linalg.yield %v : f32
    }
    return
  }

  // What lies across the vectors, what is no reduction in any order, and short dimensions stay scalar.
  // CHECK-LABEL: func.func @scalar
  // CHECK-NOT: vector.
  // CHECK: return
  func.func @scalar(%x: memref<64x4xf32>, %out: memref<4x64xf32>, %y: memref<4x2xf32>, %small: memref<4x2xf32>, %last: memref<4xf32>) {
    linalg.generic {indexing_maps = [#t, #x], iterator_types = ["parallel", "parallel"]} ins(%x : memref<64x4xf32>) outs(%out : memref<4x64xf32>) {
    ^bb0(%a: f32, %o: f32):
      linalg.yield %a : f32
    }
    linalg.generic {indexing_maps = [#x, #x], iterator_types = ["parallel", "parallel"]} ins(%y : memref<4x2xf32>) outs(%small : memref<4x2xf32>) {
    ^bb0(%a: f32, %o: f32):
      linalg.yield %a : f32
    }
    linalg.generic {indexing_maps = [#x, #r], iterator_types = ["parallel", "reduction"]} ins(%out : memref<4x64xf32>) outs(%last : memref<4xf32>) {
    ^bb0(%a: f32, %acc: f32):
      %d = arith.subf %a, %acc : f32
      linalg.yield %d : f32
    }
    return
  }

  // A product in a parallel loop sums several rows side by side, 6 by 2 vectors, each at the same vector of the second factor; then what rows are left.
  // CHECK-LABEL: func.func @product
  // CHECK: scf.parallel
  // CHECK: scf.for %[[J:.*]] = {{.*}} step %c16
  // CHECK: scf.for %[[R:.*]] = {{.*}} step %c6
  // CHECK: scf.for {{.*}} -> ({{(vector<8xf32>, ){11} *}}vector<8xf32>)
  // CHECK: scf.for %[[R:.*]] = {{.*}} step %c1
  // CHECK: scf.for {{.*}} -> (vector<8xf32>, vector<8xf32>)
  // CHECK: vector.create_mask
  func.func @product(%a: memref<?x?xf32>, %b: memref<?x?xf32>, %out: memref<?x?xf32>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c2 = arith.constant 2 : index
    scf.parallel (%n) = (%c0) to (%c2) step (%c1) {
      linalg.generic {indexing_maps = [affine_map<(i, j, k) -> (i, k)>, affine_map<(i, j, k) -> (k, j)>, affine_map<(i, j, k) -> (i, j)>],
                      iterator_types = ["parallel", "parallel", "reduction"]} ins(%a, %b : memref<?x?xf32>, memref<?x?xf32>) outs(%out : memref<?x?xf32>) {
      ^bb0(%x: f32, %y: f32, %o: f32):
        %p = arith.mulf %x, %y : f32
        %s = arith.addf %o, %p : f32
        linalg.yield %s : f32
      }
      scf.reduce
    }
    return
  }
}
