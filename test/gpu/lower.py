"""The PTX of a module's gpu.module, by MLIR's passes alone; with --host the LLVM IR of the rest, where the PTX is a constant.

    python3 test/gpu/lower.py FILE.mlir [--chip sm_80] [--host] > FILE.ptx"""

import argparse
import os
import re
import subprocess
import sys

LLVM = "/usr/lib/llvm-22/bin"

# Passes in order, and what is left to each.
DEVICE = [
    "gpu.module(gpu.func(affine-loop-unroll{{unroll-factor=-1 unroll-full-threshold=16}}))",  # loops over fragments: positions in vectors become constants
    "gpu.module(canonicalize,cse)",                              # vectors of fragments become registers
    "convert-nvgpu-to-nvvm",                                     # mma.sync, ldmatrix, cp.async
    "convert-vector-to-scf,convert-scf-to-cf",
    "gpu.module(expand-strided-metadata,lower-affine)",
    "gpu.module(convert-math-to-llvm,convert-vector-to-llvm)",   # fma: convert-gpu-to-nvvm would call libdevice's function
    "gpu.module(convert-gpu-to-nvvm)",                           # kernel, indices of threads, shuffles, barriers, workgroup memory
    "gpu.module(canonicalize,cse,reconcile-unrealized-casts)",
    "nvvm-attach-target{{chip={chip} features=+ptx78 O=3}}",
    "gpu-module-to-binary{{format=isa}}",                        # LLVM's NVPTX back end, in this process; format=bin would call ptxas
]
HOST = [
    "func.func(expand-strided-metadata,lower-affine)",
    "convert-arith-to-llvm",
    "gpu-to-llvm",                                               # arguments of the launch
    "convert-func-to-llvm,finalize-memref-to-llvm",
    "canonicalize,cse,reconcile-unrealized-casts",
]


def extract(text):
    """The text of the first object in a gpu.binary, which the printer has escaped."""
    found = re.search(r'gpu\.binary.*?assembly = "((?:[^"\\]|\\.)*)"', text, flags=re.S)
    if not found:
        raise ValueError("there is no gpu.binary with PTX")
    return re.sub(r'\\([0-9A-Fa-f]{2}|["\\])', lambda m: m.group(1) if len(m.group(1)) == 1 else chr(int(m.group(1), 16)), found.group(1)).rstrip("\0")


def tool(name, arguments, text=None):
    path = os.pathsep.join([os.environ.get("PATH", ""), LLVM])
    return subprocess.run([name, *arguments], input=text, env=dict(os.environ, PATH=path), stdout=subprocess.PIPE, text=True, check=True).stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--chip", default="sm_80")
    parser.add_argument("--host", action="store_true")
    options = parser.parse_args()
    passes = ",".join(DEVICE + (HOST if options.host else [])).format(chip=options.chip)
    try:
        module = tool("mlir-opt", [options.file, f"--pass-pipeline=builtin.module({passes})"])
        sys.stdout.write(tool("mlir-translate", ["--mlir-to-llvmir"], module) if options.host else extract(module))
    except subprocess.CalledProcessError as error:
        return error.returncode  # the tool has said why
    except (OSError, ValueError) as error:
        print(f"lower.py: {options.file}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
