"""Programs built with `--quantize int8`: their products against NumPy, to the bit, on every target that this machine can run.

    run.py [--build FOLDER] [--sanitize] [--filter TEXT] [--seed N]

A probe is a model whose logits are a matrix product of rows of a table (one for each letter) with a weight. NumPy quantises the same
numbers by the rule of docs/programs.md, multiplies integers, and scales in f32: every bit must be equal. Tables hold rows of every kind: random,
whole numbers that need no rounding, halves that round to even, zeros, tiny and huge numbers, NaN and infinities."""

import os
import shutil
import subprocess
import sys
import tempfile

import numpy
import safetensors.numpy

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import family  # noqa: E402
from family import check  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TARGETS = ["x86-64-v2", "x86-64-v3", "x86-64-v4", "host"]
NEEDS = {"x86-64-v2": "sse4_2", "x86-64-v3": "avx2", "x86-64-v4": "avx512bw", "host": "sse4_2"}
LETTERS = "abcdefghijklmnopqrstuvwx"
STEPS = 20


# The rule

def quantise(rows):
    """f32 [rows, K] -> codes i64 [rows, K], scales f32 [rows]."""
    with numpy.errstate(all="ignore"):
        largest = numpy.abs(rows).max(1)
        largest[numpy.isnan(rows).any(1)] = numpy.nan
        tiny = largest < numpy.float32(2.0 ** -100)
        scales = numpy.where(tiny, numpy.float32(0), largest / numpy.float32(127))
        inverse = numpy.where(tiny, numpy.float32(0), numpy.float32(127) / largest)
        rounded = numpy.rint(rows * inverse[:, None])
    codes = numpy.where(numpy.isfinite(rounded), rounded, 0).astype(numpy.int64)
    assert abs(codes).max() <= 127 and scales.dtype == numpy.float32 and rounded.dtype == numpy.float32
    return codes, scales


def product(rows, weight):
    """f32 [rows, K], f32 [N, K] -> f32 [rows, N], and the integer sums."""
    (codes, scales), (weights, weight_scales) = quantise(rows), quantise(weight)
    sums = codes @ weights.T
    with numpy.errstate(all="ignore"):
        return sums.astype(numpy.float32) * (scales[:, None] * weight_scales[None]), sums


def random_rows(draw, rows, width):
    """Rows of every kind."""
    table = draw.normal(0, 1, (rows, width)).astype(numpy.float32)
    kinds = [lambda x: x, lambda x: x * 0, lambda x: x * 1e-37, lambda x: x * 1e-44, lambda x: x * 1e18, lambda x: numpy.rint(x * 30),
             lambda x: numpy.rint(x * 40) + 0.5, lambda x: numpy.where(x > 1, x * 1000, x), lambda x: -abs(x), lambda x: abs(x)]
    for n in range(rows):
        table[n] = kinds[n % len(kinds)](table[n])
        if n % len(kinds) in (5, 6):
            table[n, n % width] = 127 * draw.choice([-1, 1])     # a scale of 1: codes are the numbers, halves are ties
    return table.astype(numpy.float32)


# Programs

WHERE = {"encode": ("f32[b,i,n]", "sum[m](w * table[V: s])", "memory[i: t]"),             # rows of a whole batch
         "step": ("f32[b,i,m]", "table[V: s]", "sum[m](w * memory[i: t])")}               # a row for each hypothesis


