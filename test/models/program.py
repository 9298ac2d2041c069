"""Runs a program that `fovea build` made, and reads what it writes."""
import glob
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "python"))
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
    """What `--maps FOLDER` wrote (docs/maps.md): {(input line, trace, layer): rows [t][i]}, the mean over the heads where there are several.
    `trace` is the name alone: "p" for "dec.2.p"."""
    found = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.json"))):
        with open(path, encoding="utf-8") as f:
            o = json.load(f)
        values = o["values"]
        if any(len(row) != len(o["columns"]) for row in values) or len(values) != len(o["rows"]):
            sys.exit(f"{path}: the labels do not fit the values")
        if o.get("head", "mean") == "mean":
            found[o["input"], o["trace"].rsplit(".", 1)[-1], o.get("layer", 0)] = values
    return found


def table(title, rates):
    """Prints what cmudict_split.score gives."""
    print(f"{title:<34} {'word errors':>12} {'phoneme errors':>15}")
    for name, key in (("with stress", "stress"), ("without stress", "no_stress")):
        print(f"  {name:<32} {rates[key]['wer']:>10.2f} % {rates[key]['per']:>13.2f} %")
