"""The error of a softmax weight on CUDA, in the interpreter of PTX whose ex2.approx is as wrong as it may be, against f64.

    python3 test/gpu/weights.py FOVEA FOLDER

Each row has two keys with scores x <= t and values 1 and 0, so that its result is w / (1 + w) with w = e^(x - t)."""

import os
import subprocess
import sys

import numpy as np
from safetensors.numpy import load_file, save_file

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import driver  # noqa: E402

KERNEL = "kernel pairs(q: f32[i,d], k: f32[j,d], v: f32[j,e]) -> o: f32[i,e] { score s = sum[d](q * k); o = sum[j](softmax[j](s) * v); }"
ROWS = 192


def weights(fovea, folder, scores):
    """w for rows of two scores [rows, 2], the second of which is not smaller."""
    tensors = {"q": scores, "k": np.eye(2, dtype=np.float32), "v": np.float32([[1], [0]])}
    source, given, out = (os.path.join(folder, name) for name in ("pairs.attn", "in.safetensors", "out.safetensors"))
    with open(source, "w") as file:
        file.write(KERNEL)
    save_file(tensors, given)
    environment = {**os.environ, **driver.environment(folder)}
    subprocess.run([fovea, "run", source, "--target", "cuda", "--in", given, "--out", out], env=environment, check=True)
    o = load_file(out)["o"][:, 0].astype(np.float64)
    return o / (1 - o)


def main():
    fovea, folder = sys.argv[1:]
    os.makedirs(folder, exist_ok=True)
    generator = np.random.default_rng(1)
    top = np.concatenate([np.zeros(ROWS // 2), generator.standard_normal(ROWS // 4) * 10, generator.standard_normal(ROWS // 4) * 1000]).astype(np.float32)
    scores = np.stack([top - generator.uniform(0, 13.8, ROWS).astype(np.float32), top], 1)
    want = np.exp(scores[:, 0].astype(np.float64) - scores[:, 1])
    error = np.abs(weights(fovea, folder, scores) / want - 1)
    # w / (1 + w) is rounded twice, which is 1.2e-7 of w at most for w below 1, and twice that where 1 - o is near 1 / 2.
    print(f"weights from {want.min():.1e} to {want.max():.2f}: largest relative error {error.max():.2e}, mean {error.mean():.2e}")
    assert error.max() < 7.9e-7 + 2.4e-7, error.max()

    # Far below: nothing is left of the weight, whatever the difference; none of these may be more than it is.
    far = np.float32([[-x, 0] for x in (80, 87, 88, 100, 103, 150, 1e4, 1e30, 3e38)])
    got, want = weights(fovea, folder, far), np.exp(far[:, 0].astype(np.float64))
    assert (np.abs(got - want) <= 1e-6 * want + 1.2e-38).all(), got
    assert (got[want < 1e-43] == 0).all(), got
    # Equal and very large scores: halves.
    assert (weights(fovea, folder, np.float32([[x, x] for x in (0, 1e10, -1e10, 3e37, 3e38)])) == 1).all()


if __name__ == "__main__":
    main()
