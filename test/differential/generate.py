"""Random kernels that follow the language's rules, with inputs for them.

A kernel is a function of its seed. Its size is bounded (a few statements, a few thousand points), its values are kept
moderate (no overflow of i32, no infinities except as scores), and every index has its extent from some parameter."""

import dataclasses
import os
import random
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "values"))

from tensors import Tensor, bf16, boolean, f16, f32, i8, i32, u8

# Index names with the extents that they may have: few batches, odd counts, both sides of tile sizes.
EXTENTS = {
    "b": [1, 2, 3], "h": [1, 2, 4], "i": [1, 2, 5, 9, 16, 17, 33], "j": [0, 1, 2, 7, 16, 31, 64, 65, 70, 129],
    "k": [1, 3, 8, 12], "d": [1, 4, 7, 8, 16, 33], "e": [1, 3, 5, 16, 18],
}
MOST_POINTS = 200_000     # of one nest; the oracle runs scalar loops


@dataclasses.dataclass
class Kernel:
    seed: int
    functions: list
    parameters: list          # (name, type, axes or None for a scalar)
    results: list             # (name, type, axes)
    statements: list          # (name assigned or None, text)
    inputs: dict              # name -> Tensor, or a number for --set
    extents: dict
    features: set
    constraint: str = ""

    def text(self):
        def declared(name, kind, axes):
            return f"{name}: {kind}" + (f"[{','.join(axes)}]" if axes else "")

        parameters = ",\n              ".join(declared(*p) for p in self.parameters)
        results = ", ".join(declared(*r) for r in self.results)
        body = "".join(f"  {text}\n" for _, text in self.statements)
        functions = "".join(f + "\n" for f in self.functions)
        return f"{functions}kernel fuzz({parameters})\n  -> {results} {self.constraint}{{\n{body}}}\n"


