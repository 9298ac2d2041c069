"""Random kernels: the compiled kernel against the oracle.

    run.py [--seconds N | --minutes N | --count N] [--seed S]     many kernels, from seed S on
    run.py --kernel S                                             one again, with its text and what was compared
    run.py --again FOLDER                                         a shrunk one again

--target opencl: compiled for a GPU, and run on the OpenCL device that is there. Without options, a few kernels are.

Each kernel runs with its tensors against unmapped pages and with gaps, see compare-kernels.cpp. A mismatch, a crash, a refused
kernel or one without an end is shrunk and left in BUILD/differential/SEED/ with its input. The end of the output says how often
each construct occurred and what fraction of the elements was left out, because the f64 and the strict f32 oracle differ there
(it stays below 2 %). What it once found is in regressions/, and runs first."""

import argparse
import collections
import dataclasses
import glob
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(1, os.path.dirname(HERE))

import family
import generate
import tensors

ROOT = os.path.dirname(os.path.dirname(HERE))
MOST_LEFT_OUT = 0.02
FULL = 4                              # one kernel in so many goes through all of LLVM's passes
ON_DEVICE = 15                        # kernels on OpenCL in a run without options
LEAST_OCCURRENCE = 0.01
PATIENCE = 120                        # seconds for one kernel
LINE = re.compile(r"compare (ok|MISMATCH) \S+: (\d+) elements, (\d+) left out")


@dataclasses.dataclass
class Outcome:
    result: str                       # ok, mismatch, refused, internal error, crash, no end
    text: str
    compared: int = 0
    left: int = 0

    @property
    def signature(self):
        """What stays when a kernel shrinks."""
        if self.result in ("refused", "internal error"):
            line = next((x for x in self.text.splitlines() if "error" in x), self.text)
            return self.result + re.sub(r"`[^`]*`|\S*:\d+:\d+:|%?\b\w*\d+\w*", "", line)
        return self.result + (" of the oracle" if "MISMATCH oracle" in self.text else "")