class Probe:
    """A model of rows of `width` numbers and `columns` logits, in a folder."""

    def __init__(self, folder, where, width, columns, tied=False, nan=None):
        """`nan`: what is written for a product that is none, since a program refuses logits that are no numbers."""
        shape, memory, logits = WHERE[where]
        self.folder, self.tied = folder, tied
        with open(os.path.join(folder, "in.vocab"), "w") as file:
            file.write("".join(letter + "\n" for letter in LETTERS))
        with open(os.path.join(folder, "out.vocab"), "w") as file:
            file.write("<s>\n" + "".join(f"w{n}\n" for n in range(1, columns)))
        table = "" if tied else "  param table: f32[V,m];\n"
        weight = "  param table: f32[n,m];\n" if tied else "  param w: f32[n,m];\n"
        if tied:
            memory, logits = memory.replace("w *", "table *").replace("V: s", "n: s"), logits.replace("w *", "table *")
        self.text = f"""model probe {{
  reads text by characters "in.vocab";
  writes text by words "out.vocab" start "<s>" at most {STEPS};
  dim V = {len(LETTERS)};
  dim n = {columns};
  dim m = {width};
{table}{weight}
  encode(s: token[b,i], len: length[b,i]) -> (memory: {shape}) {{ memory = {memory}; }}
  step(y: token[b], t: position) -> logits: f32[b,n] {{
    let p = {logits};
    logits = {"p" if nan is None else f"if p == p then p else {nan:.1f}"};
  }}
}}
"""
        with open(os.path.join(folder, "model.attn"), "w") as file:
            file.write(self.text)

    def build(self, target, tensors, *arguments):
        weights, program = os.path.join(self.folder, "weights.safetensors"), os.path.join(self.folder, f"probe-{target}")
        safetensors.numpy.save_file(tensors, weights)
        done = fovea("build", os.path.join(self.folder, "model.attn"), "--weights", weights, "--quantize", "int8", "--target", target, "-o", program, *arguments)
        check(done.returncode == 0 and not done.stderr, f"fovea build: {done.returncode} {done.stderr}")
        return program


def logits(program, lines, *arguments):
    """f32 [steps, columns] for each line."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([program, "--logits", folder, *map(str, arguments)], input="".join(line + "\n" for line in lines), capture_output=True, text=True, timeout=120)
        check(done.returncode == 0 and not done.stderr, f"exit code {done.returncode}: {done.stderr}")
        return [numpy.load(os.path.join(folder, f"{n:06}-logits.npy")) for n in range(1, len(lines) + 1)]


def same(found, wanted, what):
    check(found.shape == wanted.shape and found.dtype == wanted.dtype, f"{what}: {found.shape} {found.dtype}, wanted {wanted.shape} {wanted.dtype}")
    nan = numpy.isnan(wanted)
    differ = (found.view(numpy.int32) != wanted.view(numpy.int32)) & ~(nan & numpy.isnan(found)) & ~((found == 0) & (wanted == 0))
    check(not differ.any(), f"{what}: {differ.sum()} of {differ.size} differ, first at {numpy.argwhere(differ)[:3].tolist()}: "
                            f"{found[differ][:3]}, NumPy says {wanted[differ][:3]}")


def lines_of(draw, count):
    return ["".join(draw.choice(list(LETTERS), draw.integers(STEPS, STEPS + 9))) for _ in range(count)]


def expect(program, lines, wanted, *arguments):
    for line, found in zip(lines, logits(program, lines, *arguments)):
        same(found, wanted[[LETTERS.index(c) for c in line[:len(found)]]], f"{os.path.basename(program)} {arguments}")


def test_products(where, width, columns, target, draw, tied=False):
    with tempfile.TemporaryDirectory() as folder:
        probe = Probe(folder, where, width, columns, tied)
        table, weight = random_rows(draw, len(LETTERS), width), random_rows(draw, columns, width)
        tensors = {"table": weight} if tied else {"table": table, "w": weight}
        wanted, sums = product(weight[:len(LETTERS)] if tied else table, weight)
        check(abs(sums).max() > 10000 and numpy.isfinite(wanted).all(), "the probe shows nothing")
        program = probe.build(target, tensors)
        lines = lines_of(draw, 70)
        for arguments in ((), ("--threads", 1, "--batch", 1), ("--threads", 3, "--batch", 13), ("--weights", os.path.join(folder, "weights.safetensors"))):
            expect(program, lines, wanted, *arguments)
        stored = safetensors.numpy.load_file(program + ".safetensors")
        name = "table" if tied else "w"
        check(stored[f"{name}.int8"].dtype == numpy.int8 and (name in stored) == tied, f"the weights beside the program: {sorted(stored)}")


def test_integers(target, draw):
    """Scales of 1: the logits are the integer sums themselves, with codes at both ends and sums near the largest."""
    with tempfile.TemporaryDirectory() as folder:
        width, columns = 515, 65
        probe = Probe(folder, "encode", width, columns)
        table = draw.integers(-127, 128, (len(LETTERS), width)).astype(numpy.float32)
        weight = draw.integers(-127, 128, (columns, width)).astype(numpy.float32)
        table[:, 0], weight[:, 1] = 127, -127
        table[1], table[2], weight[1], weight[2] = 127, -127, 127, -127
        wanted = table.astype(numpy.int64) @ weight.astype(numpy.int64).T
        check(abs(wanted).max() == 127 * 127 * width < 2 ** 24, "the largest sum is not there")
        expect(probe.build(target, {"table": table, "w": weight}), lines_of(draw, 40), wanted.astype(numpy.float32))


def test_not_numbers(target, draw):
    """A NaN or an infinity makes NaN of its row, or of its column, and of nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        probe = Probe(folder, "step", 71, 67, nan=-12345)
        table, weight = draw.normal(0, 1, (len(LETTERS), 71)).astype(numpy.float32), draw.normal(0, 1, (67, 71)).astype(numpy.float32)
        for n, value in enumerate((numpy.nan, numpy.inf, -numpy.inf)):
            table[3 + n, 70 - n], weight[60 + n, n] = value, value
        table[6, 5], table[6, 6] = numpy.nan, numpy.inf
        wanted, _ = product(table, weight)
        bad = numpy.zeros(wanted.shape, bool)
        bad[3:7], bad[:, 60:63] = True, True
        check((numpy.isnan(wanted) == bad).all(), "NumPy's NaN are elsewhere")
        wanted[bad] = -12345
        expect(probe.build(target, {"table": table, "w": weight}), lines_of(draw, 30), wanted)


