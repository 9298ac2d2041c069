"""A kernel that Halide compiles for CUDA, run by ptx.py: a product of matrices in f32, staged in shared memory, and exp of it."""

import os
import sys
import tempfile

import halide as hl
import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import ptx  # noqa: E402

WIDTH, HEIGHT = 16, 8  # of a block


def compiled():
    x, y, xi, yi = (hl.Var(name) for name in ("x", "y", "xi", "yi"))
    a, b = hl.ImageParam(hl.Float(32), 2, "a"), hl.ImageParam(hl.Float(32), 2, "b")
    k = hl.RDom([(0, a.dim(0).extent())], "k")
    product, result = hl.Func("product"), hl.Func("result")
    product[x, y] = hl.f32(0)
    product[x, y] += a[k.x, y] * b[x, k.x]
    result[x, y] = hl.exp(product[x, y] * hl.f32(0.25))
    result.gpu_tile(x, y, xi, yi, WIDTH, HEIGHT, tail=hl.TailStrategy.GuardWithIf)
    product.compute_at(result, x).gpu_threads(x, y)
    product.update().gpu_threads(x, y)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "result.o")
        result.compile_to_object(path, [a, b], "result", hl.Target("x86-64-linux-cuda-cuda_capability_80-no_runtime"))
        with open(path, "rb") as file:
            data = file.read()
    start = data.index(b".version")
    return data[start:data.index(b"\0", start)].decode()


def main():
    text = compiled()
    if len(sys.argv) > 1:
        with open(sys.argv[1], "w") as file:
            file.write(text)
    entry, = ptx.parse(text).values()
    generator = np.random.default_rng(0)
    for rows, inner, columns in ((8, 16, 16), (21, 5, 37), (1, 1, 1)):
        a, b = generator.standard_normal((rows, inner)).astype(np.float32), generator.standard_normal((inner, columns)).astype(np.float32)
        result, memory = np.full((rows, columns), np.nan, np.float32), ptx.Global()
        # Halide's order: arrays; the sum's extent; strides of rows; the result's extents, its beginning and its stride; where a and b begin. One is not read.
        arguments = [memory.place(x) for x in (a, b, result)] + [inner, inner, columns, 0, columns, rows, 0, 0, columns, 0, 0]
        grid = (-(-columns // WIDTH), -(-rows // HEIGHT), 1)
        machine = ptx.Machine(entry, memory, grid, (WIDTH, HEIGHT, 1), dynamic=4 * WIDTH * HEIGHT)
        machine.run(arguments)
        want = np.exp(0.25 * (a.astype(np.float64) @ b))
        error = np.abs(result - want).max() / want.max()
        print(f"{rows} x {inner} x {columns}: error {error:.1e}, {sum(machine.executed.values())} instructions")
        assert error <= 1e-6, error


if __name__ == "__main__":
    sys.exit(main())
