// One attention kernel for tensor cores, by hand: o[h,i,:] = sum[j](softmax[j](q . k / 8) * v) where j <= i, queries, keys and values of f16, 64 numbers each.
// A block is 64 queries of one head, a warp 16 of them; keys and values come in tiles of 64, the next while one is used. docs/tensor-cores.md says why.
// RUN: %python %S/lower.py %s > %t.ptx
// RUN: %python %S/ptx.py %t.ptx | FileCheck %s
// RUN: %python %S/attend.py %t.ptx --faults

// CHECK: attend, loop at line
// CHECK-DAG: {{^}} 96 mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32
// CHECK-DAG: {{^}} 34 ex2.approx.ftz.f32
// CHECK-DAG: {{^}} 16 ldmatrix.sync.aligned.m8n8.x4.shared.b16
// CHECK-DAG: {{^}} 16 ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16
// CHECK-DAG: {{^}} 8 cp.async.cg.shared.global
// CHECK-DAG: {{^}} 4 shfl.sync.bfly.b32

// With weights in one part of f16 results are not what rule E10 allows.
// RUN: sed 's/part = 0 to 2/part = 0 to 1/' %s > %t.one.mlir
// RUN: %python %S/lower.py %t.one.mlir > %t.one.ptx
// RUN: not %python %S/attend.py %t.one.ptx 2>&1 | FileCheck %s --check-prefix=ONE
// RUN: %python %S/attend.py %t.one.ptx --tolerance 2.5e-4
// ONE: attend.py: error {{.*}} is more than 1.0e-05

// With the chunks of a row in order, lanes wait for each other's banks.
// RUN: sed 's/= arith.xori \(%[a-z_]*\), .*/= arith.addi \1, %c0 : index/' %s > %t.flat.mlir
// RUN: %python %S/lower.py %t.flat.mlir > %t.flat.ptx
// RUN: not %python %S/attend.py %t.flat.ptx 2>&1 | FileCheck %s --check-prefix=FLAT
// FLAT: attend.py: {{[0-9]+}} bank conflicts

// The host's side: the launch, and PTX in the object.
// RUN: %python %S/lower.py %s --host | FileCheck %s --check-prefix=HOST
// HOST: @kernels_binary = internal constant {{.*}}.target sm_80
// HOST: define void @attend(ptr
// HOST: call void @mgpuLaunchKernel(

#shared = #gpu.address_space<workgroup>
#strided = strided<[?, ?, 1], offset: ?>

