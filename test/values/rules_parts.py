"""Rules M4, M7 and K10 for few queries over many keys: on a GPU the keys are cut into parts (lowering/SplitKeys.h), of 256 or more."""

import numpy as np

from formulas import attention, dot, grid
from harness import case
from tensors import Random, f32, i32

R = Random(31)


def parts(name, kernel, **inputs):
    return case(kernel, inputs, name=f"K10 parts: {name}")


# Heads that share their keys are the rows where queries are fewer than they; otherwise a head's queries are. Beyond the length is NaN.
SHARED = """kernel t(q: f32[b,h,i,d], k: f32[b,g,j,d], v: f32[b,g,j,e], len: i32[b]) -> o: f32[b,h,i,e] where h = 4*g {
  mask j < len[b];
  score s = sum[d](q * k[g: h/4]) * rsqrt(|d|) + h;
  o = sum[j](softmax[j](s) * v[g: h/4]);
}"""


def unwritten(tensor, lengths):
    data = tensor.data.copy()
    for n, length in enumerate(lengths):
        data[n, :, length:] = np.nan
    return f32(data)


for queries in (3, 7):
    lengths = [0, 280] if queries == 7 else [530, 1]

    @parts(f"heads that share keys, {queries} queries", SHARED, q=R.f32(2, 8, queries, 12), k=unwritten(R.f32(2, 2, 530, 12), lengths), v=unwritten(R.f32(2, 2, 530, 9), lengths), len=i32(lengths))
    def shared(q, k, v, len):
        k, v = (np.repeat(x, 4, 1) for x in (k, v))
        keep = np.broadcast_to(np.arange(530) < len[:, None, None, None], (2, 8, q.shape[2], 530))
        return dict(o=attention(dot(q, np.where(np.isnan(k), 0, k)), np.where(np.isnan(v), 0, v), keep))


@parts("one query", "kernel t(q: f32[h,d], k: f32[h,j,d], v: f32[h,j,e]) -> o: f32[h,e] { score s = sum[d](q * k) * 3; o = sum[j](softmax[j](s) * v); }",
       q=R.f32(2, 5), k=R.f32(2, 400, 5), v=R.f32(2, 400, 70))
def one(q, k, v): return dict(o=attention(dot(q[:, None], k) * np.sqrt(5) * 3, v)[:, 0])


@parts("a window, and parts without a key", """kernel t(q: bf16[h,i,d], k: bf16[h,j,d], v: bf16[h,j,e], past: i32) -> o: bf16[h,i,e] {
  mask j <= i + past; mask j > i + past - 40;
  score s = sum[d](q * k) * rsqrt(|d|);
  o = sum[j](softmax1[j](s) * v);
}""", q=R.bf16(1, 16, 8), k=R.bf16(1, 800, 8), v=R.bf16(1, 800, 6), past=i32(500))
def window(q, k, v, past):
    i, j = grid(16, 800)
    s, keep = dot(q, k), np.broadcast_to((j <= i + past) & (j > i + past - 40), (1, 16, 800))
    weight = np.where(keep, np.exp(s), 0)
    return dict(o=weight @ v / (1 + weight.sum(-1, keepdims=True)))


@parts("weights as they are", "kernel t(q: f32[i,d], k: f32[j,d], v: f32[j,e]) -> o: f32[e,i] { mask j != 300; score s = sum[d](q * k); o = sum[j](s * v); }", q=R.f32(2, 6), k=R.f32(310, 6), v=R.f32(310, 5))
def pointwise(q, k, v):
    s = q @ k.T
    s[:, 300] = 0
    return dict(o=(s @ v).T)


@parts("more keys than the most parts have", "kernel t(q: f32[i,d], k: f32[j,d], v: f32[j,e]) -> o: f32[i,e] { score s = sum[d](q * k); o = sum[j](softmax[j](s) * v); }",
       q=f32(R.f32(1, 2).data * 3), k=R.f32(17000, 2), v=R.f32(17000, 3))
def many(q, k, v): return dict(o=attention(dot(q, k) * np.sqrt(2), v))
