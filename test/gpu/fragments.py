"""The two products of fragments.mlir, run by ptx.py on small integers, which any order of sums leaves exact."""

import os
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import ptx  # noqa: E402

with open(sys.argv[1]) as file:
    entries = ptx.parse(file.read())
generator = np.random.default_rng(0)
a, b = (generator.integers(-9, 10, shape).astype(np.float16) for shape in ((16, 16), (16, 8)))
c = generator.integers(-9, 10, (16, 8)).astype(np.float32)

def run(name, arrays, **how):
    memory, result = ptx.Global(), c.copy()
    arguments = []
    for array in arrays + [result]:
        address = memory.place(array)
        arguments += [address, address, 0, *array.shape, array.shape[1], 1]
    ptx.Machine(entries[name], memory, (1, 1, 1), (32, 1, 1), **how).run(arguments)
    assert (result == a.astype(np.float32) @ b.astype(np.float32) + c).all(), name


run("global", [a, np.ascontiguousarray(b.T)])
run("shared", [], shared=np.concatenate([x.reshape(-1).view(np.uint8) for x in (a, b)]))
