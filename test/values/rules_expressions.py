"""Rules E1 to E9."""

import numpy as np

from formulas import erf, floor_divide, floor_remainder, grid, read
from harness import case, error
from tensors import Random, bf16, boolean, f16, f32, i8, i32, u8

R = Random(2)
ONE = dict(x=f32([1]))
INF = np.inf


@case("""
kernel e1(a: i32[n], b: i32[n], c: i32[n]) -> p: i32[n], q: i32[n], r: i32[n], s: i32[n], t: bool[n], u: bool[n],
                                             v: i32[n], w: i32[n], x: bool[n], y: i32[n] {
  p = a + b * c;
  q = a - b - c;
  r = a * b / c % 3;
  s = -a * -b + - -c;
  t = not a < b and b < c or a == c;
  u = a + 1 < b * 2 or false and true;
  v = if a < b then a else b + 100;
  w = (if a < b then a else b) + 100;
  x = a < b and not (b < c or c < a);
  y = -a[n: 0] - a[n: 1];
}
""",
      dict(a=i32([1, 5, -7, 2, 3]), b=i32([2, -3, 4, 2, 9]), c=i32([7, 2, -7, 5, 4])))
def E1_precedence(a, b, c):
    return dict(p=a + (b * c), q=(a - b) - c, r=floor_remainder(floor_divide(a * b, c), 3), s=(a * b) + c,
                t=(~(a < b) & (b < c)) | (a == c), u=a + 1 < b * 2, v=np.where(a < b, a, b + 100),
                w=np.where(a < b, a, b) + 100, x=(a < b) & ~((b < c) | (c < a)), y=np.full(5, -1 - 5))


error("E1 comparisons do not chain", "kernel e1(x: f32[n]) -> o: bool[n] { o = 0 < x < 1; }", r":1:48: error", ONE)


@case("""
kernel e2(a: i8[n], b: u8[n], f: f32[n], c: bool[n], big: f32[m])
  -> p: i32[n], q: i32[n], r: f32[n], s: i32[m], t: f32[n], u: i32[n], v: i32[n], w: f32[n], y: i32, z: f32 {
  p = a * b;                           // i8 and u8 become i32
  q = b + b;
  r = a / 2 + f / 2;                   // an integer division, then f32
  s = i32(big);                        // truncates, saturates, NaN gives 0
  t = f32(c) + f32(a) / 2;
  u = i32(c) + abs(a) + min(a, b) + max(a, 3) + clamp(a, -1, 1) + sign(a) + relu(a);
  v = i32(f32(a) / 2);
  w = floor(a / 2) + floor(f);
  y = sum[n](a) + prod[n](sign(a)) + min[n](a) + max[n](b);
  z = mean[n](a);
}
""", dict(a=i8([-128, -7, 7, 127]), b=u8([255, 200, 100, 3]), f=f32([0.5, -0.5, 2.25, -7.75]),
          c=boolean([True, False, True, False]),
          big=f32([1.9, -1.9, 2147483520.0, 2147483648.0, 3e38, -3e38, INF, -INF, np.nan, -0.99])))
def E2_types(a, b, f, c, big):
    s = np.where(np.isnan(big), 0, np.clip(np.trunc(big), -2**31, 2**31 - 1)).astype(np.int64)
    half = np.floor_divide(a, 2)
    return dict(p=a * b, q=2 * b, r=half + f / 2, s=s, t=c + a / 2,
                u=c + abs(a) + np.minimum(a, b) + np.maximum(a, 3) + np.clip(a, -1, 1) + np.sign(a) + np.maximum(a, 0),
                v=np.trunc(a / 2).astype(np.int64), w=half + np.floor(f), y=a.sum() + np.prod(np.sign(a)) + a.min() + b.max(),
                z=a.mean())


# 1 + 2**-10 needs more digits than bf16 has: an intermediate value is not rounded to its storage.
@case("kernel e2(a: bf16[n], b: bf16[n]) -> o: bf16[n], p: f32[n] { let t = a + b; o = t - a; p = t; }",
      dict(a=bf16([1, 256, -8]), b=bf16([2**-10, 0.125, 0.0078125])), tolerance=0.0)
def E2_arithmetic_is_f32(a, b): return dict(o=b, p=a + b)


# An operation that overflows gives some i32; what it indexes is never outside the tensor (any value of x, or 0).
@case("kernel e2(x: f32[n], k: i32[m]) -> o: bool[m] { let y = x[n: k * k + k]; o = y == 0 or y == 7; }",
      dict(x=f32([7, 7, 7]), k=i32([2**31 - 1, -2**31, 65536, 46341, 1, 2**30])))
