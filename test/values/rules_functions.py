"""Rules F1 to F4: functions, and the normalisers and functions of the prelude."""

import numpy as np

from formulas import entmax, grid, logsumexp, project_to_simplex, read, softmax, t5_bucket
from harness import case, error
from tensors import Random, f32, i32

R = Random(3)
ONE = dict(x=f32([1]))
INF = np.inf


@case("""
fn square(x) = x * x;
fn spread[j](v) { let m = mean[j](v); let c = v - m; (m, mean[j](square(c))) }
fn standard[j](v) { let (m, s) = spread[j](v); (v - m) * rsqrt(s + 1e-5) }
fn shifted[n](v, by) = v[n: n + by] - v[n: n - by];
fn dot2[a,b](u, v) = sum[a,b](u * v);
fn cap(s, most) = most * tanh(s / most);
kernel f1(x: f32[n,m], y: f32[n,m], w: f32[n])
  -> a: f32[n,m], b: f32[n,m], c: f32[n], d: f32[n,m], e: f32, f: f32[n,m], g: f32[m], h: f32[n] {
  a = standard[m](x);
  b = standard[n](x + y);               // the same function along another index
  let (v, u) = spread[m](x * 2);
  c = v + 10 * u;
  d = shifted[m](x * y, 1) + shifted[n](w, 2);
  e = dot2[n,m](x, y) + dot2[m,n](x, x);
  f = cap(x, 0.5 + 0 * n);
  let t = 3 * w;                        // hygiene: the functions' own names never meet the caller's
  let m2 = t[n: 1];
  g = square(x[n: 0]) + m2;
  h = square(square(w));
}
""",
      dict(x=R.f32(4, 6), y=R.f32(4, 6), w=R.f32(4)))
def F1_functions(x, y, w):
    def standard(v, axis): return (v - v.mean(axis, keepdims=True)) / np.sqrt(v.var(axis, keepdims=True) + 1e-5)
    xy = np.pad(x * y, ((0, 0), (1, 1)))
    w4 = np.pad(w, 2)
    return dict(a=standard(x, 1), b=standard(x + y, 0), c=2 * x.mean(1) + 10 * (2 * x).var(1),
                d=xy[:, 2:] - xy[:, :-2] + (w4[4:] - w4[:-4])[:, None], e=(x * y).sum() + (x * x).sum(), f=0.5 * np.tanh(x / 0.5),
                g=x[0] ** 2 + 3 * w[1], h=w**4)


# A `let` of the function hides nothing of the caller's, and index parameters are renamed to the caller's indices.
@case("""
fn swap[a,b](t) = t[a: b, b: a];
fn inner[k](x) { let y = x * 2; sum[k](y) }
kernel f1(x: f32[i,j], k: f32[j]) -> o: f32[i,j], p: f32[i], q: f32[i,j] where i = j {
  let y = k;
  o = swap[i,j](x);
  p = inner[j](x * y) + inner[j](y);
  q = swap[j,i](x + y);
}
""", dict(x=R.f32(3, 3), k=R.f32(3)))
def F1_hygiene(x, k): return dict(o=x.T, p=2 * (x @ k) + 2 * k.sum(), q=(x + k).T)


error("F1 recursion", "fn f(x) = f(x) + 1;\nkernel f1(x: f32[n]) -> o: f32[n] { o = f(x); }", r"error: .*`f`", ONE)
error("F1 a function sees only its parameters", "fn f(x) = x + y;\nkernel f1(x: f32[n], y: f32[n]) -> o: f32[n] { o = f(x); }",
      r":1:15: error: .*`y`", dict(x=f32([1]), y=f32([1])))
error("F1 the number of values", "fn f(x, y) = x + y;\nkernel f1(x: f32[n]) -> o: f32[n] { o = f(x); }", r":2:41: error: .*`f`", ONE)


