"""Value tests: kernels against formulas in NumPy f64 that do not come from Fovea's code.

    @case(KERNEL, dict(x=f32([1, 2, 3])))                # text of a kernel, or examples/kernels/NAME.attn; its inputs
    def E3_floor_division(x):                            # the formula: inputs as f64, int64 and bool
        return dict(o=...)                               # what each result must be

Inputs that are plain Python numbers go through --set, tensors through the file. Each case runs twice, compiled and with
--oracle, and both are compared with the formula; with --target opencl, where there is a device, and with --target cuda, where PTX is interpreted (test/gpu/driver.py); an example of the catalogue once more,
through its object and on tensors with strides. Several input sets make several runs. `error(...)` describes a wrong
program or input: exit code 1 and a message."""

import dataclasses
import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
import typing

import numpy as np

import family
import tensors

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KERNELS = os.path.join(ROOT, "examples", "kernels")

# Rule E10: how far f32 arithmetic may be from the formula, relative to the largest value of the result. It is then rounded
# once to the type of the result.
ARITHMETIC = 1e-5
SMALLEST = 1e-37        # below this f32 has no full precision
ROUND = {"f32": np.float32, "f16": lambda x: np.float32(x).astype(np.float16),
         "bf16": lambda x: tensors.bf16(np.float32(x)).value}


@dataclasses.dataclass
class Case:
    name: str
    source: typing.Union[str, bytes]      # text of a file, or a path
    inputs: dict
    want: typing.Optional[typing.Callable] = None
    kernel: typing.Optional[str] = None
    error: typing.Optional[str] = None    # regular expression that the message must match
    warning: typing.Optional[str] = None  # the same, where the run succeeds
    codes: tuple = (1,)                   # of an error
    tolerance: float = ARITHMETIC         # relative to the largest value of a result; 0: every bit
    each: bool = False                    # relative to each value instead
    oracle: bool = True                   # the oracle gives this, too
    nans: bool = False                    # a NaN of the formula must be one; else it stands for any value
    tiles: bool = False                   # AMX's tile registers compute it, where a process may use them: it runs without them, too
    files: dict = dataclasses.field(default_factory=dict)   # further files beside the source
    options: list = dataclasses.field(default_factory=list)


CASES = []


def case(source, *inputs, name=None, **more):
    def add(want):
        title = name or want.__name__
        for number, given in enumerate(inputs or ({},)):
            CASES.append(Case(title if len(inputs) < 2 else f"{title} ({number + 1})", source, given, want, **more))
        return want

    return add


def example(name, *inputs, **more):
    """A case of the catalogue: examples/kernels/NAME.attn."""
    return case(os.path.join(KERNELS, name + ".attn"), *inputs, name=f"catalogue {name}", **more)


def error(name, source, message, inputs=None, **more):
    CASES.append(Case(name, source, inputs or {}, None, error=message, **more))


def compare(result, got, want, tolerance, each=False, nans=False):
    """What is wrong with a result, or None."""
    want = np.asarray(want)
    if tuple(got.data.shape) != want.shape:
        return f"{result}: shape {list(got.data.shape)}, expected {list(want.shape)}"
    if got.kind in ("i32", "i8", "u8", "bool"):
        wrong = got.value != want
        detail = ""
    else:
        value, want = got.value, want.astype(np.float64)
        finite = np.isfinite(want)
        scale = np.max(np.abs(want[finite]), initial=0.0)
        size = np.abs(np.where(finite, want, 0))
        allowed = tolerance * size + 1e-7 if each else tolerance * scale + SMALLEST
        with np.errstate(invalid="ignore", over="ignore"):
            difference = np.abs(value - want)
            least, most = (ROUND[got.kind](x).astype(np.float64) for x in (want - allowed, want + allowed))
        # An infinity must be that infinity.
        wrong = np.where(finite, ~((least <= value) & (value <= most)),
                         np.where(np.isnan(want), nans & ~np.isnan(value), value != want))
        worst = np.max(np.where(finite & np.isfinite(difference), difference, 0), initial=0.0)
        detail = f"; largest difference {worst:.3g}, scale {scale:.3g}"
    if not wrong.any():
        return None
    places = [tuple(int(x) for x in place) for place in np.argwhere(wrong)[:6]]
    lines = [f"  {result}{list(place)} = {got.value[place]!r}, expected {want[place]!r}" for place in places]
    return f"{result}: {int(wrong.sum())} of {wrong.size} values are wrong{detail}\n" + "\n".join(lines)


