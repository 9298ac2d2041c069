"""What PyTorch's users would run instead of a compiled kernel. A Peer prepares what need not be done at every call (block masks, dense masks, index
lists) and returns a function without arguments, which is timed."""
import dataclasses
import math

import torch
from torch.nn.attention import flex_attention as flex_module
from torch.nn.functional import leaky_relu, scaled_dot_product_attention


@dataclasses.dataclass
class Peer:
    prepare: object        # {name: tensor or number} -> a function that computes the results
    compiled: bool = False  # by torch.compile, which takes its time at the first call


def compile_whole(function):
    """torch.compile that fails where it would fall back: at a break of the graph, and at too many versions of one function (kernels.py sets that)."""
    return torch.compile(function, dynamic=False, fullgraph=True)


def eager(function):
    return Peer(lambda t: lambda: function(**t))


def compiled(function):
    def prepare(t):
        fast = compile_whole(function)
        return lambda: fast(**t)
    return Peer(prepare, True)


# Scaled dot products, dense and masked.

def scores(q, k):
    return q @ k.mT * (q.shape[-1] ** -0.5)


def attend_plain(q, k, v):
    return torch.softmax(scores(q, k), -1) @ v


def attend_sdpa(q, k, v):
    return scaled_dot_product_attention(q, k, v)


def sdpa(**options):
    return eager(lambda q, k, v: scaled_dot_product_attention(q, k, v, **options))


def positions(q, k):
    return torch.arange(q.shape[2])[:, None], torch.arange(k.shape[2])[None]


def added(t, keep=None, add=None, **_):
    """What is to be added to the scores, -inf where a key is not seen; a bool where nothing is added."""
    i, j = positions(t["q"], t["k"])
    seen = keep(t, i, j) if keep else None
    if not add:
        return seen
    heads = torch.arange(t["q"].shape[1])[:, None, None]
    bias = add(t, heads, i, j).to(t["q"].dtype)[None]
    return bias if seen is None else bias.masked_fill(~seen, -math.inf)


def pairs(t, keep=None, **_):
    i, j = positions(t["q"], t["k"])
    return int(keep(t, i, j).sum()) if keep else i.numel() * j.numel()


def sdpa_mask(**what):
    def prepare(t):
        mask = added(t, **what)
        return lambda: scaled_dot_product_attention(t["q"], t["k"], t["v"], attn_mask=mask)
    return Peer(prepare)


def plain(keep, cap):
    def prepare(t):
        unseen = ~added(t, keep)
        return lambda: torch.softmax((cap * torch.tanh(scores(t["q"], t["k"]) / cap)).masked_fill(unseen, -math.inf), -1) @ t["v"]
    return Peer(prepare)


def flex(block, keep=None, add=None, cap=None):
    def prepare(t):
        mask = flex_module.create_block_mask(lambda b, h, i, j: keep(t, i, j), None, None, t["q"].shape[2], t["k"].shape[2], device="cpu", BLOCK_SIZE=block) if keep else None
        score = (lambda s, b, h, i, j: s + add(t, h, i, j)) if add else (lambda s, b, h, i, j: cap * torch.tanh(s / cap)) if cap else None
        fast = compile_whole(flex_module.flex_attention)
        return lambda: fast(t["q"], t["k"], t["v"], score_mod=score, block_mask=mask)
    return Peer(prepare, True)


def folded(attend):
    """Query heads that share a head of keys become further queries of that head."""
    return eager(lambda q, k, v: attend(q.reshape(q.shape[0], k.shape[1], -1, q.shape[3]), k, v).reshape(q.shape))


# Other normalisers.

def softmax1(s):
    m = s.amax(-1, keepdim=True).clamp(min=0)
    z = torch.exp(s - m)
    return z / (torch.exp(-m) + z.sum(-1, keepdim=True))


def with_logsumexp(q, k, v, mask=None):
    """The operator below scaled_dot_product_attention, which also has the logsumexp of each row, f32[b,i,h] seen as [b,h,i,1]."""
    o, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, attn_mask=mask)
    return o, lse.reshape(q.shape[:3])[..., None]


def softmax1_by_sdpa(q, k, v):
    o, lse = with_logsumexp(q, k, v)
    return o * torch.sigmoid(lse)


def sparsemax_threshold(s):
    """Of rows sorted downwards: the threshold, and how many are above it. Martins and Astudillo 2016."""
    rank = torch.arange(1, s.shape[-1] + 1, dtype=s.dtype)
    total = s.cumsum(-1) - 1
    count = (rank * s > total).sum(-1, keepdim=True)
    return total.gather(-1, count - 1) / count, count


