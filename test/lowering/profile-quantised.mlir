// Quantised rows and their products are operations too; a product's are counted over the sums as they are done, in whole groups.
// RUN: fovea-opt %s --attn-profile | FileCheck %s

// CHECK: attn.operations = [{place = "profile-quantised.mlir:[[#@LINE+7]]", stage = "step", what = "quantise ? x 66"}, {place = "profile-quantised.mlir:[[#@LINE+11]]", stage = "step", what = "product of int8 ? x 80 over 68"}]
module attributes {attn.target = "zen4"} {
  // CHECK-LABEL: func.func @step
  // CHECK: call @fovea_rt_operation_begin
  // CHECK-NEXT: attn.quantise
  // CHECK: call @fovea_rt_operation_end
  func.func @step(%x: memref<?x66xf32>, %c: memref<?x68xi8>, %s: memref<?xf32>, %w: memref<2x17x256xi8>, %ws: memref<2x64xf32>, %sums: memref<2x64xi32>, %o: memref<?x80xf32>) attributes {attn.stage} {
    attn.quantise ins(%x : memref<?x66xf32>) outs(%c, %s : memref<?x68xi8>, memref<?xf32>) {axes = 1 : i64}
    // CHECK: %[[BEGAN:.*]] = call @fovea_rt_operation_begin
    // CHECK-NEXT: attn.quantised_product
    // CHECK: call @fovea_rt_operation_end(%{{.*}}, %[[BEGAN]]
    attn.quantised_product ins(%c, %s, %w, %ws, %sums : memref<?x68xi8>, memref<?xf32>, memref<2x17x256xi8>, memref<2x64xf32>, memref<2x64xi32>) outs(%o : memref<?x80xf32>)
    return
  }
}
