"""For kernels with masks of every kind: what `fovea explain` says will be visited is what the kernel compiled for host-count visits, with
any number of threads; the support is what NumPy counts; and loops visit at least the support, exactly it where the case says so."""
import os
import re
import subprocess
import sys
import tempfile

import numpy as np
from safetensors.numpy import save_file

DOT = "score s = sum[d](q * k); o = sum[j](softmax[j](s) * v);"
HEAD = "q: f32[i,d], k: f32[j,d], v: f32[j,e]"


def fused(mask, extra="", body=DOT, where=""):
    return f"kernel t({HEAD}{extra}) -> o: f32[i,e] {where} {{ {mask} {body} }}"


random = np.random.default_rng(1)
I, J = np.arange(200)[:, None], np.arange(330)[None, :]
lengths = np.array([0, 330, 77, 1], np.int32)
documents = np.sort(random.integers(0, 9, 330)).astype(np.int32)
starts, ends = np.searchsorted(documents, documents, "left").astype(np.int32), np.searchsorted(documents, documents, "right").astype(np.int32)
centers = (random.standard_normal(200) * 100 + 150).astype(np.float32)
degrees = random.integers(0, 12, 200)
row = np.concatenate([[0], np.cumsum(degrees)]).astype(np.int32)
edges = np.arange(row[-1])[None, :]
kinds = random.integers(0, 3, 330).astype(np.int32)
SIZES = {"i": 200, "j": 330, "d": 8, "e": 5}
GRID = np.arange(13)
SHIFTED = np.arange(50)[:, None] + np.arange(33) - 16

