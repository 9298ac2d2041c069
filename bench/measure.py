"""Timing that all groups share."""
import os
import platform
import statistics
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def alternate(rounds, sides, pause=0.0, warm_up=1):
    """Calls every side once a round, in turning order; after each call a pause, in which the threads of its pool fall asleep.
    sides: {name: function}, -> {name: what its calls returned}. The first `warm_up` rounds are not kept."""
    kept = {name: [] for name in sides}
    names = list(sides)
    for number in range(rounds + warm_up):
        for name in names[number % len(names):] + names[:number % len(names)]:
            result = sides[name]()
            if number >= warm_up:
                kept[name].append(result)
            time.sleep(pause)
    return kept


def summary(seconds):
    return {"minimum": min(seconds), "median": statistics.median(seconds), "all": seconds}


def process(command, environment=None):
    """Runs a command to its end: wall and CPU seconds, peak resident bytes, its own and of the largest of its children."""
    began = time.perf_counter()
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT,
                             env={**os.environ, **(environment or {})})
    output = child.stdout.read().decode(errors="replace")
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return {"seconds": time.perf_counter() - began, "cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_rss_bytes": usage.ru_maxrss * 1024,
            "code": child.returncode, "output": output}


def checked(command, environment=None):
    result = process(command, environment)
    if result["code"]:
        raise SystemExit(f"{' '.join(command)} exited with {result['code']}:\n{result['output'][-2000:]}")
    return result


def machine():
    model, flags = platform.processor() or platform.machine(), set()
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                model = value.strip()
            elif key.strip() == "flags":
                flags = set(value.split())
    wide = ["avx2", "fma", "avx512f", "avx512vl", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16", "amx_int8"]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cpu": model, "flags": [f for f in wide if f in flags], "threads": len(os.sched_getaffinity(0)), "memory_bytes": memory,
            "load_average": os.getloadavg()[0]}