class Comparer:
    """One process of compare-kernels; a new one after a crash."""

    def __init__(self, program, target):
        self.program, self.target, self.process = program, target, None

    def ask(self, number, full, *files):
        fields = [number, self.target if self.target != "host" else "full" if full else "quick", *files]
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen([self.program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                            text=True, errors="replace")
        late = threading.Event()

        def stop():
            late.set()
            self.process.kill()

        timer = threading.Timer(PATIENCE, stop)
        timer.start()
        lines, status = [], None
        try:
            self.process.stdin.write("\t".join(fields) + "\n")
            self.process.stdin.flush()
            for line in self.process.stdout:
                if line.startswith(f"end {fields[0]} "):
                    status = int(line.split()[2])
                    break
                lines.append(line)
        except BrokenPipeError:
            pass
        timer.cancel()
        text = "".join(lines)
        found = LINE.findall(text)
        compared, left = sum(int(x[1]) for x in found), sum(int(x[2]) for x in found)
        if late.is_set():
            return Outcome("no end", text + f"no end after {PATIENCE} s")
        if status is None:
            return Outcome("crash", text + f"exit code {self.process.wait()}")
        if status == 0 and found and all(x[0] == "ok" for x in found):
            return Outcome("ok", text, compared, left)
        return Outcome("mismatch" if "MISMATCH" in text else "internal error" if status == 3 else "refused", text, compared, left)

    def close(self):
        if self.process:
            self.process.stdin.close()
            self.process.wait()


def rank0(value):
    return tensors.boolean(value) if isinstance(value, bool) else tensors.i32(value) if isinstance(value, int) else tensors.f32(value)


def write(kernel, folder):
    """Writes the kernel and its inputs; gives what Comparer.ask wants."""
    os.makedirs(folder, exist_ok=True)
    source = os.path.join(folder, "kernel.attn")
    with open(source, "w") as file:
        file.write(kernel.text())
    stored = {k: v if isinstance(v, tensors.Tensor) else rank0(v) for k, v in kernel.inputs.items()}
    tensors.save(os.path.join(folder, "kernel.safetensors"), stored)
    if not kernel.judged:
        open(os.path.join(folder, "kernel.any"), "w").close()
    if kernel.clean:
        tensors.save(os.path.join(folder, "kernel.clean.safetensors"), dict(stored, **kernel.clean))
    return files(source)


def files(source):
    stem = source.removesuffix(".attn")
    clean = stem + ".clean.safetensors"
    return source, stem + ".safetensors", clean if os.path.exists(clean) else "any" if os.path.exists(stem + ".any") else ""


def execute(kernel, comparer):
    with tempfile.TemporaryDirectory() as folder:
        return comparer.ask(str(kernel.seed), kernel.seed % FULL == 0, *write(kernel, folder))


def both(comparer, files):
    """The first failure, without LLVM's passes or with them."""
    outcome = comparer.ask("0", False, *files)
    return comparer.ask("0", True, *files) if outcome.result == "ok" and comparer.target == "host" else outcome


def resized(kernel, index, size):
    """The kernel with another extent, and what its constraints make of it; None where they forbid it."""
    extents = dict(kernel.extents, **{index: size})
    for constraint in kernel.constraints:
        relation = re.fullmatch(r"(\w+) = (.*)", constraint)
        if relation:
            extents[relation[1]] = eval(relation[2], {}, extents)
    if any(n > kernel.extents[i] or n < 1 for i, n in extents.items() if n != kernel.extents[i]) or extents[index] != size:
        return None

    def cut(given):
        kept = dict(given)
        for name, _, axes, _ in kernel.parameters:
            if axes and name in kept:
                kept[name] = tensors.Tensor(kept[name].kind, kept[name].data[tuple(slice(extents[a]) for a in axes)])
        return kept

    return dataclasses.replace(kernel, extents=extents, inputs=cut(kernel.inputs), clean=cut(kernel.clean))


def smaller(kernel):
    """Kernels with one thing less: a statement, a parameter, a function, a part of an extent, a part of an expression."""
    change = lambda **more: dataclasses.replace(kernel, **more)
    for size in (1, 2, 9):                # first of all, everything small at once
        least = kernel
        for index, extent in kernel.extents.items():
            least = extent > size and resized(least, index, size) or least
        if least is not kernel:
            yield least
    for at, (names, _) in reversed(list(enumerate(kernel.statements))):
        results = [r for r in kernel.results if r[0] not in names]
        if results:
            yield change(statements=kernel.statements[:at] + kernel.statements[at + 1:], results=results)
    if kernel.schedule:
        yield change(schedule="")
    used = " ".join(str(s) for _, s in kernel.statements)
    for at, (name, _, axes, _) in enumerate(kernel.parameters):
        if not re.search(rf"\b{name}\b", used):
            yield change(parameters=kernel.parameters[:at] + kernel.parameters[at + 1:], inputs={k: v for k, v in kernel.inputs.items() if k != name},
                         clean={k: v for k, v in kernel.clean.items() if k != name})
    for at in range(len(kernel.functions)):
        yield change(functions=kernel.functions[:at] + kernel.functions[at + 1:])
    for at in range(len(kernel.constraints)):
        yield change(constraints=kernel.constraints[:at] + kernel.constraints[at + 1:])
    if kernel.clean:
        yield change(inputs=dict(kernel.inputs, **kernel.clean), clean={})
    for index, extent in kernel.extents.items():
        for size in sorted({1, extent // 4, extent // 2, extent * 3 // 4, extent - 1}):
            if 0 < size < extent:
                variant = resized(kernel, index, size)
                if variant:
                    yield variant
    for what in ("statements", "functions"):
        held = getattr(kernel, what)
        for at, item in enumerate(held):
            for variant in (item[1] if what == "statements" else item).variants():
                yield change(**{what: held[:at] + [(item[0], variant) if what == "statements" else variant] + held[at + 1:]})


def shrink(kernel, outcome, comparer, seconds):
    """The smallest kernel found that fails in the same way."""
    end, progress = time.time() + seconds, True
    while progress and time.time() < end:
        progress = False
        for variant in smaller(kernel):
            if time.time() > end:
                break
            if execute(variant, comparer).signature == outcome.signature:
                kernel, progress = variant, True
                break
    return kernel


class Run:
    def __init__(self, options):
        self.options = options
        self.program = os.path.join(options.build, "bin", "compare-kernels")
        self.folder = os.path.join(options.build, "differential")
        self.features, self.outcomes = collections.Counter(), collections.Counter()
        self.compared = self.left = 0
        self.lock = threading.Lock()
        self.begin = None                 # of the first kernel
        self.first = None                 # number of the first kernel that failed, from 1
        self.results = open(os.environ.get("FOVEA_RESULTS", os.devnull), "a")

    def report(self, name, good, message=""):
        self.results.write(json.dumps({"name": name, "result": "pass" if good else "fail", "message": "" if good else message}) + "\n")
        self.results.flush()

    def show(self, folder, outcome):
        with open(os.path.join(folder, "kernel.attn")) as file:
            return f"{file.read()}{outcome.text[-2500:].rstrip()}\n-> {outcome.result}\n"

    def regressions(self):
        comparer = Comparer(self.program, self.options.target)
        for source in sorted(glob.glob(os.path.join(HERE, "regressions", "*.attn"))):
            outcome = both(comparer, files(source))
            good = outcome.result == "ok"
            self.report(f"regression {os.path.basename(source)}", good, outcome.text)
            if not good:
                print(f"{source}: {outcome.result}\n{outcome.text}")
            self.outcomes["regression ok" if good else "regression failed"] += 1
        comparer.close()

    def constructs(self):
        count = 3000
        rare = {c: n for c, n in generate.occurrences(count, self.options.seed).items() if n < LEAST_OCCURRENCE * count}
        self.report("each construct is in 1 % of kernels", not rare, str(rare))
        if rare:
            print(f"constructs in less than {100 * LEAST_OCCURRENCE:.0f} % of {count} kernels: {rare}")
            self.outcomes["rare construct"] += 1

    def one(self, seed, comparer):
        kernel = generate.kernel(seed)
        outcome = execute(kernel, comparer)
        with self.lock:
            self.outcomes[outcome.result] += 1
            self.features.update(kernel.features)
            self.compared += outcome.compared
            self.left += outcome.left
            failures = sum(n for r, n in self.outcomes.items() if r in FAILED)
            done = failures + self.outcomes["ok"]
            if done % 1000 == 0:
                print(f"{done} kernels, {done / (time.time() - self.begin):.1f} a second", flush=True)
        good = outcome.result == "ok"
        self.report(f"kernel {seed}" + (f" [{comparer.target}]" if comparer.target != "host" else ""), good, outcome.text)
        if good:
            return
        with self.lock:
            self.first = min(self.first or 10**9, seed - self.options.seed + 1)
        folder = os.path.join(self.folder, str(seed))
        shutil.rmtree(folder, ignore_errors=True)
        small = shrink(kernel, outcome, comparer, self.options.shrink if failures <= 20 else 0)
        write(small, folder)
        first, outcome = outcome, execute(small, comparer)
        with self.lock:
            if first.result != outcome.result:   # what came before it in the process matters
                print(f"\nkernel {seed}, the first time: {first.result}\n{first.text[-2500:].rstrip()}", flush=True)
            print(f"\nkernel {seed}: {outcome.result} (with --target {comparer.target}; whole: run.py --kernel {seed}; shrunk: run.py --again {folder})\n{self.show(folder, outcome)}", flush=True)

    def many(self, target, count):
        options = self.options
        end = float("inf") if count else time.time() + (options.minutes * 60 if options.minutes else options.seconds)
        seeds = queue.SimpleQueue()
        for seed in range(options.seed, options.seed + (count or 10**6)):
            seeds.put(seed)
        print(f"seed {options.seed}, target {target}", flush=True)
        self.begin = self.begin or time.time()
        broken = []

        def work():
            comparer = Comparer(self.program, target)
            try:
                while time.time() < end and not seeds.empty() and not (options.first and self.first):
                    self.one(seeds.get(), comparer)
            except Exception as error:             # a fault of ours must not look like the end of the run
                broken.append(error)
                raise
            finally:
                comparer.close()

        threads = [threading.Thread(target=work) for _ in range(options.jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if broken:
            raise broken[0]

    def some_on_device(self):
        if family.opencl():
            return self.many("opencl", ON_DEVICE)
        for seed in range(self.options.seed, self.options.seed + ON_DEVICE):
            self.results.write(json.dumps({"name": f"kernel {seed} [opencl]", "result": "skip", "message": family.NO_OPENCL}) + "\n")
        self.results.flush()

    def summary(self):
        total = sum(n for result, n in self.outcomes.items() if result in FAILED or result == "ok")
        share = self.left / max(self.compared + self.left, 1)
        print("\n" + ", ".join(f"{name} {100 * n / max(total, 1):.0f} %" for name, n in sorted(self.features.items(), key=lambda x: -x[1])))
        print(f"{total} kernels from seed {self.options.seed}, {total / (time.time() - self.begin):.1f} a second: " + ", ".join(f"{n} {name}" for name, n in self.outcomes.items())
              + f"; {self.compared} elements compared, {100 * share:.2f} % left out")
        self.report("elements left out", share <= MOST_LEFT_OUT, f"{100 * share:.2f} %, more than {100 * MOST_LEFT_OUT} %")
        if self.first:
            print(f"the first failure is kernel number {self.first}")
        return set(self.outcomes) <= {"ok", "regression ok"} and share <= MOST_LEFT_OUT


FAILED = {"mismatch", "refused", "internal error", "crash", "no end"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--sanitize", action="store_true")
    parser.add_argument("--filter", default="")
    parser.add_argument("--seconds", type=float, default=50)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("--first", action="store_true", help="stop at the first failure")
    parser.add_argument("--kernel", type=int)
    parser.add_argument("--again")
    parser.add_argument("--target", choices=["host", "opencl"], default="host")
    parser.add_argument("--shrink", type=float, default=30, help="seconds for each failure")
    options = parser.parse_args()
    run = Run(options)
    if not os.path.exists(run.program):
        run.report("compare-kernels", False, f"{run.program} does not exist")
        print(f"{run.program} does not exist")
        return 1
    if options.kernel is not None or options.again:
        folder = options.again or os.path.join(run.folder, f"{options.kernel}-whole")
        given = files(os.path.join(folder, "kernel.attn")) if options.again else write(generate.kernel(options.kernel), folder)
        outcome = both(Comparer(run.program, options.target), given)
        print(run.show(folder, outcome))
        return 0 if outcome.result == "ok" else 1
    if not options.count:
        run.regressions()
        run.constructs()
    run.many(options.target, options.count)
    if not options.count and not options.minutes and options.target == "host":
        run.some_on_device()
    return 0 if run.summary() else 1


if __name__ == "__main__":
    sys.exit(main())