def E2_overflow_reads_inside(k): return dict(o=np.ones(len(k), bool))


error("E2 bool does not convert", "kernel e2(x: bool[n]) -> o: i32[n] { o = x + 1; }", r":1:\d+: error: .*bool", dict(x=boolean([True])))
error("E2 a condition is bool", "kernel e2(x: i32[n]) -> o: i32[n] { o = if x then 1 else 2; }", r":1:44: error: .*bool",
      dict(x=i32([1])))

PAIRS = [(a, b) for a in (-7, -1, 0, 1, 7) for b in (-3, -1, 0, 1, 3)]


@case("""
kernel e3(a: i32[n], b: i32[n], x: f32[m], y: f32[m])
  -> q: i32[n], r: i32[n], q3: i32[n], r3: i32[n], qm: i32[n], rm: i32[n], q0: i32[n], d: f32[m] {
  q = a / b;  r = a % b;  q3 = a / 3;  r3 = a % 3;  qm = a / -3;  rm = a % -3;  q0 = a / 0 + a % 0;
  d = x / y;
}
""", dict(a=i32([a for a, _ in PAIRS]), b=i32([b for _, b in PAIRS]),
          x=f32([0, 1, -1, 0, INF, 3, 1]), y=f32([0, 0, 0, 5, 2, INF, -4])))
def E3_division(a, b, x, y):
    d = np.where((x == 0) & (y == 0), 0, x / y)
    return dict(q=floor_divide(a, b), r=floor_remainder(a, b), q3=np.floor_divide(a, 3), r3=a % 3,
                qm=np.floor_divide(a, -3), rm=a % -3, q0=0 * a, d=d)


# IEEE with infinities and signs, through inputs so that nothing is folded.
@case("""
kernel e3(x: f32[n], y: f32[n]) -> a: f32[n], b: f32[n], c: bool[n], d: bool[n], e: f32[n], f: bool[n] {
  a = x + y;  b = x * y;  c = x < y;  d = x == y;  e = max(x, y);  f = x - x == 0;
}
""", dict(x=f32([INF, -INF, INF, 3e38, 1, -INF, 2]), y=f32([1, 1, 2, 3e38, INF, -INF, 2])))
def E3_infinities(x, y):
    total = (x.astype(np.float32) + y.astype(np.float32)).astype(np.float64)
    product = (x.astype(np.float32) * y.astype(np.float32)).astype(np.float64)
    return dict(a=total, b=product, c=x < y, d=x == y, e=np.maximum(x, y), f=np.isfinite(x))


@case("kernel e4(x: f32[n,m]) -> o: i32[n,m], p: f32[n,m], q: i32, r: f32 { o = 10 * n + m; p = x * m; q = |n| * |m|; r = rsqrt(|m|) + abs(-3); }",
      dict(x=R.f32(3, 4)))
def E4_positions_and_extents(x):
    n, m = grid(3, 4)
    return dict(o=10 * n + m, p=x * m, q=12, r=0.5 + 3)


@case("""
kernel e5(t: f32[a,c], u: f32[c,a], k: i32[n], s: f32[z,w])
  -> o: f32[a,c], p: f32[a,c], q: f32[n], r: f32[n,c], v: f32[a,c], x: f32[n], y: f32[a], g: f32[n,a], m: f32[z,w] where c = a, w = z
{
  o = t[c, a];                              // every axis by position: transposed
  p = t[a: c, c: a] + u[a: a, c: c];        // all substitutions at once
  q = t[k, k % 2];
  r = t[a: k];                              // a gather; c stays
  v = (t * 2 + u)[a: c, c: a];
  let e[n,c] = t[a: k] + n;
  x = e[n, 1] + e[c: 0];
  y = (t + 1)[c: a];                        // the diagonal
  g = t[a: k, c: a];
  let plus = s + 1;
  m = plus[z: w, w: z];
}
""", dict(t=R.f32(3, 3), u=R.f32(3, 3), k=i32([2, 0, 1, 2, 2]), s=R.f32(4, 4)))
def E5_indexing(t, u, k, s):
    e = t[k] + np.arange(5)[:, None]
    return dict(o=t.T, p=t.T + u.T, q=t[k, k % 2], r=t[k], v=(t * 2 + u.T).T, x=e[:, 1] + e[:, 0], y=np.diag(t) + 1,
                g=t[k][:, np.arange(3)], m=s.T + 1)


