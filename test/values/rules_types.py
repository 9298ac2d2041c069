"""Rules K2, K4, E2 and E10 for every type: storage in f16 and bf16, arithmetic in f32, results rounded once, integers exact."""

import numpy as np

from formulas import attention, dot, grid, logsumexp, project_to_simplex, read, softmax
from harness import case
from tensors import Random, Tensor, bf16, boolean, f16, f32, i8, i32, round_to_bf16, u8

FLOATS = ("f32", "f16", "bf16")
MAKE = dict(f32=f32, f16=f16, bf16=bf16)
R = Random(6)


def stored(kind, *shape, scale=1.0):
    return MAKE[kind](scale * R.generator.standard_normal(shape))


def every_pair(kernel, inputs):
    """A case for each type of the inputs (IN in the text) and each type of the results (OUT)."""
    def add(want):
        for given in FLOATS:
            for result in FLOATS:
                case(kernel.replace("IN", given).replace("OUT", result), inputs(given), name=f"E10 {want.__name__}, {given} to {result}")(want)
        return want
    return add


@every_pair("""
kernel fused(q: IN[b,h,i,d], k: IN[b,h,j,d], v: IN[b,h,j,e], len: i32[b]) -> o: OUT[b,h,i,e], lse: OUT[b,h,i] {
  mask j < len and j <= i + 60;
  score s = sum[d](q * k) * rsqrt(|d|);
  lse = logsumexp[j](s);
  o = sum[j](softmax[j](s) * v);
}
""", lambda t: dict(q=stored(t, 2, 3, 21, 24), k=stored(t, 2, 3, 77, 24), v=stored(t, 2, 3, 77, 19), len=i32([77, 33])))
def fused_attention(q, k, v, len):
    i, j = grid(21, 77)
    keep, s = (j < len[:, None, None, None]) & (j <= i + 60), dot(q, k)
    return dict(o=attention(s, v, keep), lse=logsumexp(s, -1, keep))


# The map is a result, and the values are weighted by its unrounded weights.
@every_pair("""
kernel unfused(q: IN[b,i,d], k: IN[b,j,d], v: IN[b,j,e]) -> p: OUT[b,i,j], o: OUT[b,i,e], r: OUT[b,i,e], c: OUT[b,j] {
  score s = sum[d](q * k) * rsqrt(|d|);
  p = softmax[j](s);
  o = sum[j](p * v);
  r = sum[j](sparsemax[j](s) * v);
  c = sum[i](p);
}
""", lambda t: dict(q=stored(t, 2, 9, 16), k=stored(t, 2, 35, 16), v=stored(t, 2, 35, 7)))
def unfused_attention(q, k, v):
    p = softmax(dot(q, k))
    return dict(p=p, o=p @ v, r=project_to_simplex(dot(q, k)) @ v, c=p.sum(1))


@every_pair("kernel contraction(x: IN[b,n,m], y: IN[m,l], w: IN[l]) -> o: OUT[b,n,l], p: OUT[l,n], q: OUT[n] { "
            "o = sum[m](x * y); p = sum[b,m](x * y) + w; q = sum[b,m,l](x * y * w); }",
            lambda t: dict(x=stored(t, 3, 17, 65), y=stored(t, 65, 33), w=stored(t, 33)))
def contractions(x, y, w): return dict(o=x @ y, p=(x @ y).sum(0).T + w[:, None], q=np.einsum("bnm,ml,l->n", x, y, w))


@every_pair("""
kernel reductions(x: IN[n,m], y: IN[m]) -> a: OUT[n], b: OUT[n], c: OUT[m], d: OUT[n], e: OUT[m], f: OUT, g: i32[n], h: i32[m], i: OUT[n,m] {
  a = sum[m](x * y);  b = mean[m](exp(x));  c = max[n](x);  d = min[m](x + y);  e = prod[n](1 + 0.25 * x);  f = sum[n,m](x);
  g = argmax[m](x);  h = count[n](x > y);  i = scan m { s[n] = 0 -> 0.5 * s + x };
}
""", lambda t: dict(x=stored(t, 9, 41), y=stored(t, 41)))
def reductions(x, y):
    i, last = np.zeros((9, 41)), 0
    for m in range(41):
        i[:, m] = last = 0.5 * last + x[:, m]
    return dict(a=x @ y, b=np.exp(x).mean(1), c=x.max(0), d=(x + y).min(1), e=(1 + 0.25 * x).prod(0), f=x.sum(), g=x.argmax(1),
                h=(x > y).sum(0), i=i)


INDICES = dict(far=i32([0, 8, 9, -1, 2**31 - 1, -2**31, 4]), near=i8([-128, 127, 8, 0, 3, -1, 5]), byte=u8([0, 255, 8, 7, 9, 128, 1]))


