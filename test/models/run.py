"""Builds the model programs and compares them with their references: each finding that these print is a test.

    compare_network.py       every model whose train.py has a PyTorch Network
    compare_gru.py           g2p_gru, with the published package
    compare_transformer.py   g2p_transformer; compare_int8.py its quantised programs
    compare_checkpoints.py   MarianMT, BART and T5, with `transformers`

With --whole only the steps are compared, of every held-out input of every model that has a Network, and of
g2p_transformer and g2p_gru.

Programs for target `opencl` are compared with the same references, fewer inputs of some models; with --target opencl of every model, and nothing else is.
"""

import concurrent.futures
import contextlib
import glob
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tools", "python"))
import sequence_training  # noqa: E402
sys.path.insert(0, os.path.join(HERE, ".."))
import family  # noqa: E402

EQUAL = re.compile(r"^(.+?): (\d+) of (\d+) .*\bequal\b")
FINDING = re.compile(r"^(FAILED: )?(\w[\w ]*): .*\b(at most|at least)\b")


# Models that always run on an OpenCL device too, and how many inputs.
FEW = ["--inputs", "100", "--step-inputs", "20", "--beam-inputs", "10", "--ensemble-inputs", "2"]
ON_DEVICE = {"g2p_gru": [], "g2p_transformer": ["--words", "600", "--beam-words", "40", "--map-words", "40", "--logit-words", "60", "--search-words", "2"],
             "dates_conv": FEW, "dates_luong_local_p": FEW}


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
    parser = family.parser(__doc__)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--target", choices=["host", "opencl"], default="host")
    options = parser.parse_args()
    tests = family.Tests(options)
    report = tests.report
    fovea = os.path.join(os.path.abspath(options.build), "bin", "fovea")
    program_file = lambda model: os.path.join(ROOT, "examples", "models", model, "model.attn")

    def run(name, command):
        """Exit code and output; every finding printed is reported."""
        started = time.time()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)
        with tests.lock:
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

    def compare_on_device(model, script, arguments):
        if not family.opencl():
            return report(f"{model} on opencl", "skip", family.NO_OPENCL)
        host = os.path.join(ROOT, "build", "programs", model)
        program = host + "-opencl"
        done = subprocess.run([fovea, "build", program_file(model), "--weights", host + ".safetensors", "--target", "opencl", "-o", program], capture_output=True, text=True, errors="replace")
        report(f"{model} on opencl: builds", done.returncode == 0, done.stderr)
        if done.returncode == 0:
            target = ["--target", "opencl"] if script == "compare_network.py" else []
            code, found, text = run(f"{model} on opencl", [sys.executable, os.path.join(HERE, script)] + [a.format(program=program) for a in arguments] + target + ON_DEVICE.get(model, FEW))
            report(f"{model} on opencl: {script} ends well", code == 0 and found > 0, "" if code == 0 else text)

    def compare(model, script, arguments):
        program = os.path.join(ROOT, "build", "programs", model)
        report(f"{model}: builds", os.path.exists(program))
        if os.path.exists(program):
            code, found, text = run(model, [sys.executable, os.path.join(HERE, script)] + [a.format(program=program) for a in arguments])
            report(f"{model}: {script} ends well", code == 0 and found > 0, "" if code == 0 else text)
            if model == "g2p_transformer" and not options.whole:
                programs = build_int8(program, report, fovea)
                code, found, text = run(f"{model} int8", [sys.executable, os.path.join(HERE, "compare_int8.py"), program] + programs)
                report(f"{model}: compare_int8.py ends well", code == 0 and found > 0, "" if code == 0 else text)

    def compare_checkpoints():
        code, found, text = run("checkpoints", [sys.executable, os.path.join(HERE, "compare_checkpoints.py"), fovea])
        report("checkpoints: compare_checkpoints.py ends well", code == 0 and found > 0, "" if code == 0 else text)

    wheel = glob.glob(os.path.join(ROOT, "build", "downloads", "*.whl"))
    references = [("g2p_transformer", "compare_transformer.py", ["{program}"]), ("g2p_gru", "compare_gru.py", ["{program}"] + wheel)]
    networks = sequence_training.models()
    if options.whole:
        references = [(name, "compare_network.py", [name, "{program}", "--whole", "--threads", "1"]) for name in networks + ["g2p_transformer"]]
        references.append(("g2p_gru", "compare_gru.py", ["{program}"] + wheel + ["--whole"]))
    else:
        references += [(name, "compare_network.py", [name, "{program}", "--threads", "1"]) for name in networks]
    if options.filter:
        references = [r for r in references if options.filter in r[0] or r[0].startswith(options.filter.split(":")[0].split(" on ")[0])]
    for model, _, _ in references if options.target == "host" else []:
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(ROOT, "build", "programs", model))
    if references:
        run("models", [os.path.join(ROOT, "dev"), "build"] + [model for model, _, _ in references])
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        waiting = [pool.submit(compare, *reference) for reference in references if options.target == "host"]
        if not options.whole:
            waiting += [pool.submit(compare_on_device, *reference) for reference in references if options.target == "opencl" or reference[0] in ON_DEVICE]
        if not options.whole and options.target == "host" and (not options.filter or options.filter in "checkpoints" or options.filter.startswith("checkpoints")):
            waiting.append(pool.submit(compare_checkpoints))
        for done in waiting:
            done.result()
    return tests.exit_code()


if __name__ == "__main__":
    sys.exit(main())
