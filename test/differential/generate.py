"""Random kernels that follow the language's rules, with inputs for them.

    generate.py SEED               the text of one
    generate.py --count N [SEED]   how often each construct occurs in N kernels

A kernel is a function of its seed. Its size is bounded (a few statements, a few million points), its values are kept
moderate (no overflow of i32, no infinity of which IEEE would make a NaN) but for the kernels of any bits, and every index has its
extent from some parameter.
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

from attention import Attention
from constructs import CONSTRUCTS, EXTENTS, MOST_POINTS
from expressions import Expressions
from forms import Forms
from masks import Masks
from tensors import bf16, boolean, f16, f32, i8, i32, u8
from tree import node


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
    schedule: str = ""        # a block that changes how attention is computed, as far as the kernel allows it
    judged: bool = True       # whether the rules say what the results are; else there must be some, and no access outside a tensor

    def text(self, name="fuzz"):
        def declared(name, kind, axes, more=""):
            return f"{name}: {kind}" + (f"[{','.join(axes)}]" if axes else "") + (f" {more}" if more else "")

        parameters = ",\n              ".join(declared(*p) for p in self.parameters)
        results = ", ".join(declared(*r) for r in self.results)
        body = "".join(f"  {statement}\n" for _, statement in self.statements)
        functions = "".join(f"{f}\n" for f in self.functions)
        where = f"where {', '.join(self.constraints)} " if self.constraints else ""
        return f"{functions}kernel {name}({parameters})\n  -> {results} {where}{{\n{body}}}\n" + (f"schedule {name} for cpu {{ {self.schedule} }}\n" if self.schedule else "")


class Generator(Expressions, Masks, Attention, Forms):
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
        # Under a mask, a reduction might depend on an axis that the state lacks.
        masked = any(str(text).startswith("mask ") for _, text in self.statements)
        depth = 0 if masked else 1
        step = node("f32", form, *[self.real(inside, depth) if k == "x" else self.truth(inside, depth) for k in kinds])
        if axes and not masked and self.chance(0.4):       # the state is reduced over by its own step
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
                      self.features, self.constraints, self.schedule(), judged)

    def schedule(self):
        """Tiles of any size; what a kernel does not allow, compare-kernels leaves out."""
        r = random.Random(f"schedule {self.seed}")
        if "attention" not in self.features or r.random() < 0.5:
            return ""
        self.note("schedule")

        def sizes():
            panel = r.choice([16, 32, 64, 128])
            return f"queries = {r.choice([1, 3, 7, 8, 24, 40, 65])}; panel = {panel}; keys = {panel * r.choice([1, 2, 3, 4])};"

        version = lambda name, inside: r.choice(["", f"{name} = none;", f"{name} {{ {inside} }}"])
        rows = lambda: f"rows = {r.choice([1, 4, 20])}; {sizes()}"
        ways = r.choice(["", " unpacked = 0;", " unpacked = none;", " broadcast = none; unpacked = 1;", " broadcast = 1; broadcast_to = none;"])
        parts = [sizes(), r.choice(["", "", "key_layout = rows;"]), version("few", rows()), version("grouped", rows() + ways),
                 version("tiles", f"queries = {r.choice([32, 64])}; keys = {r.choice([32, 96, 256])};")]
        return " ".join(p for p in parts if p)

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
