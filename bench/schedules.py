"""Schedules of fused attention: what the cost model estimates (lowering/Cost.h) against what they take. Prints one JSON text. Called by run.py.

    schedules.py --fovea FOVEA --cost SCHEDULE-COST --target TARGET --folder DIR [--quick] [--filter TEXT] [--rounds N]

Each group of candidates computes the same on the same memory, on one thread, in turns; the minimum of a candidate's times counts.
"""
import argparse
import ctypes
import itertools
import json
import os
import subprocess
import sys
import time

import numpy as np

import measure

sys.path.insert(0, os.path.join(measure.ROOT, "examples", "numpy"))
import attend as example  # noqa: E402

TYPES = {"f32": (np.float32, (2, 32)), "bf16": (np.uint16, (4, 16))}  # DLPack's type codes and bits
WINDOW, MANY = 256, 1024
PARTS = ("products", "loads", "scores", "packing", "state", "starts", "waste", "traffic")  # of an estimate (lowering/Cost.h)
MASKS = {"none": "", "causal": "mask j <= i + past;", "window": "mask j <= i + past; mask i + past - j < w;"}
HEADER = """kernel {name}(q: {type}[h,i,d], k: {type}[{g},j,d], v: {type}[{g},j,e], past: i32, w: i32) -> o: {type}[h,i,e]{where} {{
  {mask}
  score s = sum[d](q * k{at}) * rsqrt(|d|);
  o = sum[j](softmax[j](s) * v{at});
}}
"""


def candidates(grouped, rows, quick):
    """(layout, queries, keys, panel): what may compute `rows` queries."""
    if rows >= MANY:
        tiles = [(24, 128), (48, 128)] if quick else [(q, k) for q in (12, 24, 48, 96) for k in (64, 128, 256)] + [(48, 512)]
        return [("packed", q, k, None) for q, k in tiles]
    found = [("packed", q, k, None) for q, k in ((48, 128),)] + [("rows", q, k, None) for q in (1, 2, 4, 6, 8) if q <= rows or q in (4, 8) for k in ((128,) if quick else (64, 128, 256))]
    if grouped:
        found += [(layout, 4, k, None) for layout in ("grouped rows", "grouped tile") for k in ((128,) if quick else (64, 128, 256))]
        found += [("lanes", 16, k, None) for k in ((128,) if quick else (64, 128, 256))]
    return found


def settings(candidate):
    layout, queries, keys, panel = candidate
    sizes = f"keys = {keys};" + (f" panel = {panel};" if panel else "")
    if layout in ("packed", "rows"):
        return f"few = none; grouped = none; tiles = none; key_layout = {layout}; queries = {queries}; {sizes}"
    ways = {"grouped rows": "broadcast = none; unpacked = none;", "grouped tile": "broadcast = none; unpacked = 0;", "lanes": "broadcast = 1; broadcast_to = none;"}
    return f"few = none; tiles = none; grouped {{ rows = 1024; {ways[layout]} {'' if layout == 'lanes' else f'queries = {queries};'} {sizes} }}"