@case("""
fn spread[j](v) = max[j](v) - min[j](v);
kernel f2(x: f32[b,h,w], v: f32[b,h,w,c]) -> o: f32[b,c], p: f32[b,h,w], q: f32[b], r: f32[b] {
  p = softmax[h,w](x);
  o = sum[h,w](softmax[w,h](x) * v);
  q = logsumexp[h,w](x);
  r = spread[h,w](x);
}
""", dict(x=R.f32(2, 3, 4), v=R.f32(2, 3, 4, 5)))
def F2_several_indices(x, v):
    p = softmax(x.reshape(2, 12)).reshape(2, 3, 4)
    return dict(o=np.einsum("bhw,bhwc->bc", p, v), p=p, q=logsumexp(x.reshape(2, 12)), r=np.ptp(x.reshape(2, 12), axis=1))


SCORES = f32(np.concatenate([3 * R.generator.standard_normal((6, 37)), 80 + 30 * R.generator.standard_normal((2, 37)),
                             np.zeros((1, 37)), np.full((1, 37), -1e4)]))


@case("""
kernel f3(s: f32[i,j]) -> a: f32[i,j], b: f32[i,j], c: f32[i], d: f32[i,j], e: f32[i,j] {
  a = softmax[j](s);
  b = softmax1[j](s);
  c = logsumexp[j](s);
  d = log_softmax[j](s);
  e = softmax[i](s);
}
""", dict(s=SCORES), dict(s=R.f32(3, 1)), dict(s=R.f32(2, 700)))
def F3_softmax_family(s):
    top = np.maximum(s.max(1, keepdims=True), 0)
    z = np.exp(s - top)
    return dict(a=softmax(s), b=z / (np.exp(-top) + z.sum(1, keepdims=True)), c=logsumexp(s),
                d=s - logsumexp(s)[:, None], e=softmax(s, 0))


@case("kernel f3(s: f32[i,j]) -> a: f32[i,j], b: f32[i,j], c: f32[j,i] { a = sparsemax[j](s); b = entmax15[j](s); c = sparsemax[i](s); }",
      dict(s=f32(R.generator.standard_normal((6, 19)))), dict(s=R.f32(3, 1)))
def F3_sparse_family(s): return dict(a=project_to_simplex(s), b=entmax(s, 1.5), c=project_to_simplex(s, 0).T)


