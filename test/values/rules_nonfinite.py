"""Rules M4, M7, E3 and E7 with infinities and NaN as inputs: IEEE's meaning through the documented formulas."""

import numpy as np

from formulas import dot, entmax, project_to_simplex, softmax
from harness import case
from tensors import Random, boolean, f32, i32

R = Random(8)
INF, NAN = np.inf, np.nan


def placed(tensor, *values):
    """The tensor with (place, value) put in."""
    data = tensor.data.copy()
    for place, value in values:
        data[place] = value
    return f32(data)


def by_the_formula(s, keep=True):
    """softmax as the prelude has it: inf - inf is NaN, and so is a row with a score of +inf."""
    s = np.where(np.broadcast_to(keep, s.shape), s, -INF)
    m = np.maximum(s.max(-1, keepdims=True, initial=-INF), -3.4e38)
    z = np.exp(s - m)
    total = z.sum(-1, keepdims=True)
    return np.where((z == 0) & (total == 0), 0, z / total)


def weighted(p, v):
    """sum p * v, IEEE: 0 * inf is NaN there."""
    return (p[..., None] * v[..., None, :, :]).sum(-2)


SCORES = placed(
    R.f32(9, 150),
    ((1, 5), -INF), ((1, 149), -INF), ((2, slice(0, 70)), -INF), ((3, slice(70, None)), -INF), ((4, slice(None)), -INF),
    ((5, 140), INF), ((6, 3), INF), ((6, 77), INF), ((7, 0), INF), ((7, 1), -INF), ((8, slice(None)), -3.4e38))


@case("""
kernel m4(s: f32[i,j], v: f32[j,e]) -> o: f32[i,e] { o = sum[j](softmax[j](s) * v); }
""", dict(s=SCORES, v=R.f32(150, 3)), nans=True)
def M4_infinite_scores_fused(s, v): return dict(o=by_the_formula(s) @ v)


@case("""
kernel m4(s: f32[i,j], v: f32[j,e]) -> p: f32[i,j], lse: f32[i], q: f32[i,j], top: f32[i], best: i32[i] {
  p = softmax[j](s);  lse = logsumexp[j](s);  q = softmax1[j](s);  top = max[j](s);  best = argmax[j](s);
}
""", dict(s=SCORES, v=R.f32(150, 3)), nans=True)
def M4_infinite_scores_unfused(s, v):
    m = np.maximum(s.max(1), -3.4e38)
    shifted = np.exp(s - m[:, None]).sum(1)
    top = np.maximum(s.max(1, keepdims=True), 0)
    z = np.exp(s - top)
    return dict(p=by_the_formula(s), lse=m + np.log(shifted), q=z / (np.exp(-top) + z.sum(1, keepdims=True)), top=s.max(1), best=s.argmax(1))


# A weight above 0 takes an infinite value with its sign; two of both signs, and a weight of 0, may give NaN.
VALUES = placed(R.f32(150, 4), ((3, 0), INF), ((100, 1), -INF), ((7, 2), INF), ((8, 2), -INF))


@case("kernel m4(s: f32[i,j], v: f32[j,e]) -> o: f32[i,e], m: f32[e], t: f32[e] { o = sum[j](softmax[j](s) * v); m = max[j](v); t = mean[j](v); }",
      dict(s=R.f32(9, 150), v=VALUES), dict(s=placed(R.f32(70, 150), ((slice(40, None), 100), -INF)), v=VALUES))
def M4_infinite_values(s, v): return dict(o=weighted(by_the_formula(s), v), m=v.max(0), t=v.mean(0))


@case("""
kernel m4(q: f32[i,d], k: f32[j,d], v: f32[j,e]) -> o: f32[i,e], s: f32[i,j] {
  s = sum[d](q * k);
  o = sum[j](softmax[j](s) * v);
}
""", dict(q=placed(f32(abs(R.f32(7, 8).value)), ((2, 3), INF)), k=placed(f32(-abs(R.f32(70, 8).value)), ((50, 0), -INF), ((60, 3), 0)), v=R.f32(70, 3)), nans=True)
def M4_infinite_queries_and_keys(q, k, v):
    s = (q[:, None] * k).sum(-1)
    return dict(s=s, o=weighted(by_the_formula(s), v))