def entmax15_threshold(s):
    """The same for entmax 1.5, of half the scores. Peters et al. 2019."""
    rank = torch.arange(1, s.shape[-1] + 1, dtype=s.dtype)
    mean = s.cumsum(-1) / rank
    delta = (1 - rank * ((s * s).cumsum(-1) / rank - mean * mean)) / rank
    threshold = mean - torch.sqrt(delta.clamp(min=0))
    count = (threshold <= s).sum(-1, keepdim=True)
    return threshold.gather(-1, count - 1), count


def sparsemax(s, best=None):
    s = s - s.amax(-1, keepdim=True)
    threshold, count = sparsemax_threshold(s.sort(-1, descending=True).values if best is None else s.topk(best, -1).values)
    return (s - threshold).clamp(min=0), count


def entmax15(s, best=None):
    s = (s - s.amax(-1, keepdim=True)) / 2
    threshold, count = entmax15_threshold(s.sort(-1, descending=True).values if best is None else s.topk(best, -1).values)
    return (s - threshold).clamp(min=0).square(), count


def by_top(normaliser, best, s):
    """Sorts only the highest scores, and everything where that was too few, as the package entmax does."""
    p, count = normaliser(s, best)
    return normaliser(s)[0] if bool((count == best).any()) else p


def attend_map(q, k, v):
    p = torch.softmax(scores(q, k), -1)
    return p @ v, p


# Rows of a graph: the neighbours of n are nbr[row[n]] .. nbr[row[n+1]].

def graph(function, lists=False, compiled=False):
    def prepare(t):
        count = t["row"].diff().long()
        if lists:
            slot = torch.arange(int(count.max()))
            valid = slot < count[:, None]
            edges = dict(valid=valid, nbr=t["nbr"].long()[(t["row"][:-1, None] + slot).clamp(max=len(t["nbr"]) - 1)])
        else:
            edges = dict(target=torch.repeat_interleave(torch.arange(len(count)), count), nbr=t["nbr"].long())
        fast = compile_whole(function) if compiled else function
        return lambda: fast(t["dst"], t["src"], t["z"], **edges)
    return Peer(prepare, compiled)


def graph_scatter(dst, src, z, target, nbr):
    s = leaky_relu(dst[target] + src[nbr], 0.2)
    m = torch.full_like(dst, -math.inf).scatter_reduce(0, target[:, None].expand_as(s), s, "amax")
    w = torch.exp(s - m[target])
    total = torch.zeros_like(dst).index_add(0, target, w)
    return torch.zeros_like(z).index_add(0, target, (w / total[target])[..., None] * z[nbr])


def graph_padded(dst, src, z, valid, nbr):
    s = leaky_relu(dst[:, None] + src[nbr], 0.2).masked_fill(~valid[..., None], -math.inf)
    return torch.einsum("nkh,nkhe->nhe", torch.softmax(s, 1), z[nbr])


# Luong's local-p: a softmax over the keys up to 128 from a real centre, times a Gaussian, not normalised again.

def distances(k, center):
    return torch.arange(k.shape[2]) - center[..., None]


def local_masked(q, k, v, center):
    x = distances(k, center)
    p = torch.softmax(scores(q, k).masked_fill(abs(x) > 128, -math.inf), -1)
    return (p * torch.exp(-x * x / 8192)) @ v


def local_gathered(q, k, v, center):
    j = torch.ceil(center - 128).long()[..., None] + torch.arange(257)  # [1, heads, queries, 257]
    x = j - center[..., None]
    seen = (abs(x) <= 128) & (j >= 0) & (j < k.shape[2])
    j = j.clamp(0, k.shape[2] - 1)
    heads = torch.arange(k.shape[1])[:, None, None]
    s = (k[0, heads, j[0]] @ q[0, ..., None])[..., 0] * q.shape[-1] ** -0.5
    p = torch.softmax(s.masked_fill(~seen[0], -math.inf), -1) * torch.exp(-x[0] * x[0] / 8192)
    return (p[..., None, :] @ v[0, heads, j[0]])[None, ..., 0, :]


def local_by_sdpa(q, k, v, center):
    """The Gaussian goes into the mask, and two logsumexps put the denominator right."""
    x = distances(k, center)
    far = abs(x) > 128
    o, with_gaussian = with_logsumexp(q, k, v, (-x * x / 8192).masked_fill(far, -math.inf))
    without = with_logsumexp(q, k, v, torch.zeros_like(x).masked_fill(far, -math.inf))[1]
    return o * torch.exp(with_gaussian - without)