@case("""
kernel f3(k: i32[b], w: f32[b]) -> a: f32[b,n], c: bool[n,m], d: bool[n,m], e: bool[b,n,m], f: bool[n,m], g: f32[b,n,m]
where n = 5, m = n
{
  a = onehot[n](k);
  c = causal(n, m);
  d = window(n, m, 2);
  e = prefix(n, m, k);
  f = document(n / 2, m / 2);
  g = alibi(w, n, m);
}
""", dict(k=i32([0, 4, 5, -1, 2]), w=f32([0.5, 1, -2, 3, 0])))
def F3_positions(k, w):
    n, m = grid(5, 5)
    return dict(a=(np.arange(5) == k[:, None]) * 1.0, c=m <= n, d=n - m < 2, e=(m <= n) | (m < k[:, None, None]),
                f=n // 2 == m // 2, g=w[:, None, None] * (m - n))


@case("""
kernel f3(x: f32[b,m], y: f32[b,n], z: f32[l], w: f32[c])
  -> o: f32[b,c], p: f32[b,e], q: f32, r: f32[b] where e = m + n + l {
  o = concat[c](x[m], y[n]) * w;                       // c is fixed by w
  p = concat[e](y[n], x[m], z[l]);
  q = sum[g](concat[g](z[l], z[l]) * g);               // fixed by nothing else: the sum of the extents
  r = max[h](concat[h](x[m], y[n]));
}
""", dict(x=R.f32(2, 3), y=R.f32(2, 4), z=R.f32(2), w=R.f32(7)))
def F3_concat(x, y, z, w):
    return dict(o=np.concatenate([x, y], 1) * w, p=np.concatenate([y, x, np.tile(z, (2, 1))], 1),
                q=(np.concatenate([z, z]) * np.arange(4)).sum(), r=np.concatenate([x, y], 1).max(1))


@case("kernel f3(d: i32[n]) -> a: i32[n], b: i32[n], c: i32[n] { a = t5_bucket(d, true, 32, 128); b = t5_bucket(d, false, 32, 128); "
      "c = t5_bucket(d, true, 8, 20); }",
      dict(d=i32([d for d in range(-300, 300, 7)] + list(range(-13, 14)) + [1000, -1000])))
def F3_t5_bucket(d):
    return dict(a=t5_bucket(d, True, 32, 128), b=t5_bucket(d, False, 32, 128), c=t5_bucket(d, True, 8, 20))


# Rule F4: what is equal to a softmax must be one, however it is written.
@case("""
fn plain[j](s) { let z = exp(s); z / sum[j](z) }
fn base2[j](s) { let m = max[j](s); let z = exp2((s - m) * 1.4426950408889634); z / sum[j](z) }
kernel f4(q: f32[i,d], k: f32[j,d], v: f32[j,e]) -> a: f32[i,e], b: f32[i,e], c: f32[i,e], f: f32[i,e] {
  score s = sum[d](q * k);
  a = sum[j](softmax[j](s) * v);
  b = sum[j](plain[j](s) * v);
  c = sum[j](base2[j](s) * v);
  let m = max[j](s);
  f = sum[j](exp(s - m) * v) / sum[j](exp(s - m));
}
""", dict(q=R.f32(5, 8), k=R.f32(150, 8), v=R.f32(150, 6)))
def F4_equal_forms(q, k, v):
    o = softmax(q @ k.T) @ v
    return dict(a=o, b=o, c=o, f=o)


# Scores far beyond exp's range, a new maximum in the last key block, and thousands of keys.
@case("kernel f4(s: f32[i,j], v: f32[j,e]) -> o: f32[i,e], lse: f32[i] { o = sum[j](softmax[j](s) * v); lse = logsumexp[j](s); }",
      dict(s=f32(np.linspace(-2000, 3000, 3 * 1000).reshape(3, 1000)), v=R.f32(1000, 3)),
      dict(s=f32(np.linspace(3000, -2000, 3 * 1000).reshape(3, 1000)), v=R.f32(1000, 3)),
      dict(s=f32(np.where(np.arange(5000) % 1024 == 1023, 100, 0.0) * [[1], [-1]]), v=R.f32(5000, 2)))
def F4_rescaling(s, v): return dict(o=softmax(s) @ v, lse=logsumexp(s))


# Sinks join the sum: softmax1, one learned by each head, one for each row, two at once; and none that is as good as -infinity.
@case("""
fn sunk[j](s, t) { let m = max(max[j](s), t); let z = exp(s - m); z / (sum[j](z) + exp(t - m)) }
kernel f4(q: f32[h,i,d], k: f32[h,j,d], v: f32[h,j,e], sink: f32[h], t: f32[i])
  -> a: f32[h,i,e], b: f32[h,i,e], c: f32[h,i,e], l: f32[h,i], f: f32[h,i,e] {
  mask j <= i + 3;
  score s = sum[d](q * k);
  a = sum[j](softmax1[j](s) * v);
  b = sum[j](sunk[j](s, sink) * v);
  let m = max(max(t, max[j](s)), sink);
  let z = exp(s - m);
  let total = exp(sink - m) + sum[j](z) + exp(t - m);
  c = sum[j](z / total * v);
  l = m + log(total);
  f = sum[j](sunk[j](s, sink - 3e38) * v);
}
""", dict(q=R.f32(2, 70, 8), k=R.f32(2, 75, 8), v=R.f32(2, 75, 6), sink=f32([2, -30]), t=R.f32(70)),
      dict(q=R.f32(2, 3, 8), k=R.f32(2, 0, 8), v=R.f32(2, 0, 6), sink=f32([2, -30]), t=R.f32(3)))
def F4_sinks(q, k, v, sink, t):
    s = np.einsum("hid,hjd->hij", q, k)
    i, j = grid(*s.shape[1:])
    z = np.where(j <= i + 3, np.exp(s), 0)
    weigh = lambda more: np.einsum("hij,hje->hie", z / (z.sum(2) + more)[..., None], v)
    both = np.exp(sink)[:, None] + np.exp(t)
    with np.errstate(invalid="ignore"):
        return dict(a=weigh(1), b=weigh(np.exp(sink)[:, None]), c=weigh(both), l=np.log(z.sum(2) + both), f=np.nan_to_num(weigh(0)))


# Weights that need no maximum: functions of the score alone, of either sign, divided by their sum or by something else of the row.
@case("""
kernel f4(q: f32[h,i,d], k: f32[h,j,d], v: f32[h,j,e], gate: f32[h,j])
  -> a: f32[h,i,e], b: f32[h,i,e], t: f32[h,i], c: f32[h,i,e], f: f32[h,i,e], g: f32[h,i,e] {
  mask j <= i + 2;
  let s = sum[d](q * k);
  a = sum[j](sigmoid(s - 1) * v);
  let r = relu(s) * relu(s);
  t = sum[j](r);
  b = sum[j](r / (t + 0.5) * v);
  c = sum[j](s * gate * v) / max(abs(sum[j](s * gate)), 1);
  f = sum[j](exp(s) / sum[j](exp(s)) * v);
  g = sum[j](s / (1 + h) * v);
}
""", dict(q=R.f32(2, 70, 8), k=R.f32(2, 75, 8), v=R.f32(2, 75, 6), gate=R.f32(2, 75)),
      dict(q=R.f32(1, 5, 3), k=R.f32(1, 200, 3), v=R.f32(1, 200, 70), gate=R.f32(1, 200)),
      dict(q=R.f32(1, 5, 3), k=R.f32(1, 0, 3), v=R.f32(1, 0, 7), gate=R.f32(1, 0)))
def F4_pointwise(q, k, v, gate):
    s = np.einsum("hid,hjd->hij", q, k)
    i, j = grid(*s.shape[1:])
    kept = j <= i + 2
    weigh = lambda w: np.einsum("hij,hje->hie", np.where(kept, w, 0), v)
    r = np.maximum(s, 0)**2
    t = (r * kept).sum(2)
    z = np.exp(s) * kept
    gated = s * gate[:, None]
    total = np.maximum(z.sum(2, keepdims=True), 1e-300)
    return dict(a=weigh(1 / (1 + np.exp(1 - s))), t=t, b=weigh(r / (t + 0.5)[..., None]), c=weigh(gated) / np.maximum(np.abs((gated * kept).sum(2)), 1)[..., None],
                f=weigh(z / total), g=weigh(s / (1 + np.arange(len(q)))[:, None, None]))


# The division may stand outside of the sum.
@case("""
kernel f4(q: f32[i,d], k: f32[j,d], v: f32[j,e], u: f32[j,e]) -> a: f32[i,e], b: f32[i,e], l: f32[i] {
  mask j != i;
  score s = 40 * sum[d](q * k);
  let m = max(max[j](s), -3.4e38);
  let z = exp(s - m);
  a = sum[j](z * v) / sum[j](z);
  b = sum[j](z * u) / (sum[j](z) + exp(-m));
  l = m + log(sum[j](z));
}
""", dict(q=R.f32(70, 8), k=R.f32(130, 8), v=R.f32(130, 6), u=R.f32(130, 6)), dict(q=R.f32(1, 8), k=R.f32(1, 8), v=R.f32(1, 6), u=R.f32(1, 6)))
def F4_divided_outside(q, k, v, u):
    s = 40 * q @ k.T
    i, j = grid(*s.shape)
    s = np.where(j != i, s, -np.inf)
    top = np.maximum(s.max(1, keepdims=True), -1e30)
    z = np.exp(s - top)
    one = np.exp(s - np.maximum(top, 0))
    with np.errstate(invalid="ignore", divide="ignore"):
        return dict(a=np.nan_to_num(z @ v / z.sum(1, keepdims=True)), b=one @ u / (one.sum(1, keepdims=True) + np.exp(-np.maximum(top, 0))),
                    l=(top + np.log(z.sum(1, keepdims=True)))[:, 0])


# Heads that share keys: for a few queries they are the rows of a tile, with all that depends on the head, on the query, or on both.
@case("""
kernel f4(q: f32[b,h,i,d], k: f32[b,g,j,d], v: f32[b,g,j,e], slope: f32[h], sink: f32[h], bias: f32[h,j], far: i32[h], scale: f32[g], past: i32[b])
  -> o: f32[b,h,i,e], l: f32[b,h,i], c: f32[b,i,h,e], p: f32[b,h,i,e]
where h = 3*g {
  let kept = j <= i + past and i + past - j < far;
  let s = sum[d](q * k[g: h / 3]) * scale[g: h / 3] + slope * (j - i) + bias + h;
  mask kept;
  o = sum[j](softmax[j](s) * v[g: h / 3]);
  l = logsumexp[j](s);
  let m = max(max[j](s), sink);
  c = sum[j](exp(s - m) / (sum[j](exp(s - m)) + exp(sink - m)) * v[g: h / 3]);
  p = sum[j](sigmoid(s) * v[g: h / 3]);
}
""", *[dict(q=R.f32(2, 6, i, 8), k=R.f32(2, 2, j, 8), v=R.f32(2, 2, j, 5), slope=R.f32(6), sink=R.f32(6), bias=R.f32(6, j), far=i32([1000, 5, 0, 60, 130, 2]), scale=R.f32(2),
            past=i32([j - i, j // 2])) for i, j in ((1, 200), (2, 129), (7, 64), (9, 140), (1, 1))])
def F4_grouped_queries(q, k, v, slope, sink, bias, far, scale, past):
    k, v, scale = (np.repeat(t, 3, axis) for t, axis in ((k, 1), (v, 1), (scale, 0)))
    h, i, j = grid(*bias.shape[:1], q.shape[2], k.shape[2])
    at = i + past[:, None, None, None]
    kept = (j <= at) & (at - j < far[:, None, None])
    s = q @ k.swapaxes(2, 3) * scale[:, None, None] + slope[:, None, None] * (j - i) + bias[:, None] + h
    top = np.where(kept, s, sink[:, None, None]).max(-1, keepdims=True)
    z = np.where(kept, np.exp(s - np.maximum(top, sink[:, None, None])), 0)
    sunk = z / (z.sum(-1, keepdims=True) + np.exp(sink[:, None, None] - np.maximum(top, sink[:, None, None])))
    return dict(o=softmax(s, -1, kept) @ v, l=logsumexp(s, -1, kept), c=(sunk @ v).swapaxes(1, 2), p=np.where(kept, 1 / (1 + np.exp(-s)), 0) @ v)


# All queries of heads that share keys as lanes: their numbers are quotients and remainders of the lane's, in the score, the mask, a table's index and the sinks. Lanes
# that are left over, features that fill no pair, parts of the keys.
def lanes_of_grouped_queries(storage):
    @case("""
kernel f4(q: STORED[b,h,i,d], k: STORED[b,g,j,d], v: STORED[b,g,j,e], sink: f32[h], scale: f32[g], past: i32[b], t: f32[u])
  -> o: f32[b,i,h,e], l: f32[b,h,i], c: f32[b,h,i,e], p: f32[b,h,i,e]
where h = 3*g {
  let s = sum[d](q * k[g: h / 3]) * scale[g: h / 3] + t[u: j - i + h] + (i - h) / 4.0;
  mask j <= i + past and (i + h + j) % 5 != 0;
  o = sum[j](softmax[j](s) * v[g: h / 3]);
  l = logsumexp[j](s);
  let m = max(max[j](s), sink);
  c = sum[j](exp(s - m) / (sum[j](exp(s - m)) + exp(sink - m)) * v[g: h / 3]);
  p = sum[j](sigmoid(s) * v[g: h / 3]) / 100;
}
""".replace("STORED", storage), *[dict(q=getattr(R, storage)(2, h, i, d), k=getattr(R, storage)(2, 2, j, d), v=getattr(R, storage)(2, 2, j, e), sink=R.f32(h), scale=R.f32(2),
                                       past=i32([j - i, j // 2]), t=R.f32(90)) for h, i, j, d, e in
                                  ((6, 6, 300, 40, 70), (6, 16, 129, 33, 64), (6, 3, 2300, 128, 128), (6, 4, 131, 7, 5), (6, 7, 150, 16, 16), (6, 11, 64, 0, 3), (6, 5, 0, 8, 4))],
          name="F4 lanes of grouped queries, " + storage)
    def formula(q, k, v, sink, scale, past, t):
        k, v, scale = (np.repeat(x, 3, axis) for x, axis in ((k, 1), (v, 1), (scale, 0)))
        h, i, j = grid(q.shape[1], q.shape[2], k.shape[2])
        kept = (j <= i + past[:, None, None, None]) & ((i + h + j) % 5 != 0)
        s = q @ k.swapaxes(2, 3) * scale[:, None, None] + read(t, j - i + h) + (i - h) / 4
        sunk = sink[:, None, None]
        top = np.maximum(np.where(kept, s, -np.inf).max(-1, keepdims=True, initial=-np.inf), sunk)
        z = np.where(kept, np.exp(np.where(kept, s, 0) - top), 0)
        return dict(o=(softmax(s, -1, kept) @ v).swapaxes(1, 2), l=logsumexp(s, -1, kept), c=z @ v / (z.sum(-1, keepdims=True) + np.exp(sunk - top)),
                    p=np.where(kept, 1 / (1 + np.exp(-s)), 0) @ v / 100)


for storage in ("f32", "bf16"):
    lanes_of_grouped_queries(storage)


# Thousands of keys and few blocks of rows: parts of the keys are visited side by side, and their states put together. Only the first part has the sink;
# a part may be empty for a row, or for all.
@case("""
kernel f4(q: f32[b,h,i,d], k: f32[b,g,j,d], v: f32[b,g,j,e], sink: f32[h], bias: f32[h,j], len: i32[b])
  -> o: f32[b,h,i,e], l: f32[b,h,i], c: f32[b,h,i,e], p: f32[b,h,i,e]
where h = 3*g {
  mask j < len;
  score s = sum[d](q * k[g: h / 3]) + bias;
  o = sum[j](softmax[j](s) * v[g: h / 3]);
  l = logsumexp[j](s);
  let m = max(max[j](s), sink);
  c = sum[j](exp(s - m) / (sum[j](exp(s - m)) + exp(sink - m)) * v[g: h / 3]);
  p = sum[j](sigmoid(s) * v[g: h / 3]) / 100;
}
""", *[dict(q=R.f32(3, 3, i, 20), k=R.f32(3, 1, j, 20), v=R.f32(3, 1, j, 70), sink=R.f32(3), bias=R.f32(3, j), len=i32([j, j // 2 + 7, 0])) for i, j in ((1, 4100), (2, 9001), (9, 2300))])
def F4_parts_of_the_keys(q, k, v, sink, bias, len):
    k, v = np.repeat(k, 3, 1), np.repeat(v, 3, 1)
    kept = np.arange(k.shape[2]) < len[:, None, None, None]
    s = q @ k.swapaxes(2, 3) + bias[:, None]
    top = np.maximum(np.where(kept, s, -np.inf).max(-1, keepdims=True), sink[:, None, None])
    z = np.where(kept, np.exp(s - top), 0)
    return dict(o=softmax(s, -1, kept) @ v, l=logsumexp(s, -1, kept), c=z @ v / (z.sum(-1, keepdims=True) + np.exp(sink[:, None, None] - top)),
                p=np.where(kept, 1 / (1 + np.exp(-s)), 0) @ v / 100)


def sparse_rows(s, kept):
    p = np.zeros_like(s)
    for b in range(len(s)):
        n = kept[b].sum()
        if n:
            p[b, ..., :n] = project_to_simplex(s[b, ..., :n])
    return p


def shifted_sum(top, kept):
    """Three steps of t[i] = t[i + 1] + top[i]."""
    top = np.where(kept.any(-1), top, 0)
    t = np.zeros_like(top)
    for _ in range(3):
        t = np.concatenate([t[..., 1:], np.zeros_like(t[..., :1])], -1) + top
    return t


# Queries and keys of several lengths: rows that a mask removes are 0, and cost nothing.
@case("""
kernel f4(q: f32[b,h,i,d], k: f32[b,h,j,d], v: f32[b,h,j,e], rows: i32[b], keys: i32[b])
  -> o: f32[b,h,i,e], l: f32[b,h,i], c: f32[b,h,i,e], total: f32[b,h,i], every: f32[b,h,i], sparse: f32[b,h,i,e], shifted: f32[b,h,i] {
  let all = logsumexp[j](sum[d](q * k));
  mask i < rows;
  mask j < keys;
  score s = sum[d](q * k);
  o = sum[j](softmax[j](s) * v);
  l = logsumexp[j](s);
  c = sum[j](sigmoid(s) * v);
  total = sum[j](sigmoid(s));
  every = all;
  sparse = sum[j](sparsemax[j](s) * v);
  shifted = iterate 3 { t[b,h,i] = 0.0 -> t[i: i + 1] + max[j](s) };
}
""", dict(q=R.f32(4, 2, 130, 8), k=R.f32(4, 2, 150, 8), v=R.f32(4, 2, 150, 5), rows=i32([130, 50, 0, 97]), keys=i32([10, 150, 70, 0])))
def F4_rows_and_keys(q, k, v, rows, keys):
    s = q @ k.swapaxes(2, 3)
    i, j = grid(*s.shape[2:])
    seen, kept = i < rows[:, None, None, None], j < keys[:, None, None, None]
    weight = np.where(kept, 1 / (1 + np.exp(-s)), 0)
    row = seen[..., 0]
    return dict(o=np.where(seen, softmax(s, -1, kept) @ v, 0), l=np.where(row, logsumexp(s, -1, kept), 0), c=np.where(seen, weight @ v, 0), total=np.where(row, weight.sum(-1), 0),
                every=np.where(row, logsumexp(s), 0), sparse=np.where(seen, sparse_rows(s, kept) @ v, 0), shifted=np.where(row, shifted_sum(np.where(row, np.where(kept, s, -np.inf).max(-1), 0), kept), 0))


# Queries, keys and values that are computed: projected, turned, scaled.
@case("""
kernel f4(x: f32[i,m], y: f32[j,m], wq: f32[h,d,m], wk: f32[h,d,m], wv: f32[h,e,m], wo: f32[h,e,c]) -> o: f32[i,c], p: f32[h,i,e] {
  let q = sum[m](x * wq);
  let k = sum[m](y * wk);
  let v[h,j,e] = sum[m](y * wv);
  let a = sum[j](softmax[j](sum[d](q * k) * rsqrt(|d|)) * v);
  o = sum[h,e](a * wo);
  let norm[h,j] = rsqrt(sum[d](k * k) + 1);
  p = sum[j](relu(sum[d](tanh(q) * (k * norm))) * v);
}
""", dict(x=R.f32(70, 12), y=R.f32(150, 12), wq=R.f32(2, 8, 12), wk=R.f32(2, 8, 12), wv=R.f32(2, 5, 12), wo=R.f32(2, 5, 7)),
      dict(x=R.f32(1, 3), y=R.f32(1, 3), wq=R.f32(2, 1, 3), wk=R.f32(2, 1, 3), wv=R.f32(2, 70, 3), wo=R.f32(2, 70, 2)))
def F4_computed_factors(x, y, wq, wk, wv, wo):
    q, k, v = (np.einsum("im,hdm->hid", t, w) for t, w in ((x, wq), (y, wk), (y, wv)))
    a = softmax(q @ k.swapaxes(1, 2) / np.sqrt(q.shape[2])) @ v
    unit = k / np.sqrt((k * k).sum(2, keepdims=True) + 1)
    return dict(o=np.einsum("hie,hec->ic", a, wo), p=np.maximum(np.tanh(q) @ unit.swapaxes(1, 2), 0) @ v)


@case("""
kernel f4(q: f32[h,i,d], k: f32[h,j,d], v: f32[h,j,e], near: f32[h,r], hop: i32[i,j], by_hop: bf16[n,h], ok: bool[a,b], more: f16[i,j], none: f32[z], which: i32)
  -> o: f32[h,i,e], p: f32[h,i,e] {
  score s = sum[d](q * k) * rsqrt(|d|) + near[h: h + which, r: i - j + 40] + by_hop[n: hop] + more + none[hop];
  p = sum[j](sigmoid(s) * v);
  mask ok[i / 16, j / 16] and hop > 0;
  o = sum[j](softmax[j](s + more[j: j + 3]) * v);
}
""", dict(q=R.f32(2, 70, 12), k=R.f32(2, 150, 12), v=R.f32(2, 150, 20), near=R.f32(2, 90), hop=R.i32(-2, 9, 70, 150), by_hop=R.bf16(7, 2), ok=R.bool(5, 10),
          more=R.f16(70, 150), none=R.f32(0), which=i32(1)))
def F4_scores_that_read_tables(q, k, v, near, hop, by_hop, ok, more, none, which):
    i, j = grid(70, 150)
    s = q @ k.swapaxes(1, 2) / np.sqrt(12) + more
    s += np.stack([read(near, np.full_like(i - j, h + which), i - j + 40) + read(by_hop, hop, np.full_like(hop, h)) for h in range(2)])
    kept = ok[i // 16, j // 16].astype(bool) & (hop > 0)
    shifted = s + read(more, i + 0 * j, j + 3 + 0 * i)
    return dict(o=softmax(np.where(kept, shifted, -INF)) @ v, p=(1 / (1 + np.exp(-s))) @ v)


@case("""
kernel f4(q: f32[h,i,d], k: f32[g,j,d], v: f32[g,j,e], t: f16[r,j,h], u: f32[h,i,r]) -> o: f32[h,i,e] where h = 4*g {
  score s = sum[d](q * k[g: h / 4]) + t[r: (j + h) / 3] * u[r: j % 7];
  o = sum[j](softmax[j](s) * v[g: h / 4]);            // the heads of a group are the rows of a tile
}
""", dict(q=R.f32(8, 2, 12), k=R.f32(2, 150, 12), v=R.f32(2, 150, 20), t=R.f16(30, 150, 8), u=R.f32(8, 2, 30)))
def F4_tables_of_grouped_heads(q, k, v, t, u):
    k, v, (h, j) = k.repeat(4, 0), v.repeat(4, 0), grid(8, 150)
    return dict(o=softmax(q @ k.swapaxes(1, 2) + read(t, (j + h) // 3, j, h)[:, None] * u[:, :, np.arange(150) % 7]) @ v)


@case("""
kernel f4(q: f32[h,i,d], k: f32[h,j,d], v: f32[h,j,e], x: f32[i,w], y: bf16[u,j]) -> o: f32[h,i,e] {
  mask j <= i and (i - j) % 3 == 0;
  score s = sum[d](q * k) + x[w: j / 2] + y[u: i % 4];
  o = sum[j](softmax[j](s) * v);
}
""", dict(q=R.f32(2, 140, 12), k=R.f32(2, 140, 12), v=R.f32(2, 140, 20), x=R.f32(140, 50), y=R.bf16(4, 140)))
def F4_tables_of_residue_classes(q, k, v, x, y):
    i, j = grid(140, 140)
    s = q @ k.swapaxes(1, 2) + read(x, i, j // 2) + read(y, i % 4, j)
    return dict(o=softmax(np.where((j <= i) & ((i - j) % 3 == 0), s, -INF)) @ v)