# The same in tiles: 0 * inf and inf - inf in a dot product are NaN, and so is all that reads it. A product of no features is 0, 1 / sqrt(0) is not.
@case("""
kernel m4(q: f32[i,d], k: f32[j,d], v: f32[j,e], sink: f32[i]) -> o: f32[i,e], l: f32[i], a: f32[i,e], b: f32[i,e], c: f32[i,e] {
  score s = sum[d](q * k) * rsqrt(|d|);
  o = sum[j](softmax[j](s) * v);
  l = logsumexp[j](s);
  let m = max(max[j](s), sink);
  a = sum[j](exp(s - m) / (sum[j](exp(s - m)) + exp(sink - m)) * v);
  b = sum[j](sigmoid(s) * v);
  c = sum[j](softmax[j](5 * tanh(s / 5)) * v);
}
""", dict(q=placed(R.f32(70, 8), ((2, 3), INF), ((60, 0), -INF)), k=placed(R.f32(150, 8), ((140, 3), 0)), v=R.f32(150, 3), sink=placed(R.f32(70), (5, -INF))),
      dict(q=placed(f32(abs(R.f32(7, 8).value)), ((2, 3), INF)), k=placed(f32(-abs(R.f32(70, 8).value)), ((50, 0), -INF)), v=R.f32(70, 3), sink=R.f32(7)),
      dict(q=R.f32(5, 0), k=R.f32(3, 0), v=R.f32(3, 2), sink=R.f32(5)), nans=True)
def M4_infinities_in_tiles(q, k, v, sink):
    s = (q[:, None] * k).sum(-1) / np.sqrt(np.float64(k.shape[1]))
    m = np.maximum(s.max(1), -3.4e38)
    with_sink = np.maximum(s.max(1), sink)[:, None]
    z = np.exp(s - with_sink)
    return dict(o=by_the_formula(s) @ v, l=m + np.log(np.exp(s - m[:, None]).sum(1)), a=z / (z.sum(1, keepdims=True) + np.exp(sink[:, None] - with_sink)) @ v, b=1 / (1 + np.exp(-s)) @ v,
                c=by_the_formula(5 * np.tanh(s / 5)) @ v)


# At a point that no row visits, neither infinities nor NaN matter; in another batch or head they never do.
def at_unvisited(value):
    keys, values = R.f32(3, 2, 150, 8), R.f32(3, 2, 150, 4)
    for t in (keys, values):
        t.data[0, :, 90:] = value           # beyond the length
        t.data[1, 1] = value                # a head of its own
    return dict(q=R.f32(3, 2, 70, 8), k=keys, v=values, len=i32([90, 150, 0]))


@case("""
kernel m7(q: f32[b,h,i,d], k: f32[b,h,j,d], v: f32[b,h,j,e], len: i32[b]) -> o: f32[b,h,i,e], c: f32[b,h,j], m: f32[b,h,e], t: f32[b,h,i] {
  mask j < len;
  score s = sum[d](q * k) * rsqrt(|d|);
  o = sum[j](softmax[j](s) * v);
  c = sum[i](softmax[j](s));
  m = max[j](v);
  t = sum[j](sigmoid(s));
}
""", *[at_unvisited(x) for x in (NAN, INF, -INF, 3.4e38)])
def M7_what_no_row_visits(q, k, v, len):
    keep = np.arange(150) < len[:, None, None, None]
    seen = (keep & (np.arange(3)[:, None, None, None] * 2 + np.arange(2)[:, None, None] != 3)).swapaxes(2, 3)
    k, v = np.where(seen, k, 0), np.where(seen, v, 0)
    s = dot(q, k)
    p = softmax(s, -1, keep)
    o = dict(o=p @ v, c=p.sum(2), m=np.where(keep.any(-1), np.where(keep.swapaxes(2, 3), v, -INF).max(2), 0),
             t=np.where(keep, 1 / (1 + np.exp(-s)), 0).sum(-1))
    for result in o.values():
        result[1, 1] = NAN                  # unspecified there, or not: not the question here
    return o


# A finite value, however large, at a point removed for some rows and visited by others of the tile.
@case("""
kernel m7(q: f32[i,d], k: f32[j,d], v: f32[j,e], seen: bool[i,j]) -> o: f32[i,e], a: f32[i], m: f32[i,e] {
  mask seen;
  score s = sum[d](q * k);
  o = sum[j](softmax[j](s) * v);
  a = sum[j](exp(s));
  m = max[j](v);
}
""", dict(q=f32(abs(R.f32(20, 4).value)), k=placed(R.f32(150, 4), ((77, slice(None)), 1e19)), v=placed(R.f32(150, 3), ((77, slice(None)), 3e38)),
          seen=boolean((np.arange(150) != 77) | (np.arange(20) % 2 == 0)[:, None])))
def M7_finite_at_removed_points(q, k, v, seen):
    k, v = np.where(np.arange(150)[:, None] == 77, 0, k), np.where(np.arange(150)[:, None] == 77, 0, v)
    s, keep = q @ k.T, np.arange(150) != 77
    o = dict(o=softmax(s, -1, keep) @ v, a=(np.exp(s) * keep).sum(1), m=np.tile(v[keep].max(0), (20, 1)))
    for result in o.values():
        result[::2] = NAN                   # the rows that see it
    return o


