"""The products of fragments.mlir or bf16.mlir, run by ptx.py on small integers, which any order of sums leaves exact."""

import os
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import ptx  # noqa: E402

generator = np.random.default_rng(0)
a, b, c = (generator.integers(-9, 10, shape).astype(np.float32) for shape in ((16, 16), (16, 8), (16, 8)))


def f16(x):
    return np.ascontiguousarray(x, np.float16)


def bf16(x):
    return (np.ascontiguousarray(x).view(np.uint32) >> 16).astype(np.uint16)  # integers below 256 are exact


# What each kernel is given, and what lies in shared memory.
CASES = {"global": ([f16(a), f16(b.T)], {}),
         "shared": ([], {"shared": np.concatenate([f16(x).reshape(-1).view(np.uint8) for x in (a, b)])}),
         "bf16": ([bf16(a), bf16(b.T)], {})}


def main():
    with open(sys.argv[1]) as file:
        entries = ptx.parse(file.read())
    for name, entry in entries.items():
        arrays, how = CASES[name]
        memory, result = ptx.Global(), c.copy()
        arguments = []
        for array in arrays + [result]:
            address = memory.place(array)
            arguments += [address, address, 0, *array.shape, array.shape[1], 1]
        ptx.Machine(entry, memory, (1, 1, 1), (32, 1, 1), **how).run(arguments)
        assert (result == a @ b + c).all(), name


if __name__ == "__main__":
    sys.exit(main())
