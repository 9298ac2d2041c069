"""The catalogue of examples/kernels: one formula for each file."""

import numpy as np

from formulas import (attention, dot, entmax, grid, logsumexp, project_to_simplex, read,
                      softmax, t5_bucket)
from harness import example
from tensors import Random, Tensor, bf16, boolean, f16, f32, i8, i32


def qkv(seed, b=2, h=3, i=7, j=11, d=8, e=5, make="f32"):
    r = Random(seed)
    return {name: getattr(r, make)(*shape) for name, shape in
            dict(q=(b, h, i, d), k=(b, h, j, d), v=(b, h, j, e)).items()}


def sigmoid(x): return 1 / (1 + np.exp(-x))


@example("attend", qkv(1), qkv(2, 1, 1, 1, 1, 1, 1), qkv(3, 1, 2, 65, 130, 64, 64), qkv(4, j=0), qkv(5, i=0))
def attend(q, k, v): return dict(o=attention(dot(q, k), v))


def decode_input(seed, d, i, j, past, lengths):
    r = Random(seed)
    b = len(lengths)
    return dict(q=r.bf16(b, 8, i, d), k=r.bf16(b, 2, j, d), v=r.bf16(b, 2, j, 9), slope=f32(2.0 ** -np.arange(1, 9)),
                len=i32(lengths), past=past)


@example("decode", decode_input(10, 64, 5, 40, 20, [40, 17]), decode_input(11, 128, 3, 20, 17, [20, 0]),
         decode_input(12, 24, 1, 5000, 4990, [4995, 300]))
def decode(q, k, v, slope, len, past):
    i, j = grid(q.shape[2], k.shape[2])
    p = i + past
    s = 30 * np.tanh(dot(q, np.repeat(k, 4, axis=1)) / 30) + slope[:, None, None] * (j - p)
    keep = (j <= p) & (p - j < 4096) & (j < len[:, None, None, None])
    return dict(o=attention(s, np.repeat(v, 4, axis=1), keep), lse=logsumexp(s, -1, keep))


R = Random(20)


@example("additive", dict(q=R.f32(2, 5, 8), k=R.f32(2, 9, 8), v=R.f32(2, 9, 6), w=R.f32(8)))
def additive(q, k, v, w):
    p = softmax(np.tanh(q[:, :, None] + k[:, None]) @ w)
    return dict(o=p @ v, p=p)


def graph(seed, degrees):
    r = Random(seed)
    n = len(degrees)
    return dict(row=i32(np.concatenate([[0], np.cumsum(degrees)])), nbr=r.i32(0, n, sum(degrees)))


def edges(row, nbr):
    """[nodes, edges]: is edge t one of node n's?"""
    t = np.arange(len(nbr))
    return (t >= row[:-1, None]) & (t < row[1:, None])


@example("gat", dict(dst=R.f32(6, 3), src=R.f32(6, 3), z=R.f32(6, 3, 4), **graph(21, [2, 0, 5, 1, 0, 3])))
def gat(dst, src, z, row, nbr):
    s = dst[:, None] + src[nbr]                                      # [n, t, h]
    p = softmax(np.where(s > 0, s, 0.2 * s), 1, edges(row, nbr)[:, :, None])
    return dict(o=np.einsum("nth,the->nhe", p, z[nbr]))


@example("causal_bottom_right", qkv(30), qkv(31, i=11, j=7), qkv(32, 1, 1, 200, 200, 16, 16))
def causal_bottom_right(q, k, v):
    i, j = grid(q.shape[2], k.shape[2])
    return dict(o=attention(dot(q, k), v, j <= i + k.shape[2] - q.shape[2]))


@example("prefix_lm", dict(qkv(33, i=11), known=i32([4, 0])))
def prefix_lm(q, k, v, known):
    i, j = grid(q.shape[2], k.shape[2])
    return dict(o=attention(dot(q, k), v, (j <= i) | (j < known[:, None, None, None])))


@example("sliding_window", dict(qkv(34, i=11), w=2), dict(qkv(35, 1, 1, 300, 300), w=33), dict(qkv(36, i=11), w=-1))
def sliding_window(q, k, v, w):
    i, j = grid(q.shape[2], k.shape[2])
    return dict(o=attention(dot(q, k), v, abs(i - j) <= w))


@example("dilated", dict(qkv(37, 1, 2, 40, 40), reach=4))
def dilated(q, k, v, reach):
    i, j = grid(q.shape[2], k.shape[2])
    return dict(o=attention(dot(q, k), v, (j <= i) & (i - j < 3 * reach) & ((i - j) % 3 == 0)))


@example("documents", dict(qkv(38, i=11), doc=i32([[0, 0, 0, 1, 1, 3, 3, 3, 3, 3, 9], [2] * 11])))
def documents(q, k, v, doc):
    i, j = grid(q.shape[2], k.shape[2])
    return dict(o=attention(dot(q, k), v, ((j <= i) & (doc[:, :, None] == doc[:, None, :]))[:, None]))


@example("ragged", dict(qkv(39, b=4, make="f16"), len=i32([11, 0, 5, 99])))
def ragged(q, k, v, len): return dict(o=attention(dot(q, k), v, np.arange(k.shape[2]) < len[:, None, None, None]))


@example("packed_lengths", dict(q=R.f32(9, 2, 4), k=R.f32(9, 2, 4), v=R.f32(9, 2, 3), start=i32([0, 4, 4, 9]),
                                which=i32([0] * 4 + [2] * 5)))
def packed_lengths(q, k, v, which, start):
    t, u = grid(9, 9)
    keep = (u >= start[which][:, None]) & (u < start[which + 1][:, None]) & (u <= t)
    return dict(o=attention(dot(q.swapaxes(0, 1), k.swapaxes(0, 1)), v.swapaxes(0, 1), keep).swapaxes(0, 1))


@example("paged", dict(q=R.f32(3, 2, 8), k=R.f32(10, 4, 2, 8), v=R.f32(10, 4, 2, 5), len=i32([13, 0, 4]),
                       pages=i32([[7, 2, 9, 0], [-1, -1, 2**31 - 1, -7], [3, 1000, 5, 5]])))
