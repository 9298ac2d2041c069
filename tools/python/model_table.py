"""What g2p_table.py and dates_table.py share: a table of the programs build/programs/NAME that do one task (./dev build NAME makes one).

--docs writes the table into docs/models.md, and each model's row and the picture alignment.png into its folder, where README.md has a place for
them. With NAMEs only these are measured; the other rows of docs/models.md stay as they are.
"""
import argparse
import dataclasses
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import typing

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGE = os.path.join(ROOT, "docs", "models.md")


@dataclasses.dataclass
class Table:
    task: str                          # its places in the documentation lie between two lines `<!-- table of TASK -->`
    papers: dict                       # {model: what it is}, in the order of the rows
    example: str                       # the input whose answer and picture are in a model's README.md
    columns: list                      # after model and what
    measure: typing.Callable           # program -> cells, one for each column
    own_page: tuple = ()               # models whose README.md says more than a row

    @property
    def mark(self):
        return f"<!-- table of {self.task} -->\n"


def parameters(program):
    """Numbers in the weights beside a program."""
    with open(program + ".safetensors", "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    count = 0
    for name, tensor in header.items():
        if name != "__metadata__":
            size = 1
            for extent in tensor["shape"]:
                size *= extent
            count += size
    return count


def answers(program, inputs, *arguments):
    """The program's line for each input, and seconds."""
    began = time.perf_counter()
    done = subprocess.run([program, "--threads", "2", *arguments], input="".join(x + "\n" for x in inputs), capture_output=True, text=True)
    seconds = time.perf_counter() - began
    lines = done.stdout.split("\n")[:-1]
    if done.returncode != 0 or len(lines) != len(inputs):
        sys.exit(f"{program} exited with {done.returncode} after {len(lines)} of {len(inputs)} lines\n{done.stderr}")
    return lines, seconds


def fastest(program, inputs):
    """Its lines, and inputs a second, from start to end of the program: the better of two runs."""
    runs = [answers(program, inputs) for _ in range(2)]
    return runs[0][0], len(inputs) / min(seconds for _, seconds in runs)


def between(path, mark):
    """The text before, between and after the marks of a file."""
    with open(path, encoding="utf-8") as file:
        parts = file.read().split(mark)
    if len(parts) != 3:
        sys.exit(f"{path}: there are {len(parts) - 1} lines `{mark.strip()}` where two are wanted")
    return parts


def replace(path, mark, lines):
    before, _, after = between(path, mark)
    with open(path, "w", encoding="utf-8") as file:
        file.write(before + mark + "\n".join(lines) + "\n" + mark + after)


def picture(program, example, folder):
    """alignment.png: the last map that the program traces for the example, if any; and its answer into README.md."""
    with tempfile.TemporaryDirectory() as maps:
        said = answers(program, [example])[0][0] + "\n"
        subprocess.run([program, "--maps", maps], input=example + "\n", capture_output=True, text=True)   # an error where the model traces nothing
        found = sorted(path for path in os.listdir(maps) if re.fullmatch(r"000001-(.*\.)?p\.png", path))
        if found:
            shutil.copy(os.path.join(maps, found[-1]), os.path.join(folder, "alignment.png"))
    path = os.path.join(folder, "README.md")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    text = re.sub(r"(\| build/programs/\S+\n).*\n```", lambda m: m[1] + said + "```", text, count=1)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def arguments(description):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all that are built")
    parser.add_argument("--docs", action="store_true", help="write what was measured into the documentation; rows of other models stay as they are")
    return parser


def main(table, args):
    for name in args.names:
        if name not in table.papers:
            sys.exit(f"no model `{name}` in this table; there are: {' '.join(table.papers)}")
    program = lambda name: os.path.join(ROOT, "build", "programs", name)
    names = [n for n in table.papers if (n in args.names if args.names else os.path.exists(program(n)))]
    rows = {}
    if args.docs:
        rows = {line.split("[", 1)[1].split("]", 1)[0]: line for line in between(PAGE, table.mark)[1].splitlines() if line.startswith("| [")}
    columns = " | ".join(table.columns) + " |"
    head = [f"| model | what | {columns}", "|---|---|" + "---|" * len(table.columns)]
    print("\n".join(head), flush=True)
    for name in names:
        cells = " | ".join(table.measure(program(name))) + " |"
        rows[name] = f"| [{name}](../examples/models/{name}/README.md) | {table.papers[name]} | {cells}"
        print(rows[name], flush=True)
        folder = os.path.join(ROOT, "examples", "models", name)
        if args.docs and name not in table.own_page:
            replace(os.path.join(folder, "README.md"), table.mark, ["| " + columns, "|" + "---|" * len(table.columns), "| " + cells])
            picture(program(name), table.example, folder)
    if args.docs:
        replace(PAGE, table.mark, head + [rows[n] for n in table.papers if n in rows])
