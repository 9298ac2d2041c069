"""Rules F4, M4, M7 and M8 where the products of several rows are taken at once (frontend/emit/Blocks.cpp): from 8 rows on, and for numbers of rows and keys that fit no tile."""

import numpy as np

from formulas import dot, project_to_simplex
from harness import case
from tensors import Random, boolean, f32, i32

R = Random(47)


def blocks(name, kernel, *inputs):
    return case(kernel, *inputs, name=f"F4 blocks: {name}")


def simplex(s, keep):
    """sparsemax of what is kept; a row of nothing is 0."""
    kept = np.where(keep, np.where(np.isnan(s), 0, s), -1e9)
    return np.where(keep.any(-1, keepdims=True), project_to_simplex(kept), 0)


def softmax(s, keep):
    e = np.where(keep, np.exp(np.where(keep, s, 0)), 0)
    return e / np.maximum(e.sum(-1, keepdims=True), 1e-300)


LENGTHS = """kernel t(q: f32[b,h,i,d], k: f32[b,g,j,d], v: f32[b,g,j,e], len: i32[b]) -> o: f32[b,h,i,e] where h = 2*g {
  mask j < len;
  score s = sum[d](q * k[g: h/2]) * rsqrt(|d|);
  o = sum[j](sparsemax[j](s) * v[g: h/2]);
}"""


def shared(rows, keys, lengths):
    beyond = R.f32(3, 2, keys, 11).data.copy(), R.f32(3, 2, keys, 19).data.copy()
    for x in beyond:
        for n, length in enumerate(lengths):
            x[n, :, length:] = np.nan
    return dict(q=R.f32(3, 4, rows, 11), k=f32(beyond[0]), v=f32(beyond[1]), len=i32(lengths))


@blocks("lengths, heads that share keys", LENGTHS, *(shared(rows, keys, lengths) for rows, keys, lengths in
        ((7, 40, [40, 0, 3]), (8, 70, [70, 1, 64]), (29, 33, [0, 33, 17]), (53, 131, [130, 131, 64]))))
def lengths(q, k, v, len):
    k, v = (np.nan_to_num(np.repeat(x, 2, 1)) for x in (k, v))
    keep = np.broadcast_to(np.arange(k.shape[2]) < len[:, None, None, None], (*q.shape[:3], k.shape[2]))
    return dict(o=simplex(dot(q, k), keep) @ v)


@blocks("tables that lie across", """kernel t(q: f32[d,i], k: f32[d,j], v: f32[e,j], keep: bool[j], w: f32[j]) -> o: f32[i,e], p: f32[i,j], m: f32[i], c: i32[i] {
  mask keep;
  score s = sum[d](q * k);
  p = sparsemax[j](s);
  m = max[j](s);
  c = count[j](p > 0);
  o = w[j: 0] * sum[j](p * v) / (1 + sum[j](p * p));
}""", *(dict(q=R.f32(5, rows), k=R.f32(5, 45), v=R.f32(21, 45), keep=boolean(np.arange(45) % 3 != 1), w=R.f32(45)) for rows in (4, 31)))
def across(q, k, v, keep, w):
    s = q.T @ k
    keep = np.broadcast_to(keep, s.shape)
    p = simplex(s, keep)
    return dict(o=w[0] * (p @ v.T) / (1 + (p * p).sum(-1, keepdims=True)), p=p, m=np.where(keep, s, -np.inf).max(-1), c=(p > 0).sum(-1))


@blocks("a map and what it sums", """kernel t(q: f32[b,i,d], k: f32[b,j,d], v: f32[b,j,e], keep: bool[b,j]) -> o: f32[b,i,e], p: f32[b,i,j] {
  mask keep;
  p = softmax[j](sum[d](q * k));
  o = sum[j](p * v);
}""", *(dict(q=R.f32(2, rows, 6), k=R.f32(2, keys, 6), v=R.f32(2, keys, 70), keep=boolean(np.stack([np.arange(keys) % 5 != 2, np.zeros(keys, bool)]))) for rows, keys in ((3, 20), (50, 90), (26, 0))))
def map_and_sums(q, k, v, keep):
    s = np.einsum("bid,bjd->bij", q, k)
    p = softmax(s, np.broadcast_to(keep[:, None], s.shape))
    return dict(o=p @ v, p=p)


@blocks("projected keys and values of bf16", """kernel t(x: f32[b,i,m], y: f32[b,j,m], wk: f32[m,d], v: bf16[b,j,e]) -> o: f32[b,i,e] where m = d {
  let k = sum[m](y * wk);
  score s = sum[d](x[m: d] * k);
  o = sum[j](sparsemax[j](s) * v);
}""", dict(x=R.f32(2, 37, 9), y=R.f32(2, 58, 9), wk=R.f32(9, 9), v=R.bf16(2, 58, 33)))
def projected(x, y, wk, v):
    s = np.einsum("bid,bjd->bij", x, y @ wk)
    return dict(o=simplex(s, np.ones(s.shape, bool)) @ v)


@blocks("infinite scores", "kernel t(q: f32[i,d], k: f32[j,d], v: f32[j,e]) -> o: f32[i,e], p: f32[i,j] { p = softmax[j](sum[d](q * k)); o = sum[j](p * v); }",
        dict(q=f32(np.abs(R.f32(14, 2).data) + 1), k=f32([[-np.inf, 1], [1, 2], [0.5, 1], [-np.inf, -np.inf]]), v=R.f32(4, 3)))
def infinite(q, k, v):
    with np.errstate(invalid="ignore"):
        s = np.einsum("id,jd->ij", q, k)
    e = np.exp(s - s.max(-1, keepdims=True))
    p = e / e.sum(-1, keepdims=True)
    return dict(o=p @ v, p=p)
