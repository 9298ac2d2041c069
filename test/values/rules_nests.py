"""Rules E7 and E10 for reductions that a GPU computes in tiles or by several threads together: extents that fill no tile, exactly one, and none at all,
and every kind of fold. On the host they are leaves and loops."""

import numpy as np

from harness import case
from tensors import Random, bf16, f32, i32

R = Random(31)


def product(name, kernel, *inputs, **more):
    return case(kernel, *inputs, name=f"E7 tiles: {name}", **more)


# Rows and columns of two axes each; few rows and many.
SIZES = [(1, 1, 16, 65), (1, 15, 17, 63), (1, 17, 15, 1), (5, 13, 33, 15), (2, 32, 64, 64), (1, 63, 1, 17), (3, 5, 0, 7), (0, 3, 4, 5), (1, 1, 1, 1)]
product("weights", "kernel t(x: f32[b,i,d], w: f32[d,e]) -> o: f32[b,i,e] { o = sum[d](x[b,i,d] * w[d,e]); }",
        *[dict(x=R.f32(b, i, d), w=R.f32(d, e)) for b, i, d, e in SIZES])(lambda x, w: dict(o=x @ w))
product("weights the other way, of half precision", "kernel t(x: f16[i,d], w: bf16[g,e,d]) -> o: bf16[i,g,e] { o = sum[d](x[i,d] * w[g,e,d]); }",
        dict(x=R.f16(70, 37), w=R.bf16(3, 21, 37)), dict(x=R.f16(3, 37), w=R.bf16(2, 31, 37)))(lambda x, w: dict(o=np.einsum("id,ged->ige", x, w)))
product("of extents that are known", "kernel t(x: f32[i,d], w: f32[d,e]) -> o: f32[i,e] where i = 9, d = 18, e = 5 { o = sum[d](x[i,d] * w[d,e]); }",
        dict(x=R.f32(9, 18), w=R.f32(18, 5)))(lambda x, w: dict(o=x @ w))
product("narrow, of extents that are known", "kernel t(x: f32[i,d], w: f32[d,e]) -> o: f32[i,e] where e = 12 { o = sum[d](x[i,d] * w[d,e]); }",
        dict(x=R.f32(300, 18), w=R.f32(18, 12)))(lambda x, w: dict(o=x @ w))
product("additive scores", "kernel t(x: f32[h,i,a], y: f32[h,j,a], v: f32[a]) -> o: f32[h,i,j] { o = sum[a](v[a] * tanh(x[h,i,a] + y[h,j,a])); }",
        dict(x=R.f32(2, 33, 19), y=R.f32(2, 35, 19), v=R.f32(19)), dict(x=R.f32(2, 2, 5), y=R.f32(2, 40, 5), v=R.f32(5)))(
    lambda x, y, v: dict(o=np.tanh(x[:, :, None] + y[:, None]) @ v))
product("distances", "kernel t(x: f32[i,d], y: f32[j,d]) -> o: f32[i,j] { o = sum[d]((x[i,d] - y[j,d]) * (x[i,d] - y[j,d])); }",
        dict(x=R.f32(65, 17), y=R.f32(66, 17)))(lambda x, y: dict(o=((x[:, None] - y) ** 2).sum(-1)))
product("largest sums", "kernel t(x: f32[i,d], y: f32[j,d]) -> o: f32[i,j] { o = max[d](x[i,d] + y[j,d]); }",
        dict(x=f32(R.f32(65, 17).data - 9), y=f32(R.f32(66, 17).data - 9)), dict(x=R.f32(3, 40), y=R.f32(40, 40)))(lambda x, y: dict(o=(x[:, None] + y).max(-1)))
product("of integers", "kernel t(x: i32[i,d], y: i32[j,d]) -> o: i32[i,j] { o = sum[d](x[i,d] * y[j,d]); }",
        dict(x=i32(np.arange(65 * 17).reshape(65, 17) - 500), y=i32(np.arange(33 * 17).reshape(33, 17) * 3 - 700)))(lambda x, y: dict(o=x @ y.T))
product("a window of rows", "kernel t(x: f32[i,d], w: f32[r,d,e]) -> o: f32[i,e] { o = sum[r,d](x[i: i + r - 1] * w[r,d,e]); }",
        dict(x=R.f32(70, 7), w=R.f32(3, 7, 33)), dict(x=R.f32(4, 7), w=R.f32(3, 7, 33)))(
    lambda x, w: dict(o=sum(np.pad(x, ((1, 1), (0, 0)))[r:r + len(x)] @ w[r] for r in range(3))))
product("under a mask", "kernel t(x: f32[i,d], w: f32[d,e], n: i32[i]) -> o: f32[i,e] { mask d < n[i]; o = sum[d](x[i,d] * w[d,e]); }",
        dict(x=R.f32(70, 37), w=R.f32(37, 66), n=i32(np.arange(70) % 40)))(
    lambda x, w, n: dict(o=np.where(np.arange(x.shape[1]) < n[:, None], x, 0) @ w))
product("normalised on the way", "kernel t(x: f32[i,d], y: f32[j,d]) -> o: f32[i,j] { o = sum[d](x * rsqrt(sum[d](x * x)) * y * rsqrt(sum[d](y * y))); }",
        dict(x=R.f32(65, 17), y=R.f32(66, 17)))(
    lambda x, y: dict(o=(x / np.sqrt((x * x).sum(-1, keepdims=True))) @ (y / np.sqrt((y * y).sum(-1, keepdims=True))).T))


# Rows and columns of a matrix, by 32 threads side by side or 8, and by one where they are short.
FOLDS = """kernel t(x: f32[i,j], n: i32[i,j]) -> a: f32[i], m: f32[i], q: f32[j], p: f32[j], k: i32[i], s: i32[j], y: bool[i] {
  a = sum[j](x[i,j]);  m = max[j](x[i,j]);  q = sum[i](x[i,j] * x[i,j]);  p = min[i](x[i,j]);
  k = count[j](n[i,j] > 0);  s = sum[i](n[i,j]);  y = all[j](n[i,j] > -3);
}"""


@case(FOLDS, *[dict(x=R.f32(i, j), n=i32(np.arange(i * j).reshape(i, j) * 7 % 11 - 3)) for i, j in ((17, 33), (65, 15), (1, 63), (63, 1), (0, 40), (40, 0), (3, 1000))], name="E7 several threads a point")
def several(x, n):
    most, least = (x.max(-1) if x.shape[1] else np.zeros(len(x))), (x.min(0) if len(x) else np.zeros(x.shape[1]))  # 0 of none (rule E7)
    return dict(a=x.sum(-1), m=most, q=(x * x).sum(0), p=least, k=(n > 0).sum(-1), s=n.sum(0), y=(n > -3).all(-1))


@case("kernel t(x: f32[i,j]) -> o: f32, p: f32[i,j] { o = sum[i,j](abs(x[i,j])); p = softmax[j](x[i,j]); }", dict(x=R.f32(17, 65)), dict(x=R.f32(1, 1)), dict(x=R.f32(5, 16)), name="E7 all of a tensor")
def all_of_it(x):
    weights = np.exp(x - x.max(-1, keepdims=True))
    return dict(o=np.abs(x).sum(), p=weights / weights.sum(-1, keepdims=True))