# Name: kernel, extents, tensors that masks read, scalars, what the masks keep, and how far the visits may be from it:
# "exact", "tiles" (at most the tiles that touch it), or a number of points more for each row.
CASES = {
    "causal": (fused("mask j <= i;"), SIZES, {}, {}, J <= I, "tiles"),
    "causal, bottom right": (fused("mask j <= i + |j| - |i|;"), SIZES, {}, {}, J <= I + 130, "tiles"),
    "window": (fused("mask j <= i; mask i - j < w;", ", w: i32"), SIZES, {}, {"w": 40}, (J <= I) & (I - J < 40), "tiles"),
    "both sides": (fused("mask abs(i - j) <= 5;"), SIZES, {}, {}, abs(I - J) <= 5, "tiles"),
    "lengths": (
        "kernel t(q: f32[b,i,d], k: f32[b,j,d], v: f32[b,j,e], len: i32[b]) -> o: f32[b,i,e] { mask j < len; " + DOT + " }",
        {**SIZES, "b": 4}, {"len": lengths}, {}, np.broadcast_to(J[None] < lengths[:, None, None], (4, 200, 330)), "tiles"),
    "documents by bounds": (
        fused("mask j >= start and j < end;", ", start: i32[i], end: i32[i]"), SIZES, {"start": starts[:200], "end": ends[:200]}, {},
        (J >= starts[:200, None]) & (J < ends[:200, None]), "tiles"),
    "starts beyond the end": (
        fused("mask j >= start;", ", start: i32[i]"), SIZES, {"start": (np.arange(200) * 1000 % 1777).astype(np.int32)}, {},
        J >= (np.arange(200) * 1000 % 1777)[:, None], "tiles"),
    "documents by numbers": (
        "kernel t(q: f32[i,d], k: f32[j,d], v: f32[j,e], doc: i32[j] sorted) -> o: f32[i,e] where i = j { mask doc == doc[j: i]; " + DOT + " }",
        {**SIZES, "i": 330}, {"doc": documents}, {}, documents[:, None] == documents[None, :], "tiles"),
    "real centres": (
        fused("mask abs(j - center) <= 6.5;", ", center: f32[i]", "o = sum[j](abs(sum[d](q * k)) * v);"), SIZES, {"center": centers}, {},
        abs(J - centers[:, None].astype(np.float64)) <= 6.5, None),
    "real centres of a sum": (
        "kernel t(center: f32[i], v: f32[j,e]) -> o: f32[i,e] { mask abs(j - center) <= 6.5; o = sum[j](v); }",
        {"i": 200, "j": 330, "e": 5}, {"center": centers}, {},
        np.broadcast_to((abs(J - centers[:, None].astype(np.float64)) <= 6.5)[:, :, None], (200, 330, 5)), 4 * 5),
    "graph rows": (
        "kernel t(x: f32[m,e], w: f32[t], row: i32[r], nbr: i32[t]) -> o: f32[n,e] where m = n, r = n + 1 "
        "{ mask t >= row[r: n]; mask t < row[r: n + 1]; o = sum[t](w * x[m: nbr]); }",
        {"n": 200, "t": int(row[-1]), "e": 5}, {"row": row}, {},
        np.broadcast_to(((edges >= row[:-1, None]) & (edges < row[1:, None]))[:, :, None], (200, int(row[-1]), 5)), "exact"),
    "dilation": (
        "kernel t(v: f32[j], x: f32[i]) -> o: f32[i] { mask (i - j) % 32 == 0; mask j <= i; o = sum[j](v * x); }",
        {"i": 200, "j": 330}, {}, {}, ((I - J) % 32 == 0) & (J <= I), "exact"),
    "dilation in tiles": (fused("mask (i - j) % 4 == 0; mask j <= i;"), SIZES, {}, {}, ((I - J) % 4 == 0) & (J <= I), "tiles of 4"),
    "rows: dilation": (
        fused("mask (i - j) % 3 == 0; mask j <= i;", body="score s = sum[d](q * k); o = sum[j](sparsemax[j](s) * v);"), SIZES, {}, {},
        ((I - J) % 3 == 0) & (J <= I), "exact"),
    "documents in loops": (
        "kernel t(v: f32[j,e], doc: i32[j] sorted) -> o: f32[i,e] where i = j { mask doc == doc[j: i]; o = sum[j](v); }",
        {"i": 330, "j": 330, "e": 5}, {"doc": documents}, {}, np.broadcast_to((documents[:, None] == documents[None, :])[:, :, None], (330, 330, 5)), "exact"),
    "a bilinear factor": (
        "kernel t(at: f32[i], v: f32[j,e]) -> o: f32[i,e] { o = sum[j](max(0, 1 - abs(at - j)) * v); }",
        {"i": 200, "j": 330, "e": 5}, {"at": centers}, {}, np.broadcast_to((abs(J - centers[:, None].astype(np.float64)) < 1)[:, :, None], (200, 330, 5)), 2 * 5),
    "reads outside": (
        "kernel t(taps: f32[r], v: f32[j,e]) -> o: f32[j,e] { o = sum[r](taps * v[j: j + r - |r| / 2]); }",
        {"j": 50, "r": 33, "e": 5}, {}, {}, np.broadcast_to(((SHIFTED >= 0) & (SHIFTED < 50))[:, :, None], (50, 33, 5)), "exact"),
    "rows that a mask removes": (fused("mask i < rows; mask j <= i;", ", rows: i32"), SIZES, {}, {"rows": 77}, (J <= I) & (I < 77), "tiles"),
    "rows alone": (fused("mask i < rows;", ", rows: i32"), SIZES, {}, {"rows": 77}, (I < 77) & (J >= 0), "tiles"),
    "rows: some removed": (
        fused("mask i < rows; mask j <= i;", ", rows: i32", "score s = sum[d](q * k); o = sum[j](sparsemax[j](s) * v);"), SIZES, {}, {"rows": 77},
        (J <= I) & (I < 77), "exact"),
    "heads in groups": (
        "kernel t(q: f32[h,i,d], k: f32[g,j,d], v: f32[g,j,e], past: i32) -> o: f32[h,i,e] where h = 4 * g "
        "{ mask j <= i + past; score s = sum[d](q * k[g: h / 4]); o = sum[j](softmax[j](s) * v[g: h / 4]); }",
        {"h": 8, "i": 2, "j": 330, "g": 2, "d": 8, "e": 5}, {}, {"past": 100}, np.broadcast_to(J <= np.arange(2)[:, None] + 100, (8, 2, 330)), 2 * 64),
    "neighbourhood on a grid": (
        "kernel t(g: f32[a,b], v: f32[y,x,e]) -> o: f32[a,b,e] { mask abs(a - y) <= 2; mask abs(b - x) <= 1; o = g * sum[y,x](v); }",
        {"a": 13, "b": 13, "y": 13, "x": 13, "e": 3}, {}, {},
        np.broadcast_to(((abs(GRID[:, None, None, None] - GRID[None, None, :, None]) <= 2)
                         & (abs(GRID[None, :, None, None] - GRID[None, None, None, :]) <= 1))[..., None], (13, 13, 13, 13, 3)), "exact"),
    "a disjunction": (fused("mask j <= i or kind == 1;", ", kind: i32[j]"), SIZES, {"kind": kinds}, {}, (J <= I) | (kinds == 1)[None], "tiles"),
    "rows: sparsemax": (fused("mask j <= i;", body="score s = sum[d](q * k); o = sum[j](sparsemax[j](s) * v);"), SIZES, {}, {}, J <= I, "exact"),
    "rows: an additive score": (
        fused("mask abs(i - j) <= 9;", body="score s = sum[d](tanh(q + k)); o = sum[j](softmax[j](s) * v);"), SIZES, {}, {}, abs(I - J) <= 9, "exact"),
    "a sum that masks leave unused": (
        "kernel t(q: f32[i,d], k: f32[n,j,d], at: i32[i]) -> p: f32[i,j] { mask abs(i - j) <= 9; p = tanh(sum[d](q * k[n: at])); }",
        {"i": 200, "j": 330, "d": 8, "n": 2}, {}, {}, np.broadcast_to((abs(I - J) <= 9)[:, :, None], (200, 330, 8)), "exact"),
    "a sum that alternatives leave unused": (
        "kernel t(q: f32[i,d], k: f32[n,j,d], at: i32[i], len: i32) -> p: f32[i,j] { mask j < len; mask abs(i - j) <= 9 or j == len - 1; p = tanh(sum[d](q * k[n: at])); }",
        {"i": 200, "j": 330, "d": 8, "n": 2}, {}, {"len": 77}, np.broadcast_to(((J < 77) & ((abs(I - J) <= 9) | (J == 76)))[:, :, None], (200, 330, 8)), "exact"),
    "decode with past": (fused("mask j <= i + past;", ", past: i32"), {**SIZES, "i": 3}, {}, {"past": 200}, J <= I[:3] + 200, "tiles"),
    "a length in vectors": (
        "kernel t(x: f32[j,m], len: i32) -> o: f32[m] { mask j < len; o = max[j](x); }", {"j": 330, "m": 37}, {}, {"len": 100},
        np.broadcast_to(J[:, :, None] < 100, (1, 330, 37)), "exact"),
    "versions for extents": (fused("mask j <= i;", where="where d in {8, 16}"), SIZES, {}, {}, J <= I, "tiles"),
    "imported masks": (fused("mask causal(i, j) and window(i, j, 7);"), SIZES, {}, {}, (J <= I) & (I - J < 7), "tiles"),
    "no rows": (fused("mask j <= i;"), {**SIZES, "i": 0}, {}, {}, np.zeros((0, 330), bool), "exact"),
}