module attributes {gpu.container_module} {
  func.func @attend(%q: memref<?x?x64xf16, #strided>, %k: memref<?x?x64xf16, #strided>, %v: memref<?x?x64xf16, #strided>, %o: memref<?x?x64xf32, #strided>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c64 = arith.constant 64 : index
    %c128 = arith.constant 128 : index
    %heads = memref.dim %q, %c0 : memref<?x?x64xf16, #strided>
    %rows = memref.dim %q, %c1 : memref<?x?x64xf16, #strided>
    %blocks = arith.ceildivui %rows, %c64 : index
    gpu.launch_func @kernels::@attend blocks in (%blocks, %heads, %c1) threads in (%c128, %c1, %c1)
      args(%q : memref<?x?x64xf16, #strided>, %k : memref<?x?x64xf16, #strided>, %v : memref<?x?x64xf16, #strided>, %o : memref<?x?x64xf32, #strided>)
    return
  }

  gpu.module @kernels {
    gpu.func @attend(%q: memref<?x?x64xf16, #strided>, %k: memref<?x?x64xf16, #strided>, %v: memref<?x?x64xf16, #strided>, %o: memref<?x?x64xf32, #strided>)
        workgroup(%qs: memref<64x64xf16, #shared> {llvm.align = 16 : i64}, %ks: memref<2x64x64xf16, #shared> {llvm.align = 16 : i64},
                  %vs: memref<2x64x64xf16, #shared> {llvm.align = 16 : i64})
        kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c2 = arith.constant 2 : index
      %c4 = arith.constant 4 : index
      %c8 = arith.constant 8 : index
      %c16 = arith.constant 16 : index
      %c32 = arith.constant 32 : index
      %c64 = arith.constant 64 : index
      %zero = arith.constant 0.0 : f32
      %one = arith.constant 1.0 : f32
      %lowest = arith.constant 0xFF800000 : f32
      %scale = arith.constant 0.18033688011112042 : f32  // log2(e) / sqrt(64)
      %nothing = arith.constant dense<0.0> : vector<4x2x2x2xf32>
      %none = arith.constant dense<0xFF800000> : vector<2xf32>
      %no_rows = arith.constant dense<0.0> : vector<2xf32>
      %full = arith.constant 32 : i32
      %next_lane = arith.constant 1 : i32
      %next_pair = arith.constant 2 : i32

      %thread = gpu.thread_id x upper_bound 128
      %head = gpu.block_id y
      %block = gpu.block_id x
      %rows = memref.dim %q, %c1 : memref<?x?x64xf16, #strided>
      %keys = memref.dim %k, %c1 : memref<?x?x64xf16, #strided>
      %first = arith.muli %block, %c64 : index

      // The mask j <= i bounds the loop: the block's last row visits the keys up to itself.
      %beyond = arith.addi %first, %c64 : index
      %upper = arith.minsi %keys, %beyond : index
      %tiles = arith.ceildivsi %upper, %c64 : index

      // Copies: eight threads a row, 16 bytes each. The eight chunks of row r lie in the order c xor (r mod 8), so that neither copies nor ldmatrix
      // meet in a bank.
      %copy_row = arith.divui %thread, %c8 : index
      %copy_chunk = arith.remui %thread, %c8 : index
      %copy_column = arith.muli %copy_chunk, %c8 : index
      %copy_phase = arith.remui %copy_row, %c8 : index
      %copy_place = arith.xori %copy_chunk, %copy_phase : index
      %copy_to = arith.muli %copy_place, %c8 : index

      affine.for %c = 0 to 4 {
        %below = arith.muli %c, %c16 : index
        %row = arith.addi %copy_row, %below : index
        %i = arith.addi %first, %row : index
        %inside = arith.cmpi slt, %i, %rows : index
        %count = arith.select %inside, %c8, %c0 : index
        nvgpu.device_async_copy %q[%head, %i, %copy_column], %qs[%row, %copy_to], 8, %count {bypassL1}
          : memref<?x?x64xf16, #strided> to memref<64x64xf16, #shared>
        %visited = arith.cmpi slt, %row, %keys : index
        %length = arith.select %visited, %c8, %c0 : index
        nvgpu.device_async_copy %k[%head, %row, %copy_column], %ks[%c0, %row, %copy_to], 8, %length {bypassL1}
          : memref<?x?x64xf16, #strided> to memref<2x64x64xf16, #shared>
        nvgpu.device_async_copy %v[%head, %row, %copy_column], %vs[%c0, %row, %copy_to], 8, %length {bypassL1}
          : memref<?x?x64xf16, #strided> to memref<2x64x64xf16, #shared>
      }
      %begun = nvgpu.device_async_create_group {}
      nvgpu.device_async_wait %begun {numGroups = 0 : i32}
      gpu.barrier

      // Fragments. A lane holds of a 16 x 8 tile of scores the rows lane / 4 and lane / 4 + 8, of each the columns 2 (lane mod 4) and the next one.
      %warp = arith.divui %thread, %c32 : index
      %lane = arith.remui %thread, %c32 : index
      %lane_row = arith.remui %lane, %c16 : index
      %lane_half = arith.divui %lane, %c16 : index
      %lane_phase = arith.remui %lane, %c8 : index
      %lane_eight = arith.divui %lane, %c8 : index
      %lane_odd = arith.remui %lane_eight, %c2 : index
      %half_eight = arith.muli %lane_half, %c8 : index
      %key_row = arith.addi %half_eight, %lane_phase : index
      %quad = arith.divui %lane, %c4 : index
      %in_quad = arith.remui %lane, %c4 : index
      %in_quad_column = arith.muli %in_quad, %c2 : index
      %warp_row = arith.muli %warp, %c16 : index
      %query_row = arith.addi %warp_row, %lane_row : index
      %warp_first = arith.addi %first, %warp_row : index
      %row0 = arith.addi %warp_first, %quad : index
      %row1 = arith.addi %row0, %c8 : index

      %no_fragment = arith.constant dense<0.0> : vector<4x4x2xf16>
      %query = affine.for %d = 0 to 4 iter_args(%f = %no_fragment) -> (vector<4x4x2xf16>) {
        %pair = arith.muli %d, %c2 : index
        %chunk = arith.addi %pair, %lane_half : index
        %place = arith.xori %chunk, %lane_phase : index
        %column = arith.muli %place, %c8 : index
        %a = nvgpu.ldmatrix %qs[%query_row, %column] {numTiles = 4 : i32, transpose = false} : memref<64x64xf16, #shared> -> vector<4x2xf16>
        %g = vector.insert %a, %f[%d] : vector<4x2xf16> into vector<4x4x2xf16>
        affine.yield %g : vector<4x4x2xf16>
      }

      // The last key of each of the lane's rows, minus what a lane's columns begin with.
      %last_key = arith.subi %keys, %c1 : index
      %end0 = arith.minsi %row0, %last_key : index
      %end1 = arith.minsi %row1, %last_key : index
      %left0 = arith.subi %end0, %in_quad_column : index
      %left1 = arith.subi %end1, %in_quad_column : index
      %left0_32 = arith.index_cast %left0 : index to i32
      %left1_32 = arith.index_cast %left1 : index to i32
      %limit0 = vector.broadcast %left0_32 : i32 to vector<2xi32>
      %limit1 = vector.broadcast %left1_32 : i32 to vector<2xi32>
      %limits0 = arith.constant dense<0> : vector<2x2xi32>
      %limits1 = vector.insert %limit0, %limits0[0] : vector<2xi32> into vector<2x2xi32>
      %limits = vector.insert %limit1, %limits1[1] : vector<2xi32> into vector<2x2xi32>
      %pair_columns = arith.constant dense<[[0, 1], [0, 1]]> : vector<2x2xi32>
      %whole = arith.addi %warp_first, %c1 : index
      %whole_keys = arith.minsi %whole, %keys : index

      %m, %l, %acc = scf.for %t = %c0 to %tiles step %c1 iter_args(%m = %none, %l = %no_rows, %acc = %nothing) -> (vector<2xf32>, vector<2xf32>, vector<4x2x2x2xf32>) {
        %stage = arith.remui %t, %c2 : index
        %tile_first = arith.muli %t, %c64 : index

        // The next tile is on its way while this one is used.
        %next = arith.addi %t, %c1 : index
        %next_first = arith.muli %next, %c64 : index
        %next_stage = arith.remui %next, %c2 : index
        %more = arith.cmpi slt, %next, %tiles : index
        scf.if %more {
          affine.for %c = 0 to 4 {
            %below = arith.muli %c, %c16 : index
            %row = arith.addi %copy_row, %below : index
            %j = arith.addi %next_first, %row : index
            %visited = arith.cmpi slt, %j, %keys : index
            %length = arith.select %visited, %c8, %c0 : index
            nvgpu.device_async_copy %k[%head, %j, %copy_column], %ks[%next_stage, %row, %copy_to], 8, %length {bypassL1}
              : memref<?x?x64xf16, #strided> to memref<2x64x64xf16, #shared>
            nvgpu.device_async_copy %v[%head, %j, %copy_column], %vs[%next_stage, %row, %copy_to], 8, %length {bypassL1}
              : memref<?x?x64xf16, #strided> to memref<2x64x64xf16, #shared>
          }
        }
        %coming = nvgpu.device_async_create_group {}

        // Scores: 16 rows by 64 keys.
        %products = affine.for %d = 0 to 4 iter_args(%s0 = %nothing) -> (vector<4x2x2x2xf32>) {
          %a = vector.extract %query[%d] : vector<4x2xf16> from vector<4x4x2xf16>
          %pair = arith.muli %d, %c2 : index
          %chunk = arith.addi %pair, %lane_odd : index
          %place = arith.xori %chunk, %lane_phase : index
          %column = arith.muli %place, %c8 : index
          %s1 = affine.for %j = 0 to 4 iter_args(%s2 = %s0) -> (vector<4x2x2x2xf32>) {
            %below = arith.muli %j, %c16 : index
            %row = arith.addi %below, %key_row : index
            %b = nvgpu.ldmatrix %ks[%stage, %row, %column] {numTiles = 4 : i32, transpose = false} : memref<2x64x64xf16, #shared> -> vector<4x2xf16>
            %b0 = vector.extract_strided_slice %b {offsets = [0], sizes = [2], strides = [1]} : vector<4x2xf16> to vector<2x2xf16>
            %b1 = vector.extract_strided_slice %b {offsets = [2], sizes = [2], strides = [1]} : vector<4x2xf16> to vector<2x2xf16>
            %x0 = vector.extract %s2[%j, 0] : vector<2x2xf32> from vector<4x2x2x2xf32>
            %x1 = vector.extract %s2[%j, 1] : vector<2x2xf32> from vector<4x2x2x2xf32>
            %y0 = nvgpu.mma.sync(%a, %b0, %x0) {mmaShape = [16, 8, 16]} : (vector<4x2xf16>, vector<2x2xf16>, vector<2x2xf32>) -> vector<2x2xf32>
            %y1 = nvgpu.mma.sync(%a, %b1, %x1) {mmaShape = [16, 8, 16]} : (vector<4x2xf16>, vector<2x2xf16>, vector<2x2xf32>) -> vector<2x2xf32>
            %s3 = vector.insert %y0, %s2[%j, 0] : vector<2x2xf32> into vector<4x2x2x2xf32>
            %s4 = vector.insert %y1, %s3[%j, 1] : vector<2x2xf32> into vector<4x2x2x2xf32>
            affine.yield %s4 : vector<4x2x2x2xf32>
          }
          affine.yield %s1 : vector<4x2x2x2xf32>
        }

        // Only a tile that one of the warp's rows does not visit whole tests its points.
        %tile_end = arith.addi %tile_first, %c64 : index
        %partial = arith.cmpi sgt, %tile_end, %whole_keys : index
        %scores = scf.if %partial -> (vector<4x2x2x2xf32>) {
          %masked = affine.for %j = 0 to 4 iter_args(%s0 = %products) -> (vector<4x2x2x2xf32>) {
            %s1 = affine.for %h = 0 to 2 iter_args(%s2 = %s0) -> (vector<4x2x2x2xf32>) {
              %far = arith.muli %j, %c16 : index
              %near = arith.muli %h, %c8 : index
              %off = arith.addi %far, %near : index
              %key = arith.addi %tile_first, %off : index
              %key32 = arith.index_cast %key : index to i32
              %key_vector = vector.broadcast %key32 : i32 to vector<2x2xi32>
              %columns = arith.addi %key_vector, %pair_columns : vector<2x2xi32>
              %keep = arith.cmpi sle, %columns, %limits : vector<2x2xi32>
              %x = vector.extract %s2[%j, %h] : vector<2x2xf32> from vector<4x2x2x2xf32>
              %removed = vector.broadcast %lowest : f32 to vector<2x2xf32>
              %y = arith.select %keep, %x, %removed : vector<2x2xi1>, vector<2x2xf32>
              %s3 = vector.insert %y, %s2[%j, %h] : vector<2x2xf32> into vector<4x2x2x2xf32>
              affine.yield %s3 : vector<4x2x2x2xf32>
            }
            affine.yield %s1 : vector<4x2x2x2xf32>
          }
          scf.yield %masked : vector<4x2x2x2xf32>
        } else {
          scf.yield %products : vector<4x2x2x2xf32>
        }

        // Row maxima: of the lane's sixteen scores a row, then of the four lanes that share the rows.
        %lane_best = affine.for %j = 0 to 4 iter_args(%b0 = %m) -> (vector<2xf32>) {
          %b1 = affine.for %h = 0 to 2 iter_args(%b2 = %b0) -> (vector<2xf32>) {
            %b3 = affine.for %r = 0 to 2 iter_args(%b4 = %b2) -> (vector<2xf32>) {
              %x0 = vector.extract %scores[%j, %h, %r, 0] : f32 from vector<4x2x2x2xf32>
              %x1 = vector.extract %scores[%j, %h, %r, 1] : f32 from vector<4x2x2x2xf32>
              %was = vector.extract %b4[%r] : f32 from vector<2xf32>
              %x = arith.maximumf %x0, %x1 : f32
              %is = arith.maximumf %x, %was : f32
              %b5 = vector.insert %is, %b4[%r] : f32 into vector<2xf32>
              affine.yield %b5 : vector<2xf32>
            }
            affine.yield %b3 : vector<2xf32>
          }
          affine.yield %b1 : vector<2xf32>
        }
        %best = affine.for %r = 0 to 2 iter_args(%b0 = %lane_best) -> (vector<2xf32>) {
          %x = vector.extract %b0[%r] : f32 from vector<2xf32>
          %x1, %valid1 = gpu.shuffle xor %x, %next_lane, %full : f32
          %y = arith.maximumf %x, %x1 : f32
          %y1, %valid2 = gpu.shuffle xor %y, %next_pair, %full : f32
          %z = arith.maximumf %y, %y1 : f32
          %b1 = vector.insert %z, %b0[%r] : f32 into vector<2xf32>
          affine.yield %b1 : vector<2xf32>
        }

        // Weights relative to the new maxima; what was summed relative to the old ones is scaled. A row without a key keeps maximum -inf.
        %is_none = arith.cmpf oeq, %best, %none : vector<2xf32>
        %shift0 = arith.select %is_none, %no_rows, %best : vector<2xi1>, vector<2xf32>
        %scales = vector.broadcast %scale : f32 to vector<2xf32>
        %shift = arith.mulf %shift0, %scales : vector<2xf32>
        %minus = arith.negf %shift : vector<2xf32>
        %was = math.fma %m, %scales, %minus : vector<2xf32>
        %was0 = vector.extract %was[0] : f32 from vector<2xf32>
        %was1 = vector.extract %was[1] : f32 from vector<2xf32>
        %correct0 = llvm.call_intrinsic "llvm.nvvm.ex2.approx.ftz.f"(%was0) : (f32) -> f32
        %correct1 = llvm.call_intrinsic "llvm.nvvm.ex2.approx.ftz.f"(%was1) : (f32) -> f32
        %correct = vector.from_elements %correct0, %correct1 : vector<2xf32>
        %l_corrected = arith.mulf %l, %correct : vector<2xf32>

        %weights, %sums = affine.for %j = 0 to 4 iter_args(%w0 = %scores, %l0 = %l_corrected) -> (vector<4x2x2x2xf32>, vector<2xf32>) {
          %w1, %l1 = affine.for %h = 0 to 2 iter_args(%w2 = %w0, %l2 = %l0) -> (vector<4x2x2x2xf32>, vector<2xf32>) {
            %w3, %l3 = affine.for %r = 0 to 2 iter_args(%w4 = %w2, %l4 = %l2) -> (vector<4x2x2x2xf32>, vector<2xf32>) {
              %x = vector.extract %w4[%j, %h, %r] : vector<2xf32> from vector<4x2x2x2xf32>
              %by = vector.extract %minus[%r] : f32 from vector<2xf32>
              %by2 = vector.broadcast %by : f32 to vector<2xf32>
              %e = math.fma %x, %scales, %by2 : vector<2xf32>
              %e0 = vector.extract %e[0] : f32 from vector<2xf32>
              %e1 = vector.extract %e[1] : f32 from vector<2xf32>
              %p0 = llvm.call_intrinsic "llvm.nvvm.ex2.approx.ftz.f"(%e0) : (f32) -> f32
              %p1 = llvm.call_intrinsic "llvm.nvvm.ex2.approx.ftz.f"(%e1) : (f32) -> f32
              %p = vector.from_elements %p0, %p1 : vector<2xf32>
              %w5 = vector.insert %p, %w4[%j, %h, %r] : vector<2xf32> into vector<4x2x2x2xf32>
              %was_sum = vector.extract %l4[%r] : f32 from vector<2xf32>
              %both = arith.addf %p0, %p1 : f32
              %sum = arith.addf %was_sum, %both : f32
              %l5 = vector.insert %sum, %l4[%r] : f32 into vector<2xf32>
              affine.yield %w5, %l5 : vector<4x2x2x2xf32>, vector<2xf32>
            }
            affine.yield %w3, %l3 : vector<4x2x2x2xf32>, vector<2xf32>
          }
          affine.yield %w1, %l1 : vector<4x2x2x2xf32>, vector<2xf32>
        }

        %acc_corrected = affine.for %e = 0 to 4 iter_args(%a0 = %acc) -> (vector<4x2x2x2xf32>) {
          %a1 = affine.for %h = 0 to 2 iter_args(%a2 = %a0) -> (vector<4x2x2x2xf32>) {
            %a3 = affine.for %r = 0 to 2 iter_args(%a4 = %a2) -> (vector<4x2x2x2xf32>) {
              %x = vector.extract %a4[%e, %h, %r] : vector<2xf32> from vector<4x2x2x2xf32>
              %by = vector.extract %correct[%r] : f32 from vector<2xf32>
              %by2 = vector.broadcast %by : f32 to vector<2xf32>
              %y = arith.mulf %x, %by2 : vector<2xf32>
              %a5 = vector.insert %y, %a4[%e, %h, %r] : vector<2xf32> into vector<4x2x2x2xf32>
              affine.yield %a5 : vector<4x2x2x2xf32>
            }
            affine.yield %a3 : vector<4x2x2x2xf32>
          }
          affine.yield %a1 : vector<4x2x2x2xf32>
        }

        // Scores of two tiles of eight keys lie as the left operand of a product over sixteen keys does. Weights go in as the f16 nearest to them and
        // the f16 nearest to the rest.
        %added, %rest = affine.for %part = 0 to 2 iter_args(%p0 = %acc_corrected, %rest = %weights) -> (vector<4x2x2x2xf32>, vector<4x2x2x2xf32>) {
          %near = arith.truncf %rest : vector<4x2x2x2xf32> to vector<4x2x2x2xf16>
          %near32 = arith.extf %near : vector<4x2x2x2xf16> to vector<4x2x2x2xf32>
          %less = arith.subf %rest, %near32 : vector<4x2x2x2xf32>
          %left = vector.shape_cast %near : vector<4x2x2x2xf16> to vector<4x4x2xf16>
          %p1 = affine.for %j = 0 to 4 iter_args(%p2 = %p0) -> (vector<4x2x2x2xf32>) {
            %a = vector.extract %left[%j] : vector<4x2xf16> from vector<4x4x2xf16>
            %below = arith.muli %j, %c16 : index
            %row = arith.addi %below, %lane_row : index
            %p3 = affine.for %e = 0 to 4 iter_args(%p4 = %p2) -> (vector<4x2x2x2xf32>) {
              %pair = arith.muli %e, %c2 : index
              %chunk = arith.addi %pair, %lane_half : index
              %place = arith.xori %chunk, %lane_phase : index
              %column = arith.muli %place, %c8 : index
              %b = nvgpu.ldmatrix %vs[%stage, %row, %column] {numTiles = 4 : i32, transpose = true} : memref<2x64x64xf16, #shared> -> vector<4x2xf16>
              %b0 = vector.extract_strided_slice %b {offsets = [0], sizes = [2], strides = [1]} : vector<4x2xf16> to vector<2x2xf16>
              %b1 = vector.extract_strided_slice %b {offsets = [2], sizes = [2], strides = [1]} : vector<4x2xf16> to vector<2x2xf16>
              %x0 = vector.extract %p4[%e, 0] : vector<2x2xf32> from vector<4x2x2x2xf32>
              %x1 = vector.extract %p4[%e, 1] : vector<2x2xf32> from vector<4x2x2x2xf32>
              %y0 = nvgpu.mma.sync(%a, %b0, %x0) {mmaShape = [16, 8, 16]} : (vector<4x2xf16>, vector<2x2xf16>, vector<2x2xf32>) -> vector<2x2xf32>
              %y1 = nvgpu.mma.sync(%a, %b1, %x1) {mmaShape = [16, 8, 16]} : (vector<4x2xf16>, vector<2x2xf16>, vector<2x2xf32>) -> vector<2x2xf32>
              %p5 = vector.insert %y0, %p4[%e, 0] : vector<2x2xf32> into vector<4x2x2x2xf32>
              %p6 = vector.insert %y1, %p5[%e, 1] : vector<2x2xf32> into vector<4x2x2x2xf32>
              affine.yield %p6 : vector<4x2x2x2xf32>
            }
            affine.yield %p3 : vector<4x2x2x2xf32>
          }
          affine.yield %p1, %less : vector<4x2x2x2xf32>, vector<4x2x2x2xf32>
        }

        nvgpu.device_async_wait %coming {numGroups = 0 : i32}
        gpu.barrier
        scf.yield %best, %sums, %added : vector<2xf32>, vector<2xf32>, vector<4x2x2x2xf32>
      }

      // A row without a key is 0 (rule M4).
      affine.for %r = 0 to 2 {
        %x = vector.extract %l[%r] : f32 from vector<2xf32>
        %x1, %valid1 = gpu.shuffle xor %x, %next_lane, %full : f32
        %y = arith.addf %x, %x1 : f32
        %y1, %valid2 = gpu.shuffle xor %y, %next_pair, %full : f32
        %z = arith.addf %y, %y1 : f32
        %is_zero = arith.cmpf oeq, %z, %zero : f32
        %divisor = arith.select %is_zero, %one, %z : f32
        %factor = arith.divf %one, %divisor : f32
        %by = vector.broadcast %factor : f32 to vector<2xf32>
        %below = arith.muli %r, %c8 : index
        %i = arith.addi %row0, %below : index
        %inside = arith.cmpi slt, %i, %rows : index
        scf.if %inside {
          affine.for %e = 0 to 4 {
            affine.for %h = 0 to 2 {
              %sum = vector.extract %acc[%e, %h, %r] : vector<2xf32> from vector<4x2x2x2xf32>
              %result = arith.mulf %sum, %by : vector<2xf32>
              %far = arith.muli %e, %c16 : index
              %near = arith.muli %h, %c8 : index
              %off = arith.addi %far, %near : index
              %column = arith.addi %off, %in_quad_column : index
              vector.store %result, %o[%head, %i, %column] : memref<?x?x64xf32, #strided>, vector<2xf32>
            }
          }
        }
      }
      gpu.return
    }
  }
}
