"""Of two result files: the rows of the second are the first rows of the first, to the bit. order.py ALL SOME NAME ..., or `make`: inputs with many rows, a few of these, and all of them
with zeros at the end of the reduced axis."""

import sys

import numpy as np
from safetensors.numpy import load_file, save_file

if sys.argv[1] == "make":
    r = np.random.default_rng(1)
    x, w = r.standard_normal((40, 77)).astype(np.float32), r.standard_normal((77, 37)).astype(np.float32)
    save_file({"x": x, "w": w}, "many.safetensors")
    save_file({"x": x[:3].copy(), "w": w}, "few.safetensors")
    save_file({"x": np.pad(x, ((0, 0), (0, 60))), "w": np.pad(w, ((0, 60), (0, 0)))}, "padded.safetensors")
else:
    whole, part = load_file(sys.argv[1]), load_file(sys.argv[2])
    for name in sys.argv[3:]:
        rows = len(part[name])
        if not rows or not (whole[name][:rows].view(np.uint32) == part[name].view(np.uint32)).all():
            sys.exit(f"{name}: {rows} rows differ")
    print("same bits")
