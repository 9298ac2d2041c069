"""Random kernels that follow the language's rules, with inputs for them.

    generate.py SEED               the text of one
    generate.py --count N [SEED]   how often each construct occurs in N kernels

A kernel is a function of its seed. Its size is bounded (a few statements, a few million points), its values are kept
moderate (no overflow of i32, no infinities except as scores), and every index has its extent from some parameter.
Attention kernels know which keys and queries their masks leave: what no row visits holds NaN and 3e38 (rule M7)."""

import collections
import dataclasses
import os
import random
import re
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "values")]

from tensors import Tensor, bf16, boolean, f16, f32, i8, i32, u8
from tree import Node, node

# The indices of general expressions with the extents that they may have: few batches, odd counts, both sides of tile sizes.
EXTENTS = {
    "b": [1, 2, 3], "h": [1, 2, 4], "i": [1, 2, 5, 9, 16, 17, 33], "j": [0, 1, 2, 7, 16, 31, 64, 65, 70, 129],
    "k": [1, 3, 8, 12], "d": [1, 4, 7, 8, 16, 33], "e": [1, 3, 5, 16, 18],
}
# Of attention: around the sizes of tiles and vectors.
LONG = {
    "i": [1, 3, 8, 9, 31, 63, 64, 65, 100, 130], "j": [0, 1, 7, 33, 63, 64, 65, 127, 128, 129, 150, 200],
    "d": [1, 7, 16, 31, 32, 33, 64, 65, 96, 128, 130], "e": [1, 5, 16, 17, 32, 48, 64, 65, 128, 130],
}
MOST_POINTS = 200_000               # of a general nest; the oracle runs scalar loops
MOST_ATTENTION_POINTS = 2_000_000   # the same, of an attention kernel

# Every construct that is counted. Each must be in at least 1 % of kernels.
CONSTRUCTS = set("""
parameter f32, parameter f16, parameter bf16, parameter i32, parameter i8, parameter u8, parameter bool, parameter sorted
scalar f32, scalar i32, scalar bool, result f32, result f16, result bf16, result i32, result i8, result u8, result bool
result without axes, several results, result read again, extent of 0, stated axes, shadowed name, constraint, dim, position
arithmetic, negation, tanh, sigmoid, relu, exp, abs, sqrt, gelu, silu, softplus, sin, cos, floor, erf, leaky_relu, log, exp2
clamp, sign, rsqrt, round, ceil, min, max, pow, if, conversion, i32 division, i32 remainder, i32 loaded, extent
and, or, not
sum, mean, reduction max, reduction min, prod, any, all, count, argmax, argmin, reduction over two indices, contraction
read elsewhere, expression read elsewhere, read by position, gather, concat
function, nested function, function with an index, function with a tuple, onehot, t5_bucket
iterate, fold, scan, scan reverse, two states, step that reduces over its state, step that is a block, iterated normaliser
softmax, softmax1, logsumexp, log_softmax, sparsemax, entmax15, softmax over two indices, hand-written softmax, softmax with a sink
attention, attention that fuses, grouped queries, shared keys, huge scores, scores of minus infinity, soft cap, bias, causal
additive score, distance score, bilinear score, two products, weights are a result, two aggregates, max aggregate, gated values
projection of the output, product with weights, top key, graph, pages, window in two dimensions, decode, empty rows, poisoned padding
temperature per head, location-aware score, linear attention, sigmoid attention, squared relu, weights over their sum, weights times weights
several values, logsumexp with softmax1, sampler, sampler in two dimensions, compact factor, condition as a factor, if-else-0 factor
convolution, convolution in two dimensions, infinite inputs, infinite values, any bits
mask: constant, mask: index, mask: scalar, mask: window, mask: distance, mask: length, mask: range, mask: dilation
mask: sorted segments, mask: documents, mask: conjunction, mask: negation, mask: disjunction, mask: loaded bool, mask: real centre
mask: prelude, mask: any condition, mask: stride, mask: dilated window, mask: rows only, sorted comparison, segments that do not occur
""".replace("\n", ",").strip(", ").replace(",,", ",").split(","))
CONSTRUCTS = {c.strip() for c in CONSTRUCTS if c.strip()}


