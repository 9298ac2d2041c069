"""An object for target portable: with FOVEA_TARGET each row of Targets.def that this machine runs gives the bits of an object for that row alone, and each
other row the name of what the machine lacks; without, the best row runs. usage: portable.py F.attn CC"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

import numpy as np

root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
sys.path.append(os.path.join(root, "examples", "numpy"))
from attend import Kernels  # noqa: E402

with open(os.path.join(root, "lowering", "halide", "Targets.def")) as text:
    rows = {name: needs.split() for name, needs in re.findall(r'^LEAF_TARGET\("([^"]+)".*"([^"]+)"\)$', text.read(), re.M)}
with open("/proc/cpuinfo") as info:
    flags = next(line.split(":")[1].split() for line in info if line.startswith("flags"))
assert len(rows) == 5, rows

random = np.random.default_rng(1)
q, k, v = (random.standard_normal((3, n, 40), np.float32) for n in (50, 200, 200))
x, y = (random.standard_normal((7, 300), np.float32) for _ in range(2))


def results(kernels):
    o, s = np.full(q.shape, np.nan, np.float32), np.full(7, np.nan, np.float32)
    kernels.attend(q, k, v, o)
    kernels.dots(x, y, s)
    return o.tobytes() + s.tobytes()


with tempfile.TemporaryDirectory() as folder:
    def library(target):
        path = os.path.join(folder, target)
        subprocess.run(["fovea", "compile", sys.argv[1], "--target", target, "-o", path + ".o"], check=True)
        subprocess.run([sys.argv[2], "-shared", path + ".o", "-o", path + ".so", "-lm"], check=True)
        return path + ".so"

    portable, copies = library("portable"), 0

    def chosen(target):
        """The kernels anew: the choice is made once."""
        global copies
        copies += 1
        os.environ["FOVEA_TARGET"] = target
        return Kernels(shutil.copy(portable, f"{portable}.{copies}"))

    def refusal(target):
        try:
            results(chosen(target))
        except ValueError as error:
            return str(error)

    bits = {}
    for target, needs in rows.items():
        lacks = [flag for flag in needs if flag not in flags]
        if lacks:
            expected = f"attend: FOVEA_TARGET is `{target}`, but this machine lacks `{lacks[0]}`"
            assert refusal(target) == expected, refusal(target)
            print(f"{target}: [SKIP] this machine lacks {lacks[0]}")
            continue
        bits[target] = results(chosen(target))
        assert bits[target] == results(Kernels(library(target))), f"{target}: not what the target alone gives"
        print(f"{target}: its own bits")

    best = list(bits)[-1]
    assert results(chosen("")) == bits[best], f"without FOVEA_TARGET it is not {best}"
    first = list(bits.values())[0]
    assert best == "x86-64-v2" or bits[best] != first, "x86-64-v2 adds as the others do: nothing shows that the choice is made"
    assert refusal("z80") == f"attend: FOVEA_TARGET is `z80`, and not one of {', '.join(rows)}", refusal("z80")
print("all rows")
