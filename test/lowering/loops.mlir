// RUN: fovea-opt %s --attn-loops | FileCheck %s

// A reduction's support becomes the bounds of its loop: from a constant, another index, a scalar, a loaded value.

#x = affine_map<(i, j) -> (i, j)>
#o = affine_map<(i, j) -> (i)>

// CHECK-LABEL: func @none
// CHECK-SAME: %[[X:[a-z0-9]+]]: memref<4x64xf32>
// CHECK: scf.for %[[J:.*]] = %c0{{.*}} to %{{[a-z0-9_]+}} step
// CHECK: memref.load %[[X]][%{{.*}}, %[[J]]]
func.func @none(%x: memref<4x64xf32>, %out: memref<4xf32>) {
  linalg.generic {indexing_maps = [#x, #o], iterator_types = ["parallel", "reduction"]} ins(%x : memref<4x64xf32>) outs(%out : memref<4xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %s = arith.addf %acc, %a : f32
    linalg.yield %s : f32
  }
  return
}

// j < 10: the bound is 64 or 10, and no point is tested.
// CHECK-LABEL: func @constant
// CHECK: %[[TEN:.*]] = arith.constant 10 : i32
// CHECK: scf.for
// CHECK: %[[WIDE:.*]] = arith.extsi %[[TEN]] : i32 to i64
// CHECK: %[[HIGH:.*]] = arith.minsi %c64
// CHECK: %[[END:.*]] = arith.maxsi %{{.*}}, %[[HIGH]]
// CHECK: scf.for %{{.*}} = %{{.*}} to %[[END]] step
func.func @constant(%x: memref<4x64xf32>, %out: memref<4xf32>) {
  %ten = arith.constant 10 : i32
  linalg.generic {indexing_maps = [#x, #o], iterator_types = ["parallel", "reduction"]} ins(%x : memref<4x64xf32>) outs(%out : memref<4xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %j = linalg.index 1 : index
    %j32 = arith.index_cast %j : index to i32
    %keep = arith.cmpi slt, %j32, %ten : i32
    %support = attn.support %keep
    %s = arith.addf %acc, %a : f32
    %n = arith.select %support, %s, %acc : f32
    linalg.yield %n : f32
  }
  return
}

// j <= i: the bound is i + 1.
// CHECK-LABEL: func @causal
// CHECK: scf.for %[[I:.*]] = %{{.*}} to %{{.*}} step
// CHECK: %[[I32:.*]] = arith.index_cast %[[I]] : index to i32
// CHECK: %[[NEXT:.*]] = arith.addi %{{.*}}, %c1_i64
// CHECK: %[[AFTER:.*]] = arith.index_cast %[[NEXT]] : i64 to index
// CHECK: %[[HIGH:.*]] = arith.minsi %c64{{.*}}, %[[AFTER]]
// CHECK: %[[END:.*]] = arith.maxsi %{{.*}}, %[[HIGH]]
// CHECK: scf.for %{{.*}} = %{{.*}} to %[[END]] step
func.func @causal(%x: memref<4x64xf32>, %out: memref<4xf32>) {
  linalg.generic {indexing_maps = [#x, #o], iterator_types = ["parallel", "reduction"]} ins(%x : memref<4x64xf32>) outs(%out : memref<4xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %i = linalg.index 0 : index
    %j = linalg.index 1 : index
    %i32 = arith.index_cast %i : index to i32
    %j32 = arith.index_cast %j : index to i32
    %keep = arith.cmpi sle, %j32, %i32 : i32
    %support = attn.support %keep
    %s = arith.addf %acc, %a : f32
    %n = arith.select %support, %s, %acc : f32
    linalg.yield %n : f32
  }
  return
}

// i - j <= w: a lower bound, i - w.
// CHECK-LABEL: func @window
// CHECK-SAME: %[[W:[a-z0-9]+]]: i32)
// CHECK: scf.for %[[I:.*]] =
// CHECK: arith.extsi %[[W]] : i32 to i64
// CHECK: %[[LOW:.*]] = arith.maxsi %c0
// CHECK: %[[FROM:.*]] = arith.minsi %[[LOW]],
// CHECK: scf.for %{{.*}} = %[[FROM]] to
func.func @window(%x: memref<4x64xf32>, %out: memref<4xf32>, %w: i32) {
  linalg.generic {indexing_maps = [#x, #o], iterator_types = ["parallel", "reduction"]} ins(%x : memref<4x64xf32>) outs(%out : memref<4xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %i = linalg.index 0 : index
    %j = linalg.index 1 : index
    %i32 = arith.index_cast %i : index to i32
    %j32 = arith.index_cast %j : index to i32
    %distance = arith.subi %i32, %j32 : i32
    %keep = arith.cmpi sle, %distance, %w : i32
    %support = attn.support %keep
    %s = arith.addf %acc, %a : f32
    %n = arith.select %support, %s, %acc : f32
    linalg.yield %n : f32
  }
  return
}

// first[i] <= j < end[i]: both bounds are loaded once for each row (a graph's rows).
// CHECK-LABEL: func @loaded
// CHECK-SAME: %[[FIRST:[a-z0-9]+]]: memref<4xi32>, %[[END:[a-z0-9]+]]: memref<4xi32>
// CHECK: scf.for %[[I:.*]] =
// CHECK-DAG: memref.load %[[FIRST]][%[[I]]]
// CHECK-DAG: memref.load %[[END]][%[[I]]]
// CHECK-DAG: %[[LOW:.*]] = arith.maxsi %c0
// CHECK-DAG: %[[HIGH:.*]] = arith.minsi %c64
// CHECK: %[[FROM:.*]] = arith.minsi %[[LOW]],
// CHECK: scf.for %{{.*}} = %[[FROM]] to
func.func @loaded(%x: memref<4x64xf32>, %first: memref<4xi32>, %end: memref<4xi32>, %out: memref<4xf32>) {
  linalg.generic {indexing_maps = [#x, #o, #o, #o], iterator_types = ["parallel", "reduction"]} ins(%x, %first, %end : memref<4x64xf32>, memref<4xi32>, memref<4xi32>) outs(%out : memref<4xf32>) {
  ^bb0(%a: f32, %f: i32, %e: i32, %acc: f32):
    %j = linalg.index 1 : index
    %j32 = arith.index_cast %j : index to i32
    %after = arith.cmpi sge, %j32, %f : i32
    %before = arith.cmpi slt, %j32, %e : i32
    %keep = arith.andi %after, %before : i1
    %support = attn.support %keep
    %s = arith.addf %acc, %a : f32
    %n = arith.select %support, %s, %acc : f32
    linalg.yield %n : f32
  }
  return
}

// same[j] = 1 bounds nothing: every point is visited and tested.
// CHECK-LABEL: func @tested
// CHECK-SAME: %[[SAME:[a-z0-9]+]]: memref<64xi32>
// CHECK-NOT: arith.minsi %c64
// CHECK: scf.for %[[J:.*]] = %c0{{.*}} to %{{.*}} step
// CHECK: %[[S:.*]] = memref.load %[[SAME]][%[[J]]]
// CHECK: %[[KEEP:.*]] = arith.cmpi eq, %[[S]]
// CHECK: arith.select %[[KEEP]]
func.func @tested(%x: memref<64xf32>, %same: memref<64xi32>, %out: memref<f32>) {
  %one = arith.constant 1 : i32
  linalg.generic {indexing_maps = [affine_map<(j) -> (j)>, affine_map<(j) -> (j)>, affine_map<(j) -> ()>], iterator_types = ["reduction"]} ins(%x, %same : memref<64xf32>, memref<64xi32>) outs(%out : memref<f32>) {
  ^bb0(%a: f32, %b: i32, %acc: f32):
    %keep = arith.cmpi eq, %b, %one : i32
    %support = attn.support %keep
    %s = arith.addf %acc, %a : f32
    %n = arith.select %support, %s, %acc : f32
    linalg.yield %n : f32
  }
  return
}

// A square of the position is no bound.
// CHECK-LABEL: func @not_linear
// CHECK-NOT: arith.minsi %c64
// CHECK: scf.for
// CHECK: arith.muli
// CHECK: arith.select
func.func @not_linear(%x: memref<64xf32>, %out: memref<f32>, %w: i32) {
  linalg.generic {indexing_maps = [affine_map<(j) -> (j)>, affine_map<(j) -> ()>], iterator_types = ["reduction"]} ins(%x : memref<64xf32>) outs(%out : memref<f32>) {
  ^bb0(%a: f32, %acc: f32):
    %j = linalg.index 0 : index
    %j32 = arith.index_cast %j : index to i32
    %square = arith.muli %j32, %j32 : i32
    %keep = arith.cmpi slt, %square, %w : i32
    %support = attn.support %keep
    %s = arith.addf %acc, %a : f32
    %n = arith.select %support, %s, %acc : f32
    linalg.yield %n : f32
  }
  return
}

// What can be solved for the position bounds it too: |i - j| <= w, 2 * j <= i, j / 4 == i / 4.
// CHECK-LABEL: func @absolute
// CHECK: %[[LOW:.*]] = arith.maxsi %c0
// CHECK: %[[FROM:.*]] = arith.minsi %[[LOW]],
// CHECK: scf.for %{{.*}} = %[[FROM]] to
func.func @absolute(%x: memref<4x64xf32>, %out: memref<4xf32>, %w: i32) {
  %zero = arith.constant 0 : i32
  linalg.generic {indexing_maps = [#x, #o], iterator_types = ["parallel", "reduction"]} ins(%x : memref<4x64xf32>) outs(%out : memref<4xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %i = linalg.index 0 : index
    %j = linalg.index 1 : index
    %i32 = arith.index_cast %i : index to i32
    %j32 = arith.index_cast %j : index to i32
    %distance = arith.subi %i32, %j32 : i32
    %negated = arith.subi %zero, %distance : i32
    %size = arith.maxsi %distance, %negated : i32
    %keep = arith.cmpi sle, %size, %w : i32
    %support = attn.support %keep
    %s = arith.addf %acc, %a : f32
    %n = arith.select %support, %s, %acc : f32
    linalg.yield %n : f32
  }
  return
}

// CHECK-LABEL: func @multiple
// CHECK: %[[HALF:.*]] = arith.floordivsi %{{.*}}, %c2_i64
// CHECK: arith.addi %[[HALF]]
// CHECK: arith.minsi %c64
func.func @multiple(%x: memref<4x64xf32>, %out: memref<4xf32>) {
  %two = arith.constant 2 : i32
  linalg.generic {indexing_maps = [#x, #o], iterator_types = ["parallel", "reduction"]} ins(%x : memref<4x64xf32>) outs(%out : memref<4xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %i = linalg.index 0 : index
    %j = linalg.index 1 : index
    %i32 = arith.index_cast %i : index to i32
    %j32 = arith.index_cast %j : index to i32
    %twice = arith.muli %j32, %two : i32
    %keep = arith.cmpi sle, %twice, %i32 : i32
    %support = attn.support %keep
    %s = arith.addf %acc, %a : f32
    %n = arith.select %support, %s, %acc : f32
    linalg.yield %n : f32
  }
  return
}

// CHECK-LABEL: func @chunk
// CHECK: arith.muli %{{.*}}, %c4_i64
// CHECK: %[[LOW:.*]] = arith.maxsi %c0
// CHECK: %[[FROM:.*]] = arith.minsi %[[LOW]],
// CHECK: scf.for %{{.*}} = %[[FROM]] to
func.func @chunk(%x: memref<4x64xf32>, %out: memref<4xf32>) {
  %four = arith.constant 4 : i32
  linalg.generic {indexing_maps = [#x, #o], iterator_types = ["parallel", "reduction"]} ins(%x : memref<4x64xf32>) outs(%out : memref<4xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %i = linalg.index 0 : index
    %j = linalg.index 1 : index
    %i32 = arith.index_cast %i : index to i32
    %j32 = arith.index_cast %j : index to i32
    %mine = arith.floordivsi %i32, %four : i32
    %its = arith.floordivsi %j32, %four : i32
    %keep = arith.cmpi eq, %its, %mine : i32
    %support = attn.support %keep
    %s = arith.addf %acc, %a : f32
    %n = arith.select %support, %s, %acc : f32
    linalg.yield %n : f32
  }
  return
}

// A real bound, |j - center[i]| <= 2 (Luong's local attention), with room for rounding; each point is still tested.
// CHECK-LABEL: func @real
// CHECK-SAME: %[[CENTER:[a-z0-9]+]]: memref<4xf32>
// CHECK: arith.extf %{{.*}} : f32 to f64
// CHECK: %[[LOW:.*]] = arith.maxsi %c0
// CHECK: %[[FROM:.*]] = arith.minsi %[[LOW]],
// CHECK: scf.for %{{.*}} = %[[FROM]] to
// CHECK: arith.cmpf ole
func.func @real(%x: memref<4x64xf32>, %center: memref<4xf32>, %out: memref<4xf32>) {
  %two = arith.constant 2.0 : f32
  linalg.generic {indexing_maps = [#x, #o, #o], iterator_types = ["parallel", "reduction"]} ins(%x, %center : memref<4x64xf32>, memref<4xf32>) outs(%out : memref<4xf32>) {
  ^bb0(%a: f32, %c: f32, %acc: f32):
    %j = linalg.index 1 : index
    %j32 = arith.index_cast %j : index to i32
    %at = arith.sitofp %j32 : i32 to f32
    %distance = arith.subf %at, %c : f32
    %size = math.absf %distance : f32
    %keep = arith.cmpf ole, %size, %two : f32
    %support = attn.support %keep
    %s = arith.addf %acc, %a : f32
    %n = arith.select %support, %s, %acc : f32
    linalg.yield %n : f32
  }
  return
}
