"""What the instructions of PTX do to the 32 lanes of a warp; see ptx.py."""

import fractions
import math

import numpy as np

from ptx_text import Error, dtype

WARP = 32


class Warp:
    """Some warps of a block, `count` from number `index` on, which go on together: more than one is faster, but hides what they do to each other."""

    def __init__(self, machine, block, index, count=1):
        self.machine, self.block = machine, block
        width, height, _ = machine.threads
        self.lanes = count * WARP
        thread = index * WARP + np.arange(self.lanes)
        self.live = thread < np.prod(machine.threads)
        self.registers = {}
        self.special = {"%tid.x": thread % width, "%tid.y": thread // width % height, "%tid.z": thread // (width * height), "%laneid": thread % WARP, "WARP_SZ": WARP + 0 * thread}
        for axis, name in enumerate("xyz"):
            self.special.update({f"%ntid.{name}": machine.threads[axis] + 0 * thread, f"%ctaid.{name}": block[axis] + 0 * thread, f"%nctaid.{name}": machine.grid[axis] + 0 * thread})
        self.local = np.full((self.lanes, machine.local_size), 255, np.uint8)
        self.pending, self.groups = [], []  # copies not committed; committed groups, oldest first

    # Values are kept as their bits in 64-bit words.
    def read(self, item, kind):
        what, value = item[0], item[1]
        if what == "register":
            if value not in self.registers:
                raise Error(f"`{value}` is read before it is set")
            bits = self.registers[value]
        elif what == "integer":
            bits = np.full(self.lanes, value & (2**64 - 1), np.uint64)
        elif what == "bits":
            bits = np.full(self.lanes, value, np.uint64)
        elif what == "special":
            bits = self.special[value].astype(np.uint64)
        elif what == "name":
            bits = np.full(self.lanes, self.machine.place_of(value), np.uint64)
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
                    machine.left -= 1
                    if machine.left < 0:
                        raise Error("there is no end")
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
                        if (active != self.live).any():
                            raise Error(f"{active.sum()} of {self.live.sum()} lanes come here together")
                        yield
                    elif active.any():
                        handler = getattr(self, "do_" + name, None)
                        if not handler:
                            raise Error("this instruction is not supported")
                        handler(instruction.parts[1:], instruction.operands, active)
                except Error as error:
                    raise Error(f"{entry.name}, line {instruction.line}: `{instruction.text}`: {error}") from None
                except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
                    raise Error(f"{entry.name}, line {instruction.line}: `{instruction.text}` is not understood ({error})") from error
                at += 1

    def together(self, mask):
        for here, live in zip(mask.reshape(-1, WARP), self.live.reshape(-1, WARP)):
            if here.any() and (here != live).any():
                raise Error(f"{here.sum()} of {live.sum()} lanes come here together")

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

    def do_copysign(self, parts, o, mask):
        self.binary(parts, o, mask, lambda sign, x: np.copysign(x, sign))

    def do_ex2(self, parts, o, mask):
        self.unary(parts, o, mask, self.power if self.machine.approximate and "approx" in parts else np.exp2)

    @staticmethod
    def power(x):
        """2^x for f64 of f32, off by 2^-22 up or down as the bits of x have it; 2^0 is 1 (PTX ISA, ex2)."""
        up = np.bitwise_count(x.view(np.uint64)) % 2 == 1
        return np.where(x == 0, 1, np.exp2(x) * (1 + np.where(up, 2.0**-22, -(2.0**-22))))

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
        if kind == "f64":
            return self.write(o[0], [fma64(*lane) for lane in zip(*(self.read(a, kind).tolist() for a in o[1:4]))], kind, mask)
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

    def do_prmt(self, parts, o, mask):
        """Each byte is one of the eight of both sources, or eight times its sign."""
        if parts != ["b32"]:
            raise Error("this choice of bytes is not supported")
        both = self.read(o[1], "b32").astype(np.uint64) | self.read(o[2], "b32").astype(np.uint64) << np.uint64(32)
        chosen, result = self.read(o[3], "b32").astype(np.uint64), np.zeros_like(both)
        for place in range(4):
            which = chosen >> np.uint64(4 * place) & np.uint64(15)
            byte = both >> (which & np.uint64(7)) * np.uint64(8) & np.uint64(255)
            byte = np.where(which & np.uint64(8), np.where(byte & np.uint64(128), np.uint64(255), np.uint64(0)), byte)
            result |= byte << np.uint64(8 * place)
        return self.write(o[0], result.astype(np.uint32), "b32", mask)

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
        if "local" in parts:  # one that only an instruction for local memory takes
            return self.write(o[0], self.read(o[1], parts[-1]) | np.uint64(1 << 62), parts[-1], mask)
        if "global" not in parts:
            raise Error("only addresses of global and local memory are supported")
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
        space = next((p for p in parts if p in ("shared", "global", "param", "local")), "global")
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
        if space == "local":
            if (where + np.uint64(size) > self.machine.local_size).any():
                raise Error("an address is outside of local memory")
            return self.local.reshape(-1), np.flatnonzero(mask) * self.machine.local_size + where.astype(np.int64)
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
            values = np.zeros(self.lanes, dtype(kind))
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
        if (source % np.uint64(size)).any():
            raise Error(f"an address is no multiple of {size}")
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
        lane, segment, clamp = np.arange(self.lanes) % WARP, limits >> 8 & 31, limits & 31
        top = (lane & segment) | (clamp & ~segment)
        source = {"bfly": lane ^ by, "up": lane - by, "down": lane + by, "idx": (lane & segment) | (by & ~segment)}[parts[1]]
        inside = source >= top if parts[1] == "up" else source <= top
        self.write(o[0], x[np.arange(self.lanes) - lane + np.where(inside, source, lane) % WARP], "b32", mask)

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


def fma64(x, y, z):
    """x * y + z, rounded once; slow."""
    if not all(map(math.isfinite, (x, y, z))):
        return x * y + z
    exact = fractions.Fraction(x) * fractions.Fraction(y) + fractions.Fraction(z)
    return float(exact) if exact else x * y + z   # the sign of zero


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
