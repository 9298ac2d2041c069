// RUN: fovea-opt %s --attn-schedule --attn-launch | FileCheck %s

#q = affine_map<(i, j, d, e) -> (i, d)>
#k = affine_map<(i, j, d, e) -> (j, d)>
#v = affine_map<(i, j, d, e) -> (j, e)>
#o = affine_map<(i, j, d, e) -> (i, e)>

module attributes {attn.target = "opencl"} {
// Many rows are one nest, whose loops are reduced over keys and features; the score and the mask are steps over the dot product, what does not vary is an argument.
// CHECK: attn.leaves = ["{{.*}}\22reduced\22:[false,true,true,false],\22scalars\22:[\22i32\22,\22f32\22]
// CHECK-SAME: [\22dot\22,[]]
// CHECK-SAME: \22cmpi_sle\22
// CHECK-SAME: \22attend\22:{\22row\22:0,\22key\22:1,\22contracted\22:2,\22along\22:3
// CHECK-SAME: \22queries\22:64,\22keys\22:32,\22columns\22:64,\22depth\22:16,\22threads_across\22:16,\22threads_down\22:16
// CHECK-LABEL: func.func @causal
// CHECK: scf.if
// CHECK: %[[STATE:.*]] = memref.alloc({{.*}}) : memref<?x?x?xf32>
// CHECK-COUNT-2: call @fovea_rt_launch
// CHECK: memref.dealloc %[[STATE]]
// CHECK: } else {
// CHECK-NOT: memref.alloc(
// CHECK: call @fovea_rt_launch
// CHECK-NOT: attn.attend
func.func @causal(%q: memref<?x?xf32>, %k: memref<?x?xf32>, %v: memref<?x?xf32>, %scale: f32, %past: i32, %o: memref<?x?xf32>) {
  attn.attend ins(%q, %k, %v : memref<?x?xf32>, memref<?x?xf32>, memref<?x?xf32>) outs(%o : memref<?x?xf32>)
      attributes {indexing_maps = [#q, #k, #v, #o], roles = ["row", "key", "contracted", "value"]} {
  ^bb0(%dot: f32):
    %j = attn.index 1
    %ji = arith.index_cast %j : index to i32
    %i = attn.index 0
    %ii = arith.index_cast %i : index to i32
    %last = arith.addi %ii, %past : i32
    %keep = arith.cmpi sle, %ji, %last : i32
    %s = arith.mulf %dot, %scale : f32
    attn.yield %s, %keep : f32
  }
  return
}

// Extents that are known choose here: 17 rows are not cut, nor are 256 keys; 16 rows over 257 keys are.
// CHECK-LABEL: func.func @seventeen_rows
// CHECK-NOT: scf.if
// CHECK-NOT: memref.alloc(
// CHECK: call @fovea_rt_launch
// CHECK-NOT: call @fovea_rt_launch
// CHECK-LABEL: func.func @few_keys
// CHECK-NOT: scf.if
// CHECK-NOT: memref.alloc(
// CHECK: call @fovea_rt_launch
// CHECK-NOT: call @fovea_rt_launch
// CHECK-LABEL: func.func @cut
// CHECK-NOT: scf.if
// CHECK: memref.alloc(
// CHECK-COUNT-2: call @fovea_rt_launch
// CHECK-NOT: call @fovea_rt_launch
func.func @seventeen_rows(%q: memref<17x8xf32>, %k: memref<?x8xf32>, %v: memref<?x8xf32>, %o: memref<17x8xf32>) {
  attn.attend ins(%q, %k, %v : memref<17x8xf32>, memref<?x8xf32>, memref<?x8xf32>) outs(%o : memref<17x8xf32>)
      attributes {indexing_maps = [#q, #k, #v, #o], roles = ["row", "key", "contracted", "value"]} {
  ^bb0(%dot: f32):
    %true = arith.constant true
    attn.yield %dot, %true : f32
  }
  return
}
func.func @few_keys(%q: memref<?x8xf32>, %k: memref<256x8xf32>, %v: memref<256x8xf32>, %o: memref<?x8xf32>) {
  attn.attend ins(%q, %k, %v : memref<?x8xf32>, memref<256x8xf32>, memref<256x8xf32>) outs(%o : memref<?x8xf32>)
      attributes {indexing_maps = [#q, #k, #v, #o], roles = ["row", "key", "contracted", "value"]} {
  ^bb0(%dot: f32):
    %true = arith.constant true
    attn.yield %dot, %true : f32
  }
  return
}
func.func @cut(%q: memref<16x8xf32>, %k: memref<257x8xf32>, %v: memref<257x8xf32>, %o: memref<16x8xf32>) {
  attn.attend ins(%q, %k, %v : memref<16x8xf32>, memref<257x8xf32>, memref<257x8xf32>) outs(%o : memref<16x8xf32>)
      attributes {indexing_maps = [#q, #k, #v, #o], roles = ["row", "key", "contracted", "value"]} {
  ^bb0(%dot: f32):
    %true = arith.constant true
    attn.yield %dot, %true : f32
  }
  return
}
}
