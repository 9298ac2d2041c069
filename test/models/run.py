"""Builds both model programs and compares them with their references (compare_gru.py, compare_transformer.py, and compare_int8.py for the programs
that are quantised), and the models of published checkpoints with `transformers` (compare_checkpoints.py): each finding that they print is a test."""

import argparse
import glob
import json
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
EQUAL = re.compile(r"^(.+?): (\d+) of (\d+) .*\bequal\b")
FINDING = re.compile(r"^(FAILED: )?(\w[\w ]*): .*\b(at most|at least)\b")


def build_int8(program, report, fovea):
    """The quantised programs beside an f32 one: the host's first, then one for each target that this processor can run."""
    with open("/proc/cpuinfo") as file:
        flags = next(line for line in file if line.startswith("flags")).split()
    programs, folder = [], os.path.join(ROOT, "examples", "models", "g2p_transformer")
    for target, needs in (("host", []), ("x86-64-v4", ["avx512bw", "avx512vl"]), ("x86-64-v3", ["avx2", "bmi2", "fma"]), ("x86-64-v2", [])):
        if all(flag in flags for flag in needs):
            programs.append(f"{program}-int8-{target}")
            done = subprocess.run([fovea, "build", os.path.join(folder, "model.attn"), "--weights", os.path.join(folder, "weights.safetensors"), "--quantize", "int8",
                                   "--target", target, "-o", programs[-1]], capture_output=True, text=True, errors="replace")
            report(f"g2p_transformer: builds for int8 on {target}", done.returncode == 0, done.stderr)
    return programs


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--jobs", default="2")
    parser.add_argument("--sanitize", action="store_true")
    parser.add_argument("--filter", default="")
    options = parser.parse_args()
    results = open(os.environ.get("FOVEA_RESULTS", os.devnull), "a")
    failed = False

    def report(name, ok, message=""):
        nonlocal failed
        if options.filter in name:
            failed |= not ok
            print(f"{'pass' if ok else 'FAIL'} {name} {message}", flush=True)
            results.write(json.dumps({"name": name, "result": "pass" if ok else "fail", "message": message}) + "\n")
            results.flush()

    def run(name, command):
        """Exit code and output; every finding printed is reported."""
        started = time.time()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)
        print(f"{' '.join(command)}\n{done.stdout}{done.stderr}{time.time() - started:.1f} s", flush=True)
        before, found = [], 0
        for line in done.stdout.splitlines():
            if match := EQUAL.match(line):
                report(f"{name}: {match[1]}", match[2] == match[3] and match[3] != "0", "\n".join(before[-12:] + [line]))
            elif match := FINDING.match(line):
                report(f"{name}: {line.removeprefix('FAILED: ').split(' differ')[0].split(' is ')[0][:60]}", not match[1], line)
            else:
                before.append(line)
                continue
            before, found = [], found + 1
        return done.returncode, found, (done.stdout + done.stderr)[-2000:]

    wheel = glob.glob(os.path.join(ROOT, "build", "downloads", "*.whl"))
    for model, script, arguments in [("g2p_gru", "compare_gru.py", wheel), ("g2p_transformer", "compare_transformer.py", [])]:
        if options.filter and options.filter not in model and not model.startswith(options.filter.split(":")[0]):
            continue
        program = os.path.join(ROOT, "build", "programs", model)
        if os.path.exists(program):
            os.remove(program)
        code, _, text = run(model, [os.path.join(ROOT, "dev"), "build", model])
        report(f"{model}: builds", code == 0 and os.path.exists(program), "" if code == 0 else text)
        if os.path.exists(program):
            code, found, text = run(model, [sys.executable, os.path.join(HERE, script), program] + arguments)
            report(f"{model}: {script} ends well", code == 0 and found > 0, "" if code == 0 else text)
            if model == "g2p_transformer" and os.path.exists(program):
                programs = build_int8(program, report, os.path.join(os.path.abspath(options.build), "bin", "fovea"))
                code, found, text = run(f"{model} int8", [sys.executable, os.path.join(HERE, "compare_int8.py"), program] + programs)
                report(f"{model}: compare_int8.py ends well", code == 0 and found > 0, "" if code == 0 else text)
    if not options.filter or options.filter in "checkpoints" or options.filter.startswith("checkpoints"):
        fovea = os.path.join(os.path.abspath(options.build), "bin", "fovea")
        code, found, text = run("checkpoints", [sys.executable, os.path.join(HERE, "compare_checkpoints.py"), fovea])
        report("checkpoints: compare_checkpoints.py ends well", code == 0 and found > 0, "" if code == 0 else text)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