LINE = re.compile(r"(?P<what>\S+) at (?P<place>[^ ]+): (?:support \S+ % \((?P<support>[\d,]+)\) of [\d,]+ points; )?"
                  r"visited (?P<visited>[\d,]+) of (?P<total>[\d,]+) points \([^)]*\)"
                  r"(?:; (?P<tiles>[\d,]+) tiles: (?P<full>[\d,]+) full, (?P<partial>[\d,]+) partial, (?P<skipped>[\d,]+) skipped)?$")


def lines(text):
    found = {}
    for line in text.splitlines():
        match = LINE.search(line.strip())
        if match:
            found[match["what"], match["place"]] = {k: int(v.replace(",", "")) for k, v in match.groupdict().items() if v and k not in ("what", "place")}
    return found


def fovea(*args):
    return subprocess.run(["fovea", *args], check=True, stdout=subprocess.PIPE, text=True).stdout


def check(name, folder):
    text, extents, values, scalars, kept, how = CASES[name]
    path = lambda file: os.path.join(folder, file)
    with open(path("t.attn"), "w", encoding="utf-8") as f:
        f.write(text)
    tensors = {}
    sizes = dict(extents)
    for left, right in re.findall(r"(\w+) = ([a-z]\w*(?: \+ 1)?)(?=[ ,{])", text.split("where")[1].split("{")[0] if "where" in text else ""):
        sizes[left] = sizes[right.split()[0]] + right.endswith("1")
    for tensor, kind, axes in re.findall(r"(\w+): (f32|i32)\[([\w,]+)\]", text.split("->")[0]):
        shape = [sizes[a] for a in axes.split(",")]
        tensors[tensor] = values[tensor] if tensor in values else np.zeros(shape, np.int32) if kind == "i32" else random.standard_normal(shape).astype(np.float32)
    save_file(tensors, path("all"))
    save_file(values, path("masks"))
    sets = [f"--set={k}={v}" for k, v in scalars.items()]
    runs = [lines(fovea("run", path("t.attn"), "--target", "host-count", "--in", path("all"), "--threads", threads, *sets)) for threads in ("1", "3")]
    assert runs[0] and runs[0] == runs[1], f"threads: {runs}"
    given = [f"--extent={k}={v}" for k, v in extents.items()]
    explained = fovea("explain", path("t.attn"), *(["--in", path("masks")] if values else []), *given, *sets)
    said = lines(explained)
    assert {k: {n: v for n, v in line.items() if n != "support"} for k, line in said.items()} == runs[0], f"explain: {said}\nrun: {runs[0]}"
    for key, line in said.items():
        # The same points once for each time that the reduction runs over them.
        times, rest = divmod(line["total"], kept.size) if kept.size else (0, line["total"])
        assert rest == 0, (key, line, kept.size)
        support = int(kept.sum()) * times
        assert line.get("support", None if "mask" in text else support) == support, (key, line, support)
        assert support <= line["visited"] <= line["total"], (key, line)
        if how == "exact":
            assert line["visited"] == support, (key, line)
        elif isinstance(how, str):
            sides = re.search(r"(\d+) queries x (\d+) keys a tile", explained)
            few = re.search(r"up to (\d+) queries: (\d+) queries x (\d+) keys", explained)
            queries, keys = (int(n) for n in (few.groups()[1:] if few and kept.shape[-2] <= int(few[1]) else sides.groups()))
            step = 4 if how == "tiles of 4" else 1
            panel = 1 if few and kept.shape[-2] <= int(few[1]) else int(re.search(r"packed in panels of (\d+)", explained)[1])
            tiles = touched = points = 0
            for plane in (whole[c::step, c::step] for whole in kept.reshape(-1, *kept.shape[-2:]) for c in range(step)):
                rows, columns = -(-plane.shape[0] // queries), -(-plane.shape[1] // keys)
                tiles += rows * columns
                for r in range(rows):
                    block = plane[r * queries:(r + 1) * queries]
                    used = block.any(axis=0).nonzero()[0]
                    if len(used):
                        width = used[-1] + 1 - used[0] // panel * panel
                        touched += -(-width // keys)
                        points += len(block) * width
            if name == "a disjunction":  # one of its conditions bounds nothing
                touched, points = tiles, kept.size
            assert (line["full"] + line["partial"], line["visited"]) == (touched, points), (key, line, touched, points)
            assert line["tiles"] == tiles, (key, line, tiles)
            assert line["full"] * queries * keys <= support, (key, line)
        elif how is not None:
            assert line["visited"] <= support + how * kept.shape[0], (key, line)
    return said


with tempfile.TemporaryDirectory() as folder:
    failed = 0
    for name in CASES:
        try:
            said = check(name, folder)
            print("same", name, "".join(f" {k[0]} {v['visited']}/{v.get('support')}/{v['total']}" for k, v in said.items()), flush=True)
        except Exception as problem:
            failed += 1
            print("DIFFERENT", name, problem, flush=True)
    sys.exit(bool(failed))
