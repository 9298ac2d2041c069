"""Rules M1 to M7: masks are domains."""

import numpy as np

from formulas import attention, dot, grid, logsumexp, read, softmax
from harness import case, error
from tensors import Random, Tensor, boolean, f32, i32

R = Random(4)
INF = np.inf


@case("""
kernel m1(x: f32[n,m], len: i32[n], g: bool[m]) -> a: f32[n], b: f32[n], c: f32[n], d: f32[n], e: f32[n] {
  a = sum[m](x);                       // before every mask
  mask m < len;
  b = sum[m](x);
  mask g;                              // several conjoin
  c = sum[m](x);
  mask not (m == 2 or x < 0);
  d = sum[m](x);
  mask false;
  e = sum[m](x) + prod[m](x);
}
""", dict(x=R.f32(4, 7), len=i32([7, 3, 0, 9]), g=boolean([True, False, True, True, True, False, True])))
def M1_from_where_it_stands(x, len, g):
    m = np.arange(7)
    one = m < len[:, None]
    two = one & g
    three = two & ~((m == 2) | (x < 0))
    return dict(a=x.sum(1), b=(x * one).sum(1), c=(x * two).sum(1), d=(x * three).sum(1), e=np.zeros(4))


error("M1 a mask is bool", "kernel m1(x: f32[n]) -> o: f32[n] { mask n; o = x; }", r":1:42: error: .*bool", dict(x=f32([1])))


# The examples of rule M2 as they stand there.
@case("""
kernel m2(v: f32[b,j,e]) -> o: f32[b,i,e], p: f32[b,i,e], q: f32[b,i,e], r: f32[b,i,e] where i = j {
  mask j <= i;
  o = mean[j](v);
  let m = mean[j](v);
  p = m;                               // counts as part of p, which has i
  let k[b,e] = mean[j](v);
  q = k;                               // its own axes: i is not among them, so nothing is masked
  r = twice(m) - m;
}
fn twice(x) = 2 * x;
""", dict(v=R.f32(2, 5, 3)))
def M2_definitions_without_stated_axes(v):
    causal = v.cumsum(1) / np.arange(1, 6)[:, None]
    return dict(o=causal, p=causal, q=np.repeat(v.mean(1, keepdims=True), 5, 1), r=causal)


@case("""
fn average[b](x) { let n = count[b](true); sum[b](x) / n }
kernel m2(x: f32[b], words: i32[b], y: f32[b,t]) -> total: f32, part: f32, per: f32[t], f: f32 {
  mask t < words;
  total = mean[b](x);                  // x and total have no t
  part = sum[b,t](y);                  // both reduced
  per = mean[b](y);                    // t is free in the operand
  f = average[b](x);
}
""", dict(x=R.f32(4), words=i32([3, 0, 5, 1]), y=R.f32(4, 5)))
def M2_other_indices(x, words, y):
    keep = np.arange(5) < words[:, None]
    count = keep.sum(0)
    return dict(total=x.mean(), part=(y * keep).sum(), per=np.where(count > 0, (y * keep).sum(0) / np.maximum(count, 1), 0), f=x.mean())


# Each use of a definition by itself: m is masked in o, which has i, and not in s, which has none.
@case("""
kernel m2(v: f32[j]) -> o: f32[i], s: f32, t: f32[i], u: f32[i], w: i32[i] where i = j {
  mask j <= i;
  let m = sum[j](v);
  o = m;
  s = m;
  let k[j] = 2 * v;                    // i is not an axis: no point of j is removed for k
  t = sum[j](k);
  u = sum[j](softmax[j](v) * v);       // a function's body is part of u
  w = count[j](true);
}
""", dict(v=R.f32(6)))
def M2_each_use_by_itself(v):
    i, j = grid(6, 6)
    s = np.broadcast_to(v, (6, 6))
    return dict(o=v.cumsum(), s=v.sum(), t=2 * v.cumsum(), u=softmax(s, -1, j <= i) @ v, w=np.arange(1, 7))