def paged(q, k, v, pages, len):
    out = np.zeros((3, 2, 5))
    for b in range(3):
        at = [(pages[b, j // 4], j % 4) for j in range(len[b])]
        if at:
            keys, values = np.stack([k[a] for a in at], 1), np.stack([v[a] for a in at], 1)   # [h, j, d]
            out[b] = attention(dot(q[b][:, None], keys), values)[:, 0]
    return dict(o=out)


@example("alibi_bias", dict(qkv(40, i=11), slope=f32([0.5, 0.25, 0.125])))
def alibi_bias(q, k, v, slope):
    i, j = grid(11, 11)
    return dict(o=attention(dot(q, k) + slope[:, None, None] * (j - i), v, j <= i))


@example("t5", dict(qkv(41, i=13, j=50), bias=R.f32(3, 32)))
def t5(q, k, v, bias):
    i, j = grid(13, 50)
    return dict(o=attention(q @ k.swapaxes(-1, -2) + bias[:, t5_bucket(j - i, True, 32, 128)], v))


@example("transformer_xl", dict(qkv(42, i=5, j=11), r=R.f32(3, 11, 8), content=R.f32(3, 8), position=R.f32(3, 8)))
def transformer_xl(q, k, v, r, content, position):
    i, j = grid(5, 11)
    p = i + 6
    relative = np.stack([[read(r.swapaxes(0, 1), np.array(x - y)) for y in range(11)] for x in range(6, 11)])  # [i, j, h, d]
    s = np.einsum("bhid,bhjd->bhij", q + content[:, None], k)
    s = s + np.einsum("bhid,ijhd->bhij", q + position[:, None], relative)
    return dict(o=attention(s / np.sqrt(8), v, j <= p))


@example("deberta", dict(qkv(43, i=11), qr=R.f32(3, 6, 8), kr=R.f32(3, 6, 8)))
def deberta(q, k, v, qr, kr):
    i, j = grid(11, 11)
    near = np.clip(i - j + 3, 0, 5)
    s = np.einsum("bhid,bhjd->bhij", q, k) + np.einsum("bhid,hijd->bhij", q, kr[:, near])
    s = s + np.einsum("bhjd,hijd->bhij", k, qr[:, near.T])
    return dict(o=attention(s / np.sqrt(3 * 8), v))


@example("rotary", dict(qkv(44, i=3, d=16), past=8))
def rotary(q, k, v, past):
    def rotate(x, p):
        angle = p[:, None] * 10000.0 ** (-np.arange(8) / 8)
        a, b = x[..., :8], x[..., 8:]
        return np.concatenate([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], -1)
    i, j = grid(3, 11)
    return dict(o=attention(dot(rotate(q, np.arange(3) + past), rotate(k, np.arange(11))), v, j <= i + past))


@example("neighbourhood", dict(qkv(45, i=11), w=2), dict(qkv(46, i=11), w=7))
def neighbourhood(q, k, v, w):
    i, j = grid(11, 11)
    first = np.clip(i - w, 0, max(11 - 2 * w - 1, 0))
    return dict(o=attention(dot(q, k), v, (j >= first) & (j <= first + 2 * w)))


@example("neighbourhood_2d", dict(q=R.f32(2, 5, 6, 4), k=R.f32(2, 5, 6, 4), v=R.f32(2, 5, 6, 3), w=1))
def neighbourhood_2d(q, k, v, w):
    y, x, r, c = grid(5, 6, 5, 6)
    keep = ((abs(y - r) <= w) & (abs(x - c) <= w)).reshape(30, 30)
    flat = [t.reshape(2, 30, -1) for t in (q, k, v)]
    return dict(o=attention(dot(flat[0], flat[1]), flat[2], keep).reshape(2, 5, 6, 3))


@example("neighbourhood_3d", dict(q=R.f32(4, 3, 5, 4), k=R.f32(4, 3, 5, 4), v=R.f32(4, 3, 5, 2)))
def neighbourhood_3d(q, k, v):
    t, y, x, u, r, c = grid(4, 3, 5, 4, 3, 5)
    keep = ((u <= t) & (t - u <= 1) & (abs(y - r) <= 1) & (abs(x - c) <= 1)).reshape(60, 60)
    flat = [a.reshape(60, -1) for a in (q, k, v)]
    return dict(o=attention(dot(flat[0], flat[1]), flat[2], keep).reshape(4, 3, 5, 2))


@example("general", dict(q=R.f32(2, 5, 8), k=R.f32(2, 9, 6), v=R.f32(2, 9, 3), w=R.f32(8, 6), len=i32([9, 2])))
def general(q, k, v, w, len):
    return dict(o=attention(q @ w @ k.swapaxes(1, 2), v, np.arange(9) < len[:, None, None]))


@example("concat_score", dict(q=R.f32(2, 5, 3), k=R.f32(2, 9, 4), v=R.f32(2, 9, 6), w=R.f32(8, 7), u=R.f32(8)))
def concat_score(q, k, v, w, u):
    pair = np.concatenate([np.broadcast_to(q[:, :, None], (2, 5, 9, 3)), np.broadcast_to(k[:, None], (2, 5, 9, 4))], -1)
    return dict(o=attention(np.tanh(pair @ w.T) @ u, v))


@example("cosine", dict(key=R.f32(2, 3, 8), memory=R.f32(2, 9, 8), sharpness=f32([[1, 5, 0], [2, 20, 7]])),
         dict(key=f32(np.zeros((1, 1, 8))), memory=R.f32(1, 9, 8), sharpness=f32([[3]])))
def cosine(key, memory, sharpness):
    norms = np.linalg.norm(key, axis=-1)[:, :, None] * np.linalg.norm(memory, axis=-1)[:, None]
    product = key @ memory.swapaxes(1, 2)
    w = softmax(sharpness[:, :, None] * np.where(norms == 0, 0, product / np.where(norms == 0, 1, norms)))
    return dict(w=w, read_vector=w @ memory)


@example("euclidean", qkv(47))
def euclidean(q, k, v):
    return dict(o=attention(-((q[:, :, :, None] - k[:, :, None]) ** 2).sum(-1) / np.sqrt(8), v))


@example("location", dict(q=R.f32(2, 5, 8), w=R.f32(9, 8), v=R.f32(2, 9, 3), len=i32([4, 9])))
def location(q, w, v, len): return dict(o=attention(q @ w.T, v, np.arange(9) < len[:, None, None]))


@example("location_aware", dict(q=R.f32(2, 8), k=R.f32(2, 9, 8), v=R.f32(2, 9, 3), last=f32(softmax(R.f32(2, 9).value)),
                                filter=R.f32(4, 5), u=R.f32(8, 4), w=R.f32(8), sharpness=1.5))
def location_aware(q, k, v, last, filter, u, w, sharpness):
    padded = np.pad(last, ((0, 0), (2, 2)))
    f = sum(padded[:, r : r + 9, None] * filter[:, r] for r in range(5))         # [b, j, c]
    p = softmax(sharpness * (np.tanh(q[:, None] + k + f @ u.T) @ w))
    return dict(o=np.einsum("bj,bje->be", p, v), p=p)


@example("soft_cap", dict(q=R.f32(2, 8, 6, 8), k=R.f32(2, 2, 9, 8), v=R.f32(2, 2, 9, 5), cap=2.5))
def soft_cap(q, k, v, cap):
    i, j = grid(6, 9)
    return dict(o=attention(cap * np.tanh(dot(q, np.repeat(k, 4, 1)) / cap), np.repeat(v, 4, 1), j <= i))


@example("qk_norm", dict(qkv(48), temperature=f32([1, 10, 0.1])))
def qk_norm(q, k, v, temperature):
    q, k = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (q, k))
    return dict(o=attention(temperature[:, None, None] * (q @ k.swapaxes(-1, -2)), v))


@example("off_by_one", qkv(49))
def off_by_one(q, k, v):
    i, j = grid(7, 11)
    z = np.where(j < i, np.exp(dot(q, k)), 0)
    return dict(o=z / (1 + z.sum(-1, keepdims=True)) @ v)


@example("sinks", dict(qkv(50, i=30, j=30), sink=f32([-2, 0, 3])))
def sinks(q, k, v, sink):
    i, j = grid(30, 30)
    z = np.where((j <= i) & (i - j < 8), np.exp(dot(q, k)), 0)
    return dict(o=z / (z.sum(-1, keepdims=True) + np.exp(sink)[:, None, None]) @ v)


@example("sigmoid_attention", qkv(51))
def sigmoid_attention(q, k, v): return dict(o=sigmoid(dot(q, k) - np.log(11)) @ v)


@example("relu_squared", qkv(52))
def relu_squared(q, k, v):
    i, j = grid(7, 11)
    s = np.where(j <= i, np.maximum(dot(q, k), 0) ** 2, 0)
    return dict(o=s @ v / (np.arange(7) + 1)[:, None])


@example("sparse", qkv(53))
def sparse(q, k, v):
    p = project_to_simplex(dot(q, k))
    return dict(o=p @ v, p=p)


@example("entmax", qkv(54))
def entmax_15(q, k, v):
    p = entmax(dot(q, k), 1.5)
    return dict(o=p @ v, p=p)


@example("entmax_alpha", dict(s=f32(2 * R.f32(2, 3, 4, 11).value), alpha=f32([1.25, 1.5, 2.0])))
def entmax_alpha(s, alpha): return dict(p=np.stack([entmax(s[:, h], alpha[h]) for h in range(3)], 1))


@example("hard", dict(q=R.f32(3, 5, 8), k=R.f32(3, 9, 8), v=R.f32(3, 9, 3), len=i32([9, 4, 0])))
def hard(q, k, v, len):
    s = np.where(np.arange(9) < len[:, None, None], q @ k.swapaxes(1, 2), -np.inf)
    best = np.where(len[:, None] > 0, s.argmax(-1), -1)
    return dict(o=np.stack([read(v[b], best[b]) for b in range(3)]), where_to=best)


@example("ntm_address", dict(content=f32(softmax(R.f32(3, 9).value)), last=f32(softmax(R.f32(3, 9).value)), gate=f32([0.1, 0.9, 1]),
                             shift=f32(softmax(R.f32(3, 3).value)), sharpness=f32([1, 2.5, 8])))
def ntm_address(content, last, gate, shift, sharpness):
    mixed = gate[:, None] * content + (1 - gate[:, None]) * last
    moved = sum(shift[:, r, None] * np.roll(mixed, r - 1, axis=1) for r in range(3))
    sharp = moved ** sharpness[:, None]
    return dict(w=sharp / sharp.sum(1, keepdims=True))


@example("ntm_write", dict(memory=R.f32(2, 9, 4), w=f32(softmax(R.f32(2, 3, 9).value)), erase=f32(sigmoid(R.f32(2, 3, 4).value)),
                           add=R.f32(2, 3, 4)))
def ntm_write(memory, w, erase, add):
    for h in range(3):
        memory = memory * (1 - w[:, h, :, None] * erase[:, h, None])
    return dict(o=memory + np.einsum("bhn,bhm->bnm", w, add))


@example("local_p", dict(q=R.f32(3, 8), k=R.f32(3, 60, 8), v=R.f32(3, 60, 3), wp=R.f32(5, 8), vp=R.f32(5), len=i32([60, 12, 0])))
def local_p(q, k, v, wp, vp, len):
    center = len * sigmoid(np.tanh(q @ wp.T) @ vp)
    away = np.arange(60) - center[:, None]
    keep = (np.arange(60) < len[:, None]) & (abs(away) <= 10)
    p = softmax(np.einsum("bm,bjm->bj", q, k), -1, keep) * np.exp(-away * away / 50)
    return dict(o=np.einsum("bj,bje->be", p, v), p=p, center=center)


@example("graves_window", dict(alpha=R.f32(2, 3), beta=R.f32(2, 3), move=R.f32(2, 3), last=f32([[1, 2, 3], [0, 4, 8]]),
                               text=R.f32(2, 12, 5), len=i32([12, 6])))
def graves_window(alpha, beta, move, last, text, len):
    kappa = last + np.exp(move)
    u = np.arange(12)
    phi = (np.exp(alpha)[:, None] * np.exp(-np.exp(beta)[:, None] * (kappa[:, None] - u[:, None]) ** 2)).sum(-1)
    return dict(w=np.einsum("bu,buc->bc", np.where(u < len[:, None], phi, 0), text), kappa=kappa)


@example("sinkhorn", dict(q=R.f32(2, 6, 8), k=R.f32(2, 7, 8), v=R.f32(2, 7, 3), rounds=4))
def sinkhorn(q, k, v, rounds):
    p = np.exp(dot(q, k))
    for _ in range(rounds):
        p = p / p.sum(1, keepdims=True)
        p = p / p.sum(2, keepdims=True)
    return dict(o=p @ v)


@example("neighbour_max", dict(z=R.f32(6, 4), w=R.f32(4, 3), bias=R.f32(3), **graph(55, [0, 3, 1, 4, 0, 2])))
def neighbour_max(z, row, nbr, w, bias):
    features = np.maximum(z[nbr] @ w + bias, 0)
    return dict(o=np.stack([features[a:b].max(0, initial=0) for a, b in zip(row[:-1], row[1:])]))


@example("spatial_transformer", dict(image=R.f32(2, 6, 7, 3), row=f32(R.generator.uniform(-2, 7, (2, 4, 5))),
                                     column=f32(R.generator.uniform(-2, 8, (2, 4, 5)))))
def spatial_transformer(image, row, column):
    out = np.zeros((2, 4, 5, 3))
    for b in range(2):
        y, x = np.floor(row[b]).astype(int), np.floor(column[b]).astype(int)
        fy, fx = (row[b] - y)[..., None], (column[b] - x)[..., None]
        out[b] = (read(image[b], y, x) * (1 - fy) * (1 - fx) + read(image[b], y, x + 1) * (1 - fy) * fx
                  + read(image[b], y + 1, x) * fy * (1 - fx) + read(image[b], y + 1, x + 1) * fy * fx)
    return dict(o=out)


def bank(at, stride, variance, count, extent):
    """[b, count, extent], each row sums to 1"""
    centre = at[:, None] + (np.arange(count) - count // 2) * stride[:, None]
    f = np.exp(-((np.arange(extent) - centre[..., None]) ** 2) / (2 * variance[:, None, None]))
    return f / f.sum(-1, keepdims=True)


DRAW = dict(row=f32([4, 6.5]), column=f32([3.2, 8]), stride=f32([1, 1.5]), variance=f32([1, 2]), gain=f32([2, 0.5]))


@example("draw_read", dict(image=R.f32(2, 11, 12), **DRAW))
def draw_read(image, row, column, stride, variance, gain):
    fy, fx = bank(row, stride, variance, 5, 11), bank(column, stride, variance, 5, 12)
    return dict(o=gain[:, None, None] * (fy @ image @ fx.swapaxes(1, 2)))


@example("draw_write", dict(canvas=R.f32(2, 11, 12), patch=R.f32(2, 5, 3), **DRAW))
def draw_write(canvas, patch, row, column, stride, variance, gain):
    fy, fx = bank(row, stride, variance, 5, 11), bank(column, stride, variance, 3, 12)
    return dict(o=canvas + fy.swapaxes(1, 2) @ patch @ fx / gain[:, None, None])


@example("two_sources", dict(q=R.f32(2, 5, 8), k=R.f32(2, 6, 8), v=R.f32(2, 6, 3), k2=R.f32(2, 4, 8), v2=R.f32(2, 4, 3)))
def two_sources(q, k, v, k2, v2):
    p = softmax(q @ np.concatenate([k, k2], 1).swapaxes(1, 2))
    return dict(o=p @ np.concatenate([v, v2], 1), second=p[:, :, 6:].sum(-1))


@example("hops", *[dict(q=R.f32(2, 6), input=R.f32(2, 9, 6), output=R.f32(2, 9, 6), len=i32([9, 3]), rounds=n) for n in (3, 0)])
def hops(q, input, output, len, rounds):
    u = q
    for _ in range(rounds):
        p = softmax(np.einsum("bd,bjd->bj", u, input), -1, np.arange(9) < len[:, None])
        u = u + np.einsum("bj,bjd->bd", p, output)
    return dict(u=u)


@example("multi_query", dict(q=R.f32(2, 3, 4, 8), k=R.f32(2, 11, 8), v=R.f32(2, 11, 5), past=i32(7)))
def multi_query(q, k, v, past):
    i, j = grid(4, 11)
    return dict(o=attention(dot(q, k[:, None]), v[:, None], j <= i + past))


@example("latent", dict(q=R.f32(2, 3, 4, 8), qr=R.f32(2, 3, 4, 2), ckv=R.f32(2, 9, 6), kr=R.f32(2, 9, 2), wk=R.f32(3, 8, 6),
                        wv=R.f32(3, 5, 6)))
def latent(q, qr, ckv, kr, wk, wv):
    k, v = np.einsum("bjc,hdc->bhjd", ckv, wk), np.einsum("bjc,hec->bhje", ckv, wv)
    i, j = grid(4, 9)
    s = (q @ k.swapaxes(-1, -2) + qr @ kr.swapaxes(-1, -2)[:, None]) / np.sqrt(10)
    return dict(o=attention(s, v, j <= i + 5))


@example("talking_heads", dict(q=R.f32(2, 3, 4, 8), k=R.f32(2, 3, 9, 8), v=R.f32(2, 2, 9, 5), before=R.f32(3, 4), after=R.f32(4, 2)))
def talking_heads(q, k, v, before, after):
    p = softmax(np.einsum("hg,bhij->bgij", before, dot(q, k)))
    return dict(o=np.einsum("gm,bgij->bmij", after, p) @ v)


@example("differential", {"q": R.f32(2, 3, 2, 9, 8), "k": R.f32(2, 3, 2, 9, 8), "v": R.f32(2, 3, 9, 5), "lambda": f32([0.2, 0.5, 0.8])})
def differential(q, k, v, **rest):
    i, j = grid(9, 9)
    p = softmax(dot(q, k), -1, j <= i)
    return dict(o=(p[:, :, 0] - rest["lambda"][:, None, None] * p[:, :, 1]) @ v)


@example("linear_causal", dict(q=R.f32(2, 3, 9, 4), k=R.f32(2, 3, 9, 4), v=R.f32(2, 3, 9, 5)))
def linear_causal(q, k, v):
    def feature(x): return np.where(x > 0, x + 1, np.exp(x))
    i, j = grid(9, 9)
    a = np.where(j <= i, feature(q) @ feature(k).swapaxes(-1, -2), 0)
    return dict(o=a / a.sum(-1, keepdims=True) @ v)


@example("efficient", qkv(56))
def efficient(q, k, v): return dict(o=softmax(q) @ (softmax(k, 2).swapaxes(-1, -2) @ v))


@example("retention", dict(qkv(57), decay=f32([0.9, 0.5, 1.0])))
def retention(q, k, v, decay):
    i, j = grid(7, 11)
    return dict(o=np.where(j <= i, q @ k.swapaxes(-1, -2) * decay[:, None, None] ** (i - j), 0) @ v)


@example("attention_free", dict(q=R.f32(2, 7, 5), k=R.f32(2, 9, 5), v=R.f32(2, 9, 5), w=R.f32(7, 9)))
def attention_free(q, k, v, w):
    i, j = grid(7, 9)
    z = np.where((j <= i)[..., None], np.exp(k[:, None] + w[..., None]), 0)       # [b, i, j, e]
    return dict(o=sigmoid(q) * (z * v[:, None]).sum(2) / z.sum(2))


@example("slots", dict(q=R.f32(2, 4, 8), k=R.f32(2, 9, 8), v=R.f32(2, 9, 5)))
def slots(q, k, v):
    a = softmax(dot(q, k), 1) + 1e-8
    return dict(o=a @ v / a.sum(-1, keepdims=True))


@example("split_keys", dict(q=R.f32(3, 2, 8), k=R.f32(3, 2, 15, 8), v=R.f32(3, 2, 15, 5), len=i32([15, 6, 0]), size=4))
def split_keys(q, k, v, len, size):
    s = np.einsum("bhd,bhjd->bhj", q, k) / np.sqrt(8)
    keep = np.arange(15) < len[:, None, None]
    parts = keep[:, :, None] & (np.arange(15) // size == np.arange(4)[:, None])    # [b, 1, c, j]
    s4 = np.broadcast_to(s[:, :, None], (3, 2, 4, 15))
    return dict(o=np.einsum("bhj,bhje->bhe", softmax(s, -1, keep), v), lse=logsumexp(s4, -1, parts),
                part=np.einsum("bhcj,bhje->bhce", softmax(s4, -1, parts), v))


@example("statistics", qkv(58))
def statistics(q, k, v):
    i, j = grid(7, 11)
    s = dot(q, k)
    p = softmax(s, -1, j <= i)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.where(p > 0, p * np.log(p), 0).sum(-1)
    return dict(o=p @ v, p=p, average=p.mean(1), received=p.sum(2), best=p.argmax(-1), top=p.max(-1),
                lse=logsumexp(s, -1, j <= i), entropy=entropy)


@example("coverage", dict(q=R.f32(2, 5, 6), k=R.f32(2, 9, 6), w=R.f32(6), u=R.f32(6), len=i32([9, 4])))
def coverage(q, k, w, u, len):
    seen, loss, rows = np.zeros((2, 9)), 0, []
    for i in range(5):
        p = softmax(np.tanh(q[:, i, None] + k + u * seen[..., None]) @ w, -1, np.arange(9) < len[:, None])
        loss = loss + np.minimum(p, seen).sum(1)
        seen = seen + p
        rows.append(p)
    return dict(p=np.stack(rows, 1), loss=loss)


@example("kernel_regression", dict(x=R.f32(6), xs=R.f32(20), ys=R.f32(20), width=0.3))
def kernel_regression(x, xs, ys, width):
    w = np.exp(-((x[:, None] - xs) ** 2) / (2 * width**2))
    return dict(y=w @ ys / w.sum(1))


@example("hopfield", dict(q=R.f32(3, 8), patterns=R.f32(5, 8), beta=2.0))
def hopfield(q, patterns, beta):
    x = q
    for _ in range(5):
        x = softmax(beta * x @ patterns.T) @ patterns
    return dict(x=x, energy=0.5 * (x * x).sum(-1) - logsumexp(beta * x @ patterns.T) / beta)


@example("causal", qkv(70, i=11), qkv(71, 1, 1, 130, 130), qkv(72, i=0, j=0))
def causal(q, k, v):
    i, j = grid(q.shape[2], k.shape[2])
    return dict(o=attention(dot(q, k), v, j <= i))


@example("dot", dict(q=R.f32(3, 5, 8), k=R.f32(3, 9, 8), v=R.f32(3, 9, 3), len=i32([9, 0, 4])))
def unscaled(q, k, v, len):
    p = softmax(q @ k.swapaxes(1, 2), -1, np.arange(9) < len[:, None, None])
    return dict(o=p @ v, p=p)


def unwritten(tensor, past, count):
    """A cache [b, h, j, d] with NaN beyond what is written."""
    beyond = np.arange(tensor.value.shape[2]) >= np.array(past)[:, None] + count
    return Tensor("bf16", np.where(beyond[:, None, :, None], 0x7FC0, tensor.data))


@example("chunked_prefill", dict(q=R.bf16(3, 2, 7, 16), k=unwritten(R.bf16(3, 2, 90, 16), [0, 80, 13], 7),
                                 v=unwritten(R.bf16(3, 2, 90, 5), [0, 80, 13], 7), past=i32([0, 80, 13])))
def chunked_prefill(q, k, v, past):
    i, j = grid(7, 90)
    return dict(o=attention(dot(q, np.nan_to_num(k)), np.nan_to_num(v), j <= i + past[:, None, None, None]))


@example("grouped_query", *[dict(q=R.f32(2, h, 5, 8), k=R.f32(2, g, 9, 8), v=R.f32(2, g, 9, 3)) for h, g in [(6, 2), (4, 4), (5, 1)]])
def grouped_query(q, k, v):
    i, j = grid(5, 9)
    each = q.shape[1] // k.shape[1]
    return dict(o=attention(dot(q, np.repeat(k, each, 1)), np.repeat(v, each, 1), j <= i))


@example("uniform", dict(v=R.f32(3, 9, 5), len=i32([9, 4, 0])))
def uniform(v, len):
    out = np.zeros((3, 9, 5))
    for b in range(3):
        for i in range(9):
            rows = v[b, : min(i + 1, len[b])]
            out[b, i] = rows.mean(0) if rows.size else 0
    return dict(o=out)


@example("segment_softmax", dict(x=R.f32(6, 3, 4), y=R.f32(6, 3, 4), w=R.f32(3, 4), target=i32([0, 0, 2, 2, 2, 2, 2, 4, 5, 5]),
                                 source=i32([1, 5, 0, 0, 3, 2, 4, 4, 1, 3])),
         dict(x=R.f32(3, 1, 4), y=R.f32(3, 1, 4), w=R.f32(1, 4), target=i32([]), source=i32([])))
def segment_softmax(x, y, w, target, source):
    a = x[target] + y[source]                                        # [edges, heads, features]
    z = np.exp((w * np.where(a > 0, a, 0.2 * a)).sum(-1))
    total = np.zeros(x.shape[:2])
    np.add.at(total, target, z)
    p, o = z / total[target], np.zeros(x.shape)
    np.add.at(o, target, p[..., None] * y[source])
    return dict(o=o, p=p)


@example("local_m", dict(q=R.f32(3, 8), k=R.f32(3, 60, 8), v=R.f32(3, 60, 3), at=20, len=i32([60, 15, 9])),
         dict(q=R.f32(1, 8), k=R.f32(1, 5, 8), v=R.f32(1, 5, 3), at=-11, len=i32([5])))
def local_m(q, k, v, at, len):
    j = np.arange(k.shape[1])
    p = softmax(np.einsum("bm,bjm->bj", q, k), -1, (abs(j - at) <= 10) & (j < len[:, None]))
    return dict(o=np.einsum("bj,bje->be", p, v), p=p)


@example("global_tokens", dict(qkv(73, i=30, j=30), everywhere=boolean(np.isin(np.arange(60).reshape(2, 30), [0, 17, 45])), w=2))
def global_tokens(q, k, v, everywhere, w):
    i, j = grid(30, 30)
    return dict(o=attention(dot(q, k), v, ((abs(i - j) <= w) | everywhere[:, :, None] | everywhere[:, None, :])[:, None]))


@example("streaming", dict(qkv(74, i=50, j=50), first=4, latest=7), dict(qkv(75, i=9, j=9), first=0, latest=0))
def streaming(q, k, v, first, latest):
    i, j = grid(q.shape[2], k.shape[2])
    return dict(o=attention(dot(q, k), v, (j <= i) & ((j < first) | (i - j < latest))))


# A draft of five: 0 has children 1 and 2, 1 has 3, 2 has 4.
@example("tree_verify", dict(qkv(76, i=5, j=20), past=i32([15, 3]), ancestor=boolean([
    [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 0, 1, 0, 0], [1, 1, 0, 1, 0], [1, 0, 1, 0, 1]]] * 2)))
def tree_verify(q, k, v, ancestor, past):
    keep = np.zeros((2, 1, 5, 20), bool)
    for b in range(2):
        keep[b, 0, :, : past[b]] = True
        keep[b, 0, :, past[b] : past[b] + 5] = ancestor[b]
    return dict(o=attention(dot(q, k), v, keep))


@example("selected_blocks", dict(q=R.f32(2, 48, 8), k=R.f32(2, 70, 8), v=R.f32(2, 70, 3),
                                 chosen=i32([[[0, 2], [4, -1], [-1, -1]], [[1, 0], [3, 3], [100, 4]]])))
def selected_blocks(q, k, v, chosen):
    out = np.zeros((2, 48, 3))
    for h in range(2):
        for y in range(3):
            at = [j for block in chosen[h, y] for j in range(16 * block, 16 * block + 16) if 0 <= j < 70]
            rows = slice(16 * y, 16 * y + 16)
            out[h, rows] = attention(dot(q[h, rows], k[h, at]), v[h, at]) if at else 0
    return dict(o=out)


@example("swin", *[dict(q=R.f32(2, 8, 6, 4), k=R.f32(2, 8, 6, 4), v=R.f32(2, 8, 6, 3), bias=R.f32(2, 7, 7), size=4, shift=n) for n in (0, 2)])
def swin(q, k, v, bias, size, shift):
    y, x, r, c = grid(8, 6, 8, 6)
    keep = ((y + shift) // size == (r + shift) // size) & ((x + shift) // size == (c + shift) // size)
    b = np.where(keep, bias[:, np.clip(y - r + 3, 0, 6), np.clip(x - c + 3, 0, 6)], 0).reshape(2, 48, 48)
    flat = [t.reshape(2, 48, -1) for t in (q, k, v)]
    return dict(o=attention(dot(flat[0], flat[1]) + b, flat[2], keep.reshape(48, 48)).reshape(2, 8, 6, 3))


@example("axial", dict(q=R.f32(2, 5, 7, 4), k=R.f32(2, 5, 7, 4), v=R.f32(2, 5, 7, 3)))
def axial(q, k, v):
    along = attention(dot(q, k), v)
    q, k, along = (t.swapaxes(1, 2) for t in (q, k, along))
    return dict(o=attention(dot(q, k), along).swapaxes(1, 2))


@example("shaw", dict(qkv(77, i=11), ak=R.f32(7, 8), av=R.f32(7, 5)))
def shaw(q, k, v, ak, av):
    i, j = grid(11, 11)
    near = np.clip(j - i, -3, 3) + 3
    p = softmax((np.einsum("bhid,bhjd->bhij", q, k) + np.einsum("bhid,ijd->bhij", q, ak[near])) / np.sqrt(8))
    return dict(o=p @ v + np.einsum("bhij,ije->bhie", p, av[near]))


@example("kerple", dict(qkv(78, i=11), r1=f32([0.5, 1, 2]), r2=f32([1, 0.1, 3])))
def kerple(q, k, v, r1, r2):
    i, j = grid(11, 11)
    bias = r1[:, None, None] * np.log(1 + r2[:, None, None] * np.maximum(i - j, 0))
    return dict(o=attention(dot(q, k) - bias, v, j <= i))


@example("contextual_position", dict(qkv(79, i=11), table=R.f32(4, 8)))
def contextual_position(q, k, v, table):
    i, j = grid(11, 11)
    s = dot(q, k)
    counted = np.where(j <= i, sigmoid(s), 0)[..., ::-1].cumsum(-1)[..., ::-1]
    p = np.minimum(counted, 3)
    at, low = q @ table.T, np.floor(p).astype(int)                   # [b, h, i, n]
    take = np.take_along_axis
    bias = take(at, low, -1) * (1 + low - p) + take(at, np.minimum(low + 1, 3), -1) * (p - low)
    return dict(o=attention(s + bias, v, j <= i))


@example("forgetting", dict(qkv(80, i=11), gate=R.f32(2, 3, 11)))
def forgetting(q, k, v, gate):
    i, j = grid(11, 11)
    kept = np.log(sigmoid(gate)).cumsum(-1)
    return dict(o=attention(dot(q, k) + kept[..., :, None] - kept[..., None, :], v, j <= i))


@example("stick_breaking", qkv(81, i=11))
def stick_breaking(q, k, v):
    beta, p = sigmoid(dot(q, k)), np.zeros((2, 3, 11, 11))
    for i in range(11):
        left = np.ones((2, 3))
        for j in reversed(range(i)):
            p[:, :, i, j] = beta[:, :, i, j] * left
            left = left * (1 - beta[:, :, i, j])
    return dict(o=p @ v, p=p)


@example("monotonic", dict(s=R.f32(3, 9), last=f32(softmax(R.f32(3, 9).value)), v=R.f32(3, 9, 4), len=i32([9, 5, 0])))
def monotonic(s, last, v, len):
    p, stop = np.zeros((3, 9)), sigmoid(s)
    for b in range(3):
        for j in range(len[b]):                                      # from where the last step was, onwards
            p[b, j] = stop[b, j] * sum(last[b, k] * np.prod(1 - stop[b, k:j]) for k in range(j + 1))
    return dict(o=np.einsum("bj,bje->be", p, v), p=p)


@example("chunkwise", dict(q=R.f32(4, 6), k=R.f32(4, 9, 6), v=R.f32(4, 9, 3), w=R.f32(6), stop=i32([8, 1, 5, -1])))
def chunkwise(q, k, v, w, stop):
    s, out = np.tanh(q[:, None] + k) @ w, np.zeros((4, 3))
    for b in range(4):
        at = slice(max(stop[b] - 3, 0), stop[b] + 1)
        out[b] = softmax(s[b, at]) @ v[b, at]
    return dict(o=out)


@example("scalable_softmax", dict(qkv(82, i=11), sharpness=f32([0.4, 1, 2])))
def scalable_softmax(q, k, v, sharpness):
    i, j = grid(11, 11)
    return dict(o=attention(sharpness[:, None, None] * np.log(i + 1) * dot(q, k), v, j <= i))


@example("rectified", dict(qkv(83), gain=R.f32(5)))
def rectified(q, k, v, gain):
    z = np.maximum(dot(q, k), 0) @ v
    return dict(o=gain * z / np.sqrt((z * z).mean(-1, keepdims=True) + 1e-6))


@example("top_k", dict(qkv(84), n=3), dict(qkv(85, j=70), n=20), dict(qkv(86), n=0))
def top_k(q, k, v, n):
    s = dot(q, k)
    least = -np.sort(-s, -1)[..., n - 1 : n] if n else np.inf
    return dict(o=attention(s, v, s >= least))


@example("dual_softmax", dict(x=R.f32(2, 6, 8), y=R.f32(2, 9, 8), sharpness=2.0))
def dual_softmax(x, y, sharpness):
    s = sharpness * x @ y.swapaxes(1, 2)
    p = softmax(s, 1) * softmax(s, 2)
    best, back = p.argmax(2), p.argmax(1)
    return dict(p=p, match=np.where(np.take_along_axis(back, best, 1) == np.arange(6), best, -1))


@example("over_attention", dict(x=R.f32(3, 9, 6), q=R.f32(3, 5, 6), len=i32([9, 4, 0]), words=i32([5, 2, 3])))
def over_attention(x, q, len, words):
    p = np.zeros((3, 9))
    for b in range(3):
        s = q[b, : words[b]] @ x[b, : len[b]].T
        p[b, : len[b]] = softmax(s, 0).mean(1) @ softmax(s, 1) if len[b] else 0
    return dict(p=p)


@example("pointer_generator", dict(s=R.f32(3, 6), word=i32([[0, 4, 4, 2, 9, -1], [1] * 6, [3] * 6]), vocabulary=R.f32(3, 7),
                                   generate=f32([0.3, 0.9, 0]), len=i32([6, 2, 0])))
def pointer_generator(s, word, vocabulary, generate, len):
    o = generate[:, None] * softmax(vocabulary)
    p = softmax(s, -1, np.arange(6) < len[:, None])
    for b in range(3):
        for j in range(6):
            if 0 <= word[b, j] < 7:
                o[b, word[b, j]] += (1 - generate[b]) * p[b, j]
    return dict(o=o)


@example("hierarchical", dict(h=R.f32(3, 4, 6, 5), word=R.f32(5), sentence=R.f32(5), sentences=i32([4, 2, 0]),
                              words=i32([[6, 2, 0, 5], [1, 6, 9, 9], [3, 3, 3, 3]])))
def hierarchical(h, word, sentence, words, sentences):
    p = softmax(np.tanh(h) @ word, -1, np.arange(6) < words[..., None])
    s = np.einsum("bij,bija->bia", p, h)
    p = softmax(np.tanh(s) @ sentence, -1, np.arange(4) < sentences[:, None])
    return dict(o=np.einsum("bi,bia->ba", p, s))


@example("self_pooling", dict(x=R.f32(3, 9, 6), w=R.f32(5, 6), u=R.f32(4, 5), len=i32([9, 3, 0])))
def self_pooling(x, w, u, len):
    p = softmax((np.tanh(x @ w.T) @ u.T).swapaxes(1, 2), -1, np.arange(9) < len[:, None, None])
    return dict(o=p @ x, p=p)


@example("cross_covariance", dict(q=R.f32(2, 3, 9, 5), k=R.f32(2, 3, 9, 5), v=R.f32(2, 3, 9, 5), temperature=f32([1, 3, 0.5])))
def cross_covariance(q, k, v, temperature):
    q, k = (x / np.linalg.norm(x, axis=2, keepdims=True) for x in (q, k))
    p = softmax(temperature[:, None, None] * np.einsum("bhjc,bhjd->bhcd", q, k))
    return dict(o=np.einsum("bhcd,bhjd->bhjc", p, v))


@example("linformer", dict(qkv(87), wk=R.f32(4, 11), wv=R.f32(4, 11)))
def linformer(q, k, v, wk, wv): return dict(o=attention(dot(q, wk @ k), wv @ v))


@example("performer", dict(qkv(88), w=R.f32(16, 8)))
def performer(q, k, v, w):
    def feature(x): return np.exp(x @ w.T - (x * x).sum(-1, keepdims=True) / 2)
    a = feature(q * 8**-0.25) @ feature(k * 8**-0.25).swapaxes(-1, -2)
    return dict(o=a / a.sum(-1, keepdims=True) @ v)


@example("gated_linear", dict(q=R.f32(2, 3, 9, 4), k=R.f32(2, 3, 9, 4), v=R.f32(2, 3, 9, 5), gate=R.f32(2, 3, 9, 4), start=R.f32(2, 3, 4, 5)))
def gated_linear(q, k, v, gate, start):
    s, rows = start, []
    for i in range(9):
        s = sigmoid(gate[:, :, i, :, None]) * s + k[:, :, i, :, None] * v[:, :, i, None]
        rows.append(np.einsum("bhd,bhde->bhe", q[:, :, i], s))
    return dict(o=np.stack(rows, 2), last=s)


@example("delta_rule", dict(q=R.f32(2, 3, 9, 4), k=f32(0.5 * R.f32(2, 3, 9, 4).value), v=R.f32(2, 3, 9, 5), beta=f32(sigmoid(R.f32(2, 3, 9).value))))
def delta_rule(q, k, v, beta):
    s, rows = np.zeros((2, 3, 4, 5)), []
    for i in range(9):
        held = np.einsum("bhd,bhde->bhe", k[:, :, i], s)
        s = s + np.einsum("bh,bhd,bhe->bhde", beta[:, :, i], k[:, :, i], v[:, :, i] - held)
        rows.append(np.einsum("bhd,bhde->bhe", q[:, :, i], s))
    return dict(o=np.stack(rows, 2))


@example("capsules", dict(u=R.f32(2, 12, 3, 4)))
def capsules(u):
    def squash(s):
        n = (s * s).sum(-1, keepdims=True)
        return s * n / (1 + n) / np.sqrt(n + 1e-9)
    def wholes(a): return squash(np.einsum("bij,bijd->bjd", softmax(a), u))
    a = np.zeros((2, 12, 3))
    for _ in range(2):
        a = a + np.einsum("bijd,bjd->bij", u, wholes(a))
    return dict(v=wholes(a))


@example("allocation", dict(usage=f32([[0.9, 0.1, 0.5, 0.1, 1, 0], [0.5] * 6])))
def allocation(usage):
    a = np.zeros(usage.shape)
    for b, row in enumerate(usage):
        free = np.argsort(row, kind="stable")
        for rank, n in enumerate(free):
            a[b, n] = (1 - row[n]) * np.prod(row[free[:rank]])
    return dict(a=a)


@example("temporal_link", dict(link=f32(0.1 * sigmoid(R.f32(2, 6, 6).value)), w=f32(softmax(R.f32(2, 6).value)),
                               precedence=f32(softmax(R.f32(2, 6).value)), r=f32(softmax(R.f32(2, 3, 6).value))))
def temporal_link(link, w, precedence, r):
    new = (1 - w[:, :, None] - w[:, None, :]) * link + w[:, :, None] * precedence[:, None, :]
    new[:, np.arange(6), np.arange(6)] = 0
    return {"next": new, "order": (1 - w.sum(1, keepdims=True)) * precedence + w,
            "forward": r @ new.swapaxes(1, 2), "backward": r @ new}


@example("stack_read", dict(v=R.f32(2, 7, 4), strength=f32([[0.5, 0.9, 0.1, 0, 0.7, 0.2, 0.1], [0.1] * 7])))
def stack_read(v, strength):
    out = np.zeros((2, 4))
    for b in range(2):
        left = 1.0
        for j in reversed(range(7)):
            out[b] += min(left, strength[b, j]) * v[b, j]
            left = max(0, left - strength[b, j])
    return dict(o=out)


@example("structured", dict(s=R.f32(2, 6, 2), pair=R.f32(2, 2), v=R.f32(2, 6, 3)))
def structured(s, pair, v):
    p = np.zeros((2, 6, 2))
    for b in range(2):
        for chain in np.ndindex(*[2] * 6):                           # every one of 64 chains
            weight = np.exp(sum(s[b, j, z] for j, z in enumerate(chain)) + sum(pair[x, y] for x, y in zip(chain, chain[1:])))
            p[b, np.arange(6), chain] += weight
    p = p / p.sum(-1, keepdims=True)
    return dict(o=np.einsum("bj,bje->be", p[:, :, 1], v), p=p)


@example("dynamic_convolution", dict(x=R.f32(2, 9, 3, 4), w=R.f32(2, 9, 3, 5)))
def dynamic_convolution(x, w):
    p, padded = softmax(w), np.pad(x, ((0, 0), (4, 0), (0, 0), (0, 0)))
    return dict(o=sum(p[..., r, None] * padded[:, r : r + 9] for r in range(5)))


@example("deformable", dict(a=R.f32(2, 3, 5, 4), row=f32(R.generator.uniform(-2, 8, (2, 3, 5, 4))),
                            column=f32(R.generator.uniform(-2, 9, (2, 3, 5, 4))), image=R.f32(2, 3, 6, 7, 3)))
def deformable(a, row, column, image):
    out = np.zeros((2, 3, 5, 3))
    for place in np.ndindex(2, 3):
        p, y, x = softmax(a[place]), np.floor(row[place]).astype(int), np.floor(column[place]).astype(int)
        for dy in (0, 1):
            for dx in (0, 1):
                near = (1 - abs(row[place] - y - dy)) * (1 - abs(column[place] - x - dx))
                out[place] += np.einsum("ip,ipe->ie", p * near, read(image[place], y + dy, x + dx))
    return dict(o=out)


@example("point_transformer", dict(q=R.f32(7, 4), k=R.f32(7, 4), v=R.f32(7, 4), at=R.f32(7, 3), near=R.i32(0, 7, 7, 5), w=R.f32(3, 4), u=R.f32(4, 4)))
def point_transformer(q, k, v, at, near, w, u):
    offset = (at[:, None] - at[near]) @ w                            # [n, t, c]
    p = softmax(np.maximum(q[:, None] - k[near] + offset, 0) @ u, 1)
    return dict(o=(p * (v[near] + offset)).sum(1))


@example("triangle", dict(q=R.f32(2, 5, 5, 8), k=R.f32(2, 5, 5, 8), v=R.f32(2, 5, 5, 3), bias=R.f32(2, 5, 5), gate=R.f32(2, 5, 5, 3)))
def triangle(q, k, v, bias, gate): return dict(o=sigmoid(gate) * attention(dot(q, k) + bias[:, None], v))


@example("graphormer", dict(q=R.f32(2, 6, 8), k=R.f32(2, 6, 8), v=R.f32(2, 6, 3), bias=R.f32(2, 3), hops=i32(
    [[-1] * 6, [1, 0, 1, 2, 3, -1], [2, 1, 0, 1, 2, -1], [3, 2, 1, 0, 1, -1], [9, 3, 2, 1, 0, -1], [-1, -1, -1, -1, -1, 0]])))
def graphormer(q, k, v, hops, bias):
    return dict(o=attention(dot(q, k) + bias[:, np.clip(hops, 0, 2)], v, hops >= 0))


@example("shared_prefix", dict(q=R.f32(3, 2, 8), k=R.f32(2, 70, 8), v=R.f32(2, 70, 5), own_k=R.f32(3, 2, 9, 8), own_v=R.f32(3, 2, 9, 5),
                               len=i32([9, 0, 4])))
def shared_prefix(q, k, v, own_k, own_v, len):
    keys, values = (np.concatenate([np.repeat(x[None], 3, 0), y], 2) for x, y in ((k, own_k), (v, own_v)))
    return dict(o=attention(dot(q[:, :, None], keys), values, np.arange(79) < 70 + len[:, None, None, None])[:, :, 0])


@example("int8_cache", dict(q=R.bf16(2, 3, 16), k=i8(R.i32(-128, 128, 2, 3, 40, 16).data), v=i8(R.i32(-128, 128, 2, 3, 40, 5).data),
                            ks=f16(R.generator.uniform(0.005, 0.02, (2, 3, 40))), vs=f16(R.generator.uniform(0.005, 0.02, (2, 3, 40))),
                            len=i32([40, 13])))
def int8_cache(q, k, v, ks, vs, len):
    s = dot(q[:, :, None], k * ks[..., None])
    return dict(o=attention(s, v * vs[..., None], np.arange(40) < len[:, None, None, None])[:, :, 0])


@example("same_bucket", dict(q=R.f32(2, 3, 20, 8), v=R.f32(2, 3, 20, 5), hash=R.i32(0, 4, 2, 3, 20)))
def same_bucket(q, v, hash):
    i, j = grid(20, 20)
    keep = (hash[..., :, None] == hash[..., None, :]) & (j <= i)
    return dict(o=attention(dot(q, q) - 1e5 * (i == j), v, keep))
