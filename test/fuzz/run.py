"""Mutated texts through the front end, through the parser of .mlir files, and through what reads a checkpoint's files: any bytes give a result or errors.

    run.py [--target frontend|mlir|checkpoint] [--seconds N | --minutes N] [--seed S]

Each target runs for N seconds (corpus: the repository's .attn and .mlir files, the files in checkpoint/; words: NAME.dict). A crash, a fault and a text
without an end are made smaller and left in BUILD/fuzz/NAME-SEED.txt; with --minutes the run goes on with the next seed. What was
once found lies in found/ and is tried first. `BUILD/bin/NAME-fuzz --check FILE` tries one text."""

import glob
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(HERE, ".."))
import family  # noqa: E402

TARGETS = {"frontend": "attn", "mlir": "mlir", "checkpoint": "checkpoint"}


def corpus(ending):
    if ending == "checkpoint":
        return sorted(glob.glob(os.path.join(HERE, "checkpoint", "*")))
    files = [f for folder in ("examples", "test", "frontend") for f in glob.glob(os.path.join(ROOT, folder, "**", f"*.{ending}"), recursive=True)]
    return sorted(f for f in files if os.path.getsize(f) < 20_000)


def run(command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", stdin=subprocess.DEVNULL)


def place(output):
    """Where it went wrong: the first frame of ours or of MLIR, or the fault's own words."""
    frames = re.findall(r"#\d+ \S+ in ((?:fovea|mlir|llvm)\S*)", output)
    words = re.search(r"runtime error: .*|neither a module nor an error.*", output)
    return words[0] if words else frames[0] if frames else output.strip().splitlines()[-1] if output.strip() else "no output"


def smaller(program, path, text, seconds):
    """The text without whatever is not needed to fail."""
    end = time.time() + seconds

    def fails(piece):
        with open(path, "wb") as file:
            file.write(piece)
        return run([program, "--check", path]).returncode != 0

    size = max(len(text) // 2, 1)
    while time.time() < end:
        for at in range(0, len(text), size):
            piece = text[:at] + text[at + size:]
            if time.time() < end and fails(piece):
                text = piece
                break
        else:
            if size == 1:
                break
            size //= 2
    with open(path, "wb") as file:
        file.write(text)


def main():
    parser = family.parser(__doc__)
    parser.add_argument("--target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    tests = family.Tests(options)
    # LLVM's libraries are not instrumented: what its allocators poison in our code, they do not free again in theirs.
    os.environ.setdefault("ASAN_OPTIONS", "detect_leaks=0:detect_odr_violation=0:allow_user_poisoning=0")
    os.environ.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")
    folder = os.path.join(options.build, "fuzz")
    os.makedirs(folder, exist_ok=True)
    report = tests.report

    for name in [options.target] if options.target else TARGETS:
        program = os.path.join(options.build, "bin", f"{name}-fuzz")
        if not os.path.exists(program):
            report(name, False, f"{program} does not exist")
            continue
        for path in sorted(glob.glob(os.path.join(HERE, "found", f"{name}-*"))):
            done = run([program, "--check", path])
            report(os.path.basename(path), done.returncode == 0, done.stdout)
        end, seed, places = time.time() + (options.minutes * 60 if options.minutes else options.seconds), options.seed, {}
        while True:
            left = int(end - time.time())
            if left < 1:
                break
            path = os.path.join(folder, f"{name}-{seed}.txt")
            done = run([program, str(seed), str(left), path, os.path.join(HERE, f"{TARGETS[name]}.dict")] + corpus(TARGETS[name]))
            if done.returncode == 0:
                report(f"{name}, seed {seed}", True, done.stdout)
                os.remove(path)
                break
            where = place(done.stdout)
            if where not in places:               # once for each place
                places[where] = path
                with open(path, "rb") as file:
                    text = file.read()
                smaller(program, path, text, 20)
                again = run([program, "--check", path])
                report(f"{name}, seed {seed}", False, f"exit code {done.returncode}, {where}\nagain: {program} --check {path}\n{again.stdout[-3000:]}")
            if not options.minutes:
                break
            seed += 1
        if places:
            print(f"{name}: {len(places)} places of failures up to seed {seed}")
    return tests.exit_code()


if __name__ == "__main__":
    sys.exit(main())
