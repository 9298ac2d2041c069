"""Whole kernels of one form each."""

import numpy as np

from constructs import EXTENTS
from tensors import Tensor, bf16, f16, f32, i32
from tree import node


class Forms:
    """A part of generate.Generator."""

    def graph(self):
        """Edges row[n] .. row[n+1]: a softmax over loaded bounds, gathered features."""
        self.note("graph")
        nodes = self.pick(1, 3, 9, 40)
        degree = self.values.integers(0, 6, nodes)
        ends = np.concatenate([[0], np.cumsum(degree)])
        edges = int(ends[-1]) + self.pick(0, 3)
        self.extents.update(n=nodes, m=nodes + self.pick(0, 2), r=nodes + 1, t=edges, h=self.pick(1, 3))
        self.constraints.append("r = n + 1")
        row = self.tensor("i32", ["r"], i32(ends), self.pick("sorted", ""))
        near = self.values.integers(0, max(self.extents["m"], 1), edges)
        used = np.zeros(self.extents["m"], bool)
        used[near[: ends[-1]]] = True
        near[ends[-1]:] = 2_000_000_000                     # what no row visits
        neighbour = self.tensor("i32", ["t"], i32(near))
        features = self.values.standard_normal([self.extents["m"], self.extents["h"], self.extents["e"]])
        z = self.tensor("f32", ["m", "h", "e"], f32(features))
        if not used.all():
            self.note("poisoned padding")
            self.clean[z] = self.inputs[z]
            self.inputs[z] = f32(np.where(used[:, None, None], features, np.nan))
        if self.chance(0.5):
            self.state((), f"mask t >= {row}[r: n];")
            self.state((), f"mask t < {row}[r: n + 1];")
        else:
            self.state((), f"mask t >= {row}[r: n] and t < {row}[r: n + 1];")
        if 0 in degree:
            self.note("empty rows")
        s = self.name("x")
        self.state((s,), f"score {s} = leaky_relu({self.tensor('f32', ['n', 'h'])} + {self.tensor('f32', ['m', 'h'])}[m: {neighbour}], 0.2);")
        kind = self.pick("softmax", "softmax", "max", "mean", "sum")
        if kind == "softmax":
            self.note("softmax")
            self.result(self.pick("f32", "bf16"), ["n", "h", "e"], node("f32", f"sum[t](softmax[t]({s}) * {z}[m: {neighbour}])"))
        else:
            self.result("f32", ["n", "h", "e"], node("f32", f"{kind}[t](tanh({s}) * {z}[m: {neighbour}])"))
        if self.chance(0.3):
            self.result("i32", ["n"], node("i32", "count[t](true)"))

    def pages(self):
        """Keys and values in pages of a pool."""
        self.note("pages")
        self.note("dim")
        self.extents.update(p=self.pick(3, 6), s=self.pick(1, 4, 16), n=self.pick(1, 3), b=self.pick(1, 2), h=self.pick(1, 2))
        longest = self.extents["n"] * self.extents["s"]
        self.extents["l"] = longest
        lengths = self.values.integers(0, longest + 1, self.extents["b"])
        table = self.values.integers(0, self.extents["p"], [self.extents["b"], self.extents["n"]])
        used = np.zeros([self.extents["p"], self.extents["s"]], bool)
        for b, length in enumerate(lengths):
            for at in range(length):
                used[table[b, at // self.extents["s"]], at % self.extents["s"]] = True
        self.note("poisoned padding")
        storage = self.pick("f32", "bf16", "f16")
        bad = {"f32": f32, "f16": f16, "bf16": bf16}[storage]
        tensors = []
        for inner in "de":
            values = self.values.standard_normal([self.extents[a] for a in ["p", "s", "h", inner]])
            name = self.tensor(storage, ["p", "s", "h", inner], bad(values))
            self.clean[name] = self.inputs[name]
            self.inputs[name] = bad(np.where(used[:, :, None, None], values, np.nan))
            tensors.append(name)
        k, v = tensors
        q, pages, length = self.tensor(storage, ["b", "h", "d"]), self.tensor("i32", ["b", "n"], i32(table)), self.tensor("i32", ["b"], i32(lengths))
        if 0 in lengths:
            self.note("empty rows")
        self.state((), "dim l = n * s;")
        self.state((), f"mask l < {length};")
        page, s = self.name("x"), self.name("x")
        self.state((page,), f"let {page}[b,l] = {pages}[n: l / |s|];")
        self.state((s,), f"score {s} = sum[d]({q} * {k}[p: {page}, s: l % |s|]) * rsqrt(0.01 + |d|);")
        self.note("gather")
        self.note("softmax")
        self.result(self.pick("f32", storage), ["b", "h", "e"], node("f32", f"sum[l](softmax[l]({s}) * {v}[p: {page}, s: l % |s|])"))

    def window(self):
        """A window on a grid, both axes at once; a softmax over two indices."""
        self.note("window in two dimensions")
        self.extents.update(y=self.pick(1, 3, 7), x=self.pick(2, 5, 8), h=self.pick(1, 2))
        self.extents.update(r=self.extents["y"], c=self.extents["x"])
        self.constraints += ["r = y", "c = x"]
        w, u = self.pick(0, 1, 2), self.scalar("i32", int(self.values.integers(-1, 4)))
        storage = self.pick("f32", "f32", "bf16")
        q, k, v = (self.tensor(storage, axes) for axes in (["h", "y", "x", "d"], ["h", "r", "c", "d"], ["h", "r", "c", "e"]))
        self.state((), self.pick(f"mask abs(y - r) <= {w};", f"mask y - r <= {w} and r - y <= {w};", f"mask r <= y and y - r <= {w};"))
        self.state((), f"mask abs(x - c) <= {u};")
        if self.chance(0.3):
            self.state((), "mask r < y or (r == y and c <= x);")
        s = self.name("x")
        self.state((s,), f"score {s} = sum[d]({q} * {k}) * rsqrt(0.01 + |d|);")
        self.note("softmax over two indices")
        self.note("reduction over two indices")
        kind = self.pick("softmax", "softmax1")
        self.note(kind)
        self.result(self.pick("f32", storage), ["h", "y", "x", "e"], node("f32", f"sum[r,c]({kind}[r,c]({s}) * {v})"))
        if self.chance(0.3):
            self.note("logsumexp")
            self.result("f32", ["h", "y", "x"], node("f32", f"max(logsumexp[r,c]({s}), -100)"))

    def product(self):
        """A matrix product with weights of constant extents, as in a layer."""
        self.note("product with weights")
        self.note("constraint")
        self.extents.update(i=self.random.randint(1, 130), e=self.pick(16, 33, 64, self.random.randint(4, 130)), k=self.pick(16, 32, 65, self.random.randint(4, 130)))
        self.constraints += [f"e = {self.extents['e']}", f"k = {self.extents['k']}"]
        rows = self.pick(["i"], ["b", "i"])
        x = self.tensor("f32", rows + ["e"])
        if self.chance(0.5):
            name = self.name("x")
            self.define(name, "f32", rows + ["e"], node("f32", "{} * {}", x, self.real_tensor(["e"])))
            x = name
        value = node("f32", f"sum[e]({x} * {{}})", self.real_tensor(self.pick(["e", "k"], ["k", "e"])))
        if self.chance(0.5):
            value = node("f32", self.pick("relu({} + {})", "{} + {}", "gelu({}) * {}"), value, self.real_tensor(["k"]))
        self.result(self.pick("f32", "f32", "bf16", "f16"), rows + ["k"], value)

    def centre(self, axes, extent, far=0.2):
        """A real position, in and around 0 .. extent, sometimes far away; its text."""
        values = self.values.uniform(-3, extent + 3, [self.extents[a] for a in axes])
        if self.chance(0.3):
            values = np.round(values)
        if self.chance(far):
            self.note("infinite inputs")
            values = np.where(self.values.random(values.shape) < 0.2, self.values.choice([1e10, -3e38, np.inf, -np.inf], values.shape), values)
        return self.tensor("f32", axes, f32(values))

    def factor(self, index, rows, depth=1):
        """A factor that is 0 but for an interval of `index`; the free indices of the rest are among `rows`."""
        kind = self.pick("compact factor", "compact factor", "condition as a factor", "if-else-0 factor", *(["product"] if depth else []))
        if kind == "product":
            return node("f32", self.pick("({} * {})", "({} * {} * 0.5)", "({} + {})", "({} - {})"), self.factor(index, rows, depth - 1), self.factor(index, rows, 0))
        self.note(kind)
        at = self.centre(self.some(rows, 1), self.extents[index])
        w = self.pick("1", "2", "0.75", "4.5")
        if kind == "compact factor":
            if self.chance(0.1):
                return node("f32", f"relu({index} - {self.centre(self.some(rows, 1), self.extents[index], far=0)})")
            return node("f32", self.pick(f"max(0, {w} - abs({at} - {index}))", f"relu({w} - abs({index} - {at}))", f"max(1 - abs({at} - {index}) / {w}, 0)", f"relu(1 - ({index} - {at}) * ({index} - {at}))",
                                         f"relu({w} - abs({at} - 2 * {index}))", f"min(1, relu({at} + 0.5 - {index}))", f"(relu({w} - abs({index} - {at})) * relu({w} - abs({index} - {at})))"))
        row = self.pick(*rows) if rows else "1"
        n, loaded = self.pick(0, 1, 3, 7), self.tensor("i32", self.some(rows, 1), None)
        condition = self.pick(f"abs({row} - {index}) <= {n}", f"{index} <= {row}", f"{row} <= {index} and {index} - {row} < {n}", f"{index} >= {loaded} and {index} < {loaded} + {n}",
                              f"abs({at} - {index}) < {w}", f"{index} == {loaded}", f"{index} / 2 < {row}", f"({row} - {index}) % 4 == 1", f"{index} != {loaded}", f"not ({index} > {row})",
                              f"{index} < {loaded} or {index} > {row}")
        if kind == "condition as a factor":
            return node("f32", f"f32({condition})")
        other = self.real(sorted({index} | set(self.some(rows, 1))), 1)
        return node("f32", self.pick(f"(if {condition} then {{}} else 0)", f"(if {condition} then 0 else {{}})", f"(if {condition} then {{}} else 0.0)"), other)

    def sampler(self):
        """Sums of compactly supported factors, and other reductions and sums, where they bound nothing."""
        plane = self.chance(0.35)
        self.note("sampler in two dimensions" if plane else "sampler")
        if plane:
            self.extents.update(y=self.pick(1, 4, 9, 20), x=self.pick(2, 7, 18, 33), i=self.pick(1, 3, 10), e=self.pick(1, 3, 5))
        else:
            self.extents.update(i=self.pick(1, 5, 17, 40), j=self.pick(0, 1, 7, 64, 65, 129, 200), e=self.pick(1, 4, 17))
        over = ["y", "x"] if plane else ["j"]
        rows = self.pick(["i"], ["b", "i"], ["i", "b"])
        where = [a for a in rows if self.chance(0.7)] or ["i"]
        storage = self.pick("f32", "f32", "bf16")
        inner = self.pick([], ["e"])
        image = self.tensor(storage, over + inner)
        factors = [self.factor(a, where) for a in over]
        if plane and self.chance(0.6):                     # the sampler itself
            factors = [node("f32", f"max(0, 1 - abs({self.centre(where, self.extents[a])} - {a}))") for a in over]
            self.note("compact factor")
        pieces = factors + [node("f32", image)] + ([self.real(sorted(set(where) | set(over[:1])), 1)] if self.chance(0.3) else [])
        self.random.shuffle(pieces)
        if self.chance(0.2):
            self.state((), "mask {};", node("bool", f"{over[0]} <= {where[0]}"))
        kind = self.pick("sum", "sum", "sum", "sum", "mean", "max", "min")
        if kind != "sum":
            self.note({"max": "reduction max", "min": "reduction min"}.get(kind, kind))
        form = " * ".join(["{}"] * len(pieces))
        form = self.pick(form, form, form, f"-({form})", f"({form}) / 2", f"2 * ({form})", f"{form} + 0.1 * {image}", f"({form} + 0.25) * {image}")
        if plane and self.chance(0.3) and kind == "sum":
            value = node("f32", f"sum[y](sum[x]({form}))", *pieces)
        else:
            value = node("f32", f"{kind}[{','.join(over)}]({form})", *pieces)
            if plane:
                self.note("reduction over two indices")
        self.result(self.pick("f32", "f32", storage), rows + inner, value)

    def convolution(self):
        """Sums of products in which a read may lie outside its tensor."""
        plane = self.chance(0.3)
        self.note("convolution in two dimensions" if plane else "convolution")
        self.note("read elsewhere")
        place = lambda at, over, n: self.pick(f"{at} + {over} - {n // 2}", f"{at} + {over}", f"{at} - {over}", f"{at} + 2 * {over} - {n}", f"2 * {at} + {over} - 1", f"({at} + {over}) / 2",
                                              f"{over} - {at}", f"{at} - {over} / 2", f"{at} + {self.scalar('i32')} * {over}", f"{at} + {over} + {self.scalar('i32')}", f"{at} * {over} - 2",
                                              f"3 - {at} + {over}", f"({at} + {over}) % 5")
        if plane:
            self.extents.update(y=self.pick(1, 5, 12), x=self.pick(2, 7, 17), r=self.pick(1, 3, 4), c=self.pick(1, 3, 5))
            deep = self.pick([], ["d"])
            image, taps = self.tensor(self.pick("f32", "bf16"), deep + ["y", "x"]), self.real_tensor(["r", "c"])
            over = self.pick("sum[r,c]({} * {})", "sum[r](sum[c]({} * {}))")
            self.note("reduction over two indices")
            read = f"{image}[y: {place('y', 'r', self.extents['r'])}, x: {place('x', 'c', self.extents['c'])}]"
            return self.result("f32", deep + ["y", "x"], node("f32", over, taps, read))
        at, length = self.pick(("i", "j"), ("i", "j"), ("j", "j"))
        self.extents.update(i=self.pick(1, 6, 33, 65), j=self.pick(1, 7, 33, 64, 130), k=self.pick(1, 3, 4, 11))
        channels = self.pick([], ["d"], ["b"], ["b", "d"])
        name = self.tensor(self.pick("f32", "f32", "bf16", "i8"), channels + [length])
        if self.chance(0.3):                               # outside, a defined value is 0 as well
            source, name = name, self.name("x")
            self.define(name, "f32", channels + [length], node("f32", f"{self.pick('tanh', 'exp2', '1 + abs')}({source})"))
            if self.chance(0.5):
                self.state((), "mask {};", node("bool", f"{length} != 2"))
        read = f"{name}[{length}: {place(at, 'k', self.extents['k'])}]"
        over = ["k"] + (["d"] if "d" in channels and self.chance(0.7) else [])
        rest = [a for a in channels if a not in over]
        kind = self.pick("sum", "sum", "sum", "sum", "max", "mean", "prod")
        self.note({"max": "reduction max"}.get(kind, kind))
        if kind == "prod":
            value = node("f32", f"prod[{','.join(over)}](1 + 0.1 * {read})")
        else:
            value = node("f32", f"{kind}[{','.join(over)}]({self.pick('{} * {}', '{} * {}', '{} * {} * 0.5', '{} * tanh({})', '{} * ({} + 0.5)')})", *self.random.sample(
                [self.real_tensor(self.pick(over, over + ["e"])), node("f32", read)], 2))
        free = rest + [at] + (["e"] if any("e" in (p[2] or []) for p in self.parameters) else [])
        if len(over) == 2:
            self.note("reduction over two indices")
        self.result(self.pick("f32", "f32", "bf16"), free, value)

    def infinite(self):
        """Infinities as inputs. Nothing is negative, so that IEEE makes no NaN of them."""
        self.note("infinite inputs")
        self.finite = False

        def real(axes, depth):
            if depth == 0:
                some = self.some(axes, 2)
                values = np.abs(self.values.standard_normal([self.extents[a] for a in some]))
                return node("f32", "{}", self.tensor("f32", some, f32(np.where(self.values.random(values.shape) < 0.15, np.inf, values))))
            what = self.pick("unary", "unary", "binary", "if", "reduction", "reduction", "read")
            again = lambda: real(axes, depth - 1)
            if what == "unary":
                return node("f32", self.pick("tanh({})", "sigmoid({})", "relu({})", "exp(-{})", "abs({})", "sqrt({})", "log(1 + {})", "clamp({}, 0, 2)", "floor({})", "softplus({})", "rsqrt(1 + {})",
                                             "min({}, 3)", "1 / (1 + {})", "erf({})", "silu({})", "gelu({})", "sign({})", "leaky_relu({}, 0.1)"), again())
            if what == "binary":
                return node("f32", self.pick("({} + {})", "max({}, {})", "min({}, {})", "({} * (1 + {}))", "({} / (1 + tanh({})))"), again(), again())
            if what == "if":
                return node("f32", "(if {} < {} then {} else {})", again(), again(), again(), again())
            if what == "read":
                if not axes:
                    return again()
                index = self.random.choice(sorted(axes))
                inside = self.tensor("f32", [index], f32(np.abs(self.values.standard_normal(self.extents[index]))))
                return node("f32", f"({inside} + {{}})[{index}: {self.pick(index + ' - 1', '2')}]", again())
            over, inside = self.reduced(axes, 1)
            return node("f32", f"{self.pick('sum', 'mean', 'max', 'min')}[{over[0]}]({{}})", real(inside, depth - 1))

        for _ in range(self.random.randint(1, 2)):
            axes = self.some(EXTENTS, 2)
            self.result(self.pick("f32", "f32", "bf16", "f16"), axes, real(axes, self.random.randint(1, 3)))

    def any_bits(self):
        """Numbers with any bits: there must be a result, and no access outside a tensor."""
        self.note("any bits")
        self.clean = {}
        for name, kind, axes, more in self.parameters:
            if axes is None or kind == "bool":
                continue
            shape = self.inputs[name].data.shape
            storage = {"f32": np.uint32, "f16": np.uint16, "bf16": np.uint16, "i32": np.int32, "i8": np.int8, "u8": np.uint8}[kind]
            data = np.frombuffer(self.values.bytes(int(np.prod(shape, dtype=int)) * np.dtype(storage).itemsize), storage).reshape(shape)
            if kind == "i32":                              # the ends, and what is just outside
                few = self.values.choice([-2**31, 2**31 - 1, -1, 0, 1, 2**30, -2**30, 64], shape)
                data = np.where(self.values.random(shape) < 0.7, few, data).astype(np.int32)
            if kind == "f32":
                data = np.where(self.values.random(shape) < 0.3, self.values.choice(np.array([0x7FC00000, 0x7F800000, 0xFF800000, 0x7F7FFFFF, 0x80000001], np.uint32), shape), data).astype(np.uint32).view(np.float32)
            if kind == "f16":
                data = data.view(np.float16)
            if more:                                       # the promise is checked on entry
                data = np.sort(np.nan_to_num(data) if kind == "f32" else data, -1)
            self.inputs[name] = Tensor(kind, data)
