"""Calls a compiled kernel as C would, on tensors that do not lie compactly: outer axes in reverse order in memory, gaps of
NaN bits after every innermost row, and a first element that is only naturally aligned. Nothing but the results may change.

    strided.py KERNEL.attn KERNEL.so IN.safetensors OUT.safetensors REST.json

REST.json: {"scalars": {NAME: VALUE}, "shapes": {RESULT: [...]}}; a process of its own, since a fault would end it."""

import ctypes
import json
import os
import re
import sys

import numpy as np

import tensors

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "examples", "numpy"))
from attend import CPU, CODES, DLDataType, DLDevice, DLTensor

SCALARS = {"f": ctypes.c_float, "i": ctypes.c_int32, "b": ctypes.c_bool}
BFLOAT = 4    # DLPack's code


class Spread:
    """A tensor in a buffer whose other bytes are all 255: NaN for every float type."""

    def __init__(self, kind, shape):
        self.kind, outer, inner = kind, shape[:-1], shape[-1] if shape else 1
        storage = np.dtype(tensors.STORAGE[kind][1])
        rows = tuple(reversed(outer)) + (inner + 3,)
        self.bytes = np.full((int(np.prod(rows)) + 1) * storage.itemsize, 255, np.uint8)
        self.data = self.place(self.bytes.view(storage), rows, shape)
        unused = self.bytes.copy()
        self.place(unused.view(storage), rows, shape)[...] = 0
        self.used = unused == 0

    @staticmethod
    def place(flat, rows, shape):
        count = len(rows) - 1
        block = np.lib.stride_tricks.as_strided(flat[1:], rows, flat.strides[0] * np.cumprod((1,) + rows[:0:-1])[::-1])
        return block[..., : rows[-1] - 3].transpose(*reversed(range(count)), count).reshape(shape) if shape else flat[1:2].reshape(())

    def argument(self):
        code, bits = (BFLOAT, 16) if self.kind == "bf16" else (CODES[self.data.dtype.kind], 8 * self.data.dtype.itemsize)
        extents = ctypes.c_int64 * self.data.ndim
        start = self.bytes.ctypes.data
        return ctypes.byref(DLTensor(start, DLDevice(CPU, 0), self.data.ndim, DLDataType(code, bits, 1), extents(*self.data.shape),
                                     extents(*(s // self.data.itemsize for s in self.data.strides)), self.data.ctypes.data - start))


def main():
    source, library, given, out, rest = sys.argv[1:]
    given = tensors.load(given)
    with open(rest) as file:
        rest = json.load(file)
    with open(source) as file:
        name, head = re.search(r"\bkernel (\w+)(.*?)(?:\bwhere\b|\{)", re.sub(r"//.*", "", file.read()), re.S).groups()
    parameters, results = (re.findall(r"(\w+): (\w+)(\[)?", part) for part in head.split("->"))
    arguments, kept = [], {}
    for parameter, kind, is_tensor in parameters:
        if is_tensor:
            kept[parameter] = Spread(kind, given[parameter].data.shape)
            kept[parameter].data[...] = given[parameter].data
            arguments.append(kept[parameter].argument())
        else:
            value = given[parameter].value.item() if parameter in given else rest["scalars"][parameter]
            arguments.append(SCALARS[kind[0]](value))
    before = {parameter: spread.bytes.copy() for parameter, spread in kept.items()}
    for result, kind, _ in results:
        kept[result] = Spread(kind, tuple(rest["shapes"][result]))
        arguments.append(kept[result].argument())
    kernels = ctypes.CDLL(os.path.abspath(library))
    kernels.fovea_last_error.restype = ctypes.c_char_p
    if getattr(kernels, name)(*arguments):
        sys.exit(kernels.fovea_last_error().decode())
    for key, spread in kept.items():
        touched = spread.bytes != before[key] if key in before else (spread.bytes != 255) & ~spread.used
        if touched.any():
            sys.exit(f"wrote to {int(touched.sum())} bytes of `{key}` that are not its to write")
    tensors.save(out, {result: tensors.Tensor(kind, kept[result].data) for result, kind, _ in results})


if __name__ == "__main__":
    main()