class Generator:
    def __init__(self, seed):
        self.seed = seed
        self.random = random.Random(seed)
        self.values = np.random.default_rng(seed)
        self.extents = {name: self.random.choice(sizes) for name, sizes in EXTENTS.items()}
        if self.random.random() < 0.03:
            self.extents[self.random.choice("bhide")] = 0
        self.parameters, self.results, self.statements, self.functions = [], [], [], []
        self.inputs, self.features, self.defined = {}, set(), []
        self.count = 0
        self.constraint = ""

    # -- small choices --------------------------------------------------------------------------------------------------

    def chance(self, p): return self.random.random() < p
    def pick(self, *choices): return self.random.choice(choices)
    def note(self, feature): self.features.add(feature)

    def name(self, prefix):
        self.count += 1
        return f"{prefix}{self.count}"

    def some(self, indices, most=3):
        """An ordered choice of at most `most` of `indices`, small enough together."""
        chosen = self.random.sample(sorted(indices), min(len(indices), self.random.randint(0, most)))
        while self.points(chosen) > MOST_POINTS // 20:
            chosen.pop()
        return chosen

    def points(self, indices):
        total = 1
        for index in indices:
            total *= max(self.extents[index], 1)
        return total

    # -- parameters -----------------------------------------------------------------------------------------------------

    def tensor(self, kind, axes, values=None):
        name, shape = self.name("t"), [self.extents[a] for a in axes]
        if values is None:
            values = self.stored(kind, shape)
        self.parameters.append((name, kind, list(axes)))
        self.inputs[name] = values
        self.note(f"parameter {kind}")
        return name

    def stored(self, kind, shape):
        if kind == "bool":
            return boolean(self.values.random(shape) < 0.6)
        if kind in ("i32", "i8", "u8"):
            low, high = (0, 12) if kind == "u8" else (-4, 12)
            return {"i32": i32, "i8": i8, "u8": u8}[kind](self.values.integers(low, high, shape))
        return {"f32": f32, "f16": f16, "bf16": bf16}[kind](self.values.standard_normal(shape))

    def scalar(self, kind):
        name = self.name("s")
        value = {"f32": round(float(self.values.standard_normal()), 3), "i32": int(self.values.integers(-3, 9)),
                 "bool": bool(self.values.random() < 0.5)}[kind]
        self.parameters.append((name, kind, None))
        self.inputs[name] = value
        self.note(f"scalar {kind}")
        return name

    # -- expressions: text whose free indices are among `axes` -----------------------------------------------------------

    def real(self, axes, depth):
        """f32, of moderate size."""
        choices = [self.real_leaf] * 2
        if depth > 0:
            choices += [self.real_unary, self.real_binary, self.real_binary, self.real_if, self.real_reduction,
                        self.real_read, self.real_normaliser, self.real_call]
        return self.random.choice(choices)(axes, depth)

    def real_leaf(self, axes, depth):
        usable = [d for d in self.defined if d[1] == "f32" and set(d[2]) <= set(axes)]
        what = self.pick("tensor", "tensor", "tensor", "constant", "scalar", "position", "defined", "defined")
        if what == "defined" and usable:
            return self.random.choice(usable)[0]
        if what == "constant":
            return self.pick("0.5", "1.5", "2", "0.25", "-1", "3")
        if what == "scalar":
            return self.scalar("f32")
        if what == "position" and axes:
            self.note("position")
            return f"{self.pick('0.1', '0.25', '0.03')} * {self.random.choice(sorted(axes))}"
        return self.tensor(self.pick("f32", "f32", "f32", "f32", "bf16", "f16", "i8"), self.some(axes))

    def real_unary(self, axes, depth):
        x = self.real(axes, depth - 1)
        form = self.pick("tanh({})", "sigmoid({})", "relu({})", "exp(-abs({}))", "abs({})", "sqrt(abs({}))", "gelu({})",
                         "silu({})", "softplus({})", "sin({})", "cos({})", "floor({})", "erf({})", "-({})", "leaky_relu({}, 0.1)",
                         "log(1 + abs({}))", "exp2(min({}, 3))", "clamp({}, -1, 1)", "sign({})", "rsqrt(1 + abs({}))",
                         "round({})", "ceil({})")
        self.note(form.split("(")[0].strip("-") or "negation")
        return form.format(x)

    def real_binary(self, axes, depth):
        a, b = self.real(axes, depth - 1), self.real(axes, depth - 1)
        form = self.pick("({} + {})", "({} - {})", "({} * {})", "({} * {})", "({} / (1 + abs({})))", "min({}, {})", "max({}, {})",
                         "pow(0.5 + abs({}), tanh({}))")
        self.note({"(": "arithmetic"}.get(form[0], form.split("(")[0]))
        return form.format(a, b)

    def real_if(self, axes, depth):
        self.note("if")
        return f"(if {self.truth(axes, depth - 1)} then {self.real(axes, depth - 1)} else {self.real(axes, depth - 1)})"

    def reduced(self, axes, most=2):
        """One or two indices to reduce over, and the axes inside."""
        free = [i for i in EXTENTS if i not in axes] or list(EXTENTS)
        over = self.random.sample(free, 2 if min(len(free), most) > 1 and self.chance(0.15) else 1)
        while self.points(set(axes) | set(over)) > MOST_POINTS and axes:
            axes = self.random.sample(sorted(axes), len(axes) - 1)
        return over, sorted(set(axes) | set(over))

    def real_reduction(self, axes, depth):
        over, inside = self.reduced(axes)
        kind = self.pick("sum", "sum", "mean", "max", "min", "prod")
        self.note(kind if len(over) == 1 else "reduction over two indices")
        body = self.real(inside, depth - 1)
        if kind == "prod":
            body = f"1 + 0.1 * tanh({body})"
        if kind == "sum" and self.chance(0.5):     # a contraction
            self.note("contraction")
            body = f"{self.tensor(self.pick('f32', 'f32', 'bf16'), self.around(over, inside))} * " \
                   f"{self.tensor('f32', self.around(over, inside))}"
        return f"{kind}[{','.join(over)}]({body})"

    def around(self, over, inside):
        rest = self.some([i for i in inside if i not in over], 2)
        axes = list(over) + rest
        self.random.shuffle(axes)
        return axes

    def real_read(self, axes, depth):
        """A tensor or an expression read elsewhere: a shift, a gather, the diagonal."""
        index = self.random.choice(sorted(EXTENTS))
        others = self.some([a for a in axes if a != index], 2)
        place = self.integer(axes, max(depth - 1, 0))
        self.note("read elsewhere")
        if self.chance(0.3):
            self.note("expression read elsewhere")
            inside = self.real(sorted(set(others) | {index}), min(depth - 1, 1))
            return f"({self.tensor('f32', [index])} * {inside})[{index}: {place}]"
        if self.chance(0.2):
            self.note("read by position")
            return f"{self.tensor('f32', [index])}[{place}]"
        return f"{self.tensor('f32', self.random.sample([index] + others, 1 + len(others)))}[{index}: {place}]"

    def real_normaliser(self, axes, depth):
        over, inside = self.reduced(axes)
        kind = self.pick("softmax", "softmax", "softmax1", "logsumexp", "log_softmax", "sparsemax", "entmax15")
        self.note(kind)
        s = self.real(inside, depth - 1)
        if kind == "logsumexp":
            return f"max(logsumexp[{','.join(over)}]({s}), -20)"
        x = f"{kind}[{','.join(over)}]({s})"
        v = self.tensor("f32", self.around(over, inside))
        return f"sum[{','.join(over)}]({x} * {v})"

    def real_call(self, axes, depth):
        """A function of our own, with or without an index."""
        name, other = self.name("fn_"), self.pick("tanh(x) * y", "x - 0.5 * y", "if x > y then x else 0.5 * y",
                                                "{ let u = x * 0.5; let w = u + y; w * sigmoid(u) }")
        self.note("function")
        if self.chance(0.4):
            over, inside = self.reduced(axes, 1)
            self.note("function with an index")
            body = self.pick("x - mean[n](y)", "{ let m = max[n](y); let z = exp(x - max(m, x)); z / (1 + sum[n](abs(y))) }",
                             "max[n](x) - min[n](x) + y")
            self.functions.append(f"fn {name}[n](x, y) " + (body if body[0] == "{" else f"= {body};"))
            # what may keep the index is reduced again
            return f"mean[{over[0]}]({name}[{over[0]}]({self.real(inside, depth - 1)}, {self.real(inside, 0)}))"
        self.functions.append(f"fn {name}(x, y) " + (other if other[0] == "{" else f"= {other};"))
        return f"{name}({self.real(axes, depth - 1)}, {self.real(axes, depth - 1)})"

    def integer(self, axes, depth):
        """i32 of small size."""
        what = self.pick("position", "position", "tensor", "constant", "scalar", "extent") if depth <= 0 else self.pick(
            "position", "tensor", "sum", "sum", "divide", "remainder", "bound", "arg", "count", "convert", "if")
        if what == "position" and axes:
            return self.random.choice(sorted(axes))
        if what == "tensor":
            self.note("i32 loaded")
            return self.tensor(self.pick("i32", "i32", "u8"), self.some(axes, 2))
        if what == "scalar":
            return self.scalar("i32")
        if what == "extent":
            self.note("extent")
            return f"|{self.random.choice(sorted(EXTENTS))}|"
        if what == "sum":
            return f"({self.integer(axes, depth - 1)} {self.pick('+', '-')} {self.integer(axes, 0)})"
        if what == "divide":
            self.note("i32 division")
            return f"({self.integer(axes, depth - 1)} / {self.pick('2', '3', '-2', self.integer(axes, 0))})"
        if what == "remainder":
            self.note("i32 remainder")
            return f"({self.integer(axes, depth - 1)} % {self.pick('2', '5', '-3', self.integer(axes, 0))})"
        if what == "bound":
            return f"clamp({self.integer(axes, depth - 1)}, {self.pick('0', '-1')}, {self.pick('7', '30')})"
        if what in ("arg", "count"):
            over, inside = self.reduced(axes, 1)
            if what == "arg":
                kind = self.pick("argmax", "argmin")
                self.note(kind)
                return f"{kind}[{over[0]}]({self.real(inside, depth - 1)})"
            self.note("count")
            return f"count[{over[0]}]({self.truth(inside, depth - 1)})"
        if what == "convert":
            self.note("conversion")
            return f"i32({self.pick('3', '5')} * tanh({self.real(axes, depth - 1)}))"
        if what == "if":
            return f"(if {self.truth(axes, depth - 1)} then {self.integer(axes, 0)} else {self.integer(axes, 0)})"
        return self.pick("0", "1", "2", "5")

    def truth(self, axes, depth):
        what = self.pick("reals", "integers", "tensor") if depth <= 0 else self.pick(
            "reals", "integers", "integers", "and", "or", "not", "any", "all", "tensor", "scalar")
        if what == "tensor":
            return self.tensor("bool", self.some(axes, 2))
        if what == "scalar":
            return self.scalar("bool")
        if what == "and":
            self.note("and")
            return f"({self.truth(axes, depth - 1)} and {self.truth(axes, depth - 1)})"
        if what == "or":
            self.note("or")
            return f"({self.truth(axes, depth - 1)} or {self.truth(axes, depth - 1)})"
        if what == "not":
            self.note("not")
            return f"(not {self.truth(axes, depth - 1)})"
        if what in ("any", "all"):
            over, inside = self.reduced(axes, 1)
            self.note(what)
            return f"{what}[{over[0]}]({self.truth(inside, depth - 1)})"
        operator = self.pick("<", "<=", ">", ">=") if what == "reals" else self.pick("<", "<=", ">", ">=", "==", "!=")
        side = self.real if what == "reals" else self.integer
        return f"({side(axes, depth - 1)} {operator} {side(axes, depth - 1)})"

    # -- statements -------------------------------------------------------------------------------------------------------

    def define(self, name, kind, axes, text, score=False):
        stated = f"[{','.join(axes)}]" if axes and self.chance(0.4) else ""
        if stated:
            self.note("stated axes")
        self.statements.append((name, f"{'score' if score else 'let'} {name}{stated} = {text};"))
        self.defined.append((name, kind, axes))

    def let(self):
        axes = self.some(EXTENTS, 3)
        if self.chance(0.25):
            return self.loop(axes)
        kind = self.pick("f32", "f32", "f32", "i32")
        text = self.real(axes, 2) if kind == "f32" else self.integer(axes, 2)
        self.define(self.name("x"), kind, axes, text)

    def loop(self, axes):
        """iterate, fold or scan: the state stays small."""
        kind = self.pick("iterate", "fold", "scan", "scan reverse")
        self.note(kind)
        over = self.random.choice([i for i in "ijk" if i not in axes] or ["i"])
        axes = [a for a in axes if a != over]
        inside = axes if kind == "iterate" else axes + [over]
        state, two = self.name("h"), self.name("h")
        stated = f"[{','.join(axes)}]" if axes else ""
        length = self.pick("3", "0", "5", self.scalar("i32")) if kind == "iterate" else over
        change = self.pick("0.5 * {h} + {x}", "tanh({h} + {x})", "if {c} then {h} else 0.9 * {h} + {x}")
        step = change.format(h=state, x=self.real(inside, 1), c=self.truth(inside, 1))
        if axes and self.chance(0.4):                      # the state is reduced over by its own step
            self.note("step that reduces over its state")
            step = f"tanh({step} + mean[{axes[0]}]({state}) * 0.5)"
        axes_of_result = inside if kind.startswith("scan") else axes
        result = self.name("x")
        if self.chance(0.3):
            self.note("two states")
            second = self.name("x")
            self.statements.append((result, f"let ({result}, {second}) = {kind} {length} {{ ({state}{stated}, {two}{stated}) = "
                                            f"(0.0, 1.0) -> ({step}, 0.5 * {two} + {state}) }};"))
            self.defined.append((second, "f32", axes_of_result))
        else:
            init = self.pick("0.0", self.real_leaf(axes, 0))
            self.statements.append((result, f"let {result} = {kind} {length} {{ {state}{stated} = {init} -> {step} }};"))
        self.defined.append((result, "f32", axes_of_result))

    def mask(self, around=("b", "i", "j")):
        kind = self.pick("constant", "index", "index", "window", "length", "length", "scalar", "distance", "modulo", "loaded bool",
                         "segments", "or", "real", "any condition")
        self.note(f"mask: {kind}")
        length = lambda: self.tensor("i32", [a for a in around if a in "bi" and self.chance(0.7)] or ["b"])
        text = {
            "constant": lambda: f"j < {self.pick('3', '64', '10')}",
            "index": lambda: self.pick("j <= i", "j < i", "i <= j", "j <= i + |j| - |i|", "2 * j <= i + 3"),
            "window": lambda: f"j <= i and i - j < {self.pick('2', '5', '40')}",
            "length": lambda: f"j < {length()} * {self.pick('1', '5')}",
            "scalar": lambda: f"j <= i + {self.scalar('i32')}",
            "distance": lambda: f"abs(i - j) <= {self.pick('1', '4', self.scalar('i32'))}",
            "modulo": lambda: f"(i - j) % {self.pick('2', '3')} == 0",
            "loaded bool": lambda: self.tensor("bool", self.pick(["b", "j"], ["j"], ["i", "j"])),
            "segments": lambda: f"{self.tensor('i32', ['i'])} == {self.tensor('i32', ['j'])}",
            "or": lambda: f"j <= i or j < {length()}",
            "real": lambda: f"abs(j - {self.tensor('f32', ['b'])} * 10) < {self.pick('2.5', '6.5')}",
            "any condition": lambda: self.truth(self.some("bijk", 3), 1),
        }[kind]()
        self.statements.append((None, f"mask {text};"))

    def attention(self):
        """Score, normalise, aggregate."""
        self.note("attention")
        batch = self.random.sample(["b", "h"], self.random.randint(0, 2))
        heads = [a for a in batch if a != "h" or self.chance(0.7)]       # of keys: grouped where h is missing
        storage = self.pick("f32", "f32", "f32", "bf16", "f16")
        q = self.tensor(storage, batch + ["i", "d"])
        lengths = self.chance(0.35) and "b" in heads
        k, v = self.tensor(storage, heads + ["j", "d"]), self.tensor(storage, heads + ["j", "e"])
        if lengths:                                                      # what no row visits is anything (rule M7)
            self.note("poisoned padding")
            extent = self.extents["j"]
            size = self.values.integers(0, extent + 2, self.extents["b"])
            size[self.values.random(len(size)) < 0.2] = 0
            length = self.tensor("i32", ["b"], i32(size))
            self.statements.append((None, f"mask j < {length};"))
            for name in (k, v):
                self.poison(name, size, heads.index("b"), len(heads))
        for _ in range(self.random.randint(0, 2)):
            self.mask(batch + ["i", "j"])
        s = self.name("x")
        dot = f"sum[d]({q} * {k})"
        scale = self.pick("rsqrt(|d|)", "rsqrt(|d|)", "0.5", "20")
        if scale == "20":
            self.note("huge scores")
        bias = self.pick("", "", f" + {self.tensor('f32', ['j'])}", " - 0.1 * abs(i - j)",
                         f" + {self.tensor('f32', ['k'])}[k: i - j]")
        cap = self.chance(0.15)
        body = f"{dot} * {scale}{bias}"
        self.statements.append((s, f"score {s} = {f'5 * tanh(({body}) / 5)' if cap else body};"))
        axes = sorted(set(batch + heads) | {"i", "j"})
        if not lengths:
            self.defined.append((s, "f32", axes))
        norm = self.pick("softmax", "softmax", "softmax", "softmax1", "sparsemax", "entmax15", "sigmoid", "relu")
        self.note(norm)
        p = f"{norm}[j]({s})" if norm not in ("sigmoid", "relu") else f"{norm}({s})"
        rows = [a for a in axes if a != "j"]
        kind = self.pick("f32", "f32", "bf16", "f16") if storage == "f32" else storage
        if self.chance(0.3):
            name = self.name("x")
            self.define(name, "f32", axes, p)
            p = name
        self.result(kind, rows + ["e"], f"sum[j]({p} * {v})")
        if self.chance(0.3):
            self.result("f32", rows, f"max(logsumexp[j]({s}), -100)")
        if self.chance(0.2):
            self.result("i32", rows, f"argmax[j]({s})")
        if self.chance(0.2):
            self.result("f32", [a for a in rows if a != "i"] + ["j"], f"sum[i]({p})")
        return lengths

    def poison(self, name, size, batch, leading):
        tensor = self.inputs[name]
        shape = tensor.data.shape
        position = np.arange(shape[leading]).reshape((-1,) + (1,) * (len(shape) - leading - 1))
        keep = position < size.reshape([-1 if a == batch else 1 for a in range(len(shape))])
        bits = {"f32": np.array([np.nan, np.inf, -3e38], np.float32), "f16": np.array([np.nan, np.inf, -6e4], np.float16),
                "bf16": np.array([0x7FC1, 0x7F80, 0xFF7F], np.uint16)}[tensor.kind]
        tensor.data[...] = np.where(keep, tensor.data, np.resize(bits, shape))

    def result(self, kind, axes, text):
        name = self.name("r")
        if len(axes) > 1 and self.chance(0.3):
            axes = self.random.sample(axes, len(axes))
        self.note(f"result {kind}")
        self.results.append((name, kind, axes))
        self.statements.append((name, f"{name} = {text};"))
        if kind == "f32" and self.chance(0.3):
            self.defined.append((name, "f32", axes))

    def plain_result(self):
        axes = self.some(EXTENTS, 3)
        kind = self.pick("f32", "f32", "f32", "bf16", "f16", "i32", "i8", "bool")
        text = (self.real(axes, 3) if kind in ("f32", "bf16", "f16")
                else self.truth(axes, 2) if kind == "bool" else self.integer(axes, 2))
        self.result(kind, axes, text)

    def kernel(self):
        only_attention = False
        if self.chance(0.6):
            only_attention = self.attention()
        if not only_attention:
            for _ in range(self.random.randint(0, 3)):
                self.mask() if self.chance(0.35) else self.let()
        for _ in range(self.random.randint(0 if self.results else 1, 2)):
            self.plain_result()
        if len(self.results) > 1:
            self.note("several results")
        # Every index needs an extent.
        body = self.text_of_body()
        fixed = {a for _, _, axes in self.parameters if axes for a in axes}
        for index in EXTENTS:
            if index not in fixed and index in body:
                self.tensor("u8", [index])
        return Kernel(self.seed, self.functions, self.parameters, self.results, self.statements, self.inputs,
                      self.extents, self.features, self.constraint)

    def text_of_body(self):
        """The single letters that stand in the statements and results."""
        import re
        return set(re.findall(r"(?<![A-Za-z0-9_])[a-z](?![A-Za-z0-9_])", " ".join(t for _, t in self.statements)
                              + " " + " ".join(a for _, _, axes in self.results for a in axes)))


def kernel(seed):
    return Generator(seed).kernel()


if __name__ == "__main__":
    print(kernel(int(sys.argv[1])).text())
