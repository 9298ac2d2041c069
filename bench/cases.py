"""The cases of the group `kernels`, as data: a kernel of kernels.attn, its inputs, and what else computes the same.

Parts: dense (a library has the kernel), masks (FlexAttention can say it), decode (few queries against a long cache), beyond (neither says it).
"""
import dataclasses
import functools
import math

import torch

import peers

BOTH = (torch.float32, torch.bfloat16)


@dataclasses.dataclass
class Case:
    part: str
    name: str
    kernel: str            # in kernels.attn
    inputs: object         # () -> {name: tensor or number}, in the kernel's order
    results: object        # inputs -> shapes of the results
    peers: dict            # {name: peers.Peer}; the first one, on f32, is also the reference
    types: tuple = BOTH
    threads: tuple = (2,)
    operations: object = None  # inputs -> multiplications and additions of the two products, on the support only
    bytes: object = None       # inputs -> bytes that must be read from memory at least
    few: bool = False          # a quick run compiles this one's peers too


def qkv(heads, length, size, **more):
    return lambda: {**{name: torch.randn(1, heads, length, size) for name in "qkv"}, **{name: make() for name, make in more.items()}}


def like_q(t):
    return [t["q"].shape]


def dense(quick):
    """Lengths, 1001 for one that fits no tile, with enough heads for some milliseconds."""
    for causal in (False, True):
        for size in (64, 128):
            for length, heads in ((1024, 4),) if quick else ((512, 8), (1024, 8), (1001, 8), (4096, 4), (16384, 1)):
                if length in (1001, 16384) and (size != 64 or causal):
                    continue
                pairs = length * (length + 1) // 2 if causal else length * length
                yield Case("dense", f"L {length} D {size}{' causal' if causal else ''}", "attend_causal" if causal else "attend", qkv(heads, length, size), like_q,
                           {"SDPA": peers.sdpa(is_causal=causal)}, threads=(2,) if length == 16384 else (1, 2),
                           operations=lambda t, n=4 * heads * pairs * size: n)