def test_other_targets_weights(draw):
    """The weights of a program for another target are refused by name; exact ones are quantised when the program starts."""
    with tempfile.TemporaryDirectory() as folder:
        probe = Probe(folder, "step", 64, 80)
        tensors = {"table": random_rows(draw, len(LETTERS), 64), "w": random_rows(draw, 80, 64)}
        program, other = probe.build("x86-64-v2", tensors), probe.build("x86-64-v3", tensors)
        done = subprocess.run([program, "--weights", other + ".safetensors"], input="abc\n", capture_output=True, text=True)
        check(done.returncode == 1 and "tensor `w.int8`" in done.stderr and "another target" in done.stderr and done.stderr.count("\n") == 1, f"{done.returncode} {done.stderr}")
        done = fovea("build", os.path.join(folder, "model.attn"), "--weights", program + ".safetensors", "--quantize", "int8", "-o", program)
        check(done.returncode == 1 and "there is no tensor `w`" in done.stderr, f"{done.returncode} {done.stderr}")


def main():
    parser = family.parser(__doc__)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    tests = family.Tests(options)
    with open("/proc/cpuinfo") as file:
        flags = next(line for line in file if line.startswith("flags")).split()
    global fovea
    environment, scratch = dict(os.environ), tempfile.TemporaryDirectory()
    if options.sanitize:  # the program's library is instrumented
        linker = os.path.join(scratch.name, "c++")
        with open(linker, "w") as file:
            file.write(f'#!/bin/sh\nexec {shutil.which("c++")} -fsanitize=address,undefined "$@"\n')
        os.chmod(linker, 0o755)
        environment["PATH"] = scratch.name + os.pathsep + environment["PATH"]
    binary = os.path.join(os.path.abspath(options.build), "bin", "fovea")
    fovea = lambda *arguments: subprocess.run([binary, *arguments], capture_output=True, text=True, env=environment)

    def report(name, test, *arguments, needs=None):
        if needs and needs not in flags:
            return tests.report(name, "skip", f"this processor has no {needs}")
        tests.run(name, test, *arguments, numpy.random.default_rng([options.seed, *name.encode()]))

    # Extents that fit no group, vector or panel, and that fit all.
    shapes = [("encode", 64, 64), ("encode", 67, 73), ("step", 130, 33), ("encode", 16, 257), ("step", 1023, 5), ("encode", 509, 70)]
    for target in TARGETS:
        for where, width, columns in shapes if target != "x86-64-v4" else shapes[1:3]:
            report(f"products in {where}, {columns} of {width}, {target}", lambda draw, w=where, k=width, n=columns, t=target: test_products(w, k, n, t, draw), needs=NEEDS[target])
        report(f"integers, {target}", lambda draw, t=target: test_integers(t, draw), needs=NEEDS[target])
        report(f"NaN and infinities, {target}", lambda draw, t=target: test_not_numbers(t, draw), needs=NEEDS[target])
        report(f"a weight that is looked up too, {target}", lambda draw, t=target: test_products("encode", 61, 69, t, draw, tied=True), needs=NEEDS[target])
    report("weights of another target", test_other_targets_weights, needs=NEEDS["x86-64-v3"])
    return tests.exit_code()


if __name__ == "__main__":
    sys.exit(main())
