"""Runs the value tests; see harness.py. Test names are the rule's number and what is shown, or `catalogue NAME`."""

import argparse
import concurrent.futures
import importlib
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import harness

MODULES = ["rules_text", "rules_kernels", "rules_expressions", "rules_functions", "rules_masks", "catalogue"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=os.path.join(harness.ROOT, "build"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--sanitize", action="store_true")
    parser.add_argument("--filter", default="")
    parser.add_argument("--formulas", action="store_true", help="only evaluate the formulas")
    parser.add_argument("--way", choices=["compiled", "oracle"])
    options = parser.parse_args()
    for module in MODULES:
        importlib.import_module(module)
    names = [item.name for item in harness.CASES]
    repeated = sorted({name for name in names if names.count(name) > 1})
    assert not repeated, f"names must differ: {repeated}"
    missing = unchecked_kernels()
    items = [item for item in harness.CASES if options.filter in item.name]

    if options.formulas:
        for item in items:
            if item.want:
                harness.expected(item)
        print(f"{len(items)} cases, formulas evaluate")
        return 0

    results = open(os.environ.get("FOVEA_RESULTS", os.devnull), "a")
    failed = 0

    def report(name, message, seconds):
        nonlocal failed
        failed += message is not None
        print(f"{'FAIL' if message else 'pass'} {name} ({seconds:.1f} s)" + (f"\n{message}" if message else ""), flush=True)
        line = {"name": name, "result": "fail" if message else "pass", "message": message or "", "seconds": seconds}
        results.write(json.dumps(line) + "\n")
        results.flush()

    def work(item, way):
        started = time.time()
        try:
            message = harness.check(item, options.build, way)
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
        return f"{item.name} [{way}]", message, time.time() - started

    if not options.filter:
        report("every file of examples/kernels has a formula", f"without one: {missing}" if missing else None, 0)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        ways = [options.way] if options.way else ["compiled", "oracle"]
        jobs = [pool.submit(work, item, way) for item in items for way in (ways[:1] if item.error else ways)]
        for job in concurrent.futures.as_completed(jobs):
            report(*job.result())
    return 1 if failed else 0


def unchecked_kernels():
    shown = {item.source for item in harness.CASES if isinstance(item.source, str)}
    return sorted(name for name in os.listdir(harness.KERNELS)
                  if name.endswith(".attn") and os.path.join(harness.KERNELS, name) not in shown)


if __name__ == "__main__":
    sys.exit(main())
