"""Further results of the pass that attends (rules K1 and K4), each beside the attention output, for several supports and normalisers."""

import numpy as np

from formulas import attention, dot, grid, logsumexp, project_to_simplex, softmax
from harness import case
from tensors import Random, bf16, f32, i32

R = Random(7)

# name: (result, statement, formula of the scores, the weights and the mask)
OUTPUTS = {
    "the map": ("p: f32[b,h,i,j]", "p = w;", lambda s, w, keep: w),
    "its mean over heads": ("p: f32[b,i,j]", "p = mean[h](w);", lambda s, w, keep: w.mean(1)),
    "column sums": ("p: f32[b,h,j]", "p = sum[i](w);", lambda s, w, keep: w.sum(2)),
    "column sums over heads": ("p: f32[b,j]", "p = sum[h,i](w);", lambda s, w, keep: w.sum((1, 2))),
    "argmax": ("p: i32[b,h,i]", "p = argmax[j](s);", lambda s, w, keep: np.where(keep.any(-1), np.where(keep, s, -np.inf).argmax(-1), -1)),
    "argmax of the weights": ("p: i32[b,h,i]", "p = argmax[j](w);", lambda s, w, keep: np.where(keep.any(-1), np.where(keep, w, -1).argmax(-1), -1)),
    "top weight": ("p: f32[b,h,i]", "p = max[j](w);", lambda s, w, keep: w.max(-1, initial=0)),
    "logsumexp": ("p: f32[b,h,i]", "p = logsumexp[j](s);", lambda s, w, keep: logsumexp(s, -1, keep)),
    "entropy": ("p: f32[b,h,i]", "p = -sum[j](if w > 0 then w * log(w) else 0);",
                lambda s, w, keep: -np.where(w > 0, w * np.log(np.where(w > 0, w, 1)), 0).sum(-1)),
    "entropy by logsumexp": ("p: f32[b,h,i]", "p = if count[j](true) > 0 then logsumexp[j](s) - sum[j](softmax[j](s) * s) else 0;",
                             lambda s, w, keep: np.where(keep.any(-1), logsumexp(s, -1, keep) - (softmax(s, -1, keep) * np.where(keep, s, 0)).sum(-1), 0)),
    "expected position": ("p: f32[b,h,i]", "p = sum[j](w * j);", lambda s, w, keep: (w * np.arange(w.shape[-1])).sum(-1)),
    "number of weights above a bound": ("p: i32[b,h,i]", "p = count[j](w > 0.015);", lambda s, w, keep: (w > 0.015).sum(-1)),
    "largest score": ("p: f32[b,h,i]", "p = max[j](s);", lambda s, w, keep: np.where(keep.any(-1), np.where(keep, s, -np.inf).max(-1, initial=-np.inf), 0)),
}

SUPPORTS = {
    "all keys": ("", lambda i, j, len: True),
    "lengths and causal": ("mask j < len and j <= i + 50;", lambda i, j, len: (j < len) & (j <= i + 50)),
    "a window": ("mask abs(2 * i - j) <= 9;", lambda i, j, len: abs(2 * i - j) <= 9),
    "a hole": ("mask j % 3 != 1 and j < len;", lambda i, j, len: (j % 3 != 1) & (j < len)),
}

NORMALISERS = {
    "softmax": lambda s, keep: softmax(s, -1, keep),
    "softmax1": lambda s, keep: np.where(keep, np.exp(s), 0) / (1 + np.where(keep, np.exp(s), 0).sum(-1, keepdims=True)),
    "sparsemax": lambda s, keep: np.where(keep.any(-1, keepdims=True), project_to_simplex(np.where(keep, s, -1e9)), 0),
}


def add(output, support, normaliser, kind="f32"):
    result, statement, formula = OUTPUTS[output]
    mask, kept = SUPPORTS[support]

    def want(q, k, v, len):
        s = dot(q, k)
        i, j = grid(70, 150)
        keep = np.broadcast_to(kept(i, j, len[:, None, None, None]), s.shape)
        w = NORMALISERS[normaliser](s, keep)
        return dict(o=w @ v, p=formula(s, w, keep))

    make = R.f32 if kind == "f32" else R.bf16
    case(f"""
kernel attend_and_more(q: {kind}[b,h,i,d], k: {kind}[b,h,j,d], v: {kind}[b,h,j,e], len: i32[b]) -> o: {kind}[b,h,i,e], {result} {{
  {mask}
  score s = sum[d](q * k) * rsqrt(|d|);
  let w = {normaliser}[j](s);
  o = sum[j](w * v);
  {statement}
}}
""", dict(q=make(2, 2, 70, 16), k=make(2, 2, 150, 16), v=make(2, 2, 150, 5), len=i32([130, 0])),
         name=f"K4 {output} beside the attention, {normaliser} over {support}, {kind}")(want)


for output in OUTPUTS:
    for support in SUPPORTS:
        add(output, support, "softmax")
    add(output, "lengths and causal", "softmax1")
    add(output, "lengths and causal", "softmax", "bf16")
for output in ("the map", "its mean over heads", "column sums", "top weight"):
    for support in SUPPORTS:
        add(output, support, "sparsemax")


# The map with its axes in another order than the scores', of grouped heads whose scores read a table, beside the logsumexp.
@case("""
kernel permuted(q: f32[i,b,h,d], k: f32[j,b,g,d], v: f32[j,b,g,e], t: f32[r], past: i32) -> o: f32[b,i,h,e], p: f32[h,b,i,j], l: f32[b,h,i] where h = 3 * g {
  mask j <= i + past;
  score s = sum[d](q * k[g: h / 3]) * 0.25 + t[r: i - j + 60];
  p = softmax[j](s);
  o = sum[j](p * v[g: h / 3]);
  l = logsumexp[j](s);
}
""", dict(q=R.f32(67, 2, 6, 24), k=R.f32(131, 2, 2, 24), v=R.f32(131, 2, 2, 9), t=R.f32(101), past=i32(-3)), name="K4 a permuted map of grouped heads, beside the logsumexp")
def permuted(q, k, v, t, past):
    i, j = grid(67, 131)
    bias = np.where((i - j + 60 >= 0) & (i - j + 60 < 101), t[np.clip(i - j + 60, 0, 100)], 0)
    s = np.einsum("ibhd,jbhd->bhij", q, np.repeat(k, 3, axis=2)) * 0.25 + bias
    keep = np.broadcast_to(j <= i + past, s.shape)
    w = softmax(s, -1, keep)
    return dict(o=np.einsum("bhij,jbhe->bihe", w, np.repeat(v, 3, axis=2)), p=w.transpose(1, 0, 2, 3), l=logsumexp(s, -1, keep))