# Reductions and comparisons, IEEE: NaN only from inf - inf and 0 * inf.
@case("""
kernel e7(x: f32[n,m], y: f32[m]) -> a: f32[n], b: f32[n], c: f32[n], d: f32[n], e: i32[n], f: i32[n], g: f32[n], h: f32[n], i: bool[n], j: i32[n], k: f32[n,m] {
  a = sum[m](x);  b = max[m](x);  c = min[m](x);  d = prod[m](x);  e = argmax[m](x);  f = argmin[m](x);  g = mean[m](x);
  h = sum[m](x * y);  i = any[m](x == x + 1);  j = count[m](x < 1000);  k = x - max[m](x);
}
""", dict(x=f32([[1, INF, 2, 3, 4], [1, -INF, 2, INF, 0.5], [-INF] * 5, [INF] * 5, [3.4e38, 1, 1, 1, 1], [1, 2, 3, 4, 5], [0, INF, 1, 1, 1]]),
          y=f32([1, 0, 2, -1, 1])), nans=True)
def E7_infinities(x, y):
    x32, y32 = x.astype(np.float32), y.astype(np.float32)
    total = x32.sum(1, dtype=np.float32)
    return dict(a=total, b=x.max(1), c=x.min(1), d=x32.prod(1, dtype=np.float32), e=x.argmax(1), f=x.argmin(1), g=total / np.float32(5),
                h=(x32 * y32).sum(1, dtype=np.float32), i=(x32 == x32 + np.float32(1)).any(1), j=(x < 1000).sum(1), k=x - x.max(1, keepdims=True))


# Decided by documented formulas: comparisons, `if`, min and max, conversions, rounding.
@case("""
kernel e9(x: f32[n], y: f32[n]) -> a: i32[n], b: f32[n], c: f32[n], d: f32[n], e: f32[n], f: f32[n], g: bool[n], h: f32[n], i: f32[n], j: f32[n], k: f32[n] {
  a = i32(x);  b = floor(x) + ceil(y);  c = clamp(x, -2, 2);  d = relu(x);  e = leaky_relu(x, 0.5);  f = if x > y then x else y;
  g = x >= y and not x != x;  h = abs(x) * sign(y);  i = 1 / x;  j = min(x, y) + 1;  k = x / y;
}
""", dict(x=f32([INF, -INF, 1, -1, INF, -INF, 0.0, -3e38, 0]), y=f32([1, 1, INF, -INF, -INF, INF, -INF, 3e38, 0])), nans=True)
def E9_infinities(x, y):
    big = 2**31
    x32 = x.astype(np.float32)
    return dict(a=np.clip(np.where(np.isinf(x), np.sign(x) * big, np.clip(x, -big, big - 1)), -big, big - 1).astype(np.int64),
                b=np.floor(x) + np.ceil(y), c=np.clip(x, -2, 2), d=np.maximum(x, 0), e=np.where(x > 0, x, 0.5 * x), f=np.maximum(x, y),
                g=x >= y, h=abs(x) * np.sign(y), i=(np.float32(1) / x32).astype(float), j=np.minimum(x, y) + 1,
                k=np.where((x == 0) & (y == 0), 0, x / y))


# Where a NaN is used the result is unspecified, but it is a result: no crash, no read outside, and nothing of another row.
@case("""
kernel m4(x: f32[b,n], t: f32[m,e], v: f32[b,n,e]) -> a: f32[b,e], c: f32[b,e], g: f32[b,e], h: f32[b], k: f32[b,n] {
  let at[b,n] = i32(x * 3);
  a = sum[n](t[m: at]);
  c = sum[n](softmax[n](x) * v);
  g = t[m: argmax[n](x)];
  h = iterate 2 { u[b] = 0.0 -> 0.5 * u + max[n](x) };
  k = sparsemax[n](x) + entmax15[n](x);
}
""", dict(x=f32([[1, NAN, 0.5], [NAN, NAN, NAN], [0, 1, 2]]), t=f32(np.arange(20).reshape(10, 2)), v=R.f32(3, 3, 2)))
def M4_nan_is_used(x, t, v):
    a = np.stack([t[3] + t[0] + t[1], 3 * t[0], t[0] + t[3] + t[6]])          # i32(NaN) is 0 (rule E2)
    c, g, h, k = (np.full(shape, NAN) for shape in ((3, 2), (3, 2), (3,), (3, 3)))
    c[2], g[2], h[2] = softmax(x[2]) @ v[2], t[2], 3
    k[2] = project_to_simplex(x[2]) + entmax(x[2], 1.5)
    return dict(a=a, c=c, g=g, h=h, k=k)
