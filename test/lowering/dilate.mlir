// RUN: fovea-opt %s --attn-dilate | FileCheck %s

#q = affine_map<(i, j, d, e) -> (i, d)>
#k = affine_map<(i, j, d, e) -> (j, d)>
#v = affine_map<(i, j, d, e) -> (j, e)>
#o = affine_map<(i, j, d, e) -> (i, e)>

// (i - j) % 4 == 0 and j <= i: for each of four classes, views of every fourth row and key; what is left of the mask is j <= i.
// CHECK-LABEL: func.func @classes
// CHECK: scf.for %[[CLASS:.*]] = %{{.*}} to
// CHECK-DAG: memref.subview %{{.*}}[%[[CLASS]], 0] [%{{.*}}, %{{.*}}] [4, 1]
// CHECK-DAG: memref.subview %{{.*}}[%[[KEY:.*]], 0] [%{{.*}}, %{{.*}}] [4, 1]
// CHECK: attn.attend
// CHECK: arith.muli
// CHECK-NOT: arith.andi
// CHECK: %[[KEEP:.*]] = arith.cmpi sle
// CHECK: attn.yield %{{.*}}, %[[KEEP]]
func.func @classes(%q: memref<?x?xf32>, %k: memref<?x?xf32>, %v: memref<?x?xf32>, %o: memref<?x?xf32>) {
  attn.attend ins(%q, %k, %v : memref<?x?xf32>, memref<?x?xf32>, memref<?x?xf32>) outs(%o : memref<?x?xf32>)
      attributes {indexing_maps = [#q, #k, #v, #o], roles = ["row", "key", "contracted", "value"]} {
  ^bb0(%dot: f32):
    %four = arith.constant 4 : i32
    %zero = arith.constant 0 : i32
    %i = attn.index 0
    %j = attn.index 1
    %i32 = arith.index_cast %i : index to i32
    %j32 = arith.index_cast %j : index to i32
    %distance = arith.subi %i32, %j32 : i32
    %quotient = arith.floordivsi %distance, %four : i32
    %whole = arith.muli %quotient, %four : i32
    %rest = arith.subi %distance, %whole : i32
    %fourth = arith.cmpi eq, %rest, %zero : i32
    %causal = arith.cmpi sle, %j32, %i32 : i32
    %keep = arith.andi %fourth, %causal : i1
    attn.yield %dot, %keep : f32
  }
  return
}

// A remainder that differs between rows stays a mask.
// CHECK-LABEL: func.func @by_row
// CHECK-NOT: scf.for
// CHECK: attn.attend
func.func @by_row(%q: memref<?x?xf32>, %k: memref<?x?xf32>, %v: memref<?x?xf32>, %r: memref<?xi32>, %o: memref<?x?xf32>) {
  attn.attend ins(%q, %k, %v, %r : memref<?x?xf32>, memref<?x?xf32>, memref<?x?xf32>, memref<?xi32>) outs(%o : memref<?x?xf32>)
      attributes {indexing_maps = [#q, #k, #v, affine_map<(i, j, d, e) -> (i)>, #o], roles = ["row", "key", "contracted", "value"]} {
  ^bb0(%dot: f32, %wanted: i32):
    %four = arith.constant 4 : i32
    %j = attn.index 1
    %j32 = arith.index_cast %j : index to i32
    %quotient = arith.floordivsi %j32, %four : i32
    %whole = arith.muli %quotient, %four : i32
    %rest = arith.subi %j32, %whole : i32
    %keep = arith.cmpi eq, %rest, %wanted : i32
    attn.yield %dot, %keep : f32
  }
  return
}
