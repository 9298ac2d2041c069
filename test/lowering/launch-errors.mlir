// RUN: fovea-opt %s --attn-launch --verify-diagnostics --split-input-file

module attributes {attn.target = "opencl"} {
  func.func @store(%o: memref<?xf32>, %x: f32) {
    %c0 = arith.constant 0 : index
    // expected-error @+1 {{on a GPU, `memref.store` is not supported yet}}
    memref.store %x, %o[%c0] : memref<?xf32>
    return
  }
}

// -----

module attributes {attn.target = "opencl"} {
  func.func @type(%o: memref<?xi16>) {
    // expected-error @+1 {{on a GPU, tensors of 'i16' are not supported yet}}
    linalg.generic {indexing_maps = [affine_map<(i) -> (i)>], iterator_types = ["parallel"]} outs(%o : memref<?xi16>) {
    ^bb0(%was: i16):
      %t = arith.addi %was, %was : i16
      linalg.yield %t : i16
    }
    return
  }
}

// -----

module attributes {attn.target = "opencl"} {
  func.func @argument(%o: memref<?xf16>, %x: f16) {
    // expected-error @+1 {{on a GPU, arguments of 'f16' are not supported yet}}
    linalg.generic {indexing_maps = [affine_map<(i) -> (i)>], iterator_types = ["parallel"]} outs(%o : memref<?xf16>) {
    ^bb0(%was: f16):
      linalg.yield %x : f16
    }
    return
  }
}

// -----

module attributes {attn.target = "opencl"} {
  func.func @conversion(%o: memref<?xf32>) {
    linalg.generic {indexing_maps = [affine_map<(i) -> (i)>], iterator_types = ["parallel"]} outs(%o : memref<?xf32>) {
    ^bb0(%was: f32):
      // expected-error @+1 {{on a GPU, `arith.fptosi` is not supported yet}}
      %wide = arith.fptosi %was : f32 to i64
      %t = arith.sitofp %wide : i64 to f32
      linalg.yield %t : f32
    }
    return
  }
}

// -----

module attributes {attn.target = "opencl"} {
  func.func @loop(%o: memref<?xf32>, %n: index) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    linalg.generic {indexing_maps = [affine_map<(i) -> (i)>], iterator_types = ["parallel"]} outs(%o : memref<?xf32>) {
    ^bb0(%was: f32):
      // expected-error @+1 {{on a GPU, `scf.for` is not supported yet}}
      %t = scf.for %k = %c0 to %n step %c1 iter_args(%s = %was) -> f32 {
        %z = arith.addf %s, %s : f32
        scf.yield %z : f32
      }
      linalg.yield %t : f32
    }
    return
  }
}

// -----

module attributes {attn.target = "opencl"} {
  func.func @axes(%x: memref<?x?xf32>, %m: memref<?xf32>, %a: memref<?xf32>) {
    // expected-error @+1 {{a nest whose outputs have different axes is not supported yet}}
    linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (j)>], iterator_types = ["parallel", "parallel"]}
        ins(%x : memref<?x?xf32>) outs(%m, %a : memref<?xf32>, memref<?xf32>) {
    ^bb0(%e: f32, %b: f32, %c: f32):
      linalg.yield %e, %e : f32, f32
    }
    return
  }
}