@case("""
kernel m3(x: f32[n,m], len: i32[n], first: i32) -> o: f32[n,m], a: f32[n], b: f32[n], c: f32[n], d: i32[n,m], e: bool[n,m] {
  let before = x + 1;
  mask m < len;
  o = x + 1;                           // 0 at a removed point
  let y[n,m] = x * x + 1;
  a = y[m: first];                     // a defined value is 0 there
  b = x[m: first];                     // a parameter is what is stored
  c = before[m: first];                // defined before the mask
  d = m + 1;
  e = m >= 0;
}
""", dict(x=R.f32(4, 5), len=i32([5, 3, 0, 2]), first=3))
def M3_removed_points(x, len, first):
    keep = np.arange(5) < len[:, None]
    return dict(o=np.where(keep, x + 1, 0), a=np.where(keep, x * x + 1, 0)[:, first], b=x[:, first], c=x[:, first] + 1,
                d=np.where(keep, np.arange(5) + 1, 0), e=keep)


ROWS = """
kernel m4(s: f32[i,j], v: f32[j,e], len: i32[i]) -> o: f32[i,e], p: f32[i,j], lse: f32[i], a: f32[i], b: i32[i],
    c: f32[i], d: f32[i,e], q: f32[i,j], n: i32[i] {
  mask j < len;
  p = softmax[j](s);
  o = sum[j](softmax[j](s) * v);
  lse = logsumexp[j](s);
  a = max[j](s);
  b = argmax[j](s);
  c = mean[j](s);
  d = max[j](v);
  q = softmax1[j](s);
  n = count[j](s > 0);
}
"""


def rows(seed, i, j, lengths):
    r = Random(seed)
    return dict(s=r.f32(i, j), v=r.f32(j, 3), len=i32(lengths))


@case(ROWS, rows(1, 4, 9, [9, 0, 1, 5]), rows(2, 3, 200, [0, 0, 0]), rows(3, 3, 200, [65, 0, 64]), rows(4, 2, 0, [0, 5]))
def M4_empty_rows(s, v, len):
    rows, extent = s.shape
    keep = np.arange(extent) < len[:, None]
    n = keep.sum(1)
    e = np.where(keep, np.exp(s), 0)
    low = np.where(keep, s, -INF)
    return dict(p=softmax(s, -1, keep), o=attention(s, v, keep), lse=logsumexp(s, -1, keep),
                a=np.where(n > 0, low.max(1, initial=-INF), 0), b=np.where(n > 0, low.argmax(1) if extent else 0, -1),
                c=np.where(n > 0, (s * keep).sum(1) / np.maximum(n, 1), 0),
                d=np.stack([v[:k].max(0) if k else np.zeros(3) for k in n]),
                q=e / (1 + e.sum(1, keepdims=True)), n=((s > 0) & keep).sum(1))


@case("""
kernel m4(s: f32[i,j], v: f32[j,e]) -> o: f32[i,e], lse: f32[i], p: f32[i,j] {
  o = sum[j](softmax[j](s) * v);  lse = logsumexp[j](s);  p = softmax[j](s);
}
""", dict(s=f32([[-INF] * 4, [-INF, 0, -INF, 1], [-3e38, -INF, -3e38, -INF], [5, 5, -INF, 5]]), v=R.f32(4, 3)))
def M4_rows_of_minus_infinity(s, v): return dict(o=attention(s, v), lse=logsumexp(s), p=softmax(s))