error("E5 an axis substituted twice", "kernel e5(x: f32[n]) -> o: f32[n] { o = x[n: 0, n: 1]; }", r"error: .*`n`", ONE)
error("E5 no such axis", "kernel e5(x: f32[n], y: f32[m]) -> o: f32[n,m] { o = x[m: 0] + y; }", r":1:56: error: .*`m`", ONE)
error("E5 too few places", "kernel e5(x: f32[n,m]) -> o: f32[n] { o = x[n]; }", r"error", ONE)
error("E5 a place is i32", "kernel e5(x: f32[n]) -> o: f32[n] { o = x[n: 0.5]; }", r":1:46: error: .*i32", ONE)


@case("""
kernel e6(x: f32[n], g: bool[n], k: i32[m], w: f32[r], b: i8[n])
  -> o: f32[n], p: f32[m], q: bool[m], s: f32[n], t: f32[n], u: i32[m], v: f32[m] {
  o = sum[r](w * x[n: n + r - 1]);                    // convolution, padded
  p = x[n: k];
  q = g[n: k];
  let y = x + 1;
  s = y[n: n - 1] + y[n: n + 1];                      // a defined value outside is 0 too
  t = x[n: -1] + x[n: |n|] + x[n: 2147483647];
  u = b[n: k] + 1;
  v = (x * x + 1)[n: k];
}
""", dict(x=R.f32(6), g=boolean([True] * 6), k=i32([-2**31, -1, 0, 5, 6, 2**31 - 1]), w=R.f32(3), b=i8([1, 2, 3, 4, 5, 6])),
      dict(x=R.f32(0), g=boolean(np.zeros(0)), k=i32([0, -1]), w=R.f32(3), b=i8(np.zeros(0))))
def E6_reads_outside(x, g, k, w, b):
    n = np.arange(len(x))
    return dict(o=sum(w[r] * read(x, n + r - 1) for r in range(3)), p=read(x, k), q=read(g, k).astype(bool),
                s=read(x + 1, n - 1) + read(x + 1, n + 1), t=0 * x, u=read(b, k).astype(int) + 1, v=read(x * x + 1, k))


@case("""
kernel e6(x: f32[h,w], y: i32[n], z: i32[n]) -> o: f32[n], p: f32[h,w] {
  o = x[y, z];
  p = x[h: h + 1, w: w - 2] + x[h: w, w: h];
}
""", dict(x=R.f32(3, 5), y=i32([0, 2, 3, -1, 1, 0]), z=i32([4, 5, 0, 0, -1, 0])))
def E6_reads_outside_of_two_axes(x, y, z):
    h, w = grid(3, 5)
    return dict(o=read(x, y, z), p=read(x, h + 1, w - 2) + read(x, w, h))


@case("""
kernel e6(x: f32[h,w], y: i32[n,m], z: i32[m], none: f32[k], wide: f32[k,l]) -> o: f32[n,m], p: f32[n], q: f32[n,m], r: f32[n], s: f32[m,w], t: f32[m,l] {
  o = x[y, z] * 2 + x[z, y];                          // a position for each lane of a vector
  p = sum[m](x[y, z]);
  q = none[y];
  r = max[m](x[y, 1]) + sum[m](none[z]);
  s = x[h: z];                                        // one for all lanes
  t = wide[k: z] + 1;
}
""", dict(x=R.f32(7, 19), y=R.i32(-2, 9, 3, 37), z=R.i32(-3, 21, 37), none=R.f32(0), wide=R.f32(0, 20)))
def E6_positions_of_lanes(x, y, z, none, wide):
    n, w, l = len(y), np.arange(19), np.arange(20)
    rows = lambda v: np.broadcast_to(v, y.shape)
    o = 2 * read(x, y, rows(z)) + read(x, rows(z), y)
    return dict(o=o, p=read(x, y, rows(z)).sum(1), q=np.zeros(y.shape), r=read(x, y, np.ones_like(y)).max(1), s=read(x, z[:, None], w[None] + 0 * z[:, None]),
                t=np.ones((37, 20)))


