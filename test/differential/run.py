"""Random kernels: the compiled kernel against the oracle (`fovea run --compare`).

    run.py [--seconds N | --minutes N | --count N] [--seed S]     many kernels, from seed S on
    run.py --kernel S                                             one again, with its text and what was compared

A mismatch, a crash or a refused kernel is shrunk and left in build/differential/SEED/ with its input and command line. The end
of the output says how often each construct occurred and what fraction of the elements was left out, because the f64 and
the strict f32 oracle differ there (it stays below 2 %)."""

import argparse
import collections
import concurrent.futures
import copy
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import generate
import tensors

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MOST_LEFT_OUT = 0.02
LINE = re.compile(r"compare (ok|MISMATCH) \S+: (\d+) elements, (\d+) left out, largest error (\S+)")


def write(kernel, folder):
    """Writes the kernel and its input; gives the command line."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "kernel.attn"), "w") as file:
        file.write(kernel.text())
    stored = {k: v for k, v in kernel.inputs.items() if isinstance(v, tensors.Tensor)}
    tensors.save(os.path.join(folder, "in.safetensors"), stored)
    line = ["run", os.path.join(folder, "kernel.attn"), "--in", os.path.join(folder, "in.safetensors"), "--compare",
            "--out", os.path.join(folder, "out.safetensors")]
    for name, value in kernel.inputs.items():
        if not isinstance(value, tensors.Tensor):
            line += ["--set", f"{name}={str(value).lower() if isinstance(value, bool) else value}"]
    return line


def execute(kernel, fovea, folder):
    """(outcome, output, compared, left out): the outcome is `ok`, `mismatch`, `refused`, `crash` or `no end`."""
    try:
        done = subprocess.run([fovea] + write(kernel, folder), capture_output=True, text=True, errors="replace", timeout=120)
    except subprocess.TimeoutExpired:
        return "no end", "no end after 120 s", 0, 0
    text = done.stdout + done.stderr
    lines = LINE.findall(text)
    compared, left = sum(int(x[1]) for x in lines), sum(int(x[2]) for x in lines)
    if done.returncode == 0 and len(lines) == len(kernel.results):
        return "ok", text, compared, left
    if any(x[0] == "MISMATCH" for x in lines):
        return "mismatch", text, compared, left
    return ("refused" if done.returncode == 1 else "crash"), f"exit code {done.returncode}\n{text[-2500:]}", compared, left


def smaller(kernel):
    """Kernels with one thing less: a result, a statement, half an extent."""
    for at, (name, _) in enumerate(kernel.statements):
        variant = copy.copy(kernel)
        variant.statements = kernel.statements[:at] + kernel.statements[at + 1:]
        variant.results = [r for r in kernel.results if r[0] != name]
        if variant.results:
            yield variant
    for at, (name, kind, axes) in enumerate(kernel.parameters):
        if not re.search(rf"\b{name}\b", " ".join(t for _, t in kernel.statements)):
            variant = copy.copy(kernel)
            variant.parameters = kernel.parameters[:at] + kernel.parameters[at + 1:]
            variant.inputs = {k: v for k, v in kernel.inputs.items() if k != name}
            yield variant
    for index, extent in kernel.extents.items():
        for size in sorted({1, extent // 2, extent - 1}):
            if 0 < size < extent:
                variant = copy.copy(kernel)
                variant.extents = dict(kernel.extents, **{index: size})
                variant.inputs = dict(kernel.inputs)
                for name, _, axes in kernel.parameters:
                    if axes and index in axes:
                        tensor = kernel.inputs[name]
                        cut = tuple(slice(size) if a == index else slice(None) for a in axes)
                        variant.inputs[name] = tensors.Tensor(tensor.kind, tensor.data[cut])
                yield variant
    for at, function in enumerate(kernel.functions):
        name = re.match(r"fn (\w+)", function)[1]
        if not re.search(rf"\b{name}\b", " ".join(t for _, t in kernel.statements) + " ".join(
                kernel.functions[:at] + kernel.functions[at + 1:])):
            variant = copy.copy(kernel)
            variant.functions = kernel.functions[:at] + kernel.functions[at + 1:]
            yield variant


def shrink(kernel, outcome, fovea, folder, seconds):
    """The smallest kernel found with the same outcome."""
    end, progress = time.time() + seconds, True
    # The first words of a message keep a refusal from turning into another one.
    while progress and time.time() < end:
        progress = False
        for variant in smaller(kernel):
            if time.time() > end:
                break
            if execute(variant, fovea, folder)[0] == outcome != "refused":
                kernel, progress = variant, True
                break
    return kernel


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--sanitize", action="store_true")
    parser.add_argument("--filter", default="")
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("--kernel", type=int)
    parser.add_argument("--shrink", type=float, default=20, help="seconds for each failure")
    options = parser.parse_args()
    fovea = os.path.join(options.build, "bin", "fovea")
    results = open(os.environ.get("FOVEA_RESULTS", os.devnull), "a")

    def report(name, result, message):
        results.write(json.dumps({"name": name, "result": result, "message": message}) + "\n")
        results.flush()

    if options.kernel is not None:
        kernel = generate.kernel(options.kernel)
        folder = os.path.join(options.build, "differential", str(options.kernel))
        outcome, text, _, _ = execute(kernel, fovea, folder)
        print(kernel.text() + text + outcome)
        return 0 if outcome == "ok" else 1

    if not os.path.exists(fovea):
        report("fovea", "fail", f"{fovea} does not exist")
        print(f"{fovea} does not exist")
        return 1

    seconds = options.minutes * 60 if options.minutes else options.seconds
    end = float("inf") if options.count else time.time() + seconds
    seeds = iter(range(options.seed, options.seed + (options.count or 10**9)))
    features, outcomes = collections.Counter(), collections.Counter()
    compared = left = 0
    print(f"seed {options.seed}", flush=True)

    def one(seed):
        kernel = generate.kernel(seed)
        with tempfile.TemporaryDirectory() as folder:
            return kernel, execute(kernel, fovea, folder)

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        running = {}
        while True:
            while len(running) < options.jobs and time.time() < end:
                seed = next(seeds, None)
                if seed is None:
                    break
                running[pool.submit(one, seed)] = seed
            if not running:
                break
            finished, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            for job in finished:
                seed = running.pop(job)
                kernel, (outcome, text, some, out) = job.result()
                outcomes[outcome] += 1
                features.update(kernel.features)
                compared, left = compared + some, left + out
                report(f"kernel {seed}", "pass" if outcome == "ok" else "fail", "" if outcome == "ok" else text)
                if outcome == "ok":
                    continue
                folder = os.path.join(options.build, "differential", str(seed))
                shutil.rmtree(folder, ignore_errors=True)
                small = shrink(kernel, outcome, fovea, folder, options.shrink if outcomes[outcome] <= 5 else 0)
                outcome, text, _, _ = execute(small, fovea, folder)
                again = " ".join([fovea] + write(small, folder))
                with open(os.path.join(folder, "command"), "w") as file:
                    file.write(again + "\n")
                print(f"\nkernel {seed}: {outcome} (again: run.py --kernel {seed}; shrunk: {again})\n{small.text()}{text}", flush=True)

    total = sum(outcomes.values())
    share = left / max(compared + left, 1)
    print("\n" + ", ".join(f"{name} {100 * n / max(total, 1):.0f} %" for name, n in sorted(features.items(), key=lambda x: -x[1])))
    print(f"{total} kernels from seed {options.seed}: " + ", ".join(f"{n} {name}" for name, n in outcomes.items())
          + f"; {compared} elements compared, {100 * share:.2f} % left out")
    if share > MOST_LEFT_OUT:
        report("elements left out", "fail", f"{100 * share:.2f} %, more than {100 * MOST_LEFT_OUT} %")
        outcomes["left out"] += 1
    else:
        report("elements left out", "pass", f"{100 * share:.2f} %")
    return 0 if set(outcomes) <= {"ok"} else 1


if __name__ == "__main__":
    sys.exit(main())
