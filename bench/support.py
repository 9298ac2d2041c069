"""Cost follows support (rule M5): masked kernels against their share of the dense kernel's time. Prints one JSON text. Called by run.py.

    support.py --fovea FOVEA --folder DIR [--quick]
"""
import argparse
import json
import os
import subprocess

import numpy as np
from safetensors.numpy import save_file

import measure

HEADS, SIZE, THREADS = 2, 64, 2

ATTEND = """kernel t(q: f32[h,i,d], k: f32[h,j,d], v: f32[h,j,e]{parameters}) -> o: f32[h,i,e] {{
  {mask}
  score s = sum[d](q * k) * rsqrt(|d|);
  o = sum[j]({normaliser}[j](s) * v);
}}
"""
GRAPH = """kernel t(dst: f32[n,h], src: f32[m,h], z: f32[m,h,e]{parameters}) -> o: f32[n,h,e] where m = n{where} {{
  {mask}
  score s = leaky_relu(dst + src{at}, 0.2);
  o = sum[{over}](softmax[{over}](s) * z{at});
}}
"""
GRID = """kernel t(q: f32[h,y,x,d], k: f32[h,r,c,d], v: f32[h,r,c,e]) -> o: f32[h,y,x,e] where r = y, c = x {{
  {mask}
  score s = sum[d](q * k) * rsqrt(|d|);
  o = sum[r,c](softmax[r,c](s) * v);
}}
"""


def samples(hat):
    """Every pixel under a weight; with hats that are 0 but next to a point, the bilinear sampler."""
    return "kernel t(image: f32[y,x,c], row: f32[p], column: f32[p]) -> o: f32[p,c] {" + f" o = sum[y,x](image * ({hat.format('row', 'y')}) * ({hat.format('column', 'x')})); " + "}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fovea", required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    random = np.random.default_rng(0)
    normal = lambda *shape: random.standard_normal(shape).astype(np.float32)
    path = lambda name: os.path.join(options.folder, name)

    def time(program, tensors):
        with open(path("kernel.attn"), "w", encoding="utf-8") as f:
            f.write(program)
        save_file(tensors, path("in.safetensors"))
        text = measure.checked([options.fovea, "run", path("kernel.attn"), "--in", path("in.safetensors"), "--out", path("out.safetensors"), "--threads", str(THREADS),
                                "--time", "3" if options.quick else "15"])["output"]
        return float(text.split("min=")[1].split()[0])

    rows = []

    def family(name, dense, cases):
        whole = time(*dense)
        rows.append({"name": name, "share": 1.0, "milliseconds": whole, "ratio": 1.0})
        for case, share, program, tensors in cases:
            taken = time(program, tensors)
            rows.append({"name": f"{name}, {case}", "share": share, "milliseconds": taken, "ratio": taken / (whole * share)})

    length = 4096 if options.quick else 16384
    base = {"q": normal(HEADS, length, SIZE), "k": normal(HEADS, length, SIZE), "v": normal(HEADS, length, SIZE)}
    document = np.sort(random.integers(0, 32, length))
    first, end = (np.searchsorted(document, document, side).astype(np.int32) for side in ("left", "right"))
    number = document.astype(np.int32)
    ragged = np.full(HEADS, length // 5, np.int32)
    for normaliser in ("softmax", "softmax1"):
        form = lambda mask, parameters="": ATTEND.format(mask=mask, parameters=parameters, normaliser=normaliser)
        family(f"{normaliser} over {length}", (form(""), base), [
            ("causal", (length + 1) / 2 / length, form("mask j <= i;"), base),
            ("window of 256", 256 / length, form("mask j <= i and i - j < 256;"), base),
            ("128 on each side", 257 / length, form("mask abs(i - j) <= 128;"), base),
            ("documents", float((end - first).mean()) / length, form("mask j >= first and j < end;", ", first: i32[i], end: i32[i]"), {**base, "first": first, "end": end}),
            ("documents by number", float((end - first).mean()) / length, form("mask doc == its;", ", doc: i32[i] sorted, its: i32[j] sorted"), {**base, "doc": number, "its": number}),
            ("every fourth of 1024", 256 / length, form("mask j <= i and i - j < 1024 and (i - j) % 4 == 0;"), base),
            ("a fifth of the length", 1 / 5, form("mask j < len;", ", len: i32[h]"), {**base, "len": ragged})])

    nodes, degree = 1024 if options.quick else 4096, 32
    counts = random.integers(0, 2 * degree, nodes)
    row = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    edges = int(row[-1])
    graph = {"dst": normal(nodes, HEADS), "src": normal(nodes, HEADS), "z": normal(nodes, HEADS, SIZE)}
    family(f"graph of {nodes} nodes", (GRAPH.format(parameters="", where="", mask="", at="", over="m"), graph),
           [(f"{edges} edges", edges / nodes ** 2,
             GRAPH.format(parameters=", row: i32[r], nbr: i32[t]", where=", r = n + 1", mask="mask t >= row[r: n];\n  mask t < row[r: n+1];", at="[m: nbr]", over="t"),
             {**graph, "row": row, "nbr": random.integers(0, nodes, edges).astype(np.int32)})])
    side, reach = 32 if options.quick else 64, 3
    grid = {"q": normal(HEADS, side, side, SIZE), "k": normal(HEADS, side, side, SIZE), "v": normal(HEADS, side, side, SIZE)}
    seen = np.minimum(np.arange(side) + reach, side - 1) - np.maximum(np.arange(side) - reach, 0) + 1
    family(f"grid of {side} x {side}", (GRID.format(mask=""), grid),
           [(f"{reach} on each side", float(seen.mean() / side) ** 2, GRID.format(mask=f"mask abs(y - r) <= {reach} and abs(x - c) <= {reach};"), grid)])
    points = {"image": normal(side, side, SIZE), **{name: random.uniform(0, side - 1, 4096).astype(np.float32) for name in ("row", "column")}}
    family(f"samples of {side} x {side}", (samples("1 - abs({} - {})"), points),
           [("bilinear", 4 / side ** 2, samples("max(0, 1 - abs({} - {}))"), points)])
    print(json.dumps({"threads": THREADS, "rows": rows}))


if __name__ == "__main__":
    main()
