"""Tensors of the tests: their storage types, and safetensors files with them (rule C2). Written from the formats'
definitions, so that a fault in a library that the compiler also uses cannot hide."""

import json
import struct

import numpy as np

# name in a .attn file -> (name in a safetensors file, NumPy storage)
STORAGE = {
    "f32": ("F32", np.float32), "f16": ("F16", np.float16), "bf16": ("BF16", np.uint16), "i32": ("I32", np.int32),
    "i8": ("I8", np.int8), "u8": ("U8", np.uint8), "bool": ("BOOL", np.bool_), "i64": ("I64", np.int64),
}
NAMES = {name: kind for kind, (name, _) in STORAGE.items()}


def round_to_bf16(values):
    """The 16 bits of the nearest bf16, ties to even; beyond the largest is infinity."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(values), 0x7FC0, nearest).astype(np.uint16)


class Tensor:
    """Values as stored: `kind` is the type's name in the language, `data` the storage (bf16: its bits)."""

    def __init__(self, kind, data):
        self.kind, self.data = kind, np.ascontiguousarray(data, STORAGE[kind][1]).reshape(np.shape(data))

    @property
    def value(self):
        """What a formula works on: f64, int64 or bool."""
        if self.kind == "bf16":
            return (self.data.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
        if self.kind == "bool":
            return self.data
        return self.data.astype(np.float64 if self.kind[0] == "f" else np.int64)


def f32(values): return Tensor("f32", np.asarray(values, np.float32))
def f16(values): return Tensor("f16", np.asarray(values, np.float16))
def bf16(values): return Tensor("bf16", round_to_bf16(np.asarray(values, np.float32)))
def i32(values): return Tensor("i32", np.asarray(values, np.int32))
def i8(values): return Tensor("i8", np.asarray(values, np.int8))
def u8(values): return Tensor("u8", np.asarray(values, np.uint8))
def i64(values): return Tensor("i64", np.asarray(values, np.int64))
def boolean(values): return Tensor("bool", np.asarray(values, np.bool_))


class Random:
    """Seeded inputs of any type."""

    def __init__(self, seed):
        self.generator = np.random.default_rng(seed)

    def f32(self, *shape): return f32(self.generator.standard_normal(shape))
    def f16(self, *shape): return f16(self.generator.standard_normal(shape))
    def bf16(self, *shape): return bf16(self.generator.standard_normal(shape))
    def bool(self, *shape): return boolean(self.generator.random(shape) < 0.5)

    def i32(self, low, high, *shape):
        """low <= values < high"""
        return i32(self.generator.integers(low, high, shape))

    def sorted(self, low, high, *shape): return i32(np.sort(self.generator.integers(low, high, shape), axis=-1))


def save(path, tensors):
    header, parts, offset = {}, [], 0
    for name, tensor in tensors.items():
        data = tensor.data.tobytes()
        header[name] = {"dtype": STORAGE[tensor.kind][0], "shape": list(tensor.data.shape),
                        "data_offsets": [offset, offset + len(data)]}
        parts.append(data)
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(parts))


def load(path):
    with open(path, "rb") as file:
        content = file.read()
    length = struct.unpack_from("<Q", content)[0]
    header = json.loads(content[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        kind = NAMES[entry["dtype"]]
        begin, end = entry["data_offsets"]
        data = np.frombuffer(content[8 + length + begin : 8 + length + end], STORAGE[kind][1])
        tensors[name] = Tensor(kind, data.reshape(entry["shape"]))
    return tensors
