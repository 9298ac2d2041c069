// RUN: fovea-opt %s --attn-quantise --canonicalize --cse --split-input-file | FileCheck %s

// Two products of the same rows share their codes; each weight comes as codes and scales, and the parameter itself is no argument any more.
#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (k, n)>
#t = affine_map<(m, n, k) -> (n, k)>
#c = affine_map<(m, n, k) -> (m, n)>
// CHECK: attn.quantised = {down = {columns = 16 : i64, group = 2 : i64, kept = array<i64: 0>, summed = array<i64: 1>}, up = {columns = 16 : i64, group = 2 : i64, kept = array<i64: 1>, summed = array<i64: 0>}}
// CHECK-SAME: attn.stages = {step = {added = {{\[\[}}"quantised", "up", memref<5x33x32xi8>], ["scales", "up", memref<5x16xf32>], ["quantised", "down", memref<5x33x32xi8>], ["scales", "down", memref<5x16xf32>]], dropped = ["down", "up"]}}
module attributes {attn.target = "x86-64-v3"} {
  // CHECK-LABEL: func.func @step
  // CHECK-SAME: (%[[X:.*]]: memref<?x65xf32>, %{{.*}}: memref<?x67xf32>, %{{.*}}: memref<?x67xf32>, %{{.*}}: memref<5x33x32xi8>,
  // CHECK: %[[CODES:.*]]:2 = attn.quantise {{.*}} -> tensor<?x66xi16>, tensor<?xf32>
  // CHECK-NOT: attn.quantise ins
  // CHECK: attn.quantised_product ins(%[[CODES]]#0, %[[CODES]]#1
  // CHECK: attn.quantised_product ins(%[[CODES]]#0, %[[CODES]]#1
  // CHECK-NOT: linalg.generic
  func.func @step(%x: memref<?x65xf32>, %up: memref<65x67xf32> {attn.parameter = "up"}, %down: memref<67x65xf32> {attn.parameter = "down"}, %o: memref<?x67xf32>, %p: memref<?x67xf32>) {
    %zero = arith.constant 0.0 : f32
    %c0 = arith.constant 0 : index
    %n = memref.dim %x, %c0 : memref<?x65xf32>
    %a = bufferization.to_tensor %x restrict : memref<?x65xf32> to tensor<?x65xf32>
    %w = bufferization.to_tensor %up restrict : memref<65x67xf32> to tensor<65x67xf32>
    %v = bufferization.to_tensor %down restrict : memref<67x65xf32> to tensor<67x65xf32>
    %e = tensor.empty(%n) : tensor<?x67xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x67xf32>) -> tensor<?x67xf32>
    %r = linalg.generic {indexing_maps = [#b, #a, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%w, %a : tensor<65x67xf32>, tensor<?x65xf32>) outs(%f : tensor<?x67xf32>) {
    ^bb0(%y: f32, %z: f32, %acc: f32):
      %q = arith.mulf %y, %z : f32
      %s = arith.addf %acc, %q : f32
      linalg.yield %s : f32
    } -> tensor<?x67xf32>
    %u = linalg.generic {indexing_maps = [#a, #t, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%a, %v : tensor<?x65xf32>, tensor<67x65xf32>) outs(%f : tensor<?x67xf32>) {
    ^bb0(%y: f32, %z: f32, %acc: f32):
      %q = arith.mulf %y, %z : f32
      %s = arith.addf %acc, %q : f32
      linalg.yield %s : f32
    } -> tensor<?x67xf32>
    bufferization.materialize_in_destination %r in restrict writable %o : (tensor<?x67xf32>, memref<?x67xf32>) -> ()
    bufferization.materialize_in_destination %u in restrict writable %p : (tensor<?x67xf32>, memref<?x67xf32>) -> ()
    return
  }
}

// -----

// With vpdpbusd codes are i8 in fours, and there are sums. A weight that something else reads stays beside them; what is computed at load, what is
// small, and what no parameter is, stays as it is.
#a = affine_map<(m, n, k) -> (m, k)>
#t = affine_map<(m, n, k) -> (n, k)>
#c = affine_map<(m, n, k) -> (m, n)>
// CHECK: attn.stages = {encode = {added = {{\[\[}}"quantised", "tgt", memref<2x17x256xi8>], ["scales", "tgt", memref<2x64xf32>], ["sums", "tgt", memref<2x64xi32>]], dropped = []}}
module attributes {attn.target = "zen4"} {
  // CHECK-LABEL: func.func @encode
  // CHECK-SAME: memref<80x66xf32> {attn.parameter = "tgt"}
  // CHECK: attn.quantise {{.*}} -> tensor<4x68xi8>, tensor<4xf32>
  // CHECK: attn.quantised_product
  // CHECK: tensor.extract
  func.func @encode(%x: memref<4x66xf32>, %tgt: memref<80x66xf32> {attn.parameter = "tgt"}, %o: memref<4x80xf32>) {
    %zero = arith.constant 0.0 : f32
    %c0 = arith.constant 0 : index
    %a = bufferization.to_tensor %x restrict : memref<4x66xf32> to tensor<4x66xf32>
    %w = bufferization.to_tensor %tgt restrict : memref<80x66xf32> to tensor<80x66xf32>
    %e = tensor.empty() : tensor<4x80xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x80xf32>) -> tensor<4x80xf32>
    %r = linalg.generic {indexing_maps = [#a, #t, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%a, %w : tensor<4x66xf32>, tensor<80x66xf32>) outs(%f : tensor<4x80xf32>) {
    ^bb0(%y: f32, %z: f32, %acc: f32):
      %q = arith.mulf %y, %z : f32
      %s = arith.addf %acc, %q : f32
      linalg.yield %s : f32
    } -> tensor<4x80xf32>
    %one = tensor.extract %w[%c0, %c0] : tensor<80x66xf32>
    %g = tensor.insert %one into %r[%c0, %c0] : tensor<4x80xf32>
    bufferization.materialize_in_destination %g in restrict writable %o : (tensor<4x80xf32>, memref<4x80xf32>) -> ()
    return
  }