@every_pair("""
kernel gather(x: IN[n,m], far: i32[l], near: i8[l], byte: u8[l]) -> a: OUT[l,m], b: OUT[l], c: OUT[l,m], d: OUT[n] {
  a = x[n: far] + x[n: near];
  b = x[n: byte, m: far - byte];
  c = sum[n](softmax[n](x[n: n + near]) * x[n: byte]);
  d = sum[m](x[m: m + 1] * x[m: m - 1]);
}
""", lambda t: dict(x=stored(t, 9, 6), **INDICES))
def gathers(x, far, near, byte):
    shifted = read(x, np.arange(9) + near[:, None])                  # [l, n, m]
    pad = np.pad(x, ((0, 0), (1, 1)))
    return dict(a=read(x, far) + read(x, near), b=read(x, byte, far - byte), c=softmax(shifted, 1).sum(1) * read(x, byte),
                d=(pad[:, 2:] * pad[:, :-2]).sum(1))


# All at once: each operand in a type of its own.
@case("""
kernel mixed(q: f16[b,h,i,d], k: bf16[b,h,j,d], v: f32[b,h,j,e], scale: i8[b,h,j], zero: u8[h], bias: f16[i,j], seen: bool[b,j])
  -> o: bf16[b,h,i,e], p: f16[b,h,i,j], best: i32[b,h,i], least: i8[b,h,i] {
  mask seen;
  score s = sum[d](q * k) * rsqrt(|d|) + bias;
  p = softmax[j](s);
  o = sum[j](p * v * (scale - zero));
  best = argmax[j](s);
  least = argmin[j](s);
}
""", dict(q=R.f16(2, 3, 7, 16), k=R.bf16(2, 3, 70, 16), v=R.f32(2, 3, 70, 5), scale=i8(R.i32(-128, 128, 2, 3, 70).data), zero=u8([0, 255, 7]),
          bias=R.f16(7, 70), seen=R.bool(2, 70)))
def E10_each_operand_of_another_type(q, k, v, scale, zero, bias, seen):
    s, keep = dot(q, k) + bias, np.broadcast_to(seen[:, None, None], (2, 3, 7, 70))
    p = softmax(s, -1, keep)
    return dict(o=p @ (v * (scale - zero[:, None])[..., None]), p=p, best=np.where(keep, s, -np.inf).argmax(-1),
                least=np.where(keep, s, np.inf).argmin(-1))


# Integers are exact, whatever loop computes them: products of 8-bit values summed in i32.
@case("""
kernel integers(x: i8[n,m], y: i8[l,m], z: u8[l,m], k: i32[n,m]) -> a: i32[n,l], b: i32[n,l], c: i8[n,l], d: u8[n], e: i32[n], f: f32[n], g: f16[n] {
  a = sum[m](x * y);  b = sum[m](x * z);  c = sum[m](x * y) / 4096;  d = sum[m](x);  e = max[m](k) - min[m](k);
  f = mean[m](x);  g = sum[m](x * 0.5);
}
""", dict(x=i8(R.i32(-128, 128, 7, 100).data), y=i8(R.i32(-128, 128, 9, 100).data), z=u8(R.i32(0, 256, 9, 100).data), k=R.i32(-1000, 1000, 7, 100)))
def E10_integers(x, y, z, k):
    return dict(a=x @ y.T, b=x @ z.T, c=np.clip(x @ y.T // 4096, -128, 127), d=np.clip(x.sum(1), 0, 255), e=np.ptp(k, axis=1),
                f=x.mean(1), g=x.sum(1) / 2)


# A value between the largest f16 and what overflows, beyond it, ties, and subnormal ones, out of a contraction and a softmax.
@case("kernel overflow(x: f16[n,m], y: f16[m]) -> o: f16[n], p: bf16[n], q: f16[n] { o = sum[m](x * y); p = sum[m](x * y); q = sum[m](x * y) * 1e-9; }",
      dict(x=f16([[30000, 35504, 0], [30000, 35504, 15], [30000, 30000, 5519], [30000, 30000, 5521], [-60000, -60000, 0], [2049, 0, 0], [100, 40, 3]]),
           y=f16([1, 1, 1])), tolerance=0.0)
def E10_overflow_and_ties(x, y):
    sums = x.sum(1).astype(np.float32)
    with np.errstate(over="ignore"):
        return dict(o=sums.astype(np.float16).astype(float), p=Tensor("bf16", round_to_bf16(sums)).value,
                    q=(sums * np.float32(1e-9)).astype(np.float16).astype(float))


# A scalar is what its type can hold.
@case("kernel scalars(x: f32[n], a: f16, b: bf16, c: i8, d: u8) -> o: f32[n], p: i32 { o = x * a + b; p = c * d; }",
      dict(x=R.f32(5), a=f16(0.1), b=bf16(3.14159), c=i8(-100), d=u8(200)))
def E10_scalars(x, a, b, c, d): return dict(o=x * a + b, p=c * d)


@case("""
kernel empty(x: bf16[n,m], k: i8[n]) -> a: f16[n,m], b: bf16[n], c: i8[n], d: bool[n], e: u8 {
  a = softmax[m](x);  b = max[m](x);  c = argmax[m](x);  d = any[m](x > 0);  e = sum[n](k);
}
""", dict(x=R.bf16(3, 0), k=i8([1, 2, 3])), dict(x=R.bf16(0, 4), k=i8([])))
def E10_empty(x, k):
    n = len(k)
    return dict(a=softmax(x) if x.size else np.zeros(x.shape), b=np.zeros(n), c=-np.ones(n), d=np.zeros(n, bool), e=k.sum())
