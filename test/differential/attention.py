"""Random attention kernels."""

import re

import numpy as np

from tensors import Tensor, bf16, f16, f32
from tree import node

# Of attention: around the sizes of tiles and vectors.
LONG = {
    "i": [1, 3, 8, 9, 31, 63, 64, 65, 100, 130], "j": [0, 1, 7, 33, 63, 64, 65, 127, 128, 129, 150, 200],
    "d": [1, 7, 16, 31, 32, 33, 64, 65, 96, 128, 130], "e": [1, 5, 16, 17, 32, 48, 64, 65, 128, 130],
}
MOST_ATTENTION_POINTS = 2_000_000


class Attention:
    """Score, normalise, aggregate; a part of generate.Generator."""

    def choose_extents(self, batch):
        for index, sizes in LONG.items():
            if self.extents[index]:
                self.extents[index] = self.random.choice(sizes) if self.chance(0.6) else self.random.randint(1, max(sizes))
        if self.chance(0.25):
            self.extents["i"] = self.pick(1, 1, 2, 8)
        elif self.chance(0.25) and self.extents["j"]:      # several blocks of rows and keys, of which masks keep some whole
            self.extents.update(b=min(self.extents["b"], 2), h=min(self.extents["h"], 2), i=self.pick(48, 49, 96, 100, 130), j=self.pick(128, 129, 200, 256, 300), d=self.pick(5, 16, 33), e=self.pick(4, 16, 31))
        if self.extents["i"] == 1:
            self.note("decode")
        if self.extents["j"] == 0:
            self.note("extent of 0")

    def shorten(self, batch):
        while self.points(set(batch) | {"i", "j"}) * max(self.extents["d"], self.extents["e"]) > MOST_ATTENTION_POINTS:
            longest = max("ijde", key=lambda a: self.extents[a])
            self.extents[longest] = self.extents[longest] * 2 // 3

    def attention(self):
        """Score, normalise, aggregate."""
        self.note("attention")
        batch = self.random.sample(["b", "h"], self.random.randint(0, 2))
        self.choose_extents(batch)
        grouped = "h" in batch and self.chance(0.35)
        heads = list(batch)
        through = ""
        if grouped:                                       # h = r*g, or any map from heads to groups
            self.note("grouped queries")
            ratio = self.pick(1, 2, 3, 4, 7, 8)
            self.extents["g"] = self.pick(1, 2)
            self.extents["h"] = ratio * self.extents["g"]
            self.constraints.append(f"h = {ratio}*g")
            heads[heads.index("h")] = "g"
            through = f"[g: h / {ratio}]"
            if self.chance(0.3) and self.extents["i"]:     # so few queries that the heads of a group are the rows of a tile
                self.extents["i"] = self.pick(1, 2, 3)
        else:
            for a in batch:
                if self.chance(0.2):
                    self.note("shared keys")
                    heads.remove(a)
        self.shorten(batch)
        storage = self.pick("f32", "f32", "f32", "bf16", "f16")
        fusing = self.chance(0.6)
        huge = self.chance(0.08)
        linear = not huge and self.chance(0.06)
        values = lambda axes: None
        if huge:
            self.note("huge scores")
            # Whole numbers: products are exact, so that f32 and f64 agree.
            values = lambda axes: {"f32": f32, "f16": f16, "bf16": bf16}[storage](self.values.integers(-3, 4, [self.extents[a] for a in axes]))
        order = lambda axes, inner: axes + inner if fusing or self.chance(0.7) else self.random.sample(axes + inner, len(axes + inner))
        make = lambda axes: self.tensor(storage, axes, values(axes))
        q, k, v = make(order(batch, ["i", "d"])), make(order(heads, ["j", "d"])), make(order(heads, ["j", "e"]))
        key, value = (f"{k}{through}", f"{v}{through}") if grouped else (k, v)

        # Masks, and what they leave.
        left = np.ones([1, 1, 1, 1], bool)
        for _ in range(self.pick(0, 1, 1, 1, 2, 3)):
            condition, points = self.known_mask(batch + ["i"])
            left = left & points
            self.state((), "mask {};", condition)
            if str(condition) in ("j <= i", "causal(i, j)"):
                self.note("causal")
        left = np.broadcast_to(left, [self.extents[a] if a in "ij" or a in batch else 1 for a in "bhij"])
        if not left.all():
            if (~left.any(3)).any():
                self.note("empty rows")
            if self.chance(0.7):
                self.poison(q, left, "i")
                for name in (k, v):
                    self.poison(name, left, "j")
        if self.chance(0.06):
            self.note("mask: any condition")
            self.state((), "mask {};", self.truth(self.some(set(batch) | {"i", "j"}, 3), 1))

        axes = sorted(set(batch) | set(heads) - {"g"} | {"i", "j"})
        s = self.name("x")
        self.state((s,), f"score {s} = {{}};", self.score(q, key, batch, axes, fusing, huge, linear))
        often = 0.25 if fusing else 1                      # what else reads scores or weights keeps them from fusing
        if self.chance(0.15 * often) and not linear:       # inf / inf
            self.note("scores of minus infinity")
            self.state((s,), f"score {s} = {s} + log(if {{}} then 1.0 else 0.0);", self.known_mask(batch + ["i"], 0)[0])
        self.defined.append((s, "f32", axes))
        rows = [a for a in axes if a != "j"]
        kind = self.pick("f32", "f32", "bf16", "f16") if storage == "f32" else storage
        if huge and kind == "f16":                        # the sign of what overflows hangs on the order of the sum
            kind = "f32"
        p = self.weights(s, rows, fusing, huge, linear)
        text = " ".join(str(t) for _, t in self.statements)
        mild = not huge and "6 * rsqrt" not in text
        if left.all() and mild and not {"mask: any condition", "scores of minus infinity"} & self.features and self.chance(0.97) and re.match(r"softmax1?\[j\]\(\w+\)$|sigmoid", str(p)) and (
                "rsqrt(|d|)" in text or "sigmoid" in str(p)) and "computed factors" not in self.features:   # no weight is 0
            self.infinities(v)
        if not fusing and self.chance(0.4):
            name = self.name("x")
            self.define(name, "f32", axes, p)
            p = node("f32", name)
        if self.chance(0.15 * often):
            self.note("gated values")
            weighted = node("f32", f"{{}} * {value} * {{}}", p, self.real_tensor(["e"]))
        else:
            weighted = node("f32", f"{{}} * {value}", p)
        how = "sum"
        if not fusing and self.chance(0.2):
            self.note("max aggregate")
            how = "max"
        output = node("f32", f"{how}[j]({{}})", weighted)
        if "infinite values" not in self.features and self.chance(0.1):
            self.note("projection of the output")
            if self.chance(0.5) and self.extents["e"]:
                self.constraints += [f"e = {self.extents['e']}", f"k = {self.extents['k']}"]
            name = self.name("x")
            self.define(name, "f32", rows + ["e"], output)
            self.result(kind, rows + ["k"], node("f32", f"sum[e]({name} * {{}})", self.real_tensor(["e", "k"])))
        else:
            self.result(kind, self.random.sample(rows, len(rows)) + ["e"] if fusing else rows + ["e"], output, ordered=fusing)
        if self.chance(0.12 * often):
            self.note("two aggregates")
            self.result("f32", rows + ["d"], node("f32", f"sum[j]({{}} * {key})", p))
        if self.chance(0.25 * often):
            self.note("several values")
            self.result("f32", rows + ["k"], node("f32", "sum[j]({} * {})", p, self.real_tensor([a for a in batch if self.chance(0.5)] + ["j", "k"])))
            if self.chance(0.5):
                self.result("f32", rows, node("f32", self.pick("sum[j]({})", "sum[j]({} * 0.1 * j)", "max[j]({})"), p))
        if self.chance(0.5 if str(p).startswith("softmax1") else 0.2):
            self.note("logsumexp")
            if str(p).startswith("softmax1"):
                self.note("logsumexp with softmax1")
            self.result("f32", rows, node("f32", f"max(logsumexp[j]({s}), -100)"))
        if self.chance(0.15 * often):
            self.note("argmax")
            self.result("i32", rows, node("i32", f"argmax[j]({s})"))
        if self.chance(0.12 * often):
            self.note("top key")
            top = self.name("x")
            self.define(top, "i32", rows, node("i32", f"argmax[j]({s})"))
            self.defined.pop()
            self.result("f32", rows, node("f32", f"{s}[j: {top}]"))
        if self.chance(0.18 * often):
            self.note("weights are a result")
            self.result(self.pick("f32", "f16", "bf16"), axes, p)
        if self.chance(0.18 * often):
            self.result("f32", [a for a in rows if a != "i"] + ["j"], node("f32", "sum[i]({})", p))

    def score(self, q, k, batch, axes, fusing, huge, linear):
        if not huge and self.chance(0.15):
            self.note("computed factors")
            q = self.computed(q, "i", batch) if self.chance(0.7) else q
            k = self.computed(k, "j", batch) if self.chance(0.7) else k
        dot = node("f32", f"sum[d]({q} * {k})")
        if linear:
            self.note("linear attention")
            name = self.name("fn_")
            self.function(f"fn {name}(x) = " + self.pick("if x > 0 then x + 1 else exp(x);", "relu(x) + 0.1;", "exp(0.5 * x);", "sigmoid(x);"))
            return node("f32", f"sum[d]({name}({q}) * {name}({k}))")
        if huge:
            return node("f32", "{} * " + self.pick("1000", "1048576", "1e30", "-1e30"), dot)
        kind = "dot" if fusing else self.pick("dot", "additive", "distance", "bilinear", "two products")
        if kind == "additive":
            self.note("additive score")
            dot = node("f32", f"sum[d]({{}} * tanh({q} + {k}))", self.real_tensor(["d"]))
        elif kind == "distance":
            self.note("distance score")
            dot = node("f32", f"-0.1 * sum[d](({q} - {k}) * ({q} - {k}))")
        elif kind == "bilinear":
            self.note("bilinear score")
            dot = node("f32", f"sum[d](sum[k]({{}} * {{}}) * {k})", self.real_tensor(["i", "k"]), self.real_tensor(["k", "d"]))
            dot = node("f32", f"{{}} + sum[d]({q})", dot)
        elif kind == "two products":
            self.note("two products")
            dot = node("f32", f"{{}} + sum[k]({{}} * {{}})", dot, self.real_tensor(["i", "k"]), self.real_tensor(["j", "k"]))
        # A softmax bears large scores; differences of them, as sparsemax takes, lose digits.
        scale = self.pick("rsqrt(|d|)", "rsqrt(|d|)", "0.5", "1", "6 * rsqrt(|d|)") if fusing else self.pick("rsqrt(|d|)", "0.5 * rsqrt(|d|)")
        if self.extents["d"] == 0:  # 0 * inf is NaN, of which max takes either operand
            scale = scale.replace("|d|", "1 + |d|")
        body = node("f32", f"({{}}) * {scale}", dot)
        if self.chance(0.1):
            self.note("temperature per head")
            axes = [a for a in batch if a == "h"] or batch
            body = node("f32", "({}) " + self.pick("*", "/") + " {}", body, self.tensor("f32", axes, f32(self.values.uniform(0.5, 1.5, [self.extents[a] for a in axes]))))
        if self.chance(0.06):
            self.note("location-aware score")
            body = node("f32", "{} + " + self.pick("sum[k]({} * {}[j: j + k - 2])", "sum[k]({} * {}[j: j - k])", "sum[k]({} * {}[j: j + 2 * k - 3])"), body,
                        self.real_tensor(["k"]), self.tensor("f32", [a for a in axes if a != "i" and self.chance(0.5) and a != "j"] + ["j"]))
        if self.chance(0.4):
            self.note("bias")
            bias = self.pick(lambda: self.real_tensor(["j"]), lambda: node("f32", "-0.1 * abs(i - j)"), lambda: node("f32", "{} * (j - i)", self.slope(batch)),
                             lambda: node("f32", "{}[k: i - j]", self.tensor("f32", ["k"])), lambda: self.real_tensor(["i", "j"], "f32", "bf16", "f16"),
                             lambda: node("f32", "{}[j: j + 1]", self.tensor("f32", ["j"])),
                             lambda: node("f32", "{}[k: t5_bucket(j - i, true, 8, 20)]", self.tensor("f32", ["k"])),
                             lambda: node("f32", "{}[k: {}]", self.tensor(self.pick("f32", "f16", "bf16"), ["k"] + [a for a in batch if a == "h"]), self.tensor("i32", ["i", "j"])),
                             lambda: node("f32", "{}[k: j / 3, d: i % 5]", self.tensor("f32", ["k", "d"])))()
            if re.search(r"\[k: t\d+\]|j / 3", str(bias)):
                self.note("table of scores")
            if "t5_bucket" in str(bias):
                self.note("t5_bucket")
            body = node("f32", "{} + {}", body, bias)
        if self.chance(0.15):
            self.note("soft cap")
            body = node("f32", "5 * tanh(({}) / 5)", body)
        return body

    def computed(self, x, row, batch):
        """A query or key that is turned, normalised, scaled, shifted or projected first; its text."""
        angle = lambda: f"0.1 * {row} * {self.tensor('f32', ['d'])}"
        value = self.pick(lambda: f"{x} * cos({angle()}) + {x}[d: (d + |d| / 2) % |d|] * sin({angle()})" if "[" not in x else f"{x} * cos({angle()})",
                          lambda: f"{x} * rsqrt(0.01 + sum[d]({x} * {x}))", lambda: f"{x} * {self.tensor('f32', ['d'])}", lambda: f"{x} * 0.5",
                          lambda: f"{x} + {self.tensor('f32', self.some([a for a in batch if a == 'h'], 1) + ['d'])}", lambda: f"tanh({x})",
                          lambda: f"sum[k]({self.tensor('f32', [row, 'k'])} * {self.tensor('f32', ['k', 'd'])}) * {x}")()
        if self.chance(0.5):
            return f"({value})"
        name = self.name("x")
        self.state((name,), f"let {name} = {value};")
        return name

    def slope(self, batch):
        return self.tensor("f32", ["h"], f32(self.values.uniform(0, 0.05, self.extents["h"]))) if "h" in batch else "0.05"

    def weights(self, s, rows, fusing, huge, linear):
        if linear:
            return node("f32", self.pick(f"{s} / sum[j]({s})", f"{s} / (1 + sum[j]({s}))", s))
        if fusing:
            self.note("attention that fuses")
            kind = self.pick(*["softmax"] * 6, *["softmax1", "softmax with a sink", "softmax with a sink"], "hand-written softmax",
                             *(["softmax"] * 3 if huge else ["sigmoid attention", "squared relu", "weights over their sum", "weights over their sum", "weights times weights"]))
        else:
            kind = self.pick("softmax", "softmax", "softmax1", "sigmoid", "relu", "log_softmax", "hand-written softmax", "softmax with a sink",
                             *([] if huge else ["sparsemax", "entmax15", "iterated normaliser", "weights over their sum", "weights times weights"]))
        self.note(kind)
        if kind == "sigmoid" or kind == "relu":
            return node("f32", f"{kind}({s})")
        if kind == "sigmoid attention":
            form = self.pick("sigmoid({})", "sigmoid({} - log(1 + |j|))", "sigmoid({} + {})", "sigmoid({} + {})")
            return node("f32", form, s, *([self.real_tensor([a for a in rows if a == "h"])] if form.count("{") > 1 else []))
        if kind == "squared relu":
            return node("f32", self.pick(f"relu({s}) * relu({s})", f"relu({s}) * relu({s}) / |j|", f"relu({s}) * relu({s}) / count[j](true)", f"relu({s} * relu({s}))"))
        if kind == "weights times weights":
            other = self.random.choice([f"sigmoid({s})", f"softmax[j](0.5 * {s})", f"softmax[j]({s})", "relu(1 - 0.1 * abs(i - j))", self.real_tensor(["i", "j"])])
            if "softmax" in str(other) and self.chance(0.5):
                return node("f32", f"(softmax[j]({s}) - 0.3 * {{}})", other)
            return node("f32", f"softmax[j]({s}) * {{}}", other)
        if kind == "weights over their sum":
            name = self.name("fn_")
            square = ["{ let w = x * x; w / (1 + sum[n](w)) }"] if "scores of minus infinity" not in self.features else []  # inf / inf
            body = self.pick("relu(x) / (1 + sum[n](relu(x)))", "{ let w = exp(x); w / sum[n](w) }", "{ let w = sigmoid(x); w / sum[n](w) }", *square,
                             "exp2(x) / (1 + sum[n](exp2(x)))", "{ let w = softplus(x); w * (1 / (1 + sum[n](w))) }")
            self.function(f"fn {name}[n](x) {body if body[0] == '{' else f'= {body};'}")
            return node("f32", f"{name}[j]({s})")
        if kind == "log_softmax":
            return node("f32", f"max(log_softmax[j]({s}), -50)")
        if kind in ("softmax", "softmax1", "sparsemax", "entmax15"):
            return node("f32", f"{kind}[j]({s})")
        name = self.name("fn_")
        if kind == "hand-written softmax":
            self.function(f"fn {name}[n](x) {{ let top = max(max[n](x), -3.4e38); let w = exp(x - top); w / sum[n](w) }}")
            return node("f32", f"{name}[j]({s})")
        if kind == "softmax with a sink":
            self.function(f"fn {name}[n](x, sink) " + self.pick(
                "{ let top = max(max[n](x), sink); let w = exp(x - top); w / (sum[n](w) + exp(sink - top)) }",
                "{ let top = max(sink, max[n](x)); exp(x - top) / (exp(sink - top) + sum[n](exp(x - top))) }",
                "{ let top = max(max[n](x), -3.4e38); let w = exp(x - top); w / (exp(sink - top) + sum[n](w)) }"))
            return node("f32", f"{name}[j]({s}, {{}})", self.random.choice(["0.5", self.real_tensor(self.some([a for a in rows if a in "bh"], 2))]))
        self.function(f"""fn {name}[n](x) {{
  let (t, half) = iterate 26 {{ (t, half) = (max[n](x) - 1, 0.5) -> {{
    let middle = t + half;
    (if sum[n](relu(x - middle)) >= 1 then middle else t, half / 2) }} }};
  relu(x - t)
}}""")
        return node("f32", f"{name}[j]({s})")

    def poison(self, name, left, axis):
        """Puts NaN, infinities and 3e38 where no row of the mask visits `name`, whose rows lie along `axis`."""
        tensor, axes = self.inputs[name], next(p[2] for p in self.parameters if p[0] == name)
        if "g" in axes:                                    # a group is visited by its heads
            b, h, i, j = left.shape
            left = left.reshape(b, self.extents["g"], -1, i, j).any(2)
        here = [a if a != "g" else "h" for a in axes]
        visited = left.any(tuple(k for k, a in enumerate("bhij") if a not in here or (a in "ij" and a != axis)), keepdims=True)
        order = [a for a in "bhij" if a in here]
        visited = visited.reshape([visited.shape["bhij".index(a)] for a in order])
        visited = np.transpose(visited, [order.index(a) for a in here if a in order])
        keep = visited.reshape([n if a in order else 1 for a, n in zip(here, tensor.data.shape)])
        if keep.all():
            return
        self.note("poisoned padding")
        bits = {"f32": np.array([np.nan, np.inf, -3e38, 3e38], np.float32), "f16": np.array([np.nan, np.inf, -6e4, 6e4], np.float16),
                "bf16": np.array([0x7FC1, 0x7F80, 0xFF7F, 0x7F61], np.uint16)}[tensor.kind]
        self.clean[name] = tensor
        self.inputs[name] = Tensor(tensor.kind, np.where(keep, tensor.data, np.resize(bits, tensor.data.shape)))

    def infinities(self, name):
        """Infinities in some places of a tensor of values, of one sign in each column: every row visits them, and none makes a NaN of them."""
        tensor = self.inputs[name]
        if not tensor.data.size:
            return
        self.note("infinite values")
        self.finite = False
        axes = next(p[2] for p in self.parameters if p[0] == name)
        shape = tensor.data.shape
        sign = np.where(self.values.random([self.extents["e"]]) < 0.5, -1, 1).reshape([n if a == "e" else 1 for a, n in zip(axes, shape)])
        where = (self.values.random(shape) < 0.02)
        self.inputs[name] = {"f32": f32, "f16": f16, "bf16": bf16}[tensor.kind](np.where(where, sign * np.inf, tensor.value))
