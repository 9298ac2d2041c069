"""What NVIDIA's assembler says of the nests that kernels become for CUDA: registers, shared memory, spills.

    nests.py [--fovea FOVEA] [--ptxas PTXAS] [--jobs N] [--sample N] [--table | --page PAGE.md] [FILE.attn ...]

Compiles the files (default: the catalogue, examples/kernels; with --sample N, every N-th of it) for CUDA and gives every distinct nest to ptxas, for
sm_80 and sm_90. A nest that it refuses, that spills though a thread may have 255 registers (which is what the runtime asks the driver for,
runtime/device/surroundings.c), or that takes more than 48 KiB of shared memory, is a failure. Prints how many nests have how many registers; with --table instead a row for each nest, in the order of
launches, with what the instructions of its innermost loop are, and with --page puts these rows between the two lines `<!-- nests -->` of a page."""

import argparse
import ast
import collections
import concurrent.futures
import glob
import json
import operator
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import ptx_text  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ARCHITECTURES = ("sm_80", "sm_90")

# Products and sums of f32 for each instruction that a multiprocessor begins: 64 and 128 lanes a clock (CUDA C++ Programming Guide, "Arithmetic
# Instructions") for four schedulers of one warp each. So many FMA among all instructions reach the peak.
NEEDED = {"sm_80": 0.5, "sm_90": 1.0}

# Of a multiprocessor (ibid., "Technical Specifications per Compute Capability"): registers, KiB of shared memory, of which a block takes one more than
# it asks for, threads, and blocks. A block's share of shared memory without asking for more is 48 KiB.
REGISTERS, SHARED, THREADS, BLOCKS, BLOCK_SHARED = 65536, {"sm_80": 164, "sm_90": 228}, 2048, 32, 49152

# Of PTX's opcodes; the first that fits.
KINDS = [
    ("fma", r"fma\..*f32"),
    ("other f32", r"(?!ld|st|mov).*\.f32|ex2|lg2|rcp|sqrt|rsqrt"),
    ("global loads", r"ld\.global"),
    ("shared loads", r"ld\.shared"),
    ("stores", r"st\."),
    ("barriers", r"bar"),
    ("shuffles", r"shfl"),
    ("integer and control", r""),
]

Assembled = collections.namedtuple("Assembled", "registers shared stack spills")  # bytes, but for the first


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\nexit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def number(text):
    """What a sum or product of whole numbers comes to: Halide leaves some as they are, `(0 + (7232*4))`."""
    def value(node):
        if isinstance(node, ast.BinOp):
            operation = {ast.Add: operator.add, ast.Mult: operator.mul}[type(node.op)]
            return operation(value(node.left), value(node.right))
        return node.value
    return value(ast.parse(text.strip(), mode="eval").body)


def launch_of(text):
    """The threads of a block, and the bytes of shared memory that launches add, both the most of a nest's functions."""
    launches = re.findall(r"^// launch .*: threads (\d+) x (\d+) x (\d+), shared memory ([\d+* ()]+)$", text, flags=re.M)
    if not launches or len(launches) != len(re.findall(r"^// launch ", text, flags=re.M)):
        sys.exit("a launch is not understood:\n" + "".join(re.findall(r"^// launch .*\n", text, flags=re.M)))
    return max(int(x) * int(y) * int(z) for x, y, z, _ in launches), max(number(shared) for *_, shared in launches)


