// An iteration over single numbers ends when none of them changes; one that counts its steps, carries rows, or has an effect does not.
// RUN: fovea-opt %s --attn-fixed-point | FileCheck %s

// CHECK-LABEL: func @root
// CHECK-SAME:    %[[INIT:.*]]: tensor<f32>, %[[OTHER:.*]]: tensor<i32>, %[[N:.*]]: index
// CHECK:         %[[TRUE:.*]] = arith.constant true
// CHECK:         %[[LOOP:.*]]:3 = scf.for {{.*}} iter_args(%[[S:.*]] = %[[INIT]], %[[C:.*]] = %[[OTHER]], %[[MOVING:.*]] = %[[TRUE]])
// CHECK:           %[[STEP:.*]]:3 = scf.if %[[MOVING]]
// CHECK:             %[[OLD:.*]] = tensor.extract %[[S]][]
// CHECK:             %[[OLD2:.*]] = tensor.extract %[[C]][]
// CHECK:             %[[NEW:.*]] = linalg.map
// CHECK:             %[[VALUE:.*]] = tensor.extract %[[NEW]][]
// CHECK:             arith.bitcast %[[OLD]] : f32 to i32
// CHECK:             arith.bitcast %[[VALUE]] : f32 to i32
// CHECK:             %[[A:.*]] = arith.cmpi ne
// CHECK:             %[[B:.*]] = arith.cmpi ne, %[[OLD2]]
// CHECK:             %[[MORE:.*]] = arith.ori %[[A]], %[[B]]
// CHECK:             scf.yield %[[NEW]], {{.*}}, %[[MORE]]
// CHECK:           else
// CHECK:             scf.yield %[[S]], %[[C]], %[[MOVING]]
// CHECK:         return %[[LOOP]]#0, %[[LOOP]]#1
func.func @root(%init: tensor<f32>, %other: tensor<i32>, %n: index) -> (tensor<f32>, tensor<i32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %half = arith.constant 0.5 : f32
  %r:2 = scf.for %k = %c0 to %n step %c1 iter_args(%s = %init, %c = %other) -> (tensor<f32>, tensor<i32>) {
    %empty = tensor.empty() : tensor<f32>
    %next = linalg.map ins(%s : tensor<f32>) outs(%empty : tensor<f32>) (%in: f32, %out: f32) {
      %h = arith.mulf %in, %half : f32
      linalg.yield %h : f32
    }
    scf.yield %next, %c : tensor<f32>, tensor<i32>
  }
  return %r#0, %r#1 : tensor<f32>, tensor<i32>
}

// CHECK-LABEL: func @counts
// CHECK-NOT:   scf.if
func.func @counts(%init: tensor<index>, %n: index) -> tensor<index> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r = scf.for %k = %c0 to %n step %c1 iter_args(%s = %init) -> tensor<index> {
    %next = tensor.insert %k into %s[] : tensor<index>
    scf.yield %next : tensor<index>
  }
  return %r : tensor<index>
}

// CHECK-LABEL: func @rows
// CHECK-NOT:   scf.if
func.func @rows(%init: tensor<4xf32>, %n: index) -> tensor<4xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r = scf.for %k = %c0 to %n step %c1 iter_args(%s = %init) -> tensor<4xf32> {
    %next = math.absf %s : tensor<4xf32>
    scf.yield %next : tensor<4xf32>
  }
  return %r : tensor<4xf32>
}

// CHECK-LABEL: func @effect
// CHECK-NOT:   scf.if
func.func @effect(%init: tensor<f32>, %n: index, %seen: memref<f32>) -> tensor<f32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r = scf.for %k = %c0 to %n step %c1 iter_args(%s = %init) -> tensor<f32> {
    %v = tensor.extract %s[] : tensor<f32>
    memref.store %v, %seen[] : memref<f32>
    %next = tensor.insert %v into %s[] : tensor<f32>
    scf.yield %next : tensor<f32>
  }
  return %r : tensor<f32>
}