@dataclasses.dataclass
class Kernel:
    seed: int
    functions: list           # nodes
    parameters: list          # (name, type, axes or None for a scalar, "sorted" or "")
    results: list             # (name, type, axes)
    statements: list          # (names assigned, node)
    inputs: dict              # name -> Tensor, or a number for --set
    clean: dict               # harmless values for poisoned tensors
    extents: dict
    features: set
    constraints: list
    judged: bool = True       # whether the rules say what the results are; else there must be some, and no access outside a tensor

    def text(self, name="fuzz"):
        def declared(name, kind, axes, more=""):
            return f"{name}: {kind}" + (f"[{','.join(axes)}]" if axes else "") + (f" {more}" if more else "")

        parameters = ",\n              ".join(declared(*p) for p in self.parameters)
        results = ", ".join(declared(*r) for r in self.results)
        body = "".join(f"  {statement}\n" for _, statement in self.statements)
        functions = "".join(f"{f}\n" for f in self.functions)
        where = f"where {', '.join(self.constraints)} " if self.constraints else ""
        return f"{functions}kernel {name}({parameters})\n  -> {results} {where}{{\n{body}}}\n"


class Generator:
    def __init__(self, seed):
        self.seed = seed
        self.random = random.Random(seed)
        self.values = np.random.default_rng(seed)
        self.features = set()
        self.extents = {name: self.random.choice(sizes) for name, sizes in EXTENTS.items()}
        if self.chance(0.04):
            self.extents[self.random.choice("bhidek")] = 0
            self.note("extent of 0")
        if self.extents["j"] == 0:
            self.note("extent of 0")
        self.parameters, self.results, self.statements, self.functions = [], [], [], []
        self.inputs, self.clean, self.defined = {}, {}, []
        self.count = 0
        self.constraints = []
        self.finite = True                # whether other statements may read the results

    # -- small choices --------------------------------------------------------------------------------------------------

    features = None

    def note(self, feature):
        assert feature in CONSTRUCTS, feature
        self.features.add(feature)

    def chance(self, p): return self.random.random() < p
    def pick(self, *choices): return self.random.choice(choices)

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

    def state(self, names, template, *parts):
        self.statements.append((names, node("statement", template, *parts)))

    # -- parameters -----------------------------------------------------------------------------------------------------

    def tensor(self, kind, axes, values=None, more=""):
        name, shape = self.name("t"), [self.extents[a] for a in axes]
        if values is None:
            values = self.stored(kind, shape)
        values.data = values.data.reshape(shape)            # one value may have lost that it has no axes
        self.parameters.append((name, kind, list(axes), more))
        self.inputs[name] = values
        self.note(f"parameter {kind}")
        return name

    def real_tensor(self, axes, *kinds):
        return node("f32", "{}", self.tensor(self.pick(*(kinds or ["f32"])), axes))

    def stored(self, kind, shape):
        if kind == "bool":
            return boolean(self.values.random(shape) < 0.6)
        if kind in ("i32", "i8", "u8"):
            low, high = (0, 12) if kind == "u8" else (-4, 12)
            return {"i32": i32, "i8": i8, "u8": u8}[kind](self.values.integers(low, high, shape))
        return {"f32": f32, "f16": f16, "bf16": bf16}[kind](self.values.standard_normal(shape))

    def scalar(self, kind, value=None):
        name = self.name("s")
        if value is None:
            value = {"f32": round(float(self.values.standard_normal()), 3), "i32": int(self.values.integers(-3, 9)),
                     "bool": bool(self.values.random() < 0.5)}[kind]
        self.parameters.append((name, kind, None, ""))
        self.inputs[name] = value
        self.note(f"scalar {kind}")
        return name

    # -- expressions whose free indices are among `axes` -----------------------------------------------------------------

    def real(self, axes, depth):
        """f32, of moderate size."""
        choices = [self.real_leaf] * 2
        if depth > 0:
            choices += [self.real_unary] * 4 + [self.real_binary, self.real_binary, self.real_if, self.real_reduction,
                        self.real_read, self.real_normaliser, self.real_call]
        return self.random.choice(choices)(axes, depth)

    def real_leaf(self, axes, depth):
        usable = [d for d in self.defined if d[1] == "f32" and set(d[2]) <= set(axes)]
        what = self.pick("tensor", "tensor", "tensor", "constant", "scalar", "position", "defined", "defined")
        if what == "defined" and usable:
            name = self.random.choice(usable)[0]
            if name.startswith("r"):
                self.note("result read again")
            return node("f32", name)
        if what == "constant":
            return node("f32", self.pick("0.5", "1.5", "2", "0.25", "-1", "3"))
        if what == "scalar":
            return node("f32", self.scalar("f32"))
        if what == "position" and axes:
            self.note("position")
            return node("f32", f"{self.pick('0.1', '0.25', '0.03')} * {self.random.choice(sorted(axes))}")
        return self.real_tensor(self.some(axes), "f32", "f32", "f32", "f32", "bf16", "f16", "i8")

    def real_unary(self, axes, depth):
        form = self.pick("tanh({})", "sigmoid({})", "relu({})", "exp(-abs({}))", "abs({})", "sqrt(abs({}))", "gelu({})",
                         "silu({})", "softplus({})", "sin({})", "cos({})", "floor({})", "erf({})", "-({})", "leaky_relu({}, 0.1)",
                         "log(1 + abs({}))", "exp2(min({}, 3))", "clamp({}, -1, 1)", "sign({})", "rsqrt(1 + abs({}))",
                         "round({})", "ceil({})")
        self.note(form.split("(")[0].strip("-") or "negation")
        return node("f32", form, self.real(axes, depth - 1))

    def real_binary(self, axes, depth):
        form = self.pick("({} + {})", "({} - {})", "({} * {})", "({} * {})", "({} / (1 + abs({})))", "min({}, {})", "max({}, {})",
                         "pow(0.5 + abs({}), tanh({}))")
        self.note({"(": "arithmetic"}.get(form[0], form.split("(")[0]))
        return node("f32", form, self.real(axes, depth - 1), self.real(axes, depth - 1))

    def real_if(self, axes, depth):
        self.note("if")
        return node("f32", "(if {} then {} else {})", self.truth(axes, depth - 1), self.real(axes, depth - 1), self.real(axes, depth - 1))

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
        self.note({"max": "reduction max", "min": "reduction min"}.get(kind, kind))
        if len(over) == 2:
            self.note("reduction over two indices")
        form = f"{kind}[{','.join(over)}]"
        if kind == "sum" and self.chance(0.5):
            self.note("contraction")
            return node("f32", form + "({} * {})", self.real_tensor(self.around(over, inside), "f32", "f32", "bf16"),
                        self.real_tensor(self.around(over, inside)))
        return node("f32", form + ("(1 + 0.1 * tanh({}))" if kind == "prod" else "({})"), self.real(inside, depth - 1))

    def around(self, over, inside):
        rest = self.some([i for i in inside if i not in over], 2)
        axes = list(over) + rest
        self.random.shuffle(axes)
        return axes

    def real_read(self, axes, depth):
        """A tensor or an expression read elsewhere: a shift, a gather, the diagonal; two tensors laid end to end."""
        index = self.random.choice(sorted(EXTENTS))
        others = self.some([a for a in axes if a != index], 2)
        if self.chance(0.15):
            return self.real_concat(axes)
        place = self.integer(axes, max(depth - 1, 0))
        self.note("read elsewhere")
        if self.chance(0.3):
            self.note("expression read elsewhere")
            inside = self.real(sorted(set(others) | {index}), min(depth - 1, 1))
            return node("f32", f"({{}} * {{}})[{index}: {{}}]", self.tensor("f32", [index]), inside, place)
        if self.chance(0.25):
            self.note("read by position")
            return node("f32", "{}[{}]", self.tensor("f32", [index]), place)
        if self.chance(0.4):
            self.note("gather")
            place = node("i32", "{}", self.tensor(self.pick("i32", "u8"), self.some(axes, 2)))
        return node("f32", f"{{}}[{index}: {{}}]", self.tensor("f32", self.random.sample([index] + others, 1 + len(others))), place)

    def real_concat(self, axes):
        self.note("concat")
        first, second = self.random.sample("bhik", 2)
        name = "ijkde"[self.random.randrange(5)]
        if name in (first, second):
            name = "j" if "j" not in (first, second) else "e"
        if self.extents[name] != self.extents[first] + self.extents[second]:
            name = "cc"
            self.extents[name] = self.extents[first] + self.extents[second]
        others = self.some([a for a in axes if a not in (first, second, name)], 1)
        a, b = self.tensor("f32", others + [first]), self.tensor("f32", [second])
        over = self.pick("sum", "max", "mean")
        return node("f32", f"{over}[{name}]({self.pick('', 'tanh')}(concat[{name}]({a}[{first}], {b}[{second}])))" if not others else
                    f"{over}[{name}](concat[{name}]({a}[{first}], {b}[{second}]))")

    def real_normaliser(self, axes, depth):
        over, inside = self.reduced(axes)
        kind = self.pick("softmax", "softmax", "softmax1", "logsumexp", "log_softmax", "sparsemax", "entmax15")
        self.note(kind)
        if len(over) == 2:
            self.note("softmax over two indices")
        s, form = self.real(inside, depth - 1), f"{kind}[{','.join(over)}]({{}})"
        if kind == "logsumexp":
            return node("f32", f"max({form}, -20)", s)
        return node("f32", f"sum[{','.join(over)}]({form} * {{}})", s, self.real_tensor(self.around(over, inside)))

    def function(self, template, *parts):
        self.functions.append(node("function", template, *parts))

    def real_call(self, axes, depth):
        """A function of our own or of the prelude, with or without an index."""
        name, what = self.name("fn_"), self.pick("plain", "plain", "index", "index", "nested", "nested", "tuple", "tuple", "onehot", "onehot", "bucket", "bucket")
        x, y = (lambda d=depth - 1: self.real(axes, d)), (lambda: self.real(axes, 0))
        if what == "onehot":
            self.note("onehot")
            over, inside = self.reduced(axes, 1)
            return node("f32", f"sum[{over[0]}](onehot[{over[0]}]({{}}) * {{}})", self.integer(axes, 0), self.real_tensor(self.around(over, inside)))
        if what == "bucket":
            self.note("t5_bucket")
            return node("f32", f"{{}}[k: t5_bucket({{}}, {self.pick('true', 'false')}, {self.pick('8', '16')}, {self.pick('20', '64')})]",
                        self.tensor("f32", ["k"]), self.integer(axes, 1))
        self.note("function")
        if what == "index":
            self.note("function with an index")
            over, inside = self.reduced(axes, 1)
            body = self.pick("= x - mean[n](y);", "{ let m = max[n](y); let z = exp(x - max(m, x)); z / (1 + sum[n](abs(y))) }",
                             "= max[n](x) - min[n](x) + y;", "= 0.1 * x * (count[n](x > y) - n);")
            self.function(f"fn {name}[n](x, y) {body}")
            # what may keep the index is reduced again
            return node("f32", f"mean[{over[0]}]({name}[{over[0]}]({{}}, {{}}))", self.real(inside, depth - 1), self.real(inside, 0))
        if what == "tuple":
            self.note("function with a tuple")
            self.function(f"fn {name}(x, y) = (x + y, 0.5 * x);")
            first, second = self.name("x"), self.name("x")
            self.state((first, second), f"let ({first}, {second}) = {name}({{}}, {{}});", x(), y())
            return node("f32", f"({first} - {second})")
        if what == "nested":
            self.note("nested function")
            inner, over = self.name("fn_"), self.pick("sum", "max", "mean")
            self.function(f"fn {inner}[n](x) = {over}[n](x * sigmoid(x));")
            self.function(f"fn {name}[n](x, y) {{ let u = {inner}[n](x + y); {inner}[n](x - u) + softplus(u) }}")
            (over,), inside = self.reduced(axes, 1)
            return node("f32", f"mean[{over}]({name}[{over}]({{}}, {{}}))", self.real(inside, depth - 1), self.real(inside, 0))
        self.function(f"fn {name}(x, y) " + self.pick("= tanh(x) * y;", "= x - 0.5 * y;", "= if x > y then x else 0.5 * y;",
                                                      "{ let u = x * 0.5; let w = u + y; w * sigmoid(u) }"))
        return node("f32", f"{name}({{}}, {{}})", x(), x())

    def integer(self, axes, depth):
        """i32 of small size."""
        what = self.pick("position", "position", "tensor", "constant", "scalar", "extent") if depth <= 0 else self.pick(
            "position", "tensor", "sum", "sum", "divide", "remainder", "bound", "arg", "count", "convert", "if")
        again = lambda d=depth - 1: self.integer(axes, d)
        if what == "position" and axes:
            self.note("position")
            return node("i32", self.random.choice(sorted(axes)))
        if what == "tensor":
            self.note("i32 loaded")
            return node("i32", self.tensor(self.pick("i32", "i32", "u8"), self.some(axes, 2)))
        if what == "scalar":
            return node("i32", self.scalar("i32"))
        if what == "extent":
            self.note("extent")
            return node("i32", f"|{self.random.choice(sorted(EXTENTS))}|")
        if what == "sum":
            return node("i32", f"({{}} {self.pick('+', '-')} {{}})", again(), again(0))
        if what == "divide":
            self.note("i32 division")
            return node("i32", "({} / {})", again(), self.pick("2", "3", "-2", again(0)))
        if what == "remainder":
            self.note("i32 remainder")
            return node("i32", "({} % {})", again(), self.pick("2", "5", "-3", again(0)))
        if what == "bound":
            return node("i32", f"clamp({{}}, {self.pick('0', '-1')}, {self.pick('7', '30')})", again())
        if what in ("arg", "count"):
            (over,), inside = self.reduced(axes, 1)
            if what == "arg":
                kind = self.pick("argmax", "argmin")
                self.note(kind)
                # Of few values, so that there are ties.
                return node("i32", f"{kind}[{over}]({self.pick('{}', 'round({})', 'sign({})')})", self.real(inside, depth - 1))
            self.note("count")
            return node("i32", f"count[{over}]({{}})", self.truth(inside, depth - 1))
        if what == "convert":
            self.note("conversion")
            return self.pick(lambda: node("i32", f"i32({self.pick('3', '5')} * tanh({{}}))", self.real(axes, depth - 1)),
                             lambda: node("i32", "i32({})", self.truth(axes, depth - 1)))()
        if what == "if":
            return node("i32", "(if {} then {} else {})", self.truth(axes, depth - 1), again(0), again(0))
        return node("i32", self.pick("0", "1", "2", "5"))

    def truth(self, axes, depth):
        what = self.pick("reals", "integers", "tensor") if depth <= 0 else self.pick(
            "reals", "integers", "integers", "and", "or", "not", "any", "all", "tensor", "scalar")
        again = lambda: self.truth(axes, depth - 1)
        if what == "tensor":
            return node("bool", self.tensor("bool", self.some(axes, 2)))
        if what == "scalar":
            return node("bool", self.scalar("bool"))
        if what in ("and", "or"):
            self.note(what)
            return node("bool", f"({{}} {what} {{}})", again(), again())
        if what == "not":
            self.note("not")
            return node("bool", "(not {})", again())
        if what in ("any", "all"):
            over, inside = self.reduced(axes, 1)
            self.note(what)
            return node("bool", f"{what}[{over[0]}]({{}})", self.truth(inside, depth - 1))
        operator = self.pick("<", "<=", ">", ">=") if what == "reals" else self.pick("<", "<=", ">", ">=", "==", "!=")
        side = self.real if what == "reals" else self.integer
        return node("bool", f"({{}} {operator} {{}})", side(axes, depth - 1), side(axes, depth - 1))

    # -- statements -------------------------------------------------------------------------------------------------------

    def define(self, name, kind, axes, value, score=False):
        stated = f"[{','.join(axes)}]" if axes and self.chance(0.4) else ""
        if stated:
            self.note("stated axes")
        self.state((name,), f"{'score' if score else 'let'} {name}{stated} = {{}};", value)
        self.defined.append((name, kind, axes))

    def let(self):
        axes = self.some(EXTENTS, 3)
        if self.chance(0.3):
            return self.loop(axes)
        kind = self.pick("f32", "f32", "f32", "i32")
        name = self.name("x")
        self.define(name, kind, axes, self.real(axes, 2) if kind == "f32" else self.integer(axes, 2))
        if kind == "f32" and self.chance(0.15):
            self.note("shadowed name")
            self.state((name,), f"let {name} = {name} {self.pick('+', '*')} {{}};", self.real_leaf(axes, 0))

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
        form, kinds = self.pick((f"0.5 * {state} + {{}}", "x"), (f"tanh({state} + {{}})", "x"), (f"if {{}} then {state} else 0.9 * {state} + {{}}", "cx"))
        step = node("f32", form, *[self.real(inside, 1) if k == "x" else self.truth(inside, 1) for k in kinds])
        if axes and self.chance(0.4):                      # the state is reduced over by its own step
            self.note("step that reduces over its state")
            step = node("f32", f"tanh({{}} + mean[{axes[0]}]({state}) * 0.5)", step)
        axes_of_result = inside if kind.startswith("scan") else axes
        result = self.name("x")
        if self.chance(0.3):
            self.note("two states")
            second = self.name("x")
            self.state((result, second), f"let ({result}, {second}) = {kind} {length} {{ ({state}{stated}, {two}{stated}) = "
                                         f"(0.0, 1.0) -> ({{}}, 0.5 * {two} + {state}) }};", step)
            self.defined.append((second, "f32", axes_of_result))
        else:
            init = self.pick(node("f32", "0.0"), self.real_leaf(axes, 0))
            if self.chance(0.3):
                self.note("step that is a block")
                step = node("f32", "{ let u = {}; u - 0.1 * u * u }", step)
            self.state((result,), f"let {result} = {kind} {length} {{ {state}{stated} = {{}} -> {{}} }};", init, step)
        self.defined.append((result, "f32", axes_of_result))

    # -- masks ------------------------------------------------------------------------------------------------------------

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

    # -- attention ----------------------------------------------------------------------------------------------------------

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
            ratio = self.pick(1, 2, 3, 4)
            self.extents["g"] = self.pick(1, 2)
            self.extents["h"] = ratio * self.extents["g"]
            self.constraints.append(f"h = {ratio}*g")
            heads[heads.index("h")] = "g"
            through = f"[g: h / {ratio}]"
        else:
            for a in batch:
                if self.chance(0.2):
                    self.note("shared keys")
                    heads.remove(a)
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
        left = np.broadcast_to(left, [self.extents[a] for a in "bhij"])
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
        if self.chance(0.15 * often):
            self.note("scores of minus infinity")
            self.state((s,), f"score {s} = {s} + log(if {{}} then 1.0 else 0.0);", self.known_mask(batch + ["i"], 0)[0])
        self.defined.append((s, "f32", axes))
        rows = [a for a in axes if a != "j"]
        kind = self.pick("f32", "f32", "bf16", "f16") if storage == "f32" else storage
        p = self.weights(s, rows, fusing, huge, linear)
        if left.all() and not huge and not {"mask: any condition", "scores of minus infinity"} & self.features and self.chance(0.7) and re.match(r"softmax1?\[j\]\(\w+\)$|sigmoid", str(p)):
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
                             lambda: node("f32", "{}[k: t5_bucket(j - i, true, 8, 20)]", self.tensor("f32", ["k"])))()
            if "t5_bucket" in str(bias):
                self.note("t5_bucket")
            body = node("f32", "{} + {}", body, bias)
        if self.chance(0.15):
            self.note("soft cap")
            body = node("f32", "5 * tanh(({}) / 5)", body)
        return body

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
            kind = self.pick("softmax", "softmax", "softmax1", "sparsemax", "entmax15", "sigmoid", "relu", "log_softmax", "hand-written softmax",
                             "softmax with a sink", "iterated normaliser", *([] if huge else ["weights over their sum", "weights times weights"]))
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
            body = self.pick("relu(x) / (0.01 + sum[n](relu(x)))", "{ let w = exp(x); w / sum[n](w) }", "{ let w = sigmoid(x); w / sum[n](w) }", "{ let w = x * x; w / (1 + sum[n](w)) }",
                             "exp2(x) / (1 + sum[n](exp2(x)))", "{ let w = softplus(x); w * (1 / sum[n](w)) }")
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
  let (t, half) = iterate 20 {{ (t, half) = (max[n](x) - 1, 0.5) -> {{
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

    # -- whole forms ----------------------------------------------------------------------------------------------------------

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
        self.state((s,), f"score {s} = sum[d]({q} * {k}[p: {page}, s: l % |s|]) * rsqrt(|d|);")
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
        self.state((s,), f"score {s} = sum[d]({q} * {k}) * rsqrt(|d|);")
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
            return node("f32", self.pick("({} * {})", "({} * {} * 0.5)"), self.factor(index, rows, depth - 1), self.factor(index, rows, 0))
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

    # -- results ----------------------------------------------------------------------------------------------------------------

    def result(self, kind, axes, value, ordered=False):
        name = self.name("r")
        axes = list(axes)
        if not ordered and len(axes) > 1 and self.chance(0.2):
            axes = self.random.sample(axes, len(axes))
        self.note(f"result {kind}")
        if not axes:
            self.note("result without axes")
        self.results.append((name, kind, axes))
        self.state((name,), f"{name} = {{}};", value)
        if kind == "f32" and self.chance(0.3):
            self.defined.append((name, "f32", axes))

    def plain_result(self):
        axes = self.some(EXTENTS, 3)
        kind = self.pick("f32", "f32", "f32", "bf16", "f16", "i32", "i8", "u8", "bool")
        before = [r for r in self.results if r[1] == "f32" and "w" not in r[2]]   # no parameter has an index of `dim`
        if before and self.chance(0.3):
            self.note("result read again")
            name, _, axes = self.random.choice(before)
            axes = sorted(axes)
            return self.result("f32", axes, node("f32", f"{{}} {self.pick('+', '*')} {name}", self.real(axes[:2], 2)))
        self.result(kind, axes, self.real(axes, 3) if kind in ("f32", "bf16", "f16") else self.truth(axes, 2) if kind == "bool" else self.integer(axes, 2))

    def kernel(self):
        form = self.random.random()
        if form < 0.55:
            self.attention()
        elif form < 0.59:
            self.graph()
        elif form < 0.62:
            self.pages()
        elif form < 0.65:
            self.window()
        elif form < 0.68:
            self.product()
        elif form < 0.75:
            self.sampler()
        elif form < 0.80:
            self.convolution()
        elif form < 0.82:
            self.infinite()
        if not self.results or self.finite and self.chance(0.2):
            if self.chance(0.08):
                self.note("dim")
                self.extents["w"] = self.extents["k"] + 2
                self.state((), "dim w = k + 2;")
                self.plain_dim()
            for _ in range(self.random.randint(0, 3)):
                self.mask() if self.chance(0.3) else self.let()
            for _ in range(self.random.randint(0 if self.results else 1, 2)):
                self.plain_result()
        if len(self.results) > 1:
            self.note("several results")
        # Every index needs an extent.
        body = self.letters()
        fixed = {a for _, _, axes, _ in self.parameters if axes for a in axes}
        for index in EXTENTS:
            if index not in fixed and index in body:
                self.tensor("u8", [index])
        if self.chance(0.05):
            self.note("constraint")
            index = self.random.choice(sorted(a for a in "bijdk" if a in body or a in fixed) or ["b"])
            if index in body or index in fixed:
                extent = self.extents[index]
                self.constraints.append(self.pick(f"{index} = {extent}", f"{index} <= {extent + 3}", f"{index} in {{{extent}, {extent + 64}}}",
                                                  f"{index} in {{{extent + 1}, {extent + 64}}}"))
        judged = not self.chance(0.03)
        if not judged:
            self.any_bits()
        return Kernel(self.seed, self.functions, self.parameters, self.results, self.statements, self.inputs, self.clean, self.extents,
                      self.features, self.constraints, judged)

    def plain_dim(self):
        """A result along an index that `dim` made."""
        self.result("f32", ["w"], node("f32", "0.5 * w + {}[k: w - 1]", self.tensor("f32", ["k"])))

    def letters(self):
        """The single letters that stand in the statements and results."""
        return set(re.findall(r"(?<![A-Za-z0-9_])[a-z](?![A-Za-z0-9_])", " ".join(str(t) for _, t in self.statements)
                              + " " + " ".join(a for _, _, axes in self.results for a in axes)))


def kernel(seed):
    return Generator(seed).kernel()


def occurrences(count, seed):
    """How many of `count` kernels have each construct."""
    counts = collections.Counter({c: 0 for c in CONSTRUCTS})
    for number in range(seed, seed + count):
        counts.update(kernel(number).features)
    return counts


if __name__ == "__main__":
    if sys.argv[1] == "--count":
        wanted = int(sys.argv[2])
        for construct, n in sorted(occurrences(wanted, int(sys.argv[3]) if len(sys.argv) > 3 else 1).items(), key=lambda x: x[1]):
            print(f"{100 * n / wanted:6.2f} %  {construct}")
    else:
        print(kernel(int(sys.argv[1])).text())
