"""Compiled kernels against what PyTorch's users would run, in one process, on the same memory and threads. Prints one JSON text. Called by run.py.

    kernels.py --f32 LIB --bf16 LIB --peak LIB [--quick] [--part PART] [--prepare N/M]

With --prepare only every M-th function that torch.compile must compile is compiled, from the N-th on, for the cache of a run afterwards.
"""
import argparse
import concurrent.futures
import ctypes
import itertools
import json
import mmap
import os
import sys
import time
import warnings

import measure

sys.path.insert(0, os.path.join(measure.ROOT, "examples", "numpy"))
import attend as example  # noqa: E402
import torch  # noqa: E402

import cases  # noqa: E402

# What a result may differ from the reference, in f32, by the reference's largest number. f32: 1e-5 for each of the two (docs/language.md, E10). bf16: ours is that, rounded
# once to 8 bits, which moves a number by up to 2^-8 of itself; peers also round weights, and some their scores, before the second product.
TOLERANCE = {torch.float32: (2e-5, 2e-5), torch.bfloat16: (2 ** -8 + 2e-5, 2 ** -6)}  # (ours, the peers')
CODES = {torch.int32: (0, 32), torch.float32: (2, 32), torch.bfloat16: (4, 16)}  # DLPack's type codes and bits
NAMES = {torch.float32: "f32", torch.bfloat16: "bf16"}
PAUSE = 0.02  # seconds, in which the threads of the side before fall asleep
HOPELESS = 3  # a peer that takes this many times as long as the best one is not run again


def dltensor(tensor):
    """A view of the tensor's memory, which must outlive it."""
    extents = ctypes.c_int64 * tensor.ndim
    return example.DLTensor(tensor.data_ptr(), example.DLDevice(example.CPU, 0), tensor.ndim, example.DLDataType(*CODES[tensor.dtype], 1), extents(*tensor.shape),
                            extents(*tensor.stride()), 0)


class Library:
    """The kernels of one type."""

    def __init__(self, path):
        self.library = ctypes.CDLL(path)
        self.library.fovea_last_error.restype = ctypes.c_char_p

    def prepare(self, name, inputs, results):
        function = getattr(self.library, name)
        scalars = {int: ctypes.c_int32, float: ctypes.c_float}
        arguments = [scalars[type(x)](x) if type(x) in scalars else ctypes.byref(dltensor(x)) for x in (*inputs, *results)]

        def run():
            if function(*arguments):
                raise SystemExit(f"{name}: {self.library.fovea_last_error().decode()}")
            return results
        return run


class Peaks:
    """The machine's own: GFLOP/s of one core by kind, GB/s read by a number of threads. The greatest seen in the whole run counts."""
    ROUNDS = {"fma": 1_000_000, "dot": 500_000, "amx": 100_000}

    def __init__(self, path):
        self.library = ctypes.CDLL(path)
        for kind in self.ROUNDS:
            function = getattr(self.library, "peak_" + kind)
            function.argtypes, function.restype = [ctypes.c_long], ctypes.c_double
        self.library.peak_read.argtypes, self.library.peak_read.restype = [ctypes.c_void_p, ctypes.c_long], ctypes.c_long
        self.gflops = dict.fromkeys(self.ROUNDS, 0.0)
        self.read_gbs = {}
        pages = mmap.mmap(-1, 1 << 29)  # more than most caches hold
        pages.madvise(mmap.MADV_HUGEPAGE)
        self.memory = torch.frombuffer(pages, dtype=torch.int64).fill_(1)
        self.pool = concurrent.futures.ThreadPoolExecutor(2)
        self.compute()

    def compute(self):
        for kind, rounds in self.ROUNDS.items():
            began = time.perf_counter()
            operations = getattr(self.library, "peak_" + kind)(rounds)
            self.gflops[kind] = max(self.gflops[kind], operations / (time.perf_counter() - began) / 1e9)

    def read(self, threads):
        share = self.memory.numel() // threads
        began = time.perf_counter()
        total = sum(self.pool.map(lambda n: self.library.peak_read(self.memory.data_ptr() + 8 * share * n, share), range(threads)))
        self.read_gbs[threads] = max(self.read_gbs.get(threads, 0.0), self.memory.nbytes / (time.perf_counter() - began) / 1e9)
        assert total == self.memory.numel()


def cast(inputs, dtype):
    return {n: x.to(dtype) if isinstance(x, torch.Tensor) and x.is_floating_point() else x for n, x in inputs.items()}


def outputs(answer):
    return [x.float() for x in (answer if isinstance(answer, (list, tuple)) else (answer,))]


def difference(answer, reference):
    """The largest one, each result by its own size; infinite where something is missing or not a number."""
    if [x.shape for x in answer] != [x.shape for x in reference]:
        return float("inf")
    parts = [float((x - y).abs().max() / y.abs().max()) for x, y in zip(answer, reference)]
    return max(d if d == d else float("inf") for d in parts)


def graphs():
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


def first_call(run, compiled):
    """The compilation, which must have been one of one whole graph, or FlexAttention and others would go on without it."""
    before = graphs()
    answer = run()
    if graphs() != before + compiled:
        raise RuntimeError(f"torch.compile made {graphs() - before} graphs where {int(compiled)} is wanted")
    return answer


