// RUN: fovea-opt %s --attn-schedule --attn-launch | FileCheck %s

#q = affine_map<(i, j, d, e) -> (i, d)>
#k = affine_map<(i, j, d, e) -> (j, d)>
#v = affine_map<(i, j, d, e) -> (j, e)>
#o = affine_map<(i, j, d, e) -> (i, e)>

module attributes {attn.target = "opencl"} {
// One nest, whose loops are reduced over keys and features; the score and the mask are steps over the dot product, what does not vary is an argument.
// CHECK: attn.leaves = ["{{.*}}\22reduced\22:[false,true,true,false],\22scalars\22:[\22i32\22,\22f32\22]
// CHECK-SAME: [\22dot\22,[]]
// CHECK-SAME: \22cmpi_sle\22
// CHECK-SAME: \22attend\22:{\22row\22:0,\22key\22:1,\22contracted\22:2,\22along\22:3
// CHECK-SAME: \22queries\22:64,\22keys\22:32,\22columns\22:64,\22depth\22:16,\22threads_across\22:16,\22threads_down\22:16
// CHECK-LABEL: func.func @causal
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
}
