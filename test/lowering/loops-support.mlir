// RUN: fovea-opt %s --attn-loops | FileCheck %s

// What bounds a reduction beyond inequalities: order, remainders, alternatives, and the edges of a tensor. What the bounds say is not tested.

#x = affine_map<(i, j) -> (i, j)>
#j = affine_map<(i, j) -> (j)>
#o = affine_map<(i, j) -> (i)>

// id[j] == mine[i], id in order: two searches, through a view; the elements are not read in the loop.
// CHECK-LABEL: func @segment
// CHECK-SAME: %[[IDS:[a-z0-9]+]]: memref<?x64xi32> {attn.sorted}
// CHECK: %[[ID:.*]] = memref.subview %[[IDS]]
// CHECK: %[[END:.*]]:2 = scf.while
// CHECK: memref.load %[[ID]]
// CHECK: arith.cmpi sgt
// CHECK: %[[FIRST:.*]]:2 = scf.while
// CHECK: memref.load %[[ID]]
// CHECK: arith.cmpi sge
// CHECK: %[[LOW:.*]] = arith.maxsi %c0{{.*}}, %[[FIRST]]#0
// CHECK: %[[FROM:.*]] = arith.minsi %[[LOW]],
// CHECK: scf.for %{{.*}} = %[[FROM]] to
// CHECK-NOT: memref.load %[[ID]]
// CHECK-NOT: arith.select
// CHECK: return
func.func @segment(%x: memref<4x64xf32>, %ids: memref<?x64xi32> {attn.sorted}, %mine: memref<4xi32>, %out: memref<4xf32>) {
  %id = memref.subview %ids[2, 0] [1, 64] [1, 1] : memref<?x64xi32> to memref<64xi32, strided<[1], offset: 128>>
  linalg.generic {indexing_maps = [#x, #j, #o, #o], iterator_types = ["parallel", "reduction"]}
      ins(%x, %id, %mine : memref<4x64xf32>, memref<64xi32, strided<[1], offset: 128>>, memref<4xi32>) outs(%out : memref<4xf32>) {
  ^bb0(%a: f32, %d: i32, %m: i32, %acc: f32):
    %keep = arith.cmpi eq, %d, %m : i32
    %support = attn.support %keep
    %s = arith.addf %acc, %a : f32
    %n = arith.select %support, %s, %acc : f32
    linalg.yield %n : f32
  }
  return
}

// A column of a sorted matrix is in no order.
// CHECK-LABEL: func @column
// CHECK-NOT: scf.while
// CHECK: arith.cmpi eq
func.func @column(%x: memref<4x64xf32>, %ids: memref<64x8xi32> {attn.sorted}, %mine: memref<4xi32>, %out: memref<4xf32>) {
  %id = memref.subview %ids[0, 2] [64, 1] [1, 1] : memref<64x8xi32> to memref<64xi32, strided<[8], offset: 2>>
  linalg.generic {indexing_maps = [#x, #j, #o, #o], iterator_types = ["parallel", "reduction"]}
      ins(%x, %id, %mine : memref<4x64xf32>, memref<64xi32, strided<[8], offset: 2>>, memref<4xi32>) outs(%out : memref<4xf32>) {
  ^bb0(%a: f32, %d: i32, %m: i32, %acc: f32):
    %keep = arith.cmpi eq, %d, %m : i32
    %support = attn.support %keep
    %s = arith.addf %acc, %a : f32
    %n = arith.select %support, %s, %acc : f32
    linalg.yield %n : f32
  }
  return
}

// (i - j) % 5 == 0: the loop's step.
// CHECK-LABEL: func @remainder
// CHECK: arith.remsi
// CHECK: %[[STEP:.*]] = arith.constant 5 : index
// CHECK: scf.for %{{.*}} = %{{.*}} to %{{.*}} step %[[STEP]]
// CHECK-NOT: arith.floordivsi
// CHECK-NOT: arith.select
// CHECK: return
func.func @remainder(%x: memref<4x64xf32>, %out: memref<4xf32>) {
  %zero = arith.constant 0 : i32
  %five = arith.constant 5 : i32
  linalg.generic {indexing_maps = [#x, #o], iterator_types = ["parallel", "reduction"]} ins(%x : memref<4x64xf32>) outs(%out : memref<4xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %i = linalg.index 0 : index
    %j = linalg.index 1 : index
    %i32 = arith.index_cast %i : index to i32
    %j32 = arith.index_cast %j : index to i32
    %distance = arith.subi %i32, %j32 : i32
    %quotient = arith.floordivsi %distance, %five : i32
    %whole = arith.muli %quotient, %five : i32
    %rest = arith.subi %distance, %whole : i32
    %keep = arith.cmpi eq, %rest, %zero : i32
    %support = attn.support %keep
    %s = arith.addf %acc, %a : f32
    %n = arith.select %support, %s, %acc : f32
    linalg.yield %n : f32
  }
  return
}

// j <= i or j < 3: up to the larger end, and tested.
// CHECK-LABEL: func @alternatives
// CHECK: arith.maxsi
// CHECK: scf.for %{{.*}} = %{{.*}} to %{{.*}} step
// CHECK: scf.for %{{.*}} = %{{.*}} to %[[END:.*]] step
// CHECK: arith.ori
func.func @alternatives(%x: memref<4x64xf32>, %out: memref<4xf32>) {
  %three = arith.constant 3 : i32
  linalg.generic {indexing_maps = [#x, #o], iterator_types = ["parallel", "reduction"]} ins(%x : memref<4x64xf32>) outs(%out : memref<4xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %i = linalg.index 0 : index
    %j = linalg.index 1 : index
    %i32 = arith.index_cast %i : index to i32
    %j32 = arith.index_cast %j : index to i32
    %causal = arith.cmpi sle, %j32, %i32 : i32
    %prefix = arith.cmpi slt, %j32, %three : i32
    %keep = arith.ori %causal, %prefix : i1
    %support = attn.support %keep
    %s = arith.addf %acc, %a : f32
    %n = arith.select %support, %s, %acc : f32
    linalg.yield %n : f32
  }
  return
}

// y[i + j - 2], where it lies inside: the read is not tested again.
// CHECK-LABEL: func @inside
// CHECK-SAME: %[[Y:[a-z0-9]+]]: memref<?xf32>
// CHECK: memref.dim %[[Y]]
// CHECK: scf.for %[[J:.*]] = %{{.*}} to %{{.*}} step %c1{{.*}} iter_args
// CHECK-NOT: arith.cmpi
// CHECK-NOT: arith.select
// CHECK: memref.load %[[Y]]
// CHECK-NOT: arith.select
// CHECK: return
func.func @inside(%x: memref<4x64xf32>, %y: memref<?xf32>, %out: memref<4xf32>) {
  %two = arith.constant 2 : i32
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  linalg.generic {indexing_maps = [#x, #o], iterator_types = ["parallel", "reduction"]} ins(%x : memref<4x64xf32>) outs(%out : memref<4xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %i = linalg.index 0 : index
    %j = linalg.index 1 : index
    %i32 = arith.index_cast %i : index to i32
    %j32 = arith.index_cast %j : index to i32
    %sum = arith.addi %i32, %j32 : i32
    %at32 = arith.subi %sum, %two : i32
    %at = arith.index_cast %at32 : i32 to index
    %size = memref.dim %y, %c0 : memref<?xf32>
    %inside = arith.cmpi ult, %at, %size : index
    %support = attn.support %inside
    %place = arith.select %inside, %at, %c0 : index
    %loaded = memref.load %y[%place] : memref<?xf32>
    %read = arith.select %inside, %loaded, %zero : f32
    %p = arith.mulf %a, %read : f32
    %term = arith.select %support, %p, %zero : f32
    %s = arith.addf %acc, %term : f32
    linalg.yield %s : f32
  }
  return
}

#xy = affine_map<(b, i, d) -> (b, i, d)>
#bi = affine_map<(b, i, d) -> (b, i)>

// i < len[b], whatever is summed: the bound of the loop over i, in each block of the points (b, i). The sum keeps its own bounds.
// CHECK-LABEL: func @outer
// CHECK-SAME: %[[LEN:[a-z0-9]+]]: memref<4xi32>
// CHECK: scf.parallel
// CHECK: scf.for %[[B:[a-z0-9]+]] = %{{.*}} to %{{.*}} step
// CHECK: memref.load %[[LEN]][%[[B]]]
// CHECK: arith.minsi
// CHECK-NEXT: %[[HIGH:.*]] = arith.maxsi
// CHECK-NEXT: %[[FROM:.*]] = arith.maxsi
// CHECK-NEXT: %[[END:.*]] = arith.minsi %{{.*}}, %[[HIGH]]
// CHECK: scf.for %{{.*}} = %[[FROM]] to %[[END]] step
// CHECK: scf.for %{{.*}} = %c0{{.*}} iter_args
// CHECK-NOT: arith.select
// CHECK: return
func.func @outer(%x: memref<4x64x32xf32>, %len: memref<4xi32>, %out: memref<4x64xf32>) {
  linalg.generic {indexing_maps = [#xy, affine_map<(b, i, d) -> (b)>, #bi], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %len : memref<4x64x32xf32>, memref<4xi32>) outs(%out : memref<4x64xf32>) {
  ^bb0(%a: f32, %l: i32, %acc: f32):
    %i = linalg.index 1 : index
    %i32 = arith.index_cast %i : index to i32
    %keep = arith.cmpi slt, %i32, %l : i32
    %support = attn.support %keep
    %s = arith.addf %acc, %a : f32
    %n = arith.select %support, %s, %acc : f32
    linalg.yield %n : f32
  }
  return
}

// b < 3 alone: the loop over i stands inside.
// CHECK-LABEL: func @first
// CHECK: scf.for %[[B:[a-z0-9]+]] = %{{.*}} to %{{.*}} step
// CHECK: scf.for %[[I:[a-z0-9]+]] = %c0{{.*}} to %c64{{.*}} step
// CHECK-NOT: arith.select
// CHECK: return
func.func @first(%x: memref<4x64x32xf32>, %out: memref<4x64xf32>) {
  %three = arith.constant 3 : i32
  linalg.generic {indexing_maps = [#xy, #bi], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x : memref<4x64x32xf32>) outs(%out : memref<4x64xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %b = linalg.index 0 : index
    %b32 = arith.index_cast %b : index to i32
    %keep = arith.cmpi slt, %b32, %three : i32
    %support = attn.support %keep
    %s = arith.addf %acc, %a : f32
    %n = arith.select %support, %s, %acc : f32
    linalg.yield %n : f32
  }
  return
}

// i <= b or i == 60: up to the larger one, and tested once for each i, not for each term.
// CHECK-LABEL: func @either
// CHECK: arith.maxsi
// CHECK: scf.for %[[I:[a-z0-9]+]] = %{{.*}} to %{{.*}} step
// CHECK: %[[KEEP:.*]] = arith.ori
// CHECK: scf.if %[[KEEP]]
// CHECK: scf.for %{{.*}} = %c0{{.*}} iter_args
// CHECK-NOT: arith.select
// CHECK: return
func.func @either(%x: memref<4x64x32xf32>, %out: memref<4x64xf32>) {
  %last = arith.constant 60 : i32
  linalg.generic {indexing_maps = [#xy, #bi], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x : memref<4x64x32xf32>) outs(%out : memref<4x64xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %b = linalg.index 0 : index
    %i = linalg.index 1 : index
    %b32 = arith.index_cast %b : index to i32
    %i32 = arith.index_cast %i : index to i32
    %before = arith.cmpi sle, %i32, %b32 : i32
    %end = arith.cmpi eq, %i32, %last : i32
    %keep = arith.ori %before, %end : i1
    %support = attn.support %keep
    %s = arith.addf %acc, %a : f32
    %n = arith.select %support, %s, %acc : f32
    linalg.yield %n : f32
  }
  return
}