def command(item, folder, build):
    """The command line of a case whose files lie in `folder`, without --out."""
    source = item.source
    if not (isinstance(source, str) and os.path.isabs(source)):
        source = os.path.join(folder, "kernel.attn")
        with open(source, "wb") as file:
            file.write(item.source if isinstance(item.source, bytes) else item.source.encode())
    for name, text in item.files.items():
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)
    stored = {k: v for k, v in item.inputs.items() if isinstance(v, tensors.Tensor)}
    tensors.save(os.path.join(folder, "in.safetensors"), stored)
    line = [os.path.join(build, "bin", "fovea"), "run", source, "--in", os.path.join(folder, "in.safetensors")]
    for name, value in item.inputs.items():
        if not isinstance(value, tensors.Tensor):
            line += ["--set", f"{name}={str(value).lower() if isinstance(value, bool) else repr(value)}"]
    if item.kernel:
        line += ["--kernel", item.kernel]
    return line + item.options


def expected(item):
    """The formula's results, from the inputs as they are stored."""
    given = {k: v.value if isinstance(v, tensors.Tensor) else v for k, v in item.inputs.items()}
    wanted = inspect.signature(item.want).parameters
    if not any(p.kind == p.VAR_KEYWORD for p in wanted.values()):
        given = {k: v for k, v in given.items() if k in wanted}
    with np.errstate(all="ignore"):
        return item.want(**given)


def strided(item, folder, build, out):
    """The commands that call an example through its object, on tensors that do not lie compactly; see strided.py."""
    given = {k: v for k, v in item.inputs.items() if not isinstance(v, tensors.Tensor)}
    with open(os.path.join(folder, "rest.json"), "w") as file:
        json.dump({"scalars": given, "shapes": {k: list(np.shape(v)) for k, v in expected(item).items()}}, file)
    source, given = command(item, folder, build)[2:5:2]
    kernel = os.path.join(folder, "kernel")
    return [[os.path.join(build, "bin", "fovea"), "compile", source, "-o", kernel + ".o"],
            ["cc", "-shared", kernel + ".o", "-lm", "-pthread", "-o", kernel + ".so"],
            [sys.executable, os.path.join(ROOT, "test", "values", "strided.py"), source, kernel + ".so", given, out,
             os.path.join(folder, "rest.json")]]


def check(item, build, way):
    """Runs one case, `way` being `compiled`, `without tiles`, `oracle`, `opencl`, `cuda` or `strided`; returns what is wrong, or None."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out.safetensors")
        if way == "strided":
            lines = strided(item, folder, build, out)
        else:
            lines = [command(item, folder, build) + ["--out", out] + {"oracle": ["--oracle"], "opencl": ["--target", "opencl"], "cuda": ["--target", "cuda"]}.get(way, [])]
        environment = {**os.environ, **({"FOVEA_TILES": "0"} if way == "without tiles" else family.cuda() if way == "cuda" else {})}
        for line in lines:
            try:
                done = subprocess.run(line, capture_output=True, text=True, errors="replace", timeout=120, env=environment)
            except subprocess.TimeoutExpired:
                return "no end after 120 s"
            if done.returncode:
                break
        message = (done.stdout + done.stderr)[-3000:]
        if item.error:
            if done.returncode not in item.codes:
                return f"exit code {done.returncode}, expected {item.codes[0]} and a message like {item.error!r}\n{message}"
            if not re.search(item.error, message, re.S):
                return f"expected a message like {item.error!r}, not\n{message}"
            return f"wrote {out} although it failed (rule C3)" if os.path.exists(out) else None
        if done.returncode != 0:
            return f"exit code {done.returncode}\n{message}"
        if item.warning and not re.search(item.warning, message, re.S):
            return f"expected a warning like {item.warning!r}, not\n{message}"
        got, want = tensors.load(out), expected(item)
        if set(got) != set(want):
            return f"results {sorted(got)}, expected {sorted(want)}"
        return "\n".join(filter(None, (compare(k, got[k], want[k], item.tolerance, item.each, item.nans) for k in want))) or None