@case("""
kernel e7(x: f32[n,m], k: i32[n,m])
  -> a: f32[n], b: f32[n], c: f32[n], d: f32[n], e: bool[n], f: bool[n], g: i32[n], h: f32[n], i: i32[n], j: i32[n],
     s: i32[n], t: i32[n], u: f32, v: f32[m], w: i32, z: f32 {
  a = sum[m](x);  b = max[m](x);  c = min[m](x);  d = prod[m](x);  e = any[m](x > 1);  f = all[m](x < 1);
  g = count[m](x > 0);  h = mean[m](x);  i = argmax[m](x);  j = argmin[m](x);
  s = sum[m](k) + prod[m](k) + max[m](k) + min[m](k);
  t = argmax[m](k) + 100 * argmin[m](k);              // the first of equals
  u = sum[n,m](x);  v = max[n](x);  w = count[n,m](k == 1);  z = mean[n,m](x);
}
""", *[dict(x=R.f32(n, m), k=R.i32(-1, 2, n, m)) for n, m in [(3, 5), (2, 1), (2, 130)]])
def E7_reductions(x, k):
    return dict(a=x.sum(1), b=x.max(1), c=x.min(1), d=x.prod(1), e=(x > 1).any(1), f=(x < 1).all(1), g=(x > 0).sum(1),
                h=x.mean(1), i=x.argmax(1), j=x.argmin(1), s=k.sum(1) + k.prod(1) + k.max(1) + k.min(1),
                t=k.argmax(1) + 100 * k.argmin(1), u=x.sum(), v=x.max(0), w=(k == 1).sum(), z=x.mean())


@case("""
kernel e7(x: f32[n,m]) -> a: f32[n], b: f32[n], c: f32[n], d: f32[n], e: bool[n], f: bool[n], g: i32[n], h: f32[n],
                         i: i32[n], j: i32[n] {
  a = sum[m](x);  b = max[m](x);  c = min[m](x);  d = prod[m](x);  e = any[m](x > 1);  f = all[m](x < 1);
  g = count[m](x > 0);  h = mean[m](x);  i = argmax[m](x);  j = argmin[m](x);
}
""", dict(x=R.f32(3, 0)))
def E7_empty_domains(x):
    zero, one = np.zeros(3), np.ones(3)
    return dict(a=zero, b=zero, c=zero, d=one, e=zero > 1, f=zero < 1, g=zero, h=zero, i=-one, j=-one)


@case("kernel e7(x: f32[n,m]) -> a: i32[n], b: i32[n] { a = argmax[m](x); b = argmin[m](x); }",
      dict(x=f32([[1, 3, 3, 0, 0], [-INF] * 5, [INF, 1, INF, -INF, -INF], [0, -0.0, 0, 0, 0], [2, 2, 2, 2, 1]])),
      dict(x=f32(np.tile([0, 5, 1, 5, 2, -3, 5, -3], (3, 40)))))
def E7_first_of_equals(x): return dict(a=x.argmax(1), b=x.argmin(1))


@case("kernel e7(x: f32[n], y: f32[m]) -> a: f32[n], b: i32[n], c: f32, d: f32[n], e: i32, f: f32[n] { "
      "a = sum[m](x); b = count[m](x > 0); c = sum[n,m](1.0); d = prod[m](x); e = sum[m](2); f = mean[m](x) + max[m](x); }",
      dict(x=f32([1.5, -2, 3]), y=R.f32(4)), dict(x=f32([1.5, -2, 3]), y=R.f32(0)))
def E7_an_index_that_the_operand_lacks(x, y):
    m = len(y)
    return dict(a=m * x, b=m * (x > 0), c=3 * m, d=x**m, e=2 * m, f=2 * x if m else 0 * x)


error("E7 argmax takes one index", "kernel e7(x: f32[n,m]) -> o: i32 { o = argmax[n,m](x); }", r"error: .*`?argmax`?", ONE)
error("E7 an index that does not exist", "kernel e7(x: f32[n]) -> o: f32 { o = sum[k](x); }", r":1:42: error: .*`k`", ONE)


@case("""
kernel e8(x: f32[n], k: i32) -> a: f32[n], b: i32, c: f32[n], d: f32, e: f32[n], f: i32 {
  a = iterate k { t = x -> t * 0.5 + 1 };
  b = iterate 5 { t = 1 -> t * 2 };
  c = iterate 3 { t = x -> { let m = max[n](t); t / m + n } };
  let (u, w) = iterate 4 { (u, w) = (0.0, 1.0) -> (w, u + w) };       // both read the values before the step
  d = 100 * u + w;
  e = iterate |n| { t = 0 -> t + x[n: i32(0)] };                      // f32, as next is
  f = iterate -3 { t = 7 -> t + 1 };
}
""", *[dict(x=f32([1, 2, 4]), k=k) for k in (3, 0, -2)])
def E8_iterate(x, k):
    a = x
    for _ in range(max(k, 0)):
        a = a / 2 + 1
    c = x
    for _ in range(3):
        c = c / c.max() + np.arange(3)
    return dict(a=a, b=32, c=c, d=100 * 3 + 5, e=np.full(3, 3 * x[0]), f=7)


