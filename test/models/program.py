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
    """What `--maps FOLDER` wrote: {(source as text, trace, layer): rows [t][i]}, heads averaged. A file holds one JSON object, a list of
    them, or one a line: "trace", "layer", "head" (or none), "rows", "columns" (labels of outputs and inputs), "values"."""
    found = {}
    for path in sorted(glob.glob(os.path.join(folder, "**", "*.json"), recursive=True)):
        with open(path, encoding="utf-8") as f:
            text = f.read()
        try:
            objects = json.loads(text)
            objects = objects if isinstance(objects, list) else [objects]
        except json.JSONDecodeError:
            objects = [json.loads(line) for line in text.splitlines() if line.strip()]
        for o in objects:
            values = o["values"]
            if any(len(row) != len(o["columns"]) for row in values) or len(values) != len(o["rows"]):
                sys.exit(f"{path}: the labels do not fit the values")
            source = "".join(c for c in o["columns"] if c != "</s>")
            found.setdefault((source, o["trace"].rsplit(".", 1)[-1], o.get("layer") or 0), {})[o.get("head") or 0] = values
    mean = lambda heads: [[sum(v) / len(v) for v in zip(*rows)] for rows in zip(*heads.values())]
    return {key: mean(heads) for key, heads in found.items()}


def table(title, rates):
    """Prints what cmudict_split.score gives."""
    print(f"{title:<34} {'word errors':>12} {'phoneme errors':>15}")
    for name, key in (("with stress", "stress"), ("without stress", "no_stress")):
        print(f"  {name:<32} {rates[key]['wer']:>10.2f} % {rates[key]['per']:>13.2f} %")
