"""Rules F4, M7, E10 and K10 for attention over keys and values of bf16 or f16, which AMX's tile registers compute where a process may use
them: each case as the machine has it, and once without them."""

import numpy as np

from formulas import attention, dot, grid, logsumexp, softmax
from harness import case
from tensors import Random, bf16, f16, f32, i32

R = Random(21)


def tiles(name, kernel, **inputs):
    return case(kernel, inputs, name=f"F4 tiles: {name}", tiles=True)


ATTEND = """kernel t(q: bf16[h,i,d], k: bf16[h,j,d], v: bf16[h,j,e]%s) -> o: %s[h,i,e], l: f32[h,i] {
  %s
  score s = sum[d](q * k) * rsqrt(|d|);
  o = sum[j](softmax[j](s) * v);
  l = logsumexp[j](s);
}"""


def plain(keep):
    def want(q, k, v, **more):
        i, j = grid(q.shape[1], k.shape[1])
        kept = np.broadcast_to(keep(i, j, **more), (len(q), *np.broadcast_shapes(i.shape, j.shape)))
        return dict(o=attention(dot(q, k), v, kept), l=logsumexp(dot(q, k), -1, kept))

    return want


# Extents that fill no tile, no line of 16 pairs and no panel, and ones that fill all.
for h, i, j, d, e in ((2, 70, 150, 40, 20), (1, 64, 256, 64, 64), (2, 33, 290, 7, 33), (1, 95, 17, 129, 1), (1, 40, 500, 1, 96)):
    tiles(f"{i} x {j}, {d} features, {e} columns", ATTEND % ("", "f32", ""), q=R.bf16(h, i, d), k=R.bf16(h, j, d), v=R.bf16(h, j, e))(plain(lambda i, j: True))
tiles("a window", ATTEND % ("", "bf16", "mask j <= i + 9 and i - j < 100;"), q=R.bf16(2, 300, 64), k=R.bf16(2, 330, 64), v=R.bf16(2, 330, 64))(
    plain(lambda i, j: (j <= i + 9) & (i - j < 100)))
tiles("every third key", ATTEND % ("", "f32", "mask (i - j) % 3 == 0 and j <= i;"), q=R.bf16(1, 200, 24), k=R.bf16(1, 200, 24), v=R.bf16(1, 200, 40))(
    plain(lambda i, j: ((i - j) % 3 == 0) & (j <= i)))
tiles("any condition", ATTEND % (", kind: i32[j]", "f32", "mask kind == 1 or j == i;"), q=R.bf16(2, 90, 24), k=R.bf16(2, 200, 24), v=R.bf16(2, 200, 40), kind=R.i32(0, 5, 200))(
    plain(lambda i, j, kind: (kind == 1) | (j == i)))


def unwritten(tensor, length):
    """NaN and infinities from `length` on."""
    data = tensor.data.copy()
    data[:, length:] = np.resize(np.array([0x7FC0, 0xFF80, 0x7F80], np.uint16), data[:, length:].shape)
    return type(tensor)(tensor.kind, data)


# What no row visits does not matter: here before the window of the first rows, and beyond the length.
@tiles("what is not written", ATTEND % (", len: i32", "f32", "mask j < len and j >= 37 + i / 4;"), q=R.bf16(2, 80, 32), k=unwritten(R.bf16(2, 300, 32), 201),
       v=unwritten(R.bf16(2, 300, 50), 201), len=i32(201))
