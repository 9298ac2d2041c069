"""Runs a program that `fovea build` made, and reads what it writes."""
import glob
import json
import os
import re
import subprocess
import sys
import tempfile

import numpy

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools", "python"))
import cmudict_split  # noqa: E402,F401


def run(program, lines, *arguments, per_line=1):
    """The program's answer to each line: a string, or with per_line=N a list of N strings. Any complaint ends the run."""
    done = subprocess.run([program, *map(str, arguments)], input="".join(line + "\n" for line in lines).encode(), capture_output=True)
    if done.returncode != 0:
        sys.exit(f"{program} exited with {done.returncode}:\n{done.stderr.decode(errors='replace')[:2000]}")
    answers = done.stdout.decode().split("\n")
    if answers.pop() != "" or len(answers) != len(lines) * per_line:
        sys.exit(f"{program} gave {len(answers)} lines to {len(lines)} lines of input, {per_line} for each were wanted")
    return answers if per_line == 1 else [answers[n:n + per_line] for n in range(0, len(answers), per_line)]


def maps(folder):
    """What `--maps FOLDER` wrote (docs/maps.md), see traced_maps: {(input line, trace, layer): rows [t][i]}. `trace` is the name alone: "p" for "dec.2.p"."""
    return {(line, trace.rsplit(".", 1)[-1], layer): rows for (line, trace), (layer, rows) in traced_maps(folder).items()}


def traced_maps(folder):
    """{(input line, whole name of the trace): (layer, rows [t][i])}, the mean over the heads where there are several."""
    found = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.json"))):
        with open(path, encoding="utf-8") as f:
            o = json.load(f)
        values = o["values"]
        if any(len(row) != len(o["columns"]) for row in values) or len(values) != len(o["rows"]):
            sys.exit(f"{path}: the labels do not fit the values")
        if o.get("head", "mean") == "mean":
            found[o["input"], o["trace"]] = o.get("layer", 0), values
    return found


def model_file(name):
    return os.path.join(ROOT, "examples", "models", name, "model.attn")


def states_of(name):
    """The vectors that a model carries from step to step."""
    with open(model_file(name), encoding="utf-8") as file:
        return re.findall(r"\bstate (\w+): f32\[b,", file.read())


def traced_copy(name, states, folder, program, weights=None, target="host"):
    """Builds examples/models/NAME as folder/program, with these states traced, and of each attention what it calls `context` and its scores `s`."""
    models = os.path.join(ROOT, "examples", "models")
    more = lambda text: re.sub(r"^( *)let context = .*$", r"\g<0>\n\1trace context;\n\1trace s;", text, flags=re.MULTILINE)
    os.mkdir(os.path.join(folder, name))
    for other in os.listdir(models):
        if other.endswith(".attn"):
            with open(os.path.join(models, other), encoding="utf-8") as file, open(os.path.join(folder, other), "w", encoding="utf-8") as copy:
                copy.write(more(file.read()))
        elif other != name:
            os.symlink(os.path.join(models, other), os.path.join(folder, other))
    for other in os.listdir(os.path.join(models, name)):
        if other != "model.attn":
            os.symlink(os.path.join(models, name, other), os.path.join(folder, name, other))
    with open(model_file(name), encoding="utf-8") as file:
        text = file.read()
    end = text.rindex("\n  }\n}")
    with open(os.path.join(folder, name, "model.attn"), "w", encoding="utf-8") as copy:
        copy.write(more(text[:end] + "".join(f"\n    trace {state};" for state in states) + text[end:]))
    fovea = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(program))), "bin", "fovea")
    built = os.path.join(folder, "program")
    done = subprocess.run([fovea, "build", os.path.join(folder, name, "model.attn"), "--weights", weights or os.path.join(models, name, "weights.safetensors"), "--target", target,
                           "-o", built],
                          capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"the copy of {name} that traces more does not build:\n{done.stderr[:2000]}")
    return built


def steps(program, lines, traces, *arguments):
    """The program's answers, and for each line {"logits": [t, W], trace: [t, columns] or [t, heads, columns]} of its best answer's steps."""
    with tempfile.TemporaryDirectory() as folder:
        answers = run(program, lines, "--logits", folder, *(["--traces", folder] if traces else []), *arguments)
        found = [{} for _ in lines]
        for file in os.listdir(folder):
            number, name = file.removesuffix(".npy").split("-", 1)
            found[int(number) - 1][name] = numpy.load(os.path.join(folder, file))
        return answers, found


def logits(program, lines, *arguments):
    """The program's answers, as `run` gives them, and for each line the logits [t, W] of its best answer's steps."""
    with tempfile.TemporaryDirectory() as folder:
        answers = run(program, lines, "--logits", folder, *arguments)
        return answers, [numpy.load(os.path.join(folder, f"{n:06}-logits.npy")) for n in range(1, len(lines) + 1)]


def compare_logits(title, found, wanted):
    """Prints how many lines have a row of numbers for each step, and by how much they differ: at most 1e-4. Returns whether all is well."""
    same = [n for n, (a, b) in enumerate(zip(found, wanted)) if a.shape == b.shape and a.dtype == numpy.float32]
    off = max((float(numpy.abs(found[n] - wanted[n]).max()) for n in same), default=0.0)
    print(f"{title} shapes: {len(same)} of {len(wanted)} equal")
    steps = sum(len(found[n]) for n in same)
    largest = max((float(numpy.abs(wanted[n]).max()) for n in same), default=0.0)
    ok = off <= 1e-4
    print(f"{'' if ok else 'FAILED: '}{title}: values differ by {off:.1e} at most in {steps} steps, 1e-4 is allowed; the largest is {largest:.1f}")
    return ok and len(same) == len(wanted)


def table(title, rates):
    """Prints what cmudict_split.score gives."""
    print(f"{title:<34} {'word errors':>12} {'phoneme errors':>15}")
    for name, key in (("with stress", "stress"), ("without stress", "no_stress")):
        print(f"  {name:<32} {rates[key]['wer']:>10.2f} % {rates[key]['per']:>13.2f} %")
