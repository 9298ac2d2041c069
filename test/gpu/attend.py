"""The kernel of attend.mlir, run by ptx.py on random tensors and compared with attention in f64.

    python3 test/gpu/attend.py FILE.ptx [--tolerance X] [--faults]

Tensors have strides of their own and NaN wherever the kernel has nothing to read; extents are no multiples of a tile. With
--faults the kernel is then broken in places that a right answer depends on, and each fault must be found."""

import argparse
import os
import re
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import ptx  # noqa: E402

DEPTH = 64


def strided(heads, rows, kind, generator):
    """Random numbers [heads, rows, DEPTH] in rows that are apart, between NaN."""
    whole = np.full((heads, rows + 3, DEPTH + 8), np.nan, kind)
    part = whole[:, 1:rows + 1, :DEPTH]
    part[...] = 2 * generator.standard_normal(part.shape) if generator else np.nan
    return whole, part


def descriptor(memory, whole, part):
    """A memref as the kernel takes it: allocated, aligned, offset, sizes, strides."""
    address = memory.place(whole)
    offset = (part.__array_interface__["data"][0] - whole.__array_interface__["data"][0]) // whole.itemsize
    return [address, address, offset, *part.shape, *(s // whole.itemsize for s in part.strides)]


def attention(q, k, v):
    """o[h,i,:] = sum over j <= i of softmax(q . k / 8) * v, in f64; a row without a key is 0."""
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    score = np.einsum("hid,hjd->hij", q, k) / np.sqrt(DEPTH)
    score = np.where(np.arange(k.shape[1]) <= np.arange(q.shape[1])[:, None], score, -np.inf)
    best = score.max(-1, keepdims=True, initial=-np.inf)
    weight = np.exp(score - np.where(np.isfinite(best), best, 0))
    total = weight.sum(-1, keepdims=True)
    return np.einsum("hij,hje->hie", weight / np.where(total == 0, 1, total), v)


def run(entry, heads, rows, keys, **how):
    """(largest difference relative to the largest result, machine)"""
    generator = np.random.default_rng(rows * 1000 + keys)
    memory = ptx.Global()
    tensors = [strided(heads, n, np.float16, generator) for n in (rows, keys, keys)]
    out = strided(heads, rows, np.float32, None)
    arguments = [x for whole, part in tensors + [out] for x in descriptor(memory, whole, part)]
    machine = ptx.Machine(entry, memory, ((rows + 63) // 64, heads, 1), (128, 1, 1), **how)
    machine.run(arguments)
    blocks = range(64, rows + 64, 64)
    tiles = sum((min(keys, beyond) + 63) // 64 for beyond in blocks)  # what the mask leaves
    visited = machine.executed["cp.async.commit_group"] / 4 / heads - len(blocks)  # each of four warps: one group before the loop, one a tile
    assert visited == tiles, f"{visited} tiles are visited instead of {tiles}"
    got, want = out[1].copy(), attention(*(part for _, part in tensors))
    out[1][...] = np.nan
    assert np.isnan(out[0]).all(), "the kernel wrote beside its result"
    return np.abs(got - want).max() / max(np.abs(want).max(), 1e-30), machine


SHAPES = [(2, 16, 16), (1, 5, 0), (1, 70, 33), (1, 130, 140)]  # heads, queries, keys
WAYS = [{"copies": "late"}, {"copies": "early", "order": lambda warps: warps[::-1]}]

# What is broken, and how; a pattern begins with `.*?` for the first place in the text, with `.*` for the last.
FAULTS = [
    ("no wait for the next tile", r"(.*)cp\.async\.wait_group 0;", r"\1"),
    ("no barrier before the loop", r"(.*?)bar\.sync 0;", r"\1"),
    ("no barrier in the loop", r"(.*)bar\.sync 0;", r"\1"),
    ("maxima of two lanes instead of four", r"(.*?)shfl\.sync\.bfly\.b32 (%r\d+, %r\d+), 2,", r"\1shfl.sync.bfly.b32 \2, 0,"),
    ("values not transposed", r"(.*?)ldmatrix\.sync\.aligned\.m8n8\.x4\.trans\.", r"\1ldmatrix.sync.aligned.m8n8.x4."),
    ("an exponential left out", r"(.*?)ex2\.approx\.ftz\.f32 (%r\d+), (%r\d+);", r"\1mov.b32 \2, 0f3F800000;"),
    ("two weights change places", r"(.*?)cvt\.rn\.f16x2\.f32 (%r\d+), (%r\d+), (%r\d+);", r"\1cvt.rn.f16x2.f32 \2, \4, \3;"),
    ("a point beyond the mask is kept", r"(.*)selp\.f32 (%r\d+), 0fFF800000, (%r\d+), (%p\d+);", r"\1mov.b32 \2, \3;"),
    ("rows without a key divide by 0", r"(.*?)selp\.f32 (%r\d+), 0f3F800000, (%r\d+), (%p\d+);", r"\1mov.b32 \2, \3;"),
    ("one copy reads beyond the last key", r"(.*)(cp\.async\.cg\.shared\.global \[%rd\d+\], \[%rd\d+\], 16), %r\d+;", r"\1\2, 16;"),
]


def difference(text, shape, way, tolerance):
    """What is wrong with a kernel, or None."""
    try:
        error, _ = run(ptx.parse(text)["attend"], *shape, **way)
    except ptx.Error as error:
        return str(error)
    return None if error <= tolerance else f"error {error:.1e}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--tolerance", type=float, default=1e-5, help="relative to the largest result; rule E10 allows 1e-5")
    parser.add_argument("--faults", action="store_true", help="break the kernel, too")
    options = parser.parse_args()
    with open(options.file) as file:
        text = re.sub(r"[ \t]+", " ", file.read())
    entry = ptx.parse(text)["attend"]

    worst = 0
    for heads, rows, keys in SHAPES:
        for way in WAYS:
            error, machine = run(entry, heads, rows, keys, **way)
            worst = max(worst, error)
            print(f"heads {heads}, queries {rows}, keys {keys}, copies {way['copies']}: error {error:.1e}, {machine.conflicts} bank conflicts in {machine.wavefronts} turns")
            if not error <= options.tolerance:
                sys.exit(f"attend.py: error {error:.1e} is more than {options.tolerance:.1e}")
            if machine.conflicts:
                sys.exit(f"attend.py: {machine.conflicts} bank conflicts")
    print(f"largest error {worst:.1e}")

    for what, pattern, replacement in FAULTS if options.faults else []:
        broken, count = re.subn(pattern, replacement, text, count=1, flags=re.S)
        assert count == 1, f"no place for: {what}"
        found = next(filter(None, (difference(broken, shape, way, options.tolerance) for shape in SHAPES[-3:] for way in WAYS)), None)
        print(f"{what}: {found}")
        assert found, what
    return 0


if __name__ == "__main__":
    sys.exit(main())