def resident(made, text, architecture):
    """How many warps of a nest a multiprocessor holds at once."""
    threads, more = launch_of(text)
    warps = -(-threads // 32)
    registers = -(-made.registers * 32 // 256) * 256 * warps
    blocks = min(REGISTERS // registers, SHARED[architecture] * 1024 // (made.shared + more + 1024), THREADS // threads, BLOCKS)
    return blocks * warps


def nests_of(fovea, path):
    """The PTX of each nest of a file's kernels, by name, in the order of the first launches."""
    parts = re.split(r"^// (fovea_nest_\w+)\n", run([fovea, "compile", path, "--target", "cuda", "--emit=ptx"]), flags=re.M)
    if len(parts) < 3:
        sys.exit(f"{path}: no nest")
    return dict(zip(parts[1::2], parts[2::2]))


def assemble(ptxas, text, architecture):
    """What `ptxas -v` reports, or its complaint."""
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "nest.ptx")
        with open(source, "w") as file:
            file.write(text)
        done = subprocess.run([ptxas, "-v", f"-arch={architecture}", source, "-o", os.path.join(folder, "nest.cubin")], capture_output=True, text=True)
    said = done.stdout + done.stderr
    stack = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", said)
    registers = re.findall(r"Used (\d+) registers", said)
    if done.returncode or not registers or len(stack) != len(registers):
        return said or f"exit code {done.returncode}"
    return Assembled(max(map(int, registers)), max(map(int, re.findall(r"(\d+) bytes smem", said)), default=0), max(int(s[0]) for s in stack), sum(int(s[1]) + int(s[2]) for s in stack))


def specifications(fovea, path):
    """What each nest of a file computes, in words, by name."""
    words = {}
    text = run([fovea, "compile", path, "--target", "cuda", "--emit=stmt"])
    listed = re.search(r"attn\.leaves = \[(.*?)\], attn\.target", text).group(1)
    for leaf in re.findall(r'"(.*?)"', listed):
        spec = json.loads(leaf.replace("\\22", '"'))
        steps = [step[0] for step in spec.get("steps", [])]
        steps = [s for s in dict.fromkeys(steps) if s not in ("loop", "load", "before", "scalar", "f32", "i32", "i64", "bool")]
        reduced = sum(spec.get("reduced", []))
        steps = ["parts of an attention together"] if "merge" in spec else steps
        words[spec["name"]] = " ".join(steps or ["copy or fill"]) + (f", over {reduced} axis" if reduced == 1 else f", over {reduced} axes" if reduced else "")
    return words


def inner_loop(text):
    """The kinds of instructions in the innermost loop with most of `fma`, or else the longest; nothing where there is no loop."""
    best = None
    for entry in ptx_text.parse(text).values():
        for span in ptx_text.loops(entry):
            kinds = collections.Counter()
            for opcode, times in ptx_text.count(entry, span).items():
                kinds[next(kind for kind, pattern in KINDS if re.match(pattern, opcode))] += times
            if best is None or (kinds["fma"], sum(kinds.values())) > (best["fma"], sum(best.values())):
                best = kinds
    return best


def table(files, fovea, found, results):
    both = " / ".join(ARCHITECTURES)
    lines = [f"| kernel | nest | computes | threads | registers, {both} | warps at once, {both} | bytes shared | on the stack | spilled | instructions of the innermost loop | bound by them, % of the f32 peak, {both} |", "|---|---|---|---|---|---|---|---|---|---|---|"]
    shown = set()
    for path in files:
        words = specifications(fovea, path)
        for name, text in found[path].items():
            if name in shown:
                continue
            shown.add(name)
            kinds, (threads, more) = inner_loop(text), launch_of(text)
            loop = "none" if kinds is None else f"{sum(kinds.values())}: " + ", ".join(f"{kinds[kind]} {kind}" for kind, _ in KINDS if kinds[kind])
            made = [results[name, architecture] for architecture in ARCHITECTURES]
            bound = "" if not kinds or not kinds["fma"] else " / ".join(f"{min(100, 100 * kinds['fma'] / sum(kinds.values()) / NEEDED[a]):.0f}" for a in ARCHITECTURES)
            lines.append(f"| {os.path.basename(path)[:-5]} | {name[11:19]} | {words[name]} | {threads} | " + " / ".join(str(m.registers) for m in made)
                         + " | " + " / ".join(str(resident(m, text, a)) for m, a in zip(made, ARCHITECTURES)) + f" | {max(m.shared for m in made) + more} | {max(m.stack for m in made)} | {max(m.spills for m in made)} | {loop} | {bound} |")
    return "\n".join(lines) + "\n"


def rewrite(page, rows, ptxas):
    with open(page) as file:
        parts = file.read().split("<!-- nests -->\n")
    if len(parts) != 3:
        sys.exit(f"{page} has not two lines `<!-- nests -->`")
    version = re.search(r"release ([\d.]+)", run([ptxas, "--version"]))
    with open(page, "w") as file:
        file.write("<!-- nests -->\n".join([parts[0], f"ptxas of CUDA {version.group(1)}.\n\n{rows}", parts[2]]))


def histogram(results):
    stacks = {name for (name, _), made in results.items() if made.stack}
    print(f"{len(stacks)} have arrays on the stack" + (": " + " ".join(sorted(stacks)[:8]) if stacks else ""))
    for architecture in ARCHITECTURES:
        registers = collections.Counter(-(-made.registers // 16) * 16 for (_, a), made in results.items() if a == architecture)
        print(f"{architecture}: " + ", ".join(f"{registers[r]} nests to {r} registers" for r in sorted(registers)))


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--fovea", default=os.path.join(ROOT, "build/bin/fovea"))
    options.add_argument("--ptxas", default=next(iter(glob.glob(os.path.join(ROOT, "build/venv/lib/python3*/site-packages/nvidia/cuda_nvcc/bin/ptxas"))), "") or shutil.which("ptxas"))
    options.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    options.add_argument("--sample", type=int, default=1)
    options.add_argument("--table", action="store_true")
    options.add_argument("--page")
    options.add_argument("files", nargs="*")
    options = options.parse_args()
    if not options.ptxas:
        sys.exit("there is no ptxas: it is part of NVIDIA's CUDA toolkit")
    files = options.files or sorted(glob.glob(os.path.join(ROOT, "examples/kernels/*.attn")))[:: options.sample]
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as workers:
        found = dict(zip(files, workers.map(lambda path: nests_of(options.fovea, path), files)))
        texts = {name: text for nests in found.values() for name, text in nests.items()}
        asked = [(name, architecture) for name in texts for architecture in ARCHITECTURES]
        results = dict(zip(asked, workers.map(lambda key: assemble(options.ptxas, texts[key[0]], key[1]), asked)))
    failed = 0
    for (name, architecture), made in results.items():
        more = launch_of(texts[name])[1]
        if isinstance(made, Assembled) and not made.spills and made.shared + more <= BLOCK_SHARED:
            continue
        failed += 1
        users = " ".join(os.path.basename(path) for path in files if name in found[path])
        print(f"{name} of {users}: {architecture}: " + (f"{made.spills} bytes spilled, {made.registers} registers, {made.shared + more} bytes of shared memory" if isinstance(made, Assembled) else made.strip()))
    if any(not isinstance(made, Assembled) for made in results.values()):
        sys.exit(f"{failed} of {len(results)} failed")
    if options.page:
        rewrite(options.page, table(files, options.fovea, found, results), options.ptxas)
    elif options.table:
        print(table(files, options.fovea, found, results), end="")
    else:
        print(f"{len(files)} files, {len(texts)} nests, {len(results)} accepted, most registers {max(made.registers for made in results.values())}")
        histogram(results)
    if failed:
        sys.exit(f"{failed} of {len(results)} failed")


if __name__ == "__main__":
    main()