@case("""
kernel e8(x: f32[b,i], w: f32[m,k], g: f32[b,i,m]) -> a: f32[b], c: f32[b,m], d: f32[b], e: i32[b], f: f32[b] where k = m {
  a = fold i { h[b] = 0 -> 0.5 * h + x };
  c = fold i { h[b,m] = 0 -> tanh(sum[k](w * h[m: k]) + g) };        // reads the whole state before
  let (p, q) = fold i { (p[b], q) = (0.0, 1.0) -> { let t = x * q; (p + t, q * 0.5) } };
  d = p + 100 * q;
  e = fold i { n[b] = 0 -> if x > 0 then n + 1 else n };
  f = fold i { h = x[i: 0] -> h * 0.5 + x[i: i - 1] + i };
}
""", dict(x=R.f32(2, 6), w=R.f32(3, 3), g=R.f32(2, 6, 3)), dict(x=R.f32(2, 0), w=R.f32(3, 3), g=R.f32(2, 0, 3)))
def E8_fold(x, w, g):
    steps = x.shape[1]
    a, c, p, q, e = np.zeros(2), np.zeros((2, 3)), np.zeros(2), 1.0, np.zeros(2, int)
    f = x[:, 0] if steps else np.zeros(2)
    for i in range(steps):
        a = 0.5 * a + x[:, i]
        c = np.tanh(c @ w.T + g[:, i])
        p, q = p + x[:, i] * q, q / 2
        e = e + (x[:, i] > 0)
        f = f * 0.5 + (x[:, i - 1] if i else 0) + i
    return dict(a=a, c=c, d=p + 100 * q, e=e, f=f)


@case("""
kernel e8(x: f32[b,i], len: i32[b]) -> a: f32[b,i], c: f32[b,i], d: f32[b,i], e: f32[b], f: f32[b,i] {
  a = scan i { h[b] = 0 -> h + x };
  c = scan reverse i { h[b] = 0 -> 0.5 * h + x };
  let (u, v) = scan i { (u[b], v[b]) = (0.0, 0.0) -> (x, u) };
  d = u + 10 * v;
  let s = scan i { h[b] = 0 -> h + x };
  e = s[i: len - 1] + s[i: 0];
  f = scan i { h[b] = 1.0 -> if i < len then h * x else h };
}
""", dict(x=R.f32(2, 6), len=i32([4, 0])))
def E8_scan(x, len):
    last = np.pad(x, ((0, 0), (1, 0)))[:, :-1]
    c, h = np.zeros((2, 6)), 0
    for i in reversed(range(6)):
        h = 0.5 * h + x[:, i]
        c[:, i] = h
    s = x.cumsum(1)
    return dict(a=s, c=c, d=x + 10 * last, e=read(s[0], len[0] - 1) * np.array([1, 0]) + s[:, 0],
                f=np.cumprod(np.where(np.arange(6) < len[:, None], x, 1), 1))


@case("""
kernel e8(x: f32[b,i], len: i32[b]) -> a: f32[b], c: f32[b,i], d: f32[b,i], e: i32 {
  mask i < len;
  a = fold i { h[b] = 1 -> h + x };           // a step that a mask removes leaves the state
  c = scan i { h[b] = 0 -> h + x };           // and a value at a removed point is 0
  d = scan reverse i { h[b] = 0 -> h + x };
  e = fold b { n = 0 -> n + 1 };              // not a mask of b alone
}
""", dict(x=R.f32(3, 6), len=i32([4, 0, 9])))
def E8_masked_steps(x, len):
    keep = np.arange(6) < len[:, None]
    z = np.where(keep, x, 0)
    return dict(a=1 + z.sum(1), c=np.where(keep, z.cumsum(1), 0), d=np.where(keep, z[:, ::-1].cumsum(1)[:, ::-1], 0), e=3)


