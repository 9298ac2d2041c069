"""Runs what is compiled for `--target cuda` without a GPU: driver.c stands in for NVIDIA's driver, and this process runs its launches (ptx.py).

    python3 test/gpu/driver.py FOLDER              makes FOLDER/libcuda.so.1 and prints the environment that a program needs to find it
    env $(python3 test/gpu/driver.py FOLDER) build/bin/fovea run FILE.attn --target cuda --in in.safetensors --compare

With FOVEA_PTX_FAULT="PATTERN -> REPLACEMENT" the PTX is first changed, so that a test sees that it would fail. The process listens on standard input, a line for each request; see `serve`."""

import mmap
import os
import re
import subprocess
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import ptx  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT = 10**9  # instructions of a launch

# How warps go on, by the variable FOVEA_PTX_WARPS: instruction by instruction together, or one at a time from barrier to barrier.
WAYS = {"lockstep": {"lockstep": True}, "first": {}, "last": {"order": lambda warps: warps[::-1]}}


def environment(folder):
    """Makes the driver in a folder, and returns what a program's environment must have."""
    os.makedirs(folder, exist_ok=True)
    library = os.path.join(os.path.abspath(folder), "libcuda.so.1")
    subprocess.run(["cc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", os.path.join(HERE, "driver.c"), "-o", library, "-pthread"], check=True)
    return {"LD_LIBRARY_PATH": os.path.dirname(library), "FOVEA_PTX_DRIVER": f"{sys.executable}\t{os.path.join(HERE, 'driver.py')}\t--serve".replace("\t", "${IFS}")}


class Device:
    """Answers requests; what `answer` returns is the line that goes back, None for none."""

    def __init__(self, lines, file):
        self.lines, self.file, self.memory, self.modules = lines, file, ptx.Global(), []

    def arena(self, base, size):
        self.base, self.whole = int(base), np.frombuffer(mmap.mmap(self.file, int(size)), np.uint8)
        return ""

    def alloc(self, address, size):
        start = int(address) - self.base
        # Of an empty tensor a nest may read an element before it finds that there is none: a driver's memory comes in hundreds of bytes.
        self.memory.arrays.append((int(address), self.whole[start:start + max(int(size), 8)]))

    def free(self, address):
        self.memory.arrays = [item for item in self.memory.arrays if item[0] != int(address)]

    def module(self, size):
        text = self.lines.read(int(size)).decode()
        if fault := os.environ.get("FOVEA_PTX_FAULT"):
            text, count = re.subn(*fault.split(" -> "), text)
            if not count:
                return f"error no place for the fault {fault}"
        self.modules.append(ptx.parse(text))
        return ""

    def function(self, module, name):
        return " ".join(str(size) for _, size in self.modules[int(module) - 1][name].parameters)

    def launch(self, module, name, *rest):
        sizes = [int(x) for x in rest[:7]]
        entry = self.modules[int(module) - 1][name]
        ptx.Machine(entry, self.memory, sizes[:3], sizes[3:6], dynamic=sizes[6], limit=LIMIT, approximate=True, **WAYS[os.environ.get("FOVEA_PTX_WARPS", "lockstep")]).run([bytes.fromhex(x) for x in rest[7:]])
        return ""


def serve():
    device = Device(sys.stdin.buffer, int(os.environ["FOVEA_PTX_MEMORY"]))
    for line in device.lines:
        name, *arguments = line.decode().split()
        try:
            answer = getattr(device, name)(*arguments)
        except ptx.Error as error:
            answer = f"error {error}"
        if answer is not None:
            print(answer, flush=True)


def main():
    if sys.argv[1:] == ["--serve"]:
        return serve()
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    return print(" ".join(f"{name}={value}" for name, value in environment(sys.argv[1]).items()))


if __name__ == "__main__":
    main()
