"""Runs PTX on a machine without a GPU: NumPy over the 32 lanes of a warp, warp after warp, block after block.

A kernel that this cannot run, or that does what the PTX ISA leaves undefined (reads outside of what it was given, a register before it is set, a `.sync`
instruction by a part of a warp), is an error that names the instruction. What a kernel may not rely on is not given to it: copies by cp.async arrive when they are
waited for and not before (or, with `copies="early"`, at once), shared memory begins as NaN, and warps run one at a time from barrier to barrier, in an order
that can be chosen.

    python3 test/gpu/ptx.py FILE.ptx      counts the instructions of each entry, and of its innermost loops

Fragments of mma.sync and ldmatrix are those of the PTX ISA, 9.7.14 and 9.7.14.5.15. A tensor core's sum is modelled after Fasi, Higham, Mikaitis and Pranesh,
"Numerical behavior of NVIDIA tensor cores", 2021: exact products, eight of which are added to the accumulator and then cut off, not rounded. ex2, rcp and the like are
rounded exactly here, while hardware's `.approx` is within two units of the last place."""

import argparse
import collections
import functools
import re
import struct
import sys

import numpy as np

WARP = 32
KINDS = {"b": "u", "u": "u", "s": "i", "f": "f"}


class Error(Exception):
    pass


@functools.cache
def dtype(name):
    """NumPy's type of a PTX type: `u32`, `b64`, `f16`, ..."""
    kind, bits = KINDS.get(name[0]), name[1:]
    if name == "pred":
        return np.dtype(np.uint8)
    if kind is None or bits not in ("8", "16", "32", "64"):
        raise Error(f"type `.{name}` is not supported")
    return np.dtype(f"{kind}{int(bits) // 8}")


# ---- text

Instruction = collections.namedtuple("Instruction", "line text guard opcode parts operands")  # guard: (register, negated) or None; parts: the opcode, cut at its dots


class Entry:
    """A kernel: `parameters` (name, bytes) in order, `shared` (name, bytes), `code`, and `labels`, a position in it each."""

    def __init__(self, name, parameters):
        self.name, self.parameters, self.shared, self.code, self.labels = name, parameters, [], [], {}


def operand(text):
    text = text.strip()
    if text.startswith("{"):
        return "vector", [operand(x) for x in text[1:-1].split(",")]
    if text.startswith("["):
        base, _, offset = text[1:-1].partition("+")
        return "memory", operand(base), int(offset or "0", 0)
    if re.fullmatch(r"0[fF][0-9a-fA-F]{8}|0[dD][0-9a-fA-F]{16}", text):
        return "bits", int(text[2:], 16), len(text) - 2
    if re.fullmatch(r"-?(0[xX])?[0-9a-fA-F]+U?", text):
        return "integer", int(text.rstrip("U"), 0)
    if re.fullmatch(r"%(tid|ntid|ctaid|nctaid)\.[xyz]|%laneid|WARP_SZ", text):
        return "special", text
    if re.fullmatch(r"%[\w$]+(\|%[\w$]+)?", text):
        return "register", text
    if re.fullmatch(r"[\w$]+", text):
        return "name", text
    raise Error(f"operand `{text}` is not understood")