  // CHECK-LABEL: func.func @load
  // CHECK-NOT: attn.quantise
  // CHECK: linalg.generic
  func.func @load(%x: memref<4x66xf32>, %tgt: memref<80x66xf32> {attn.parameter = "tgt"}, %o: memref<4x80xf32>) {
    %zero = arith.constant 0.0 : f32
    %a = bufferization.to_tensor %x restrict : memref<4x66xf32> to tensor<4x66xf32>
    %w = bufferization.to_tensor %tgt restrict : memref<80x66xf32> to tensor<80x66xf32>
    %e = tensor.empty() : tensor<4x80xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x80xf32>) -> tensor<4x80xf32>
    %r = linalg.generic {indexing_maps = [#a, #t, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%a, %w : tensor<4x66xf32>, tensor<80x66xf32>) outs(%f : tensor<4x80xf32>) {
    ^bb0(%y: f32, %z: f32, %acc: f32):
      %q = arith.mulf %y, %z : f32
      %s = arith.addf %acc, %q : f32
      linalg.yield %s : f32
    } -> tensor<4x80xf32>
    bufferization.materialize_in_destination %r in restrict writable %o : (tensor<4x80xf32>, memref<4x80xf32>) -> ()
    return
  }

  // CHECK-LABEL: func.func @small
  // CHECK-NOT: attn.quantise
  // CHECK: linalg.generic
  // CHECK: linalg.generic
  func.func @small(%x: memref<4x32xf32>, %w1: memref<80x32xf32> {attn.parameter = "w1"}, %w2: memref<800x32xf32>, %o: memref<4x80xf32>, %p: memref<4x800xf32>) {
    %zero = arith.constant 0.0 : f32
    %a = bufferization.to_tensor %x restrict : memref<4x32xf32> to tensor<4x32xf32>
    %w = bufferization.to_tensor %w1 restrict : memref<80x32xf32> to tensor<80x32xf32>
    %v = bufferization.to_tensor %w2 restrict : memref<800x32xf32> to tensor<800x32xf32>
    %e = tensor.empty() : tensor<4x80xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x80xf32>) -> tensor<4x80xf32>
    %r = linalg.generic {indexing_maps = [#a, #t, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%a, %w : tensor<4x32xf32>, tensor<80x32xf32>) outs(%f : tensor<4x80xf32>) {
    ^bb0(%y: f32, %z: f32, %acc: f32):
      %q = arith.mulf %y, %z : f32
      %s = arith.addf %acc, %q : f32
      linalg.yield %s : f32
    } -> tensor<4x80xf32>
    %h = tensor.empty() : tensor<4x800xf32>
    %i = linalg.fill ins(%zero : f32) outs(%h : tensor<4x800xf32>) -> tensor<4x800xf32>
    %u = linalg.generic {indexing_maps = [#a, #t, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%a, %v : tensor<4x32xf32>, tensor<800x32xf32>) outs(%i : tensor<4x800xf32>) {
    ^bb0(%y: f32, %z: f32, %acc: f32):
      %q = arith.mulf %y, %z : f32
      %s = arith.addf %acc, %q : f32
      linalg.yield %s : f32
    } -> tensor<4x800xf32>
    bufferization.materialize_in_destination %r in restrict writable %o : (tensor<4x80xf32>, memref<4x80xf32>) -> ()
    bufferization.materialize_in_destination %u in restrict writable %p : (tensor<4x800xf32>, memref<4x800xf32>) -> ()
    return
  }
}
