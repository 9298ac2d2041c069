// How ptx.py understands the fragments of mma.sync and ldmatrix, against how upstream's convert-vector-to-gpu does, which writes the indices here.
// What lies in shared memory, fragments.py puts there.
// RUN: mlir-opt %s --pass-pipeline="builtin.module(gpu.module(gpu.func(convert-vector-to-gpu{use-nvgpu=true},canonicalize)))" -o %t.mlir
// RUN: %python %S/lower.py %t.mlir > %t.ptx
// RUN: FileCheck %s < %t.ptx
// RUN: %python %S/fragments.py %t.ptx

#left = affine_map<(m, n, k) -> (m, k)>
#right = affine_map<(m, n, k) -> (n, k)>
#result = affine_map<(m, n, k) -> (m, n)>
#transposed = affine_map<(k, n) -> (n, k)>
#shared = #gpu.address_space<workgroup>

gpu.module @kernels {
  // CHECK-LABEL: .entry global
  // CHECK-NOT: ldmatrix
  // CHECK: mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32
  gpu.func @global(%a: memref<16x16xf16>, %b: memref<8x16xf16>, %c: memref<16x8xf32>) kernel {
    %c0 = arith.constant 0 : index
    %z = arith.constant 0.0 : f16
    %z32 = arith.constant 0.0 : f32
    %x = vector.transfer_read %a[%c0, %c0], %z {in_bounds = [true, true]} : memref<16x16xf16>, vector<16x16xf16>
    %y = vector.transfer_read %b[%c0, %c0], %z {in_bounds = [true, true]} : memref<8x16xf16>, vector<8x16xf16>
    %w = vector.transfer_read %c[%c0, %c0], %z32 {in_bounds = [true, true]} : memref<16x8xf32>, vector<16x8xf32>
    %d = vector.contract {indexing_maps = [#left, #right, #result], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>}
      %x, %y, %w : vector<16x16xf16>, vector<8x16xf16> into vector<16x8xf32>
    vector.transfer_write %d, %c[%c0, %c0] {in_bounds = [true, true]} : vector<16x8xf32>, memref<16x8xf32>
    gpu.return
  }

  // CHECK-LABEL: .entry shared
  // CHECK-DAG: ldmatrix.sync.aligned.m8n8.x4.shared.b16
  // CHECK-DAG: ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16
  // CHECK: mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32
  gpu.func @shared(%c: memref<16x8xf32>)
      workgroup(%as: memref<16x16xf16, #shared> {llvm.align = 16 : i64}, %bs: memref<16x8xf16, #shared> {llvm.align = 16 : i64}) kernel {
    %c0 = arith.constant 0 : index
    %z = arith.constant 0.0 : f16
    %z32 = arith.constant 0.0 : f32
    %x = vector.transfer_read %as[%c0, %c0], %z {in_bounds = [true, true]} : memref<16x16xf16, #shared>, vector<16x16xf16>
    %y = vector.transfer_read %bs[%c0, %c0], %z {in_bounds = [true, true], permutation_map = #transposed} : memref<16x8xf16, #shared>, vector<8x16xf16>
    %w = vector.transfer_read %c[%c0, %c0], %z32 {in_bounds = [true, true]} : memref<16x8xf32>, vector<16x8xf32>
    %d = vector.contract {indexing_maps = [#left, #right, #result], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>}
      %x, %y, %w : vector<16x16xf16>, vector<8x16xf16> into vector<16x8xf32>
    vector.transfer_write %d, %c[%c0, %c0] {in_bounds = [true, true]} : vector<16x8xf32>, memref<16x8xf32>
    gpu.return
  }
}
