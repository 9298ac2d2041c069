"""Runs the side-by-side benchmarks; ./dev bench [--quick] [GROUP] calls it.

    run.py [--quick] [--part PART] [--build DIR] [--output DIR] [--docs] [GROUP ...]      groups: kernels support schedules model searches compile

In each group both sides run in turns, their outputs are compared, and minimum and median are kept; nothing is judged by a time limit.
Tables go to the screen; DIR (build/bench) gets results.json, tables.txt and performance.png. --docs also writes the page of this machine in
docs/performance, from a run of kernels at least, and its row in docs/performance.md. The exit code is 1 where outputs differ or something fails.

This process stays small (no NumPy, no PyTorch): the peak memory of a child counts from what its parent has.
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import measure
import searches

GROUPS = ("kernels", "support", "schedules", "model", "searches", "compile")
PARTS = ("dense", "masks", "decode", "beyond")
MODEL = os.path.join(measure.ROOT, "examples", "models", "g2p_transformer")
KERNELS = os.path.join(measure.ROOT, "bench", "kernels.attn")
WORDS, BATCHES, THREADS = 10000, (64, 32, 256), 2  # the program's default batch first


def say(text):
    print(f"bench: {text}", flush=True)


def kernels(options):
    folder = os.path.join(options.output, "kernels")
    os.makedirs(folder, exist_ok=True)
    path = lambda name: os.path.join(folder, name)
    source = lambda name: os.path.join(measure.ROOT, "bench", name)
    with open(KERNELS, encoding="utf-8") as f:
        text = f.read()
    for name in ("f32", "bf16"):
        with open(path(name + ".attn"), "w", encoding="utf-8") as f:
            f.write(text.replace(": f32[", f": {name}["))
        measure.checked([options.fovea, "compile", path(name + ".attn"), "-o", path(name + ".o")])
        measure.checked(["cc", "-shared", path(name + ".o"), "-o", path(name + ".so"), "-lm", "-pthread"])
    measure.checked(["cc", "-O2", "-ffp-contract=fast", "-shared", "-fPIC", source("peak.c"), "-o", path("peak.so")])
    command = [sys.executable, source("kernels.py")] + ["--quick"] * options.quick + (["--part", options.part] if options.part else [])
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": path("inductor")}
    # Freed memory is kept, for both sides: large arrays would else be mapped and cleared again at every call.
    kept = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40), "MALLOC_TOP_PAD_": str(64 << 20)}
    say("torch.compile makes its versions ...")
    workers = len(os.sched_getaffinity(0))
    running = [subprocess.Popen(command + ["--prepare", f"{n}/{workers}"], env={**environment, "TORCHINDUCTOR_COMPILE_THREADS": "1"}) for n in range(workers)]
    if any([process.wait() for process in running]):
        raise SystemExit("kernels.py --prepare failed")
    done = subprocess.run(command + ["--f32", path("f32.so"), "--bf16", path("bf16.so"), "--peak", path("peak.so")], stdout=subprocess.PIPE, text=True, env={**environment, **kept})
    if done.returncode:
        raise SystemExit("kernels.py failed")
    result = json.loads(done.stdout)
    result["failures"] = [f"{r['part']}: {r['name']}, {r['type']}, {r['threads']} threads: {name} differs by {r['differences'][name]:.1e}"
                          for r in result["rows"] for name in r["different"]]
    result["failures"] += [f"{r['part']}: {r['name']}, {r['type']}: {name}: {error}" for r in result["rows"] for name, error in r["errors"].items()]
    return result


def support(options):
    folder = os.path.join(options.output, "support")
    os.makedirs(folder, exist_ok=True)
    done = subprocess.run([sys.executable, os.path.join(measure.ROOT, "bench", "support.py"), "--fovea", options.fovea, "--folder", folder] + ["--quick"] * options.quick,
                          stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit("support.py failed")
    return {**json.loads(done.stdout), "failures": []}


def schedules(options):
    """The estimates of schedules against what they take."""
    command = [sys.executable, os.path.join(measure.ROOT, "bench", "schedules.py"), "--fovea", options.fovea, "--cost", os.path.join(os.path.dirname(options.fovea), "schedule-cost"),
               "--target", target(options.fovea), "--folder", os.path.join(options.output, "schedules")] + ["--quick"] * options.quick
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit("schedules.py failed")
    return {**json.loads(done.stdout), "failures": []}


def model(options):
    folder = os.path.join(options.output, "model")
    os.makedirs(folder, exist_ok=True)
    path = lambda name: os.path.join(folder, name)
    count = 2000 if options.quick else WORDS
    measure.checked([options.fovea, "build", os.path.join(MODEL, "model.attn"), "--weights", os.path.join(MODEL, "weights.safetensors"), "-o", path("g2p")])
    peer_script = os.path.join(measure.ROOT, "test", "models", "bench_transformer_peer.py")
    words = measure.checked([sys.executable, peer_script, "--words", str(count), "--print-words"])["output"]
    with open(path("words.txt"), "w", encoding="utf-8") as f:
        f.write(words)
    result = {"words": count, "threads": THREADS, "batches": [], "failures": []}
    for batch in BATCHES[:1] if options.quick else BATCHES:
        result["batches"].append(one_batch(options, path, peer_script, count, batch, result["failures"]))
    return result


def one_batch(options, path, peer_script, count, batch, failures):
    ours_command = [path("g2p"), "--threads", str(THREADS), "--batch", str(batch), "--input", path("words.txt"), "--output", path("fovea.txt")]
    peer_command = [sys.executable, peer_script, "--input", path("words.txt"), "--threads", str(THREADS), "--batch", str(batch), "--repeat", "1",
                    "--output", path("pytorch.txt")]

    def ours():
        result = measure.checked(ours_command)
        return {"words_per_second": count / result["seconds"], **{k: result[k] for k in ("seconds", "cpu_seconds", "peak_rss_bytes")}}

    def peer():
        result = measure.checked(peer_command)
        inner = json.loads(result["output"].strip().split("\n")[-1])
        return {"words_per_second": inner["words_per_second"], "seconds": inner["seconds"][0], "peak_rss_bytes": result["peak_rss_bytes"],
                "implementation": inner["implementation"]}

    runs = measure.alternate(1 if options.quick else 3, {"fovea": ours, "pytorch": peer}, warm_up=0)
    same = sum(a == b for a, b in zip(open(path("fovea.txt"), encoding="utf-8"), open(path("pytorch.txt"), encoding="utf-8")))
    if same != count:
        failures.append(f"batch {batch}: {count - same} of {count} answers differ")
    result = {"batch": batch, "same_answers": same, "peer": runs["pytorch"][0]["implementation"]}
    for side, all_runs in runs.items():
        speeds = [r["words_per_second"] for r in all_runs]
        result[side] = {"best": max(speeds), "median": sorted(speeds)[len(speeds) // 2], "peak_rss_bytes": max(r["peak_rss_bytes"] for r in all_runs), "runs": all_runs}
    return result


def compile_times(options):
    """Every kernel with an empty leaf cache and with a full one, with the compiler's own table of phases and passes (`--time-passes`); the Transformer's
    program; the start of the driver."""
    folder = os.path.join(options.output, "compile")
    os.makedirs(folder, exist_ok=True)
    out = os.path.join(folder, "out")
    cold_rounds, warm_rounds = (1, 1) if options.quick else (1, 2)  # of each of a hundred kernels
    failures = []

    def cold_and_warm(command, made):
        seconds, cpu, passes = {"cold": [], "warm": []}, {"cold": [], "warm": []}, {}
        for _ in range(cold_rounds):
            cache = tempfile.mkdtemp(dir=folder)
            for state in ["cold"] + ["warm"] * warm_rounds:
                run = measure.process(command + ["--time-passes=json"], {"FOVEA_CACHE": cache})
                if run["code"]:
                    failures.append(f"{' '.join(os.path.basename(c) for c in command)}: {run['output'][-300:]}")
                elif not seconds[state] or run["seconds"] < min(seconds[state]):
                    passes[state] = json.loads(run["output"].strip().split("\n")[-1])
                seconds[state].append(run["seconds"])
                cpu[state].append(run["cpu_seconds"])
            shutil.rmtree(cache)
        return {**{state: {**measure.summary(seconds[state]), "cpu_minimum": min(cpu[state]), "passes": passes.get(state)} for state in seconds},
                "bytes": os.path.getsize(made) if os.path.exists(made) else 0}

    measure.process([options.fovea, "--help"])
    help_runs = [measure.process([options.fovea, "--help"])["seconds"] for _ in range(5 if options.quick else 30)]
    kernels = sorted(f for f in os.listdir(os.path.join(measure.ROOT, "examples", "kernels")) if f.endswith(".attn"))
    result = {"help": measure.summary(help_runs), "kernels": {}}
    for name in kernels[::10] if options.quick else kernels:
        result["kernels"][name[:-5]] = cold_and_warm([options.fovea, "compile", os.path.join(measure.ROOT, "examples", "kernels", name), "-o", out + ".o"], out + ".o")
    say("compiled the kernels; now the Transformer")
    result["transformer"] = cold_and_warm([options.fovea, "build", os.path.join(MODEL, "model.attn"), "--weights", os.path.join(MODEL, "weights.safetensors"),
                                           "-o", out], out)
    if not options.quick:
        base = os.path.join(folder, "base")
        measure.checked([sys.executable, os.path.join(measure.ROOT, "bench", "base_transformer", "prepare.py"), base])
        result["base_transformer"] = cold_and_warm([options.fovea, "build", os.path.join(base, "model.attn"), "--weights", os.path.join(base, "weights.safetensors"), "-o", out], out)
    result["failures"] = failures
    return result


def target(fovea):
    """What `host` is on this machine."""
    text = subprocess.run([fovea, "compile", KERNELS, "--kernel", "attend", "--emit=attn"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return re.search(r'attn.target = "([^"]+)"', text)[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=" ".join(GROUPS))
    parser.add_argument("--quick", action="store_true", help="few repeats, small sizes: to see that it works")
    parser.add_argument("--part", choices=PARTS, help="of the kernels, only this part")
    parser.add_argument("--build", default=os.path.join(measure.ROOT, "build"))
    parser.add_argument("--output")
    parser.add_argument("--docs", action="store_true", help="also write docs/performance/TARGET.md")
    options = parser.parse_args()
    for group in options.groups:
        if group not in GROUPS:
            parser.error(f"no group `{group}`; there are: {' '.join(GROUPS)}")
    groups = options.groups or list(GROUPS)
    if options.docs and (options.quick or options.part or "kernels" not in groups):
        parser.error("--docs needs a whole run of kernels")
    options.fovea = os.path.join(os.path.abspath(options.build), "bin", "fovea")
    options.output = os.path.abspath(options.output or os.path.join(measure.ROOT, "build", "bench"))
    os.makedirs(options.output, exist_ok=True)
    results = {"machine": {**measure.machine(), "target": target(options.fovea)}, "quick": options.quick}
    for group in groups:
        say(f"{group} ...")
        results[group] = {"kernels": kernels, "support": support, "schedules": schedules, "model": model, "searches": searches.run, "compile": compile_times}[group](options)
        results["machine"]["load_average_at_end"] = os.getloadavg()[0]
        with open(os.path.join(options.output, "results.json"), "w", encoding="utf-8") as f:
            json.dump(results, f, indent=1)
    import report  # last: it brings in matplotlib
    text = report.tables(results)
    with open(os.path.join(options.output, "tables.txt"), "w", encoding="utf-8") as f:
        f.write(text)
    print(text)
    picture = os.path.join(options.output, "performance.png")
    report.plot(results, picture)
    if options.docs:
        report.page(results, picture)
    failures = [f for group in groups for f in results[group]["failures"]]
    for failure in failures:
        print(f"bench: FAILED {failure}", file=sys.stderr)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