def compiled_peers(case, quick):
    return {name: peer for name, peer in case.peers.items() if not (peer.compiled and quick and not case.few)}


def one(case, dtype, threads, library, peaks, quick):
    torch.set_num_threads(threads)
    torch._dynamo.reset()
    library.library.fovea_set_threads(threads)
    torch.manual_seed(0)
    inputs = cast(case.inputs(), dtype)
    results = [torch.full(shape, float("nan"), dtype=dtype) for shape in case.results(inputs)]
    peers = compiled_peers(case, quick)
    runs = {"fovea": library.prepare(case.kernel, inputs.values(), results), **{name: peer.prepare(inputs) for name, peer in peers.items()}}
    reference = outputs(next(iter(peers.values())).prepare(cast(inputs, torch.float32))())
    differences, errors = {}, {}
    for name in list(runs):
        try:
            differences[name] = difference(outputs(first_call(runs[name], name != "fovea" and peers[name].compiled)), reference)
        except Exception as error:  # torch.compile's; the run goes on and fails at its end
            if name == "fovea" or not peers[name].compiled:
                raise
            errors[name] = f"{type(error).__name__}: {error}"[:300]
            del runs[name], peers[name]
    compilations = graphs()

    def timed(run):
        def side():
            if case.bytes:
                peaks.read(threads)  # and so the inputs come from memory
            else:
                peaks.compute()
            time.sleep(PAUSE)
            began = time.perf_counter()
            run()
            return time.perf_counter() - began
        return side

    sides = {name: timed(run) for name, run in runs.items()}
    began = time.perf_counter()
    seconds = measure.alternate(1, sides, warm_up=0)
    beside = (time.perf_counter() - began - sum(s[0] for s in seconds.values())) / len(sides)
    best = min(seconds[name][0] for name in peers)
    again = {name: side for name, side in sides.items() if name == "fovea" or seconds[name][0] < HOPELESS * best}
    round_seconds = sum(seconds[name][0] + beside for name in again)
    rounds = max(2, min(30, int((0.3 if quick else 2.0) / round_seconds)))
    for name, more in measure.alternate(rounds, again, warm_up=0).items():
        seconds[name] += more
    if graphs() != compilations:
        raise SystemExit(f"{case.name}: torch.compile compiled again while times were taken")

    ours, theirs = TOLERANCE[dtype]
    times = {name: measure.summary(s) for name, s in seconds.items()}
    return {"part": case.part, "name": case.name, "type": NAMES[dtype], "threads": threads, "fovea": times.pop("fovea"), "peers": times,
            "best_peer": min(times, key=lambda name: times[name]["minimum"]), "operations": case.operations(inputs) if case.operations else None,
            "bytes": case.bytes(inputs) if case.bytes else None, "differences": differences, "errors": errors, "tolerance": {"fovea": ours, "peers": theirs},
            "different": [name for name, d in differences.items() if not d <= (ours if name == "fovea" else theirs)]}


def settings(case):
    processors = len(os.sched_getaffinity(0))
    return itertools.product(case.types, sorted({min(n, processors) for n in case.threads}))


def prepare(chosen, every, quick):
    """Fills torch.compile's cache."""
    wanted = ((case, dtype, threads, peer) for case in chosen for dtype, threads in settings(case) for peer in compiled_peers(case, quick).values() if peer.compiled)
    first, step = (int(n) for n in every.split("/"))
    for case, dtype, threads, peer in itertools.islice(wanted, first, None, step):
        torch.set_num_threads(threads)
        torch._dynamo.reset()
        torch.manual_seed(0)
        try:
            first_call(peer.prepare(cast(case.inputs(), dtype)), True)
        except Exception:  # reported where it is measured
            pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--f32")
    parser.add_argument("--bf16")
    parser.add_argument("--peak")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--part")
    parser.add_argument("--prepare")
    options = parser.parse_args()
    torch._dynamo.config.recompile_limit = 1000
    torch._dynamo.config.fail_on_recompile_limit_hit = True
    warnings.filterwarnings("error", message=".*without torch.compile")
    chosen = [case for case in cases.cases(options.quick) if options.part in (None, case.part)]
    with torch.inference_mode():
        if options.prepare:
            return prepare(chosen, options.prepare, options.quick)
        libraries = {torch.float32: Library(options.f32), torch.bfloat16: Library(options.bf16)}
        peaks = Peaks(options.peak)
        rows = []
        for case in chosen:
            for dtype, threads in settings(case):
                row = one(case, dtype, threads, libraries[dtype], peaks, options.quick)
                rows.append(row)
                best = row["best_peer"]
                print(f"  {case.part}: {case.name}, {row['type']}, {threads} threads: {1e3 * row['fovea']['minimum']:.2f} ms, {best} {1e3 * row['peers'][best]['minimum']:.2f} ms",
                      file=sys.stderr, flush=True)
    print(json.dumps({"peaks": {"gflops": peaks.gflops, "read_gbs": peaks.read_gbs}, "peer": "PyTorch " + torch.__version__,
                      "peer_setup": torch.__config__.parallel_info().split("\n")[0], "rows": rows}))


if __name__ == "__main__":
    main()
