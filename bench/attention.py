"""f32 scaled-dot-product attention: a compiled kernel against torch.nn.functional.scaled_dot_product_attention, in one process, on the
same memory. Prints one JSON text. Called by run.py.

    attention.py --library LIB --peak LIB [--quick]
"""
import argparse
import ctypes
import json
import os
import sys
import time

import measure

sys.path.insert(0, os.path.join(measure.ROOT, "examples", "numpy"))
import attend as example  # noqa: E402
import torch  # noqa: E402

BATCH, HEADS, SIZE = 1, 8, 64
DIFFERENCE = 2e-5  # between two f32 results of different order of summation; the values are at most about 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", required=True)
    parser.add_argument("--peak", required=True)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    kernels = example.Kernels(options.library)
    peak = ctypes.CDLL(options.peak)
    peak.peak_run.argtypes = peak.peak_operations.argtypes = [ctypes.c_long]
    peak.peak_run.restype, peak.peak_operations.restype = ctypes.c_float, ctypes.c_double
    rounds = 1_000_000
    best = 0.0

    def core_peak():
        """GFLOP/s of one core; the greatest seen in the whole run counts."""
        nonlocal best
        began = time.perf_counter()
        peak.peak_run(rounds)
        best = max(best, peak.peak_operations(rounds) / (time.perf_counter() - began) / 1e9)

    rows = []
    torch.manual_seed(0)
    for length in [1024] if options.quick else [1024, 4096]:
        q, k, v = (torch.randn(BATCH, HEADS, length, SIZE) for _ in range(3))
        o = torch.empty_like(q)
        arrays = [x.numpy() for x in (q, k, v, o)]
        for causal in (False, True):
            kernel = kernels.attend_causal if causal else kernels.attend
            pairs = length * (length + 1) // 2 if causal else length * length
            work = 4 * BATCH * HEADS * pairs * SIZE  # multiplications and additions of both products; the exponentials are not counted
            for threads in (1, 2):
                kernels.library.fovea_set_threads(threads)
                torch.set_num_threads(threads)
                answer = None

                def ours():
                    core_peak()
                    began = time.perf_counter()
                    kernel(*arrays)
                    return time.perf_counter() - began

                def peer():
                    nonlocal answer
                    began = time.perf_counter()
                    answer = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
                    return time.perf_counter() - began

                with torch.inference_mode():
                    o.fill_(float("nan"))
                    seconds = measure.alternate(5 if options.quick else 30 if length == 1024 else 12, {"fovea": ours, "pytorch": peer}, pause=0.02)
                difference = float((o - answer).abs().max())
                rows.append({"length": length, "causal": causal, "threads": threads, "operations": work, "difference": difference,
                             "equal": difference <= DIFFERENCE, **{name: measure.summary(s) for name, s in seconds.items()}})
                print(f"  L={length} causal={causal} threads={threads}: {json.dumps({n: round(min(s) * 1e3, 2) for n, s in seconds.items()})} ms",
                      file=sys.stderr, flush=True)
    print(json.dumps({"batch": BATCH, "heads": HEADS, "size": SIZE, "core_peak_gflops": best, "peer": "PyTorch " + torch.__version__,
                      "peer_setup": torch.__config__.parallel_info().split("\n")[0], "rows": rows}))


if __name__ == "__main__":
    main()