def parse(text):
    """The entries of a PTX module, by name."""
    text = re.sub(r"/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.S)
    text = re.sub(r"//[^\n]*", "", text)
    entries = {}
    for head in re.finditer(r"\.entry\s+([\w$]+)\s*\((.*?)\)([^{;]*)\{", text, flags=re.S):
        parameters = []
        for part in head.group(2).split(","):
            found = re.search(r"\.([bufs]\d+)\s(?:.*\s)?([\w$]+)\s*(?:\[(\d+)\])?\s*$", part.strip(), flags=re.S)
            if part.strip() and not found:
                raise Error(f"parameter `{part.strip()}` is not understood")
            if found:
                parameters.append((found.group(2), dtype(found.group(1)).itemsize * int(found.group(3) or 1)))
        entry = entries[head.group(1)] = Entry(head.group(1), parameters)
        end, depth = head.end(), 1
        while depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        position = head.end()
        for match in re.finditer(r"\s*([\w$]+):|([^;]+);", text[head.end():end - 1]):
            if match.group(1):
                entry.labels[match.group(1)] = len(entry.code)
                continue
            statement, line = " ".join(match.group(2).split()), text.count("\n", 0, position + match.end()) + 1
            if statement.startswith(".shared"):
                found = re.fullmatch(r"\.shared (?:\.align \d+ )?\.(\w+) ([\w$]+)\[(\d+)\]", statement)
                if not found:
                    raise Error(f"line {line}: `{statement}` is not understood")
                entry.shared.append((found.group(2), dtype(found.group(1)).itemsize * int(found.group(3))))
            elif not statement.startswith((".reg", ".pragma", ".loc", ".file")):
                found = re.fullmatch(r"(?:@(!?)(%\w+) )?([a-z][\w.:]*(?: \.\w+)*)(?: (.*))?", re.sub(r"^((?:@!?%\w+ )?\w+)\. ", r"\1.", statement))
                if not found:
                    raise Error(f"line {line}: `{statement}` is not understood")
                operands = re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^,\s]+", found.group(4) or "")
                try:
                    parsed = [operand(x) for x in operands]
                except Error as error:
                    raise Error(f"line {line}: {error}") from None
                entry.code.append(Instruction(line, statement, (found.group(2), bool(found.group(1))) if found.group(2) else None,
                                              found.group(3), found.group(3).split("."), parsed))
    if not entries:
        raise Error("there is no .entry")
    return entries


def loops(entry):
    """Innermost loops: (first, beyond) positions in the code, from a label to the last branch back to it, with no other loop inside."""
    found = {}
    for position, instruction in enumerate(entry.code):
        if instruction.parts[0] == "bra":
            target = entry.labels.get(instruction.operands[0][1], len(entry.code))
            if target <= position:
                found[target] = position + 1
    spans = [(a, b) for a, b in found.items()]
    return [s for s in spans if not any(t != s and s[0] <= t[0] and t[1] <= s[1] for t in spans)]


# ---- memory

class Global:
    """Global memory: arrays at addresses of their own, far from each other."""

    def __init__(self):
        self.arrays = []  # (address, bytes)

    def place(self, array):
        """The address of an array, which the kernel reads and writes in place; its elements must lie without gaps."""
        address = (len(self.arrays) + 1) << 32
        self.arrays.append((address, array.reshape(-1).view(np.uint8)))
        return address

    def at(self, addresses, size):
        """For each address the bytes' array and the offset in it."""
        for base, data in self.arrays:
            offsets = addresses.astype(np.int64) - base
            if ((offsets >= 0) & (offsets + size <= len(data))).all():
                return data, offsets
        raise Error(f"{size} bytes at {', '.join(hex(a) for a in addresses[:4])} are outside of what the kernel was given")


# ---- a warp

