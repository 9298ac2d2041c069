"""Runs the value tests; see harness.py. Test names are the rule's number and what is shown, or `catalogue NAME`.

On an OpenCL device (the way `opencl`) run the catalogue, what is not finite, parts of keys and every twelfth of the other cases; with --way opencl all of them. In the
interpreter of PTX (the way `cuda`) runs every 24th."""

import concurrent.futures
import glob
import importlib
import os
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import family
import harness

MODULES = ["rules_text", "rules_kernels", "rules_expressions", "rules_functions", "rules_masks", "rules_types", "rules_outputs", "rules_tiles", "rules_parts", "rules_blocks", "rules_nests", "rules_nonfinite", "catalogue"]

WHOLE_ON_DEVICE = ["catalogue", "rules_nonfinite", "rules_parts", "rules_blocks", "rules_nests"]


def main():
    parser = family.parser(__doc__)
    parser.add_argument("--formulas", action="store_true", help="only evaluate the formulas")
    parser.add_argument("--way", choices=["compiled", "without tiles", "oracle", "strided", "opencl", "cuda"])
    options = parser.parse_args()
    for module in MODULES:
        importlib.import_module(module)
    names = [item.name for item in harness.CASES]
    repeated = sorted({name for name in names if names.count(name) > 1})
    assert not repeated, f"names must differ: {repeated}"
    items = [item for item in harness.CASES if options.filter in item.name]
    on_device = {"opencl": sample(12, WHOLE_ON_DEVICE), "cuda": sample(24)}

    if options.formulas:
        for item in items:
            if item.want:
                harness.expected(item)
        print(f"{len(items)} cases, formulas evaluate")
        return 0

    tests = family.Tests(options)

    def work(item, way):
        if way == "opencl" and not family.opencl():
            return f"{item.name} [{way}]", "skip", family.NO_OPENCL, 0
        started = time.time()
        try:
            message = harness.check(item, options.build, way)
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
        return f"{item.name} [{way}]", not message, message or "", time.time() - started

    if not options.filter:
        tests.report("every file of examples/kernels has a formula", not (wrong := unchecked_kernels()), wrong or "")
        tests.report("docs/kernels.md has a line for every file of examples/kernels", not (wrong := undocumented_kernels()), wrong or "")
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        jobs = [pool.submit(work, item, way) for item in items for way in ways(item)
                if options.way == way or (options.way is None and (way not in on_device or item.name in on_device[way]))]
        for job in concurrent.futures.as_completed(jobs):
            tests.report(*job.result())
    return tests.exit_code()


def ways(item):
    if item.tiles:
        return ["compiled", "without tiles", "oracle"]
    if item.error or not item.oracle:
        return ["compiled"]
    return ["compiled", "oracle", "opencl", "cuda"] + (["strided"] if os.path.isabs(item.source) else [])


def sample(step, whole=()):
    """The cases that run on a device by default: `opencl` compiles the kernels once more, and `cuda` interprets them."""
    names = set()
    for module in MODULES:
        here = [item.name for item in harness.CASES if item.want and item.want.__module__ == module and "opencl" in ways(item)]
        names.update(here[::1 if module in whole else step])
    return names


def unchecked_kernels():
    shown = {item.source for item in harness.CASES if isinstance(item.source, str)}
    missing = [path for path in sorted(glob.glob(os.path.join(harness.KERNELS, "*.attn"))) if path not in shown]
    return f"without one: {missing}" if missing else None


def undocumented_kernels():
    """What is wrong with the page: each file has one line, whose author and year stand in the file's first comment; a file
    is 3 to 15 lines of code."""
    with open(os.path.join(harness.ROOT, "docs", "kernels.md")) as page:
        lines = re.findall(r"^\| \[(\w+)\]\(\.\./examples/kernels/(\w+)\.attn\) \| .+ \| ([^|]+) (\d{4}) \|$", page.read(), re.M)
    files = sorted(os.path.basename(path)[:-5] for path in glob.glob(os.path.join(harness.KERNELS, "*.attn")))
    wrong = [f"{name}: {count} lines" for name in sorted(set(files) | {line[1] for line in lines})
             if (count := sum(line[1] == name for line in lines)) != (name in files)]
    for title, name, author, year in lines:
        if name not in files:
            continue
        with open(os.path.join(harness.KERNELS, name + ".attn")) as file:
            text = file.read()
        comment = re.match(r"(//.*\n)*", text).group()
        code = [line for line in text[len(comment):].splitlines() if line]
        if title != name or author not in comment or year not in comment:
            wrong.append(f"{name}: `{title}`, {author} {year}, but its comment is {comment}")
        if not 3 <= len(code) <= 15:
            wrong.append(f"{name}: {len(code)} lines of code")
    return "\n".join(wrong) or None


if __name__ == "__main__":
    sys.exit(main())