def dltensor(array, kind):
    extents = ctypes.c_int64 * array.ndim
    return example.DLTensor(array.ctypes.data, example.DLDevice(example.CPU, 0), array.ndim, example.DLDataType(*TYPES[kind][1], 1), extents(*array.shape),
                            extents(*(s // array.itemsize for s in array.strides)), 0)


def values(random, kind, shape):
    f = random.standard_normal(shape).astype(np.float32)
    return f if kind == "f32" else (f.view(np.uint32) >> 16).astype(np.uint16)


def compiled(options, kind, mask, grouped, all_candidates):
    """One library with a kernel for each candidate."""
    base = os.path.join(options.folder, f"{kind}-{mask}-{'grouped' if grouped else 'plain'}")
    text = ""
    for n, candidate in enumerate(all_candidates):
        name = f"attend_{n}"
        text += HEADER.format(name=name, type=kind, mask=MASKS[mask], g="g" if grouped else "h", where=" where h = 4*g" if grouped else "", at="[g: h / 4]" if grouped else "")
        text += f"schedule {name} for {options.target} {{ {settings(candidate)} }}\n" if candidate[0] != "compiler's choice" else ""
    with open(base + ".attn", "w", encoding="utf-8") as f:
        f.write(text)
    measure.checked([options.fovea, "compile", base + ".attn", "--target", options.target, "-o", base + ".o"])
    measure.checked(["cc", "-shared", base + ".o", "-o", base + ".so", "-lm", "-pthread"])
    library = ctypes.CDLL(base + ".so")
    library.fovea_last_error.restype = ctypes.c_char_p
    library.fovea_set_threads(1)
    return library


def times(options, library, numbers, case):
    """Milliseconds of each candidate, at least."""
    kind, mask, size, rows, heads, groups = (case[n] for n in ("type", "mask", "features", "rows", "heads", "groups"))
    random = np.random.default_rng(0)
    q, k, v = (values(random, kind, (n, length, size)) for n, length in ((heads, rows), (groups, options.keys), (groups, options.keys)))
    results = {n: np.zeros(q.shape, q.dtype) for n in numbers}
    best, calls = dict.fromkeys(numbers, float("inf")), {}

    def call(n, times):
        function, arguments = getattr(library, f"attend_{n}"), [ctypes.byref(dltensor(x, kind)) for x in (q, k, v)]
        arguments += [ctypes.c_int32(options.keys - rows), ctypes.c_int32(WINDOW), ctypes.byref(dltensor(results[n], kind))]
        began = time.perf_counter()
        for _ in range(times):
            if function(*arguments):
                raise SystemExit(f"attend_{n}: {library.fovea_last_error().decode()}")
        return (time.perf_counter() - began) / times * 1e3

    for n in numbers:
        call(n, 1)
        calls[n] = max(1, min(1000, int(0.5 / call(n, 1))))
    for turn in range(options.rounds):
        order = numbers[turn % len(numbers):] + numbers[:turn % len(numbers)]
        for n in order:
            best[n] = min(best[n], call(n, calls[n]))
    return [best[n] for n in numbers]


def estimates(options, groups):
    """Adds to each candidate its estimate, in cycles by part."""
    lines, places = [], []
    for g in groups:
        g["heads_each"] = g["heads"] // g["groups"]
        visited = {"none": g["keys"], "causal": g["keys"] - (g["rows"] - 1) / 2, "window": WINDOW}[g["mask"]]
        for c in g["candidates"]:
            if c["layout"] == "compiler's choice":
                continue
            layout = {"grouped rows": "heads", "grouped tile": "tile"}.get(c["layout"], c["layout"])
            lines.append(f"{options.target} {g['type']} {g['rows']} {g['keys']} {g['features']} {g['features']} {g['groups']} {g['heads_each']} {visited:.0f} "
                         f"{int(g['mask'] != 'none')} 1 {dict(none=0, causal=2, window=4)[g['mask']]} {layout} {c['queries']} {c['keys']} {c['panel'] or 0}")
            places.append(c)
    done = subprocess.run([options.cost], input="\n".join(lines) + "\n", stdout=subprocess.PIPE, text=True, check=True).stdout.split("\n")
    for c, line in zip(places, done):
        c["parts"] = dict(zip(PARTS, map(float, line.split())))
        c["cycles"] = sum(c["parts"].values())


def ranks(numbers):
    """Of equal numbers, the mean of their ranks."""
    order = sorted(numbers)
    return [order.index(n) + (order.count(n) - 1) / 2 for n in numbers]


def spearman(a, b):
    a, b = (np.array(ranks(x)) - (len(x) - 1) / 2 for x in (a, b))
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def judged(group):
    """Spearman's correlation, and by how much the candidate of the least estimate, and the compiler's choice, are slower than the fastest."""
    of = [c for c in group["candidates"] if "cycles" in c]
    fastest = min(of, key=lambda c: c["milliseconds"])
    cheapest = min(of, key=lambda c: c["cycles"])
    chosen = next((c["milliseconds"] for c in group["candidates"] if "cycles" not in c), None)
    return {"spearman": spearman([c["cycles"] for c in of], [c["milliseconds"] for c in of]), "regret": cheapest["milliseconds"] / fastest["milliseconds"] - 1,
            "compiler": chosen and chosen / fastest["milliseconds"] - 1, "fastest": fastest, "cheapest": cheapest}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fovea", required=True)
    parser.add_argument("--cost", help="the program schedule-cost; without it times alone are measured")
    parser.add_argument("--target", required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--filter", default="")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keys", type=int, default=4096)
    parser.add_argument("--sets", type=int, default=8, help="of keys, for a few rows: with how many bytes they are, it says which cache holds them")
    options = parser.parse_args()
    os.makedirs(options.folder, exist_ok=True)
    lines = []
    for kind, mask, grouped in itertools.product(TYPES, MASKS, (False, True)):
        if options.filter not in f"{kind} {mask} {'grouped' if grouped else 'plain'}":
            continue
        row_counts = (1, 8, MANY) if options.quick else (1, 2, 4, 8, 16, MANY)
        everything = [("compiler's choice", 0, 0, None)]
        for rows in row_counts:
            everything += [c for c in candidates(grouped, rows, options.quick) if c not in everything]
        library = compiled(options, kind, mask, grouped, everything)
        for size, rows in itertools.product((64,) if options.quick else (64, 128), row_counts):
            groups = 1 if rows >= MANY else options.sets
            case = {"type": kind, "mask": mask, "features": size, "rows": rows, "keys": options.keys, "groups": groups, "heads": 4 * groups if grouped else groups}
            chosen = [everything[0]] + candidates(grouped, rows, options.quick)
            milliseconds = times(options, library, [everything.index(c) for c in chosen], case)
            lines.append({**case, "candidates": [{"layout": c[0], "queries": c[1], "keys": c[2], "panel": c[3], "milliseconds": m} for c, m in zip(chosen, milliseconds)]})
            print(f"bench: {case} " + " ".join(f"{c[0]}/{c[1]}/{c[2]}:{m:.3f}" for c, m in zip(chosen, milliseconds)), file=sys.stderr, flush=True)
    if options.cost:
        estimates(options, lines)
        for g in lines:
            g["judged"] = judged(g)
    print(json.dumps({"groups": lines}))


if __name__ == "__main__":
    main()