def masks(quick):
    """The keys that a query sees and what is added to its score, both as functions of positions, for every peer in its own form."""
    heads, length, size = 4, 1024 if quick else 4096, 64
    window = dict(keep=lambda t, i, j: (j <= i) & (i - j < 256))
    causal = dict(keep=lambda t, i, j: j <= i)
    table = [  # (name, kernel, more inputs, what)
        ("window of 256", "attend_window", {}, window),
        ("128 on both sides", "attend_both_sides", {}, dict(keep=lambda t, i, j: abs(i - j) <= 128)),
        ("documents", "attend_documents", dict(document=lambda: torch.randint(0, 16, (length,)).sort().values.int()),
         dict(keep=lambda t, i, j: t["document"][i] == t["document"][j])),
        ("prefix of a quarter", "attend_prefix", dict(known=lambda: length // 4), dict(keep=lambda t, i, j: (j <= i) | (j < length // 4))),
        ("ALiBi, causal", "attend_alibi", dict(slope=lambda: 2.0 ** -(1.0 + torch.arange(heads))), dict(**causal, add=lambda t, h, i, j: t["slope"][h] * (j - i))),
        ("soft cap, causal", "attend_soft_cap", {}, dict(**causal, cap=30)),
        ("relative bias", "attend_relative", dict(bias=lambda: torch.randn(heads, 2 * length - 1)), dict(add=lambda t, h, i, j: t["bias"][h, i - j + length - 1])),
    ]
    for name, kernel, more, what in table:
        blocks = (64, 128) if "keep" in what else (None,)
        sides = {"plain": peers.plain(**what)} if "cap" in what else {"SDPA, explicit mask": peers.sdpa_mask(**what)}
        sides.update({"FlexAttention" + (f", blocks of {b}" if b else ""): peers.flex(b, **what) for b in (blocks[-1:] if quick else blocks)})
        yield Case("masks", name, kernel, qkv(heads, length, size, **more), like_q, sides, few=kernel == "attend_window",
                   operations=lambda t, what=what: 4 * heads * size * peers.pairs(t, **what))


def decode(quick):
    heads, groups, keys, size = 32, 8, 4096, 128
    for queries in (1, 4, 16):
        yield Case("decode", f"{queries} of {keys}", "decode",
                   lambda queries=queries: {"q": torch.randn(1, heads, queries, size), **{x: torch.randn(1, groups, keys, size) for x in "kv"}}, like_q,
                   {"SDPA, enable_gqa": peers.sdpa(enable_gqa=True), "SDPA, heads folded": peers.folded(peers.attend_sdpa), "plain, heads folded": peers.folded(peers.attend_plain)},
                   threads=(1, 2), bytes=lambda t: sum(t[x].numel() * t[x].element_size() for x in "qkv"))


def beyond(quick):
    f32 = (torch.float32,)
    heads, length, size = 4, 512 if quick else 2048, 64
    square = 4 * heads * length * length * size
    two_ways = lambda name, f: {name: peers.eager(f), f"{name}, compiled": peers.compiled(f)}
    case = lambda name, kernel, sides, **more: Case("beyond", name, kernel, qkv(heads, length, size), more.pop("results", like_q), sides, types=f32,
                                                    operations=lambda t: square, **more)

    def normalised(normaliser):
        return lambda q, k, v: normaliser(peers.scores(q, k)) @ v

    targets = 64 if quick else 256
    yield Case("beyond", "additive", "attend_additive",
               lambda: {"q": torch.randn(2, targets, 128), "k": torch.randn(2, 512, 128), "v": torch.randn(2, 512, 128), "w": torch.randn(128) / 8}, like_q,
               two_ways("plain", lambda q, k, v, w: torch.softmax(torch.tanh(q[:, :, None] + k[:, None]) @ w, -1) @ v), types=f32)
    yield case("sigmoid", "attend_sigmoid", two_ways("plain", normalised(lambda s: torch.sigmoid(s - math.log(length)))), few=True)
    yield case("softmax1", "attend_softmax1", {**two_ways("plain", normalised(peers.softmax1)), "SDPA with its logsumexp": peers.eager(peers.softmax1_by_sdpa)})
    for name in ("sparsemax", "entmax15"):
        form = getattr(peers, name)
        yield case(name, f"attend_{name}", {**two_ways("sorted", normalised(lambda s, form=form: form(s)[0])),
                                            "top 128, checked": peers.eager(normalised(functools.partial(peers.by_top, form, 128)))})
    yield case("returned map", "attend_map", two_ways("plain", peers.attend_map), results=lambda t: [t["q"].shape, (1, heads, length, length)])

    nodes = 1024 if quick else 4096

    def graph():
        counts = torch.randint(16, 49, (nodes,))  # 32 as a mean
        row = torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)])
        return {"dst": torch.randn(nodes, heads), "src": torch.randn(nodes, heads), "z": torch.randn(nodes, heads, size), "row": row.int(),
                "nbr": torch.randint(0, nodes, (int(row[-1]),)).int()}

    yield Case("beyond", "graph rows", "graph_rows", graph, lambda t: [t["z"].shape],
               {"scatter": peers.graph(peers.graph_scatter), "scatter, compiled": peers.graph(peers.graph_scatter, compiled=True),
                "padded": peers.graph(peers.graph_padded, lists=True), "padded, compiled": peers.graph(peers.graph_padded, lists=True, compiled=True)}, types=f32)
    yield Case("beyond", "local-p", "local_p", qkv(heads, length, size, center=lambda: length * torch.rand(1, heads, length)), like_q,
               {**two_ways("masked", peers.local_masked), **two_ways("gathered", peers.local_gathered), "SDPA with its logsumexp": peers.eager(peers.local_by_sdpa)}, types=f32,
               operations=lambda t: 4 * size * int((abs(torch.arange(length) - t["center"][..., None]) <= 128).sum()))


def cases(quick):
    return [*dense(quick), *masks(quick), *decode(quick), *beyond(quick)]