class Warp:
    def __init__(self, machine, block, index):
        self.machine, self.block = machine, block
        width, height, _ = machine.threads
        thread = index * WARP + np.arange(WARP)
        self.live = thread < np.prod(machine.threads)
        self.registers = {}
        self.special = {"%tid.x": thread % width, "%tid.y": thread // width % height, "%tid.z": thread // (width * height), "%laneid": thread % WARP, "WARP_SZ": WARP + 0 * thread}
        for axis, name in enumerate("xyz"):
            self.special.update({f"%ntid.{name}": machine.threads[axis] + 0 * thread, f"%ctaid.{name}": block[axis] + 0 * thread, f"%nctaid.{name}": machine.grid[axis] + 0 * thread})
        self.pending, self.groups = [], []  # copies not committed; committed groups, oldest first

    # Values are kept as their bits in 64-bit words.
    def read(self, item, kind):
        what, value = item[0], item[1]
        if what == "register":
            if value not in self.registers:
                raise Error(f"`{value}` is read before it is set")
            bits = self.registers[value]
        elif what == "integer":
            bits = np.full(WARP, value & (2**64 - 1), np.uint64)
        elif what == "bits":
            bits = np.full(WARP, value, np.uint64)
        elif what == "special":
            bits = self.special[value].astype(np.uint64)
        elif what == "name":
            bits = np.full(WARP, self.machine.shared_at(value), np.uint64)
        else:
            raise Error("an operand of another kind is expected")
        t = dtype(kind)
        return bits.astype(f"u{t.itemsize}").view(t)

    def write(self, item, values, kind, mask):
        if item[0] != "register":
            raise Error("the result is no register")
        t = dtype(kind)
        bits = np.ascontiguousarray(values, dtype=t).view(f"u{t.itemsize}").astype(np.uint64)
        if item[1] == "_":
            return
        old = self.registers.get(item[1])
        self.registers[item[1]] = bits if old is None else np.where(mask, bits, old)

    def run(self):
        """Yields at every barrier. Lanes go on together; after a branch that parts them, those that are furthest behind go first."""
        entry, machine = self.machine.entry, self.machine
        parts = {0: self.live.copy()}
        while parts:
            at = min(parts)
            mask = parts.pop(at)
            while True:
                if at in parts:
                    mask = mask | parts.pop(at)
                if parts and at > min(parts):
                    parts[at] = mask
                    break
                if at >= len(entry.code):
                    raise Error("the code ends without `ret`")
                instruction = entry.code[at]
                try:
                    active = mask
                    if instruction.guard:
                        register, negated = instruction.guard
                        active = mask & ((self.read(("register", register), "pred") != 0) ^ negated)
                    name = instruction.parts[0]
                    machine.executed[instruction.opcode] += 1
                    if name == "bra":
                        target = entry.labels.get(instruction.operands[0][1])
                        if target is None:
                            raise Error(f"there is no label `{instruction.operands[0][1]}`")
                        machine.executed["branches that part a warp"] += bool(active.any() and (active != mask).any())
                        stay = mask & ~active
                        if active.any():
                            parts[target] = parts[target] | active if target in parts else active
                        if not stay.any():
                            break
                        mask = stay
                    elif name in ("ret", "exit"):
                        self.live = self.live & ~active
                        mask = mask & ~active
                        if not mask.any():
                            break
                    elif name in ("bar", "barrier"):
                        self.together(active)
                        yield
                    elif active.any():
                        handler = getattr(self, "do_" + name, None)
                        if not handler:
                            raise Error("this instruction is not supported")
                        handler(instruction.parts[1:], instruction.operands, active)
                except Error as error:
                    raise Error(f"{entry.name}, line {instruction.line}: `{instruction.text}`: {error}") from None
                at += 1

    def together(self, mask):
        if (mask != self.live).any():
            raise Error(f"{mask.sum()} of {self.live.sum()} lanes come here together")

    # Arithmetic
    def binary(self, parts, o, mask, function):
        kind = parts[-1]
        with np.errstate(all="ignore"):
            self.write(o[0], function(self.read(o[1], kind), self.read(o[2], kind)), kind, mask)

    def unary(self, parts, o, mask, function):
        kind = parts[-1]
        with np.errstate(all="ignore"):
            values = self.read(o[1], kind)
            if "ftz" in parts:
                values = flush(values)
            result = np.asarray(function(values.astype(np.float64) if kind == "f32" else values), dtype(kind))
            self.write(o[0], flush(result) if "ftz" in parts else result, kind, mask)

    def do_add(self, parts, o, mask):
        self.binary(parts, o, mask, np.add)

    def do_sub(self, parts, o, mask):
        self.binary(parts, o, mask, np.subtract)

    def do_and(self, parts, o, mask):
        self.binary(parts, o, mask, np.bitwise_and)

    def do_or(self, parts, o, mask):
        self.binary(parts, o, mask, np.bitwise_or)

    def do_xor(self, parts, o, mask):
        self.binary(parts, o, mask, np.bitwise_xor)

    def do_max(self, parts, o, mask):
        self.binary(parts, o, mask, np.maximum if "NaN" in parts or parts[-1][0] != "f" else np.fmax)

    def do_min(self, parts, o, mask):
        self.binary(parts, o, mask, np.minimum if "NaN" in parts or parts[-1][0] != "f" else np.fmin)

    def do_not(self, parts, o, mask):
        self.unary(parts, o, mask, (lambda x: x ^ 1) if parts[-1] == "pred" else np.invert)

    def do_neg(self, parts, o, mask):
        self.unary(parts, o, mask, np.negative)

    def do_abs(self, parts, o, mask):
        self.unary(parts, o, mask, np.abs)

    def do_ex2(self, parts, o, mask):
        self.unary(parts, o, mask, np.exp2)

    def do_lg2(self, parts, o, mask):
        self.unary(parts, o, mask, np.log2)

    def do_rcp(self, parts, o, mask):
        self.unary(parts, o, mask, np.reciprocal)

    def do_sqrt(self, parts, o, mask):
        self.unary(parts, o, mask, np.sqrt)

    def do_rsqrt(self, parts, o, mask):
        self.unary(parts, o, mask, lambda x: 1 / np.sqrt(x))

    def do_div(self, parts, o, mask):
        if parts[-1][0] == "f":
            return self.binary(parts, o, mask, np.divide)
        x, y = self.read(o[1], parts[-1]), self.read(o[2], parts[-1])
        if (y[mask] == 0).any():
            raise Error("division by zero")
        y = np.where(y == 0, 1, y)
        self.write(o[0], np.where((x < 0) != (y < 0), -(abs(x) // abs(y)), abs(x) // abs(y)), parts[-1], mask)

    def do_rem(self, parts, o, mask):
        x, y = self.read(o[1], parts[-1]), self.read(o[2], parts[-1])
        if (y[mask] == 0).any():
            raise Error("division by zero")
        self.write(o[0], np.fmod(x, np.where(y == 0, 1, y)), parts[-1], mask)

    def do_mul(self, parts, o, mask):
        kind = parts[-1]
        if kind[0] == "f":
            return self.binary(parts, o, mask, np.multiply)
        self.write(o[0], *self.product(parts, o), mask)

    def do_mad(self, parts, o, mask):
        if parts[-1][0] == "f":
            return self.do_fma(parts, o, mask)
        values, kind = self.product(parts, o)
        self.write(o[0], values + self.read(o[3], kind), kind, mask)

    def product(self, parts, o):
        kind, x, y = parts[-1], self.read(o[1], parts[-1]), self.read(o[2], parts[-1])
        if "wide" in parts:
            wide = kind[0] + str(2 * int(kind[1:]))
            return x.astype(dtype(wide)) * y.astype(dtype(wide)), wide
        if "hi" in parts:
            bits = int(kind[1:])
            return np.array([int(a) * int(b) >> bits for a, b in zip(x, y)], object).astype(dtype(kind)), kind
        return x * y, kind

    def do_fma(self, parts, o, mask):
        kind = parts[-1]
        if kind != "f32":
            raise Error("fma of this type is not supported")
        x, y, z = (self.read(a, kind).astype(np.float64) for a in o[1:4])
        with np.errstate(all="ignore"):
            self.write(o[0], rounded_sum(x * y, z), kind, mask)  # the product of two f32 is exact in f64

    def do_shl(self, parts, o, mask):
        bits, count = int(parts[-1][1:]), self.read(o[2], "u32").astype(np.uint64)
        x = self.read(o[1], parts[-1])
        self.write(o[0], np.where(count < bits, x << np.minimum(count, np.uint64(bits - 1)).astype(x.dtype), 0), parts[-1], mask)

    def do_shr(self, parts, o, mask):
        bits, count = int(parts[-1][1:]), self.read(o[2], "u32")
        x = self.read(o[1], parts[-1])
        shifted = x >> np.minimum(count, bits - 1).astype(x.dtype)
        self.write(o[0], shifted if parts[-1][0] == "s" else np.where(count < bits, shifted, 0), parts[-1], mask)

    def do_bfe(self, parts, o, mask):
        kind = parts[-1]
        if kind[0] != "u":
            raise Error("only unsigned fields are supported")
        x, start, length = self.read(o[1], kind), self.read(o[2], "u32") & 255, self.read(o[3], "u32") & 255
        values = [(int(a) >> int(b)) & ((1 << int(c)) - 1) for a, b, c in zip(x, start, length)]
        self.write(o[0], np.array(values, dtype(kind)), kind, mask)

    def do_setp(self, parts, o, mask):
        kind, compare = parts[-1], parts[0]
        x, y = self.read(o[1], kind), self.read(o[2], kind)
        unordered = kind[0] == "f" and (np.isnan(x) | np.isnan(y))
        ordered = {"eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
                   "lo": np.less, "ls": np.less_equal, "hi": np.greater, "hs": np.greater_equal}
        if compare == "num" or compare == "nan":
            result = unordered == (compare == "nan")
        elif compare in ordered:
            result = ordered[compare](x, y) & ~np.asarray(unordered)
        elif compare[-1] == "u" and compare[:-1] in ordered:
            result = ordered[compare[:-1]](x, y) | unordered
        else:
            raise Error("this comparison is not supported")
        joined = [p for p in parts[1:-1] if p in ("and", "or", "xor")]
        if joined:
            other = self.read(o[3], "pred") != 0
            result = {"and": result & other, "or": result | other, "xor": result ^ other}[joined[0]]
        if "|" in o[0][1]:
            raise Error("two results are not supported")
        self.write(o[0], result, "pred", mask)

    def do_selp(self, parts, o, mask):
        kind = parts[-1]
        self.write(o[0], np.where(self.read(o[3], "pred") != 0, self.read(o[1], kind), self.read(o[2], kind)), kind, mask)

    def do_mov(self, parts, o, mask):
        kind = parts[-1]
        if o[1][0] == "vector":
            half = "b" + str(int(kind[1:]) // len(o[1][1]))
            pieces = [self.read(x, half).astype(np.uint64) << np.uint64(i * int(half[1:])) for i, x in enumerate(o[1][1])]
            return self.write(o[0], np.bitwise_or.reduce(pieces).astype(dtype(kind)), kind, mask)
        if o[0][0] == "vector":
            half = "b" + str(int(kind[1:]) // len(o[0][1]))
            bits = self.read(o[1], kind).astype(np.uint64)
            for i, x in enumerate(o[0][1]):
                self.write(x, (bits >> np.uint64(i * int(half[1:]))).astype(dtype(half)), half, mask)
            return None
        return self.write(o[0], self.read(o[1], kind), kind, mask)

    def do_cvta(self, parts, o, mask):
        if "global" not in parts:
            raise Error("only addresses of global memory are supported")
        self.write(o[0], self.read(o[1], parts[-1]), parts[-1], mask)

    def do_cvt(self, parts, o, mask):
        to, of = parts[-2], parts[-1]
        with np.errstate(all="ignore"):
            if to in ("f16x2", "bf16x2") and of == "f32":  # the first source is the upper half
                upper, lower = (narrow(self.read(x, of), to[:-2]).astype(np.uint32) for x in o[1:3])
                return self.write(o[0], upper << 16 | lower, "b32", mask)
            if to == "bf16" and of == "f32":
                return self.write(o[0], narrow(self.read(o[1], of), to), "b16", mask)
            if of == "bf16" and to == "f32":
                return self.write(o[0], self.read(o[1], "b16").astype(np.uint32) << 16, "b32", mask)
            x = self.read(o[1], of)
            if to[0] != "f" and of[0] == "f":
                rounding = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}[parts[0]]
                limits = np.iinfo(dtype(to))
                x = np.clip(np.nan_to_num(rounding(x.astype(np.float64))), limits.min, limits.max)
            elif to[0] == "f" and of[0] == "f" and parts[0] in ("rni", "rzi", "rmi", "rpi"):
                x = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}[parts[0]](x)
            return self.write(o[0], x.astype(dtype(to)), to, mask)

    # Memory
    def addresses(self, item, space):
        if item[0] != "memory":
            raise Error("an address is expected")
        base = item[1]
        if space == "shared":
            return self.read(base, "u32").astype(np.int64) + item[2]
        return (self.read(base, "u64") + np.uint64(item[2] & (2**64 - 1))).astype(np.uint64)

    def place(self, parts, item, mask, size):
        """Bytes and offsets in them of the lanes in `mask`."""
        space = next((p for p in parts if p in ("shared", "global", "param")), "global")
        if space == "param":
            name, offset = item[1][1], item[2]
            if name not in self.machine.parameters:
                raise Error(f"there is no parameter `{name}`")
            return self.machine.parameters[name], np.full(mask.sum(), offset)
        where = self.addresses(item, space)[mask]
        if (where.astype(np.int64) % size).any():
            raise Error(f"an address is no multiple of {size}")
        if space == "global":
            return self.machine.memory.at(where, size)
        shared = self.machine.shared
        if (where < 0).any() or (where + size > len(shared)).any():
            raise Error("an address is outside of shared memory")
        self.machine.count_banks(where, size)
        return shared, where

    def do_ld(self, parts, o, mask):
        kind, targets = parts[-1], o[0][1] if o[0][0] == "vector" else [o[0]]
        size = dtype(kind).itemsize
        data, offsets = self.place(parts, o[1], mask, size * len(targets))
        for i, target in enumerate(targets):
            values = np.zeros(WARP, dtype(kind))
            values[mask] = data[offsets[:, None] + (i * size + np.arange(size))].reshape(-1).view(dtype(kind))
            self.write(target, values, kind, mask)

    def do_st(self, parts, o, mask):
        kind, sources = parts[-1], o[1][1] if o[1][0] == "vector" else [o[1]]
        size = dtype(kind).itemsize
        data, offsets = self.place(parts, o[0], mask, size * len(sources))
        for i, source in enumerate(sources):
            data[offsets[:, None] + (i * size + np.arange(size))] = self.read(source, kind)[mask].view(np.uint8).reshape(-1, size)

    def do_cp(self, parts, o, mask):
        if parts[:2] == ["async", "commit_group"]:
            self.together(mask)
            self.groups.append(self.pending)
            self.pending = []
            return
        if parts[:2] == ["async", "wait_group"] or parts[:2] == ["async", "wait_all"]:
            self.together(mask)
            keep = int(o[0][1]) if o else 0
            if not o:
                self.groups.append(self.pending)
                self.pending = []
            while len(self.groups) > keep:
                for arrival in self.groups.pop(0):
                    arrival()
            return
        if parts[:4] not in (["async", "cg", "shared", "global"], ["async", "ca", "shared", "global"]):
            raise Error("this copy is not supported")
        size = o[2][1]
        count = self.read(o[3], "u32")[mask].astype(np.int64) if len(o) > 3 else np.full(mask.sum(), size)
        if (count > size).any() or (count < 0).any():
            raise Error("more bytes are read than written")
        shared, to = self.place(["shared"], o[0], mask, size)
        source, moved = self.addresses(o[1], "global")[mask], np.zeros((mask.sum(), size), np.uint8)
        for length in set(count.tolist()) - {0}:
            lanes = count == length
            data, offsets = self.machine.memory.at(source[lanes], length)
            moved[lanes, :length] = data[offsets[:, None] + np.arange(length)]

        def arrive():
            shared[to[:, None] + np.arange(size)] = moved
        if self.machine.copies == "early":
            arrive()
        self.pending.append(arrive)

    # What a warp does as one
    def do_shfl(self, parts, o, mask):
        self.together(mask)
        if parts[0] != "sync" or parts[1] not in ("bfly", "up", "down", "idx") or "|" in o[0][1]:
            raise Error("this shuffle is not supported")
        x, by, limits = self.read(o[1], "b32"), self.read(o[2], "u32").astype(np.int64) & 31, self.read(o[3], "u32").astype(np.int64)
        lane, segment, clamp = np.arange(WARP), limits >> 8 & 31, limits & 31
        top = (lane & segment) | (clamp & ~segment)
        source = {"bfly": lane ^ by, "up": lane - by, "down": lane + by, "idx": (lane & segment) | (by & ~segment)}[parts[1]]
        inside = source >= top if parts[1] == "up" else source <= top
        self.write(o[0], x[np.where(inside, source, lane) % WARP], "b32", mask)

    def do_ldmatrix(self, parts, o, mask):
        self.together(mask)
        count = {"x1": 1, "x2": 2, "x4": 4}.get(parts[3])
        if parts[:3] != ["sync", "aligned", "m8n8"] or not count or parts[-1] != "b16":
            raise Error("this ldmatrix is not supported")
        where = self.addresses(o[1], "shared")[:8 * count]
        for i in range(count):
            rows = where[8 * i:8 * i + 8]
            if (rows % 16).any() or (rows < 0).any() or (rows + 16 > len(self.machine.shared)).any():
                raise Error("a row is not aligned, or outside of shared memory")
            self.machine.count_banks(rows, 16)
            matrix = self.machine.shared[rows[:, None] + np.arange(16)].view(np.uint16)  # [8, 8]
            matrix = matrix.T if "trans" in parts else matrix
            self.write(o[0][1][i], np.ascontiguousarray(matrix).reshape(WARP, 2).view(np.uint32).reshape(WARP), "b32", mask)

    def do_mma(self, parts, o, mask):
        self.together(mask)
        if parts[:5] != ["sync", "aligned", "m16n8k16", "row", "col"] or parts[5::3] != ["f32", "f32"] or parts[6] != parts[7] or parts[6] not in ("f16", "bf16"):
            raise Error("this product is not supported")
        a, b, c = np.zeros((16, 16)), np.zeros((16, 8)), np.zeros((16, 8))
        for matrix, item, places in ((a, o[1], LEFT), (b, o[2], RIGHT)):
            matrix[places] = widen(np.stack([self.read(register, "b32") for register in item[1]]), parts[6])
        c[SUM] = np.stack([self.read(register, "f32") for register in o[3][1]])
        with np.errstate(all="ignore"):
            for k in (0, 8):
                c = cut(c + a[:, k:k + 8] @ b[k:k + 8])
        for register, values in zip(o[0][1], c[SUM]):
            self.write(register, values, "f32", mask)


# Rows and columns of a fragment's numbers: [register, lane, half] of the operands, [register, lane] of the sum.
GROUP, INSIDE = np.arange(WARP) // 4, np.arange(WARP) % 4
PAIR = 2 * INSIDE[:, None] + np.arange(2)
LEFT = (np.stack([GROUP[:, None] + 8 * (i % 2) + 0 * PAIR for i in range(4)]), np.stack([PAIR + 8 * (i // 2) for i in range(4)]))
RIGHT = (np.stack([PAIR + 8 * i for i in range(2)]), np.stack([GROUP[:, None] + 0 * PAIR for i in range(2)]))
SUM = (np.stack([GROUP + 8 * (i // 2) for i in range(4)]), np.stack([2 * INSIDE + i % 2 for i in range(4)]))


def flush(x):
    """Subnormal f32 as zero."""
    return np.where(np.abs(x) < np.finfo(np.float32).tiny, np.copysign(np.float32(0), x), x) if x.dtype == np.float32 else x


def rounded_sum(x, y):
    """x + y of f64, rounded once to f32: the sum goes to an odd last digit where it is not exact (Boldo and Melquiond, 2008)."""
    total = x + y
    back = total - x
    rest = (x - (total - back)) + (y - back)
    bits = total.view(np.int64)
    odd = np.where(bits & 1, bits, bits + np.where((rest > 0) == (total > 0), 1, -1)).view(np.float64)
    return np.where(np.isfinite(total) & (rest != 0), odd, total).astype(np.float32)


def cut(x):
    """f64 to f32 towards zero, as f64."""
    near = x.astype(np.float32)
    over = np.abs(near) > np.abs(x)
    return (near.view(np.int32) - over).view(np.float32).astype(np.float64)


def narrow(x, kind):
    """f32 to the bits of f16 or bf16, to the nearest, ties to even."""
    if kind == "f16":
        return x.astype(np.float16).view(np.uint16)
    bits = x.view(np.uint32).astype(np.uint64)
    return np.where(np.isnan(x), 0x7FFF, (bits + 0x7FFF + (bits >> np.uint64(16) & np.uint64(1))) >> np.uint64(16)).astype(np.uint16)


def widen(bits, kind):
    """The two numbers in each register, the lower first, on a last axis of their own."""
    halves = np.ascontiguousarray(bits)[..., None].view(np.uint16)
    return (halves.view(np.float16) if kind == "f16" else (halves.astype(np.uint32) << 16).view(np.float32)).astype(np.float64)


# ---- a grid

class Machine:
    """Runs one entry. `executed` counts what warps execute, `wavefronts` the turns that shared memory takes, `conflicts` those beyond what the bytes need.
    `shared` is what a block finds in shared memory, all NaN if not given."""

    def __init__(self, entry, memory, grid, threads, copies="late", order=None, shared=None):
        self.entry, self.memory, self.grid, self.threads, self.copies = entry, memory, grid, threads, copies
        self.order, self.first_shared = order or (lambda warps: warps), shared
        self.executed, self.wavefronts, self.conflicts = collections.Counter(), 0, 0
        self.places, size = {}, 0
        for name, count in entry.shared:
            size = (size + 127) // 128 * 128
            self.places[name] = size
            size += count
        self.shared_size = size

    def shared_at(self, name):
        if name not in self.places:
            raise Error(f"`{name}` is no variable in shared memory")
        return self.places[name]

    def count_banks(self, where, size):
        """One access of several lanes: lanes go together until they have 128 bytes; two words of one bank take two turns."""
        lanes = max(1, 128 // size)
        for first in range(0, len(where), lanes):
            words = np.unique((where[first:first + lanes, None] + np.arange(0, size, 4)) // 4)
            turns = int(np.bincount(words % 32).max())
            self.wavefronts += turns
            self.conflicts += turns - 1

    def run(self, arguments):
        """`arguments`: integers (addresses, sizes) and floats, one for each parameter."""
        if len(arguments) != len(self.entry.parameters):
            raise Error(f"`{self.entry.name}` takes {len(self.entry.parameters)} parameters, not {len(arguments)}")
        self.parameters = {}
        for (name, size), value in zip(self.entry.parameters, arguments):
            data = struct.pack("<f", value) if isinstance(value, float) else value if isinstance(value, bytes) else (value & (2**(8 * size) - 1)).to_bytes(size, "little")
            self.parameters[name] = np.frombuffer(data, np.uint8)
        for z in range(self.grid[2]):
            for y in range(self.grid[1]):
                for x in range(self.grid[0]):
                    self.shared = np.full(self.shared_size, 255, np.uint8) if self.first_shared is None else self.first_shared.copy()
                    warps = [Warp(self, (x, y, z), w).run() for w in range((int(np.prod(self.threads)) + WARP - 1) // WARP)]
                    while warps:
                        waiting = [w for w in self.order(warps) if next(w, "ended") != "ended"]
                        if waiting and len(waiting) < len(warps):
                            raise Error(f"{self.entry.name}: a barrier is reached by {len(waiting)} of {len(warps)} warps")
                        warps = [w for w in warps if w in waiting]


def count(entry, span=None):
    """How often each opcode stands in the code, or in a part of it."""
    return collections.Counter(i.opcode for i in (entry.code if span is None else entry.code[span[0]:span[1]]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    options = parser.parse_args()
    try:
        with open(options.file) as text:
            entries = parse(text.read())
        for entry in entries.values():
            for title, span in [("all", None)] + [(f"loop at line {entry.code[a].line}", (a, b)) for a, b in loops(entry)]:
                counts = count(entry, span)
                print(f"{entry.name}, {title}: {sum(counts.values())} instructions")
                for name, number in counts.most_common():
                    print(f"  {number:5} {name}")
    except (Error, OSError, UnicodeDecodeError) as error:
        print(f"ptx.py: {options.file}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