MASKS = [  # (name, mask, NumPy, with further parameters)
    ("a constant", "j < 7", lambda i, j: j < 7),
    ("an index", "j <= i", lambda i, j: j <= i),
    ("an index, strict", "j < i", lambda i, j: j < i),
    ("from below", "j >= i", lambda i, j: j >= i),
    ("both sides", "j <= i and i - j < 5", lambda i, j: (j <= i) & (i - j < 5)),
    ("an absolute value", "abs(i - j) <= 3", lambda i, j: abs(i - j) <= 3),
    ("a scalar", "j <= i + past - 100", lambda i, j: j <= i - 95),
    ("a loaded bound", "j < len[n: i]", lambda i, j: j < LENGTHS[i]),
    ("a factor", "2 * j <= i", lambda i, j: 2 * j <= i),
    ("the other side", "i >= j + 3", lambda i, j: i >= j + 3),
    ("a negated factor", "10 - j > i", lambda i, j: 10 - j > i),
    ("a division", "j / 4 == i / 4", lambda i, j: j // 4 == i // 4),
    ("a remainder", "(i - j) % 3 == 0", lambda i, j: (i - j) % 3 == 0),
    ("an or", "j <= i or j < 5", lambda i, j: (j <= i) | (j < 5)),
    ("a not", "not (j > i)", lambda i, j: j <= i),
    ("a real bound", "j < 0.5 * i + 1.25", lambda i, j: j < 0.5 * i + 1.25),
    ("a gather", "flag[m: j]", lambda i, j: FLAGS[j]),
    ("an equality", "j == i + 1", lambda i, j: j == i + 1),
    ("a difference", "j != i", lambda i, j: j != i),
    ("a conditional", "if i < 9 then j <= i else j > i", lambda i, j: np.where(i < 9, j <= i, j > i)),
]
LENGTHS = Random(5).i32(-3, 70, 70).value
FLAGS = Random(6).bool(70).value


def bounded(points):
    def formula(q, k, v):
        i, j = grid(len(q), len(k))
        keep = np.broadcast_to(points(i, j), (len(q), len(k)))
        s = dot(q, k)
        low = np.where(keep, s, -INF)
        return dict(o=attention(s, v, keep), lse=logsumexp(s, -1, keep), left=keep.sum(1),
                    best=np.where(keep.any(1), low.argmax(1), -1))

    return formula


for title, text, points in MASKS:
    case(f"""
kernel m5(q: f32[i,d], k: f32[j,d], v: f32[j,e], len: i32[n], flag: bool[m], past: i32)
  -> o: f32[i,e], lse: f32[i], left: i32[i], best: i32[i] {{
  mask {text};
  score s = sum[d](q * k) * rsqrt(|d|);
  o = sum[j](softmax[j](s) * v);  lse = logsumexp[j](s);  left = count[j](true);  best = argmax[j](s);
}}
""", dict(q=R.f32(19, 4), k=R.f32(70, 4), v=R.f32(70, 3), len=i32(LENGTHS), flag=boolean(FLAGS), past=5),
         name=f"M5 {title}")(bounded(points))


SUPPORTS = [  # (name, mask, NumPy of what it is given)
    # Elements of a sorted tensor: binary search.
    ("a segment", "seg == mine", lambda i, j, g, m: g == m),
    ("a segment, causal", "seg == mine and j <= i", lambda i, j, g, m: (g == m) & (j <= i)),
    ("a segment of both", "(seg - mine) + 1 == 1", lambda i, j, g, m: g == m),
    ("segments below", "seg < mine", lambda i, j, g, m: g < m),
    ("segments up to", "mine >= seg", lambda i, j, g, m: g <= m),
    ("segments above", "seg > mine + 1", lambda i, j, g, m: g > m + 1),
    ("segments from", "3 * seg - i >= mine", lambda i, j, g, m: 3 * g - i >= m),
    ("segments near", "abs(seg - mine) <= 2", lambda i, j, g, m: abs(g - m) <= 2),
    ("segments by threes", "seg / 3 == mine / 3", lambda i, j, g, m: g // 3 == m // 3),
    ("a segment by a double negative", "not (seg < mine or seg > mine)", lambda i, j, g, m: g == m),
    ("a segment of a row of many", "many[n: i % 4] == mine", lambda i, j, g, m: MANY[np.ravel(i) % 4] == m),
    ("a segment of bytes", "small == mine", lambda i, j, g, m: SMALL == m),
    ("a segment or a prefix", "seg == mine or j < 3", lambda i, j, g, m: (g == m) | (j < 3)),
    # Remainders: steps.
    ("every fourth", "(i - j) % 4 == 0", lambda i, j, g, m: (i - j) % 4 == 0),
    ("every fourth of a window", "(i - j) % 4 == 0 and j <= i and i - j < 45", lambda i, j, g, m: ((i - j) % 4 == 0) & (j <= i) & (i - j < 45)),
    ("keys alone", "j % 5 == 3", lambda i, j, g, m: (j % 5 == 3) & (i > -1)),
    ("the same class", "j % 6 == i % 6", lambda i, j, g, m: j % 6 == i % 6),
    ("a sum", "(i + j + past) % 7 == 2", lambda i, j, g, m: (i + j + 5) % 7 == 2),
    ("a loaded remainder", "(i - j) % 4 == mine", lambda i, j, g, m: (i - j) % 4 == m),
    ("a negative remainder", "(j - i) % 4 == past - 6", lambda i, j, g, m: (j - i) % 4 == -1),
    ("two remainders", "(i - j) % 4 == 0 and j % 3 == 1", lambda i, j, g, m: ((i - j) % 4 == 0) & (j % 3 == 1)),
    ("a step and a class of rows", "(j - i) % 5 == 4 and (10 * j - i) % 5 == 1", lambda i, j, g, m: ((j - i) % 5 == 4) & ((10 * j - i) % 5 == 1)),
    ("a multiple of the row", "(2 * i - j) % 4 == 1", lambda i, j, g, m: (2 * i - j) % 4 == 1),
    ("every other one of a segment", "2 == 2 + (j - i) % 2 and seg == mine", lambda i, j, g, m: ((j - i) % 2 == 0) & (g == m)),
]
MANY = np.sort(Random(17).i32(-2, 9, 4, 201).value, axis=-1)
SMALL = np.sort(Random(18).i32(0, 9, 201).value)


def supported(points):
    def formula(q, k, v, seg, mine, many, small):
        i, j = grid(len(q), len(k))
        keep = np.broadcast_to(points(i, j, seg, mine[:, None]), (len(q), len(k)))
        s = dot(q, k)
        low = np.where(keep, s, -INF)
        e = np.where(keep, np.exp(s), 0)
        return dict(o=attention(s, v, keep), lse=logsumexp(s, -1, keep), p=(e / (1 + e.sum(1, keepdims=True))) @ v, left=keep.sum(1), total=keep @ v,
                    best=np.where(keep.any(1), low.argmax(1), -1), most=np.where(keep.any(1), low.max(1, initial=-INF), 0), one=keep.any(1))

    return formula


def segments(seed, i):
    r = Random(seed)
    return dict(q=r.f32(i, 8), k=r.f32(201, 8), v=r.f32(201, 6), seg=r.sorted(-2, 9, 201), mine=r.i32(-3, 11, i), many=Tensor("i32", MANY.astype(np.int32)),
                small=Tensor("u8", SMALL.astype(np.uint8)), past=5)


for title, text, points in SUPPORTS:
    case(f"""
kernel m5(q: f32[i,d], k: f32[j,d], v: f32[j,e], seg: i32[j] sorted, mine: i32[i], many: i32[n,j] sorted, small: u8[j] sorted, past: i32)
  -> o: f32[i,e], lse: f32[i], p: f32[i,e], left: i32[i], total: f32[i,e], best: i32[i], most: f32[i], one: bool[i] {{
  mask {text};
  score s = sum[d](q * k) * rsqrt(|d|);
  o = sum[j](softmax[j](s) * v);  lse = logsumexp[j](s);            // tiles
  p = sum[j](softmax1[j](s) * v);                                   // rows
  left = count[j](true);  total = sum[j](v);  best = argmax[j](s);  most = max[j](s);  one = any[j](true);
}}
""", segments(19, 150), segments(20, 3), name=f"M5 {title}")(supported(points))


def hat(x): return np.maximum(0, 1 - np.abs(x))


def ratio(a, b): return np.where((a == 0) & (b == 0), 0, a / b)


def shifted(y, at): return np.where((at >= 0) & (at < len(y)), y[np.clip(at, 0, len(y) - 1)], 0)


FACTORS = [  # (name, factor, NumPy): 0 but in an interval of j
    ("a hat", "max(0, 1 - abs(at - j))", lambda i, j, a, w, y: hat(a - j)),
    ("a wide hat", "relu(3 - abs(j - at))", lambda i, j, a, w, y: np.maximum(0, 3 - abs(j - a))),
    ("a hat of any width", "max(1 - abs(at - j) / width, 0)", lambda i, j, a, w, y: np.maximum(0, 1 - ratio(abs(a - j), w))),
    ("a parabola", "relu(1 - ((at - j) / width) * ((at - j) / width))", lambda i, j, a, w, y: np.maximum(0, 1 - ratio(a - j, w) ** 2)),
    ("a power", "relu(1 - pow((at - j) / 2.5, 2))", lambda i, j, a, w, y: np.maximum(0, 1 - ((a - j) / 2.5) ** 2)),
    ("a number of a comparison", "f32(j <= i)", lambda i, j, a, w, y: j <= i),
    ("a condition", "(if abs(j - i) < 3 then 2.0 else 0)", lambda i, j, a, w, y: 2.0 * (abs(j - i) < 3)),
    ("a contrary condition", "(if j > i then 0 else 1.5)", lambda i, j, a, w, y: 1.5 * (j <= i)),
    ("a hat of every other one", "max(0, 3 - abs(at - j)) * f32(j % 2 == 0)", lambda i, j, a, w, y: np.maximum(0, 3 - abs(a - j)) * (j % 2 == 0)),
    ("a plateau", "min(1, max(0, 4 - abs(at - j)))", lambda i, j, a, w, y: np.clip(4 - abs(a - j), 0, 1)),
    ("a clamp", "clamp(2.5 - abs(at - j), 0, 1)", lambda i, j, a, w, y: np.clip(2.5 - abs(a - j), 0, 1)),
    ("a ramp", "-relu(0.5 * j - at) / 3", lambda i, j, a, w, y: -np.maximum(0, 0.5 * j - a) / 3),
    ("a falling ramp", "sqrt(relu(at - 2 * j))", lambda i, j, a, w, y: np.sqrt(np.maximum(0, a - 2 * j))),
    ("two hats", "(relu(1 - abs(at - j)) + relu(1 - abs(at + 10 - j)))", lambda i, j, a, w, y: hat(a - j) + hat(a + 10 - j)),
    ("a hat between positions", "max(0, 1 - abs(-0.25 * j + at))", lambda i, j, a, w, y: hat(a - 0.25 * j)),
    ("a shift", "y[k: i + j - 2]", lambda i, j, a, w, y: shifted(y, i + j - 2)),
    ("a convolution with a step", "y[k: 2 * i - j]", lambda i, j, a, w, y: shifted(y, 2 * i - j)),
    ("a quotient", "y[k: j / 3 - 1]", lambda i, j, a, w, y: shifted(y, j // 3 - 1 + 0 * i)),
    ("a multiple", "y[k: i - 2 * j]", lambda i, j, a, w, y: shifted(y, i - 2 * j)),
    ("two reads", "y[k: j - i] * y[k: j - i - 3]", lambda i, j, a, w, y: shifted(y, j - i) * shifted(y, j - i - 3)),
    ("a read within a sum", "(y[k: j - i] - y[k: i - j])", lambda i, j, a, w, y: shifted(y, j - i) - shifted(y, i - j)),
]


def summed(points):
    def formula(x, at, width, y):
        i, j = grid(len(at), len(x))
        factor = np.broadcast_to(points(i, j, at[:, None], width[:, None], y), (len(at), len(x)))
        causal = factor * (j >= i)
        return dict(o=factor @ x, p=causal @ x, n=(causal != 0).sum(1), one=(factor > 0.25).any(1), z=factor.sum(1))

    return formula


AT = [-2.5, -0.5, 0, 3.25, 38.75, 39.5, 60, 1e9, -1000, INF, -INF, 7, 8.125, 11.0, 13.5]
for title, text, points in FACTORS:
    case(f"""
kernel m5(x: f32[j,c], at: f32[i], width: f32[i], y: f32[k]) -> o: f32[i,c], z: f32[i], n: i32[i], one: bool[i], p: f32[i,c] {{
  o = sum[j](x * {text});
  z = sum[j]({text});
  one = any[j]({text} > 0.25);
  mask j >= i;
  p = sum[j]({text} * x);
  n = count[j]({text} != 0);
}}
""", dict(x=R.f32(43, 6), at=f32(AT[:9] + AT[11:]), width=f32([1, 0.5, 2, 0, -3, 4, 1e-3, 1, 7, 2.5, 30, 1e6, 3]), y=f32([1, -2, 0.5, 4, 8, -1, 3])),
         dict(x=R.f32(1, 3), at=f32([0.5, 0]), width=f32([1, 1]), y=f32([2])), name=f"M5 {title} as a factor")(summed(points))


@case("""
kernel m5(image: f32[y,x,c], row: f32[p], column: f32[p], taps: f32[r], z: f32[t]) -> o: f32[p,c], n: i32[p], f: f32[t], g: f32[t], s: f32[t,c] where m = t {
  o = sum[y,x](image * max(0, 1 - abs(row - y)) * max(0, 1 - abs(column - x)));
  n = count[y,x](abs(row - y) < 1.5 and abs(column - x) < 1);
  f = sum[r](taps * z[t: t + r - |r| / 2]);            // a convolution
  g = max[m](if m >= t - 2 and m <= t + 2 then z[t: m] else -9);
  mask t - y >= 0;
  s = sum[x,y](image[y: t - y]);
}
""", dict(image=R.f32(9, 13, 5), row=f32([0, 3.5, 7.75, 8, 8.5, 9, -0.25, -1, 4]), column=f32([12, 0.5, 12.5, -0.75, 3, 3, 3, 3, 40]), taps=R.f32(5), z=R.f32(31)),
      dict(image=R.f32(1, 1, 1), row=f32([0.25]), column=f32([-0.5]), taps=R.f32(4), z=R.f32(2)))
def M5_products_of_factors(image, row, column, taps, z):
    (h, w, c), count, half = image.shape, len(z), len(taps) // 2
    weight = hat(row[:, None] - np.arange(h))[:, :, None] * hat(column[:, None] - np.arange(w))[:, None, :]
    near = (abs(row[:, None] - np.arange(h)) < 1.5)[:, :, None] & (abs(column[:, None] - np.arange(w)) < 1)[:, None, :]
    t, m = grid(count, count)
    s = np.stack([sum((image[k - y].sum(0) for y in range(min(k, h - 1) + 1) if k - y < h), np.zeros(c)) for k in range(count)])
    return dict(o=np.einsum("pyx,yxc->pc", weight, image), n=near.sum((1, 2)), s=s,
                f=sum(taps[r] * shifted(z, np.arange(count) + r - half) for r in range(len(taps))),
                g=np.where((m >= t - 2) & (m <= t + 2), z, -9.0).max(1))


# Where a factor is 0 the other one is not looked at: 0 times infinity is 0 there, compiled; the oracle takes the product.
@case("""
kernel m5(x: f32[j], at: f32[i]) -> o: f32[i] { o = sum[j](x * max(0, 1 - abs(at - j))); }
""", dict(x=f32([INF, 1, 2, 3, 4]), at=f32([1.5, 3.25])), oracle=False)
def M5_nothing_is_seen_beyond_a_factor(x, at): return dict(o=[1.5, 3.25])


@case("""
kernel m5(x: f32[n,c], at: f32[m], id: i32[n] sorted, want: i32[m]) -> o: f32[m,c], p: f32[m,c], q: f32[m,c] {
  o = sum[n](x * max(0, 1 - abs(at - n)));          // a compact factor
  p = sum[n](if id == want then x else 0);
  mask id == want;                                  // a segment of sorted ids
  q = max[n](x);
}
""", dict(x=R.f32(40, 3), at=f32([-2.5, -0.5, 0, 3.25, 38.75, 39.5, 60]), id=i32(np.arange(40) // 7), want=i32([0, 5, 2, 9, 3, -1, 1])))
def M5_compact_factors_and_segments(x, at, id, want):
    n = np.floor(at).astype(int)
    f = (at - n)[:, None]
    same = id == want[:, None]
    return dict(o=read(x, n) * (1 - f) + read(x, n + 1) * f, p=same @ x,
                q=np.stack([x[s].max(0) if s.any() else np.zeros(3) for s in same]))


# Rule M6: what no row visits costs nothing and needs nothing: 2 of 400,000 keys a row.
@case("""
kernel m6(x: f32[j,e], first: i32[i]) -> o: f32[i,e] {
  mask j >= first;
  mask j < first + 2;
  o = sum[j](x);
}
""", dict(x=Tensor("f32", np.tile(np.arange(400000, dtype=np.float32)[:, None] % 97, (1, 2))), first=i32(np.arange(0, 400000, 100))))
def M6_two_keys_a_row(x, first): return dict(o=x[first] + x[first + 1])


def poisoned(tensor, keep):
    """NaN, infinities and 3e38 wherever `keep` is False."""
    bad = np.resize(np.array([np.nan, INF, -INF, 3e38], np.float32), tensor.data.shape)
    return f32(np.where(keep, tensor.data, bad))


def padded(seed, b, h, i, j, d, e, lengths):
    r = Random(seed)
    keep = (np.arange(j) < np.array(lengths)[:, None])[:, None, :, None]
    return dict(q=r.f32(b, h, i, d), k=poisoned(r.f32(b, h, j, d), keep), v=poisoned(r.f32(b, h, j, e), keep), len=i32(lengths))


@case("""
kernel m7(q: f32[b,h,i,d], k: f32[b,h,j,d], v: f32[b,h,j,e], len: i32[b]) -> o: f32[b,h,i,e], lse: f32[b,h,i], p: f32[b,h,i,j] {
  mask j < len;
  score s = sum[d](q * k) * rsqrt(|d|);
  o = sum[j](softmax[j](s) * v);
  lse = logsumexp[j](s);
  p = softmax[j](s);
}
""", padded(1, 3, 2, 5, 9, 8, 3, [4, 0, 9]), padded(2, 2, 1, 70, 200, 16, 16, [65, 129]))
def M7_unvisited_positions(q, k, v, len):
    keep = np.arange(k.shape[2]) < len[:, None, None, None]
    clean = [np.where(np.moveaxis(keep, 3, 2), t, 0) for t in (k, v)]
    s = dot(q, clean[0])
    return dict(o=attention(s, clean[1], keep), lse=logsumexp(s, -1, keep), p=softmax(s, -1, keep))


@case("""
kernel m7(x: f32[b,j,e], y: f32[j], len: i32[b], most: i32) -> a: f32[b,e], b2: f32[b,e], c: f32[b,e], d: f32[b], f: f32[b,e], g: i32[b,e] {
  mask j < len;
  a = sum[j](x * x);
  b2 = mean[j](exp(x));
  c = max[j](x);
  d = sum[j,e](x);
  f = fold j { h[b,e] = 0 -> 0.5 * h + x };
  g = argmax[j](x);
}
""", dict(x=poisoned(R.f32(3, 12, 4), (np.arange(12) < np.array([5, 0, 12])[:, None])[:, :, None]), y=R.f32(12), len=i32([5, 0, 12]), most=1))
def M7_unvisited_positions_of_reductions(x, len):
    rows = [x[b, :n] for b, n in enumerate(len)]
    f = np.zeros((3, 4))
    for b in range(3):
        for row in rows[b]:
            f[b] = f[b] / 2 + row
    return dict(a=np.stack([(r * r).sum(0) for r in rows]), b2=np.stack([np.exp(r).sum(0) / max(len_, 1) for r, len_ in zip(rows, len)]),
                c=np.stack([r.max(0) if r.size else np.zeros(4) for r in rows]), d=np.array([r.sum() for r in rows]), f=f,
                g=np.stack([r.argmax(0) if r.size else np.full(4, -1) for r in rows]))


# A finite value at a point removed for a row never affects it, however large.
@case("""
kernel m7(q: f32[i,d], k: f32[j,d], v: f32[j,e]) -> o: f32[i,e] {
  mask j <= i;
  o = sum[j](softmax[j](sum[d](q * k)) * v);
}
""", dict(q=R.f32(70, 4), k=f32(np.where(np.arange(70)[:, None] >= 66, 1e18, R.f32(70, 4).value)),
          v=f32(np.where(np.arange(70)[:, None] >= 66, 3e38, R.f32(70, 3).value))))
def M7_large_values_at_removed_points(q, k, v):
    i, j = grid(70, 70)
    o = np.full((70, 3), np.nan)                     # later rows use the large values
    o[:66] = attention(q @ k.T, np.where(np.arange(70)[:, None] >= 66, 0, v), j <= i)[:66]
    return dict(o=o)


# A page table whose entries beyond the length are anything.
@case("""
kernel m7(x: f32[p,s], table: i32[b,n], len: i32[b]) -> o: f32[b] {
  dim j = n * s;
  mask j < len;
  let page[b,j] = table[n: j / |s|];
  o = sum[j](x[p: page, s: j % |s|]);
}
""", dict(x=poisoned(R.f32(6, 4), np.isin(np.arange(6), [1, 3, 5])[:, None]), len=i32([6, 0, 9]),
          table=i32([[5, 1, -7], [0, 2, 4], [1, 3, 5]])))
def M7_pages_beyond_the_length(x, table, len):
    return dict(o=np.array([sum(x[table[b, j // 4], j % 4] for j in range(len[b])) for b in range(3)]))
