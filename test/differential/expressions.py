"""Random expressions."""

from constructs import EXTENTS, MOST_POINTS
from tree import node


class Expressions:
    """Expressions whose free indices are among `axes`; a part of generate.Generator."""

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