@case("""
kernel e8(x: f32[b,j], y: f32[i], len: i32[b]) -> o: f32[b,j], p: f32[j], q: f32[j,i] where i = j {
  mask j < len;
  o = iterate 3 { t = x * x + 1 -> t / (0.5 + sum[j](t)) + 0.1 };
  mask j <= i;                                // step i is removed for the state's element j where j > i
  p = fold i { h[j] = 0 -> h + y };
  q = scan i { h[j] = 1 -> h * y };
}
""", dict(x=R.f32(3, 5), y=R.f32(5), len=i32([5, 2, 0])))
def E8_masks_inside(x, y, len):
    keep = np.arange(5) < len[:, None]
    t = x * x + 1
    for _ in range(3):
        t = t / (0.5 + np.where(keep, t, 0).sum(1, keepdims=True)) + 0.1
    j, i = grid(5, 5)
    return dict(o=np.where(keep, t, 0), p=np.where(j <= i, y, 0).sum(1),
                q=np.where(j <= i, np.cumprod(np.where(j <= i, y, 1), 1), 0))


error("E8 another axis in next", "kernel e8(x: f32[n,i]) -> o: f32 { o = fold i { h = 0 -> h + x }; }", r"error: .*`n`", ONE)
error("E8 a count with free indices", "kernel e8(x: i32[n]) -> o: i32[n] { o = iterate x { t = 0 -> t + 1 }; }", r":1:49: error",
      dict(x=i32([1])))


@case("""
kernel e9(x: f32[n], y: f32[n]) -> a: f32[n], b: f32[n], c: f32[n], d: f32[n], e: f32[n], f: f32[n], g: f32[n], h: f32[n],
    i: f32[n], j: f32[n], k: f32[n], l: f32[n], m: f32[n], o: f32[n], p: f32[n], q: f32[n], r: f32[n], s: f32[n] {
  a = exp(x);  b = log(y);  c = exp2(x);  d = tanh(x);  e = sigmoid(x);  f = relu(x);  g = leaky_relu(x, 0.1);
  h = gelu(x);  i = silu(x);  j = softplus(x);  k = erf(x);  l = sqrt(y);  m = rsqrt(y);  o = abs(x);
  p = pow(y, x / 4);  q = sin(x);  r = cos(x);  s = clamp(x, -1, 0.5) + sign(x) + min(x, y) * max(x, 1);
}
""", dict(x=f32(np.linspace(-9, 9, 37)), y=f32(np.geomspace(1e-3, 1e3, 37))), tolerance=2e-6)
def E9_functions(x, y):
    sigmoid = 1 / (1 + np.exp(-x))
    return dict(a=np.exp(x), b=np.log(y), c=2**x, d=np.tanh(x), e=sigmoid, f=np.maximum(x, 0), g=np.where(x > 0, x, 0.1 * x),
                h=x * (1 + erf(x / np.sqrt(2))) / 2, i=x * sigmoid, j=np.log1p(np.exp(x)), k=erf(x), l=np.sqrt(y),
                m=1 / np.sqrt(y), o=abs(x), p=y ** (x / 4), q=np.sin(x), r=np.cos(x),
                s=np.clip(x, -1, 0.5) + np.sign(x) + np.minimum(x, y) * np.maximum(x, 1))


@case("kernel e9(x: f32[n]) -> a: f32[n], b: f32[n], c: f32[n] { a = floor(x); b = ceil(x); c = round(x); }",
      dict(x=f32([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.4, -2.6, 0, 8388609, -1e30, 3])), tolerance=0.0)
def E9_rounding(x): return dict(a=np.floor(x), b=np.ceil(x), c=np.rint(x))


@case("""
kernel e9(x: f32[n]) -> a: f32[n], b: f32[n], c: f32[n], d: f32[n], e: f32[n], f: f32[n], g: f32[n], h: f32[n], i: f32[n] {
  a = exp(x);  b = tanh(x);  c = sigmoid(x);  d = sqrt(abs(x));  e = log(abs(x));  f = softplus(x);  g = rsqrt(abs(x));
  h = erf(x);  i = exp2(x);
}
""", dict(x=f32([INF, -INF, 0, 1e-30, 200, -200, 3e38, -3e38, 88, -100, 1e-7])), each=True)
def E9_extremes(x):
    y = x.astype(np.float32).astype(np.float64)

    def stored(v):          # what f32 can hold
        return v.astype(np.float32).astype(np.float64)

    return {k: stored(v) for k, v in dict(
        a=np.exp(y), b=np.tanh(y), c=1 / (1 + np.exp(-y)), d=np.sqrt(abs(y)), e=np.log(abs(y)), f=np.logaddexp(0, y),
        g=1 / np.sqrt(abs(y)), h=erf(y), i=2.0**y).items()}
