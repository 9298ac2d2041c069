"""Random masks."""

import numpy as np

from tensors import boolean, f32, i8, i32, u8
from tree import node


class Masks:
    """Masks with the points that they leave; a part of generate.Generator."""

    def grid(self, axis):
        """Positions along one axis of (b, h, i, j)."""
        shape = [1, 1, 1, 1]
        shape["bhij".index(axis)] = self.extents[axis]
        return np.arange(self.extents[axis]).reshape(shape)

    def spread(self, name):
        """A tensor's values over (b, h, i, j)."""
        axes = next(p[2] for p in self.parameters if p[0] == name)
        values = self.inputs[name].value
        values = np.transpose(values, sorted(range(len(axes)), key=lambda k: "bhij".index(axes[k])))
        return values.reshape([self.extents[a] if a in axes else 1 for a in "bhij"])

    def loaded(self, rows, low, high, always=False):
        """An i32 of some of the rows' axes; its text and values."""
        axes = [a for a in rows if a in "bhi" and self.chance(0.5)]
        if not axes and (always or not rows):
            axes = [a for a in rows if a in "bhi"][:1]
        values = self.values.integers(low, max(high, low + 1), [self.extents[a] for a in axes])
        if self.chance(0.15):                              # far outside
            values = np.where(self.values.random(values.shape) < 0.3, self.values.choice([10**9, -10**9], values.shape), values)
        if not axes:
            name = self.scalar("i32", int(values))
            return name, int(values)
        name = self.tensor("i32", axes, i32(values))
        return name, self.spread(name)

    def known_mask(self, rows, depth=1):
        """A mask over a key j and the axes of its row, with the points that it leaves (more is fine)."""
        I, J = self.grid("i"), self.grid("j")
        keys = self.extents["j"]
        kinds = ["constant", "index", "index", "scalar", "window", "distance", "length", "length", "range", "range", "dilation", "sorted segments",
                 "documents", "loaded bool", "real centre", "prelude", "stride", "dilated window", "rows only"]
        kind = self.pick(*kinds, *(["conjunction", "negation", "disjunction"] * 2 if depth else []))
        self.note(f"mask: {kind}")
        truth = lambda text, *parts: node("bool", text, *parts)
        if kind == "constant":
            c = self.pick(0, 3, 10, 64, 65)
            return self.pick((truth(f"j < {c}"), J < c), (truth(f"{c} <= j"), c <= J), (truth(f"j != {c}"), J != c))
        if kind == "index":
            return self.pick((truth("j <= i"), J <= I), (truth("j < i"), J < I), (truth("i <= j"), I <= J), (truth("j != i"), J != I),
                             (truth("j <= i + |j| - |i|"), J <= I + keys - self.extents["i"]), (truth("2 * j <= i + 3"), 2 * J <= I + 3),
                             (truth("i > 2 * j - 5"), I > 2 * J - 5), (truth("j == i"), J == I), (truth("j / 4 <= i / 4"), J // 4 <= I // 4), (truth("j / 3 < i"), J // 3 < I))
        if kind == "scalar":
            s, value = self.scalar("i32"), lambda name: self.inputs[name]
            return self.pick((truth(f"j <= i + {s}"), J <= I + value(s)), (truth(f"j < 8 * {s}"), J < 8 * value(s)), (truth(f"j / 8 < {s}"), J // 8 < value(s)),
                             (truth(f"j + {s} > i"), J + value(s) > I))
        if kind == "window":
            w = self.pick(1, 2, 5, 40)
            return truth(f"j <= i and i - j < {w}"), (J <= I) & (I - J < w)
        if kind == "distance":
            w = self.pick(0, 1, 4, 30)
            text, value = self.pick((str(w), w), self.loaded(rows, 0, 6))
            return self.pick((truth(f"abs(i - j) <= {text}"), abs(I - J) <= value), (truth(f"abs(j - i) < {text}"), abs(J - I) < value))
        if kind == "length":
            text, value = self.loaded(rows, 0, keys + 2, always=True)
            return self.pick((truth(f"j < {text}"), J < value), (truth(f"{text} > j"), value > J), (truth(f"j / 2 <= {text} / 2"), J // 2 <= value // 2), (truth(f"j <= {text} - 1"), J <= value - 1),
                             (truth(f"j >= {text}"), J >= value))
        if kind == "range":
            (a, low), (b, high) = self.loaded(rows, -2, keys + 1, always=True), self.loaded(rows, 0, keys + 3)
            return truth(f"j >= {a} and j < {b}"), (J >= low) & (J < high)
        if kind == "dilation":
            r = self.pick(2, 3, 5)
            return self.pick((truth(f"(i - j) % {r} == 0"), (I - J) % r == 0), (truth(f"j % {r} == i % {r}"), J % r == I % r), (truth(f"j % {r} == 0"), J % r + 0 * I == 0),
                             (truth(f"j <= i and (i - j) % {r} == 0"), (J <= I) & ((I - J) % r == 0)))
        if kind in ("stride", "dilated window"):
            return self.stride(I, J, kind == "dilated window")
        if kind == "rows only":
            text, value = self.loaded([a for a in rows if a != "i"], 0, self.extents["i"] + 2)
            flags = self.tensor("bool", ["i"], boolean(self.values.random(self.extents["i"]) < 0.7))
            return self.pick((truth(f"i < {text}"), (I < value) & (J >= 0)), (truth(f"i >= {text} - 3"), (I >= value - 3) & (J >= 0)),
                             (truth(flags), self.spread(flags) & (J >= 0)), (truth("i % 3 != 1"), (I % 3 != 1) & (J >= 0)))
        if kind in ("sorted segments", "documents"):
            return self.segments(rows, kind == "sorted segments")
        if kind == "loaded bool":
            axes = self.pick(["j"], ["i", "j"], ["j"] + [a for a in rows if a == "b"])
            name = self.tensor("bool", axes, boolean(self.values.random([self.extents[a] for a in axes]) < self.pick(0.2, 0.7)))
            return truth(name), self.spread(name)
        if kind == "real centre":
            w = self.pick(0.5, 2.5, 6.5)
            axes = [a for a in rows if a in "bi" and self.chance(0.6)]
            name = self.tensor("f32", axes or [a for a in rows if a in "bhi"][:1],
                               f32(self.values.uniform(0, max(keys, 1), [self.extents[a] for a in axes or [a for a in rows if a in "bhi"][:1]])))
            return truth(f"abs(j - {name}) <= {w}"), abs(J - self.spread(name)) <= w + 0.01
        if kind == "prelude":
            w = self.pick(1, 3, 20)
            text, value = self.loaded(rows, 0, keys + 1)
            return self.pick((truth("causal(i, j)"), J <= I), (truth(f"window(i, j, {w})"), I - J < w),
                             (truth(f"prefix(i, j, {text})"), (J <= I) | (J < value)))
        a, left = self.known_mask(rows, depth - 1)
        if kind == "negation":
            if "abs(j - t" in str(a):      # known from outside only
                return a, left
            return truth("not ({})", a), ~np.asarray(left)
        b, right = self.known_mask(rows, depth - 1)
        if kind == "conjunction":
            return truth("({}) and ({})", a, b), left & right
        return truth("({}) or ({})", a, b), left | right

    def stride(self, I, J, window):
        """Every c-th key, from any phase, within a window or without one."""
        c = self.pick(2, 3, 4, 5, 7, 8, 16, 1)
        r, phase = self.pick(0, 0, 1, c - 1), self.values.integers(0, c, self.extents["i"])
        low, high = -self.pick(0, 1, 3) * c, self.pick(1, 2, 4) * c
        choices = [(f"(i - j) % {c} == {r}", (I - J) % c == r), (f"(j - i) % {c} == {r}", (J - I) % c == r), (f"j % {c} == {r}", (J % c == r) & (I >= 0)),
                   (f"{r} == (i + {c + 1} - j) % {c}", (I + c + 1 - J) % c == r), (f"(2 * i - j + 3) % {c} == {r}", (2 * I - J + 3) % c == r),
                   (f"(i - j) % {c} == i % {c}", (I - J) % c == I % c), (f"(j + i) % {c} == {r}", (J + I) % c == r), (f"(2 * j - i) % {c} == {r}", (2 * J - I) % c == r),
                   (f"(i - j) % -{c} == -{r}", (I - J) % -c == -r), (f"(i - j) % {c} != {r}", (I - J) % c != r), (f"j % {c} < 2", (J % c < 2) & (I >= 0))]
        name = self.tensor("i32", ["i"], i32(phase))
        choices.append((f"(j + {name}) % {c} == {r}", (J + self.spread(name)) % c == r))
        step = self.scalar("i32", c)
        choices.append((f"(i - j) % {step} == 0", (I - J) % c == 0))
        text, left = self.random.choice(choices)
        if not window:
            return node("bool", text), left
        near, kept = self.pick((f"abs(i - j) < {high}", abs(I - J) < high), (f"j <= i and i - j < {high}", (J <= I) & (I - J < high)),
                               (f"j - i > {low} and j - i <= {high}", (J - I > low) & (J - I <= high)), (f"j <= i", J <= I), (f"j >= i + {low}", J >= I + low))
        return node("bool", self.pick("{} and {}", "({}) and ({})") if " and " not in near else "({}) and ({})", near, text), left & kept

    def segments(self, rows, ordered):
        """Ids of queries and of keys: one compared with the other, both sides sorted or only the keys, with ids that only one side has."""
        if ordered:
            self.note("parameter sorted")
        batch = ["b"] if "b" in rows and self.chance(0.5) else []
        kind = self.pick("i32", "i32", "i32", "i8", "u8")
        apart = self.chance(0.4)
        if apart:
            self.note("segments that do not occur")
        names = []
        for axis in "ij":
            axes = [a for a in batch if self.chance(0.8)] + [axis]
            shape = [self.extents[a] for a in axes]
            values = self.values.integers(0, 5, shape) * 2 + self.values.integers(0, 2, shape) if apart else self.values.integers(0, 5, shape)
            here = ordered and (axis == "j" or self.chance(0.6))
            names.append(self.tensor(kind, axes, {"i32": i32, "i8": i8, "u8": u8}[kind](np.sort(values, -1) if here else values), "sorted" if here else ""))
        q, k = names
        a, b = map(self.spread, names)
        if self.chance(0.6):
            return self.pick((node("bool", f"{q} == {k}"), a == b), (node("bool", f"document({q}, {k})"), a == b))
        if ordered:
            self.note("sorted comparison")
        I = self.grid("i")
        return self.pick((node("bool", f"{k} <= {q}"), b <= a), (node("bool", f"{q} > {k}"), a > b), (node("bool", f"{k} >= {q}"), b >= a), (node("bool", f"{q} < {k}"), a < b),
                         (node("bool", f"{k} == {q} + 1"), b == a + 1), (node("bool", f"{q} - {k} == 0"), a == b), (node("bool", f"{k} <= {q} and {q} - {k} < 3"), (b <= a) & (a - b < 3)),
                         (node("bool", f"{k} == 2"), (b == 2) & (I >= 0)), (node("bool", f"{k} + i / 8 == 4"), b + I // 8 == 4), (node("bool", f"{q} != {k}"), a != b))

    def mask(self):
        """A mask somewhere in a kernel: on what it bears follows from rule M2."""
        if self.chance(0.35):
            self.note("mask: any condition")
            condition = self.truth(self.some("bijk", 3), 1)
        else:
            condition, _ = self.known_mask(["b", "h", "i"])
        self.state((), "mask {};", condition)
