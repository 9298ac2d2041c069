"""Calls examples/kernels/attend.attn on NumPy arrays, without copying them, through ctypes alone.

    fovea compile examples/kernels/attend.attn -o attend.o
    cc -shared attend.o -o attend.so
    python3 examples/numpy/attend.py ./attend.so
"""

import ctypes
import sys

import numpy as np


class DLDevice(ctypes.Structure):
    _fields_ = [("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32)]


class DLDataType(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16)]


class DLTensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("device", DLDevice), ("ndim", ctypes.c_int32), ("dtype", DLDataType),
                ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
                ("byte_offset", ctypes.c_uint64)]


CPU = 1
CODES = {"i": 0, "u": 1, "f": 2, "c": 5, "b": 6}   # DLPack's, by NumPy's kinds


def dltensor(array):
    """A view of `array`, which must outlive it. Strides pass as they are, so transposed and sliced arrays are fine."""
    extents = ctypes.c_int64 * array.ndim
    view = DLTensor(array.ctypes.data, DLDevice(CPU, 0), array.ndim,
                    DLDataType(CODES[array.dtype.kind], 8 * array.dtype.itemsize, 1),
                    extents(*array.shape), extents(*(s // array.itemsize for s in array.strides)), 0)
    return ctypes.byref(view)


class Kernels:
    """A shared library of kernels: `Kernels("attend.so").attend(q, k, v, out)`."""

    def __init__(self, path):
        self.library = ctypes.CDLL(path)
        self.library.fovea_last_error.restype = ctypes.c_char_p

    def __getattr__(self, name):
        function = getattr(self.library, name)

        def call(*arguments):
            # Python's floats, ints and bools are scalars; each C type is what the header says.
            scalars = {float: ctypes.c_float, int: ctypes.c_int32, bool: ctypes.c_bool}
            passed = [scalars[type(a)](a) if type(a) in scalars else dltensor(a) for a in arguments]
            if function(*passed):
                raise ValueError(self.library.fovea_last_error().decode())

        return call


def main():
    kernels = Kernels(sys.argv[1])
    random = np.random.default_rng(0)
    batch, heads, queries, keys, size = 2, 4, 33, 70, 64

    # [batch, position, head, size], as a projection writes it, seen as [batch, head, position, size].
    q = random.standard_normal((batch, queries, heads, size), np.float32).transpose(0, 2, 1, 3)
    k = random.standard_normal((batch, keys, heads, size), np.float32).transpose(0, 2, 1, 3)
    v = random.standard_normal((batch, keys, heads, size), np.float32).transpose(0, 2, 1, 3)
    o = np.empty((batch, heads, queries, size), np.float32)
    kernels.attend(q, k, v, o)

    scores = q.astype(np.float64) @ k.astype(np.float64).swapaxes(2, 3) / np.sqrt(size)
    weights = np.exp(scores - scores.max(axis=3, keepdims=True))
    expected = weights / weights.sum(axis=3, keepdims=True) @ v
    difference = abs(o - expected).max()
    print(f"largest difference: {difference:.1e}")
    assert difference < 1e-5

    try:
        kernels.attend(q, k[:, :, :-1], v, o)
    except ValueError as error:
        print(f"refused: {error}")
    else:
        raise AssertionError("different numbers of keys and values must be refused")


if __name__ == "__main__":
    main()