def not_written(q, k, v, len):
    i, j = grid(q.shape[1], k.shape[1])
    keep = np.broadcast_to((j < len) & (j >= 37 + i // 4), (2, 80, 300))
    s = dot(q, np.nan_to_num(k, posinf=0, neginf=0))
    return dict(o=attention(s, np.nan_to_num(v, posinf=0, neginf=0), keep), l=logsumexp(s, -1, keep))


# An infinite value that every row visits is in every result of its column, and in no other.
INFINITE = R.bf16(1, 140, 20)
INFINITE.data[0, 133, 4] = 0x7F80


@tiles("an infinite value", ATTEND % ("", "f32", ""), q=R.bf16(1, 50, 16), k=R.bf16(1, 140, 16), v=INFINITE)
def infinite(q, k, v):
    s, finite = dot(q, k), np.where(np.isinf(v), 0, v)
    o = attention(s, finite)
    o[:, :, 4] = np.inf
    return dict(o=o, l=logsumexp(s, -1))


# Axes in any order: features of keys apart, columns of values apart, heads in the middle; groups of heads; empty rows; a score that reads tables.
@tiles("axes in any order", """
kernel t(q: bf16[i,h,d], k: bf16[g,d,j], v: bf16[e,j,g], bias: bf16[r,h], cap: f32[h], len: i32[h]) -> o: bf16[i,e,h] where h = 2 * g {
  mask j < len and j <= i + 60;
  score s = tanh(sum[d](q * k[g: h / 2]) * cap) * 5 + bias[r: i - j + 100];
  o = sum[j](softmax1[j](s) * v[g: h / 2]);
}""", q=R.bf16(70, 4, 35), k=R.bf16(2, 35, 180), v=R.bf16(21, 180, 2), bias=R.bf16(150, 4), cap=f32([0.1, 0.2, 0.05, 0.3]), len=i32([180, 0, 77, 1]))
def any_order(q, k, v, bias, cap, len):
    i, j = grid(70, 180)
    at = i - j + 100
    table = np.where(((at >= 0) & (at < 150))[..., None], bias[np.clip(at, 0, 149)], 0).transpose(2, 0, 1)
    s = np.tanh(np.einsum("ihd,hdj->hij", q, np.repeat(k, 2, axis=0)) * cap[:, None, None]) * 5 + table
    keep = (j < len[:, None, None]) & (j <= i + 60)
    z = np.where(keep, np.exp(s), 0)
    return dict(o=np.einsum("hij,ejh->ieh", z / (1 + z.sum(-1, keepdims=True)), np.repeat(v, 2, axis=2)))


# Numbers of more digits than bf16 has go in as sums of several.
def typed(query, key, value):
    return ATTEND.replace("q: bf16", "q: " + query).replace("k: bf16", "k: " + key).replace("v: bf16", "v: " + value)


for types in (("f16", "f16", "f16"), ("f32", "bf16", "bf16"), ("f32", "f16", "bf16"), ("bf16", "f16", "f16")):
    query, key, value = (getattr(R, t) for t in types)
    for h, i, j, d, e in ((2, 70, 150, 40, 20), (1, 130, 290, 64, 96), (1, 33, 17, 129, 1)):
        tiles(f"{', '.join(types)}: {i} x {j}", typed(*types) % ("", "f32", "mask j <= i + 100;"), q=query(h, i, d), k=key(h, j, d), v=value(h, j, e))(
            plain(lambda i, j: j <= i + 100))
# f16 from its smallest numbers to its largest; f32 over 36 decades, and so small or so large that its parts would lose digits or be infinite.
WIDE = 10.0 ** np.random.default_rng(22).integers(-7, 5, (1, 40, 24)) * np.where(R.f32(1, 40, 24).data > 0, 1, -1)
tiles("f16 of every size", typed("bf16", "f16", "f16") % ("", "f32", ""), q=bf16(R.f32(1, 40, 24).data * 2.0**-14), k=f16(WIDE), v=f16(WIDE[:, :, :9]))(plain(lambda i, j: True))
for name, scale in (("f32 of every size", 10.0 ** np.linspace(-34, 1, 24)), ("f32 too small for parts", 1e-34), ("f32 too large for parts", 2.0**127)):
    tiles(name, typed("f32", "bf16", "bf16") % ("", "f32", ""), q=f32(np.clip(R.f32(1, 50, 24).data, -1.9, 1.9) * scale), k=bf16(R.f32(1, 90, 24).data / scale), v=R.bf16(1, 90, 33))(
        plain(lambda i, j: True))
# An infinite query that visits nothing.
ASIDE = R.f32(1, 60, 20)
ASIDE.data[0, 7, 3], ASIDE.data[0, 7, 4] = np.inf, np.nan


@tiles("an infinite query", typed("f32", "bf16", "bf16") % ("", "f32", "mask i != 7 or j < 0;"), q=ASIDE, k=R.bf16(1, 140, 20), v=R.bf16(1, 140, 20))
def infinite_query(q, k, v):
    q = np.where(np.arange(60)[:, None] == 7, 0, q)
    return plain(lambda i, j: (i != 7) & (j >= 0))(q, k, v)


# A view of every third key whose keys lie side by side.
@tiles("every third key of columns", """
kernel t(q: bf16[i,d], k: bf16[d,j], v: bf16[e,j]) -> o: f32[i,e] {
  mask (i - j) % 3 == 0;
  score s = sum[d](q * k);
  o = sum[j](softmax[j](s) * v);
}""", q=R.bf16(120, 20), k=R.bf16(20, 250), v=R.bf16(37, 250))
def third(q, k, v):
    i, j = grid(120, 250)
    return dict(o=attention((q @ k)[None], v.T[None], (i - j) % 3 == 0)[0])


# Scores far apart, and an additive bias of minus infinity.
@tiles("large scores", """
kernel t(q: bf16[i,d], k: bf16[j,d], v: bf16[j,e], b: bf16[i,j]) -> o: f32[i,e] {
  score s = sum[d](q * k) + b;
  o = sum[j](softmax[j](s) * v);
}""", q=bf16(8 * R.f32(45, 16).data), k=bf16(4 * R.f32(160, 16).data), v=R.bf16(160, 18), b=bf16(np.where(R.f32(45, 160).data > 1, -np.inf, 0)))
def large(q, k, v, b):
    return dict(o=softmax(q @ k.T + b, -1, True) @ v)

# Rule K10: a schedule never changes a result. Tiles of odd sizes, larger than what there is, of one query, with keys as they lie; other versions for few rows.
for name, settings in (("one query a tile", "queries = 1; keys = 64; few = none; grouped = none; tiles = none;"), ("odd tiles", "queries = 37; panel = 16; keys = 48; few = none; tiles = none;"),
                       ("large tiles", "queries = 512; keys = 1024; panel = 128; few = none; tiles = none;"), ("keys as they lie", "key_layout = rows; few = none; tiles = none;"),
                       ("a version for many rows", "few { rows = 200; queries = 5; keys = 64; panel = 32; }"), ("heads as rows", "grouped { rows = 200; queries = 3; keys = 64; }")):
    @case("""kernel t(q: bf16[h,i,d], k: bf16[g,j,d], v: bf16[g,j,e], w: i32) -> o: f32[h,i,e], l: f32[h,i] where h = 4*g {
  mask j <= i + 11;
  mask i - j < w;
  score s = sum[d](q * k[g: h/4]) * rsqrt(|d|);
  o = sum[j](softmax[j](s) * v[g: h/4]);
  l = logsumexp[j](s);
}
schedule t for cpu { %s }""" % settings, dict(q=R.bf16(8, 75, 40), k=R.bf16(2, 90, 40), v=R.bf16(2, 90, 20), w=i32(30)), name=f"K10 {name}", tiles=True)
    def scheduled(q, k, v, w):
        i, j = grid(75, 90)
        k, v = np.repeat(k, 4, 0), np.repeat(v, 4, 0)
        keep = np.broadcast_to((j <= i + 11) & (i - j < w), (8, 75, 90))
        return dict(o=attention(dot(q, k), v, keep), l=logsumexp(dot(q, k), -1, keep))


# Keys and values of f32 as three parts, where the program asks for it.
SIZES = 10.0 ** np.linspace(-6, 3, 40)
for name, keep, mask, scale in (("every key", lambda i, j: True, "", 1), ("a window", lambda i, j: (j <= i + 9) & (i - j < 100), "mask j <= i + 9 and i - j < 100;", 1),
                                ("features of every size", lambda i, j: True, "", SIZES), ("too small for parts", lambda i, j: True, "", 1e-32)):
    tiles(f"f32 by request, {name}", typed("f32", "f32", "f32") % ("", "f32", mask) + "schedule t for sapphirerapids { tiles { } }",
          q=f32(R.f32(2, 150, 40).data * scale), k=f32(R.f32(2, 300, 40).data / scale), v=R.f32(2, 300, 50))(plain(keep))
