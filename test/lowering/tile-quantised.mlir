// RUN: fovea-opt %s --attn-tile-quantised --split-input-file --verify-diagnostics | FileCheck %s

// Rows of codes in tasks of about 16,384 numbers; products by panel, then by rows. One body for all rows of a length, and one for all panels.
module attributes {attn.target = "zen4"} {
  // CHECK: func.func private @fovea_dot_product_4_64
  // CHECK: llvm.call_intrinsic "llvm.x86.avx512.vpdpbusd.512"
  // CHECK: llvm.intr.masked.store
  // CHECK: func.func private @fovea_quantise_row_4_66
  // CHECK: vector.reduction <maxsi>
  // CHECK: math.roundeven
  // CHECK-LABEL: func.func @rows
  // CHECK: scf.parallel
  // CHECK: scf.for
  // CHECK: call @fovea_quantise_row_4_66(
  // CHECK: scf.parallel
  // CHECK: call @fovea_dot_product_4_64(
  // CHECK-NOT: attn.quant
  func.func @rows(%x: memref<?x66xf32>, %c: memref<?x68xi8>, %s: memref<?xf32>, %w: memref<2x17x256xi8>, %ws: memref<2x64xf32>, %sums: memref<2x64xi32>, %o: memref<?x80xf32>) {
    attn.quantise ins(%x : memref<?x66xf32>) outs(%c, %s : memref<?x68xi8>, memref<?xf32>) {axes = 1 : i64}
    attn.quantised_product ins(%c, %s, %w, %ws, %sums : memref<?x68xi8>, memref<?xf32>, memref<2x17x256xi8>, memref<2x64xf32>, memref<2x64xi32>) outs(%o : memref<?x80xf32>)
    return
  }
}

// -----

// Older machines multiply i16. What does not lie in rows is copied, before or after.
module attributes {attn.target = "x86-64-v3"} {
  // CHECK: llvm.call_intrinsic "llvm.x86.avx2.pmadd.wd"
  // CHECK-LABEL: func.func @strided
  // CHECK: linalg.copy ins(%arg0
  // CHECK: call @fovea_quantise_row_2_20(
  // CHECK: call @fovea_dot_product_2_16(
  // CHECK: linalg.copy {{.*}} outs(%arg5
  func.func @strided(%x: memref<?x4x5xf32, strided<[40, 10, 1]>>, %c: memref<?x20xi16>, %s: memref<?xf32>, %w: memref<1x10x32xi8>, %ws: memref<1x16xf32>, %o: memref<?x16xf32, strided<[32, 2]>>) {
    attn.quantise ins(%x : memref<?x4x5xf32, strided<[40, 10, 1]>>) outs(%c, %s : memref<?x20xi16>, memref<?xf32>) {axes = 2 : i64}
    attn.quantised_product ins(%c, %s, %w, %ws : memref<?x20xi16>, memref<?xf32>, memref<1x10x32xi8>, memref<1x16xf32>) outs(%o : memref<?x16xf32, strided<[32, 2]>>)
    return
  }
}

// -----

module attributes {attn.target = "x86-64-v3"} {
  func.func @not_here(%x: memref<?x66xf32>, %c: memref<?x68xi8>, %s: memref<?xf32>) {
    // expected-error @+1 {{the codes or the panels are not what target "x86-64-v3" multiplies}}
    attn.quantise ins(%x : memref<?x66xf32>) outs(%c, %s : memref<?x68xi8>, memref<?xf32>) {axes = 1 : i64}
    return
  }
}
