// Products of bf16: nvgpu.mma.sync verifies them and is not lowered (LLVM 22); nvvm.mma.sync, of pairs in 32 bits, does the same.
// RUN: sed 's/xf16/xbf16/g' %S/attend.mlir > %t.mlir
// RUN: not %python %S/lower.py %t.mlir 2>&1 | FileCheck %s --check-prefix=LIMIT
// LIMIT: error: 'nvgpu.mma.sync' op failed to deduce operand PTX types
// RUN: %python %S/lower.py %s > %t.ptx
// RUN: FileCheck %s < %t.ptx
// RUN: %python %S/fragments.py %t.ptx

gpu.module @kernels {
  // CHECK-LABEL: .entry bf16
  // CHECK: mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32
  gpu.func @bf16(%a: memref<16x16xbf16>, %b: memref<8x16xbf16>, %c: memref<16x8xf32>) kernel {
    %c0 = arith.constant 0 : index
    %c2 = arith.constant 2 : index
    %c4 = arith.constant 4 : index
    %c8 = arith.constant 8 : index
    %lane = gpu.lane_id
    %row = arith.divui %lane, %c4 : index
    %quarter = arith.remui %lane, %c4 : index
    %pair = arith.muli %quarter, %c2 : index
    %no_left = arith.constant dense<0> : vector<4xi32>
    %left = affine.for %i = 0 to 4 iter_args(%l = %no_left) -> (vector<4xi32>) {
      %below = arith.remui %i, %c2 : index
      %beside = arith.divui %i, %c2 : index
      %rows = arith.muli %below, %c8 : index
      %columns = arith.muli %beside, %c8 : index
      %r = arith.addi %row, %rows : index
      %k = arith.addi %pair, %columns : index
      %two = vector.load %a[%r, %k] : memref<16x16xbf16>, vector<2xbf16>
      %bits = vector.bitcast %two : vector<2xbf16> to vector<1xi32>
      %word = vector.extract %bits[0] : i32 from vector<1xi32>
      %m = vector.insert %word, %l[%i] : i32 into vector<4xi32>
      affine.yield %m : vector<4xi32>
    }
    %a0 = vector.extract %left[0] : i32 from vector<4xi32>
    %a1 = vector.extract %left[1] : i32 from vector<4xi32>
    %a2 = vector.extract %left[2] : i32 from vector<4xi32>
    %a3 = vector.extract %left[3] : i32 from vector<4xi32>
    %no_right = arith.constant dense<0> : vector<2xi32>
    %right = affine.for %i = 0 to 2 iter_args(%l = %no_right) -> (vector<2xi32>) {
      %columns = arith.muli %i, %c8 : index
      %k = arith.addi %pair, %columns : index
      %two = vector.load %b[%row, %k] : memref<8x16xbf16>, vector<2xbf16>
      %bits = vector.bitcast %two : vector<2xbf16> to vector<1xi32>
      %word = vector.extract %bits[0] : i32 from vector<1xi32>
      %m = vector.insert %word, %l[%i] : i32 into vector<2xi32>
      affine.yield %m : vector<2xi32>
    }
    %b0 = vector.extract %right[0] : i32 from vector<2xi32>
    %b1 = vector.extract %right[1] : i32 from vector<2xi32>
    %lower = arith.addi %row, %c8 : index
    %upper_sum = vector.load %c[%row, %pair] : memref<16x8xf32>, vector<2xf32>
    %lower_sum = vector.load %c[%lower, %pair] : memref<16x8xf32>, vector<2xf32>
    %s0 = vector.extract %upper_sum[0] : f32 from vector<2xf32>
    %s1 = vector.extract %upper_sum[1] : f32 from vector<2xf32>
    %s2 = vector.extract %lower_sum[0] : f32 from vector<2xf32>
    %s3 = vector.extract %lower_sum[1] : f32 from vector<2xf32>
    %d = nvvm.mma.sync A[%a0, %a1, %a2, %a3] B[%b0, %b1] C[%s0, %s1, %s2, %s3]
      {layoutA = #nvvm.mma_layout<row>, layoutB = #nvvm.mma_layout<col>, multiplicandAPtxType = #nvvm.mma_type<bf16>, multiplicandBPtxType = #nvvm.mma_type<bf16>,
       shape = #nvvm.shape<m = 16, n = 8, k = 16>} : (i32, i32, f32) -> !llvm.struct<(f32, f32, f32, f32)>
    %d0 = llvm.extractvalue %d[0] : !llvm.struct<(f32, f32, f32, f32)>
    %d1 = llvm.extractvalue %d[1] : !llvm.struct<(f32, f32, f32, f32)>
    %d2 = llvm.extractvalue %d[2] : !llvm.struct<(f32, f32, f32, f32)>
    %d3 = llvm.extractvalue %d[3] : !llvm.struct<(f32, f32, f32, f32)>
    %upper_result = vector.from_elements %d0, %d1 : vector<2xf32>
    %lower_result = vector.from_elements %d2, %d3 : vector<2xf32>
    vector.store %upper_result, %c[%row, %pair] : memref<16x8xf32>, vector<2xf32>
    vector.store %lower_result, %c[%lower, %pair] : memref<16x8xf32>, vector<2xf32>
    gpu.return
  }
}
