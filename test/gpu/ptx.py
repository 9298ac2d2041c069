"""Runs PTX on a machine without a GPU: NumPy over the 32 lanes of a warp, warp after warp, block after block.

A kernel that this cannot run, or that does what the PTX ISA leaves undefined (reads outside of what it was given, a register before it is set, a `.sync`
instruction by a part of a warp), is an error that names the instruction. What a kernel may not rely on is not given to it: copies by cp.async arrive when they are
waited for and not before (or, with `copies="early"`, at once), shared memory begins as NaN, and warps run one at a time from barrier to barrier, in an order
that can be chosen.

    python3 test/gpu/ptx.py FILE.ptx      counts the instructions of each entry, and of its innermost loops

Fragments of mma.sync and ldmatrix are those of the PTX ISA's pictures. A tensor core's sum is modelled after Fasi, Higham, Mikaitis and Pranesh,
"Numerical behavior of NVIDIA tensor cores", 2021: exact products, eight of which are added to the accumulator and then cut off, not rounded. ex2, rcp and the like are
rounded exactly here, while hardware's `ex2.approx` is within 2^-22: see `approximate`."""

import argparse
import collections
import struct
import sys

import numpy as np

from ptx_text import Error, count, loops, parse
from ptx_warp import WARP, Warp


class Global:
    """Global memory: arrays at addresses of their own, far from each other."""

    def __init__(self):
        self.arrays = []  # (address, bytes)

    def place(self, array):
        """The address of an array, which the kernel reads and writes in place; its elements must lie without gaps."""
        if not array.flags.c_contiguous:
            raise ValueError("an array with gaps: place the whole, and pass the kernel an offset")
        address = (len(self.arrays) + 1) << 32
        self.arrays.append((address, array.reshape(-1).view(np.uint8)))
        return address

    def at(self, addresses, size):
        """For each address the bytes' array and the offset in it."""
        for base, data in self.arrays:
            offsets = addresses.astype(np.int64) - base
            if ((offsets >= 0) & (offsets + size <= len(data))).all():
                return data, offsets
        raise Error(f"{size} bytes at {', '.join(hex(a) for a in addresses[:4])} are outside of what the kernel was given")


class Machine:
    """Runs one entry. `executed` counts what warps execute, `wavefronts` the turns that shared memory takes, `conflicts` those beyond what the bytes need.
    `shared` is what a block finds in shared memory, all NaN if not given; `dynamic` bytes of it lie behind the entry's variables.
    With `lockstep` the warps of a block go on together, instruction by instruction: that is fast, counts no turns of
    shared memory, and is nothing for ldmatrix and mma.
    With `approximate` ex2.approx is as wrong as it may be, this way or that, instead of exactly rounded.
    More than `limit` instructions of all warps together are an error."""

    def __init__(self, entry, memory, grid, threads, copies="late", order=None, shared=None, dynamic=0, limit=10**7, lockstep=False, approximate=False):
        self.entry, self.memory, self.grid, self.threads, self.copies = entry, memory, grid, threads, copies
        self.order, self.first_shared = order or (lambda warps: warps), shared
        self.left, self.lockstep, self.approximate = limit, lockstep, approximate
        self.executed, self.wavefronts, self.conflicts = collections.Counter(), 0, 0
        self.places, size = {}, 0
        for name, count in entry.shared:
            size = (size + 127) // 128 * 128
            self.places[name] = size
            size += count
        self.shared_size = size + dynamic
        self.local_places, self.local_size = {}, 0
        for name, count in entry.local:
            self.local_places[name] = self.local_size
            self.local_size += (count + 15) // 16 * 16

    def place_of(self, name):
        """Where a variable is, in shared memory or in each lane's own."""
        if name not in self.places and name not in self.local_places:
            raise Error(f"`{name}` is no variable")
        return self.places[name] if name in self.places else self.local_places[name]

    def count_banks(self, where, size):
        """One access of several lanes: lanes go together until they have 128 bytes; two words of one bank take two turns."""
        if self.lockstep:
            return
        lanes = max(1, 128 // size)
        for first in range(0, len(where), lanes):
            words = np.unique((where[first:first + lanes, None] + np.arange(0, size, 4)) // 4)
            turns = int(np.bincount(words % 32).max())
            self.wavefronts += turns
            self.conflicts += turns - 1

    def run(self, arguments):
        """`arguments`: integers (addresses, sizes) and floats, one for each parameter."""
        if len(arguments) != len(self.entry.parameters):
            raise Error(f"`{self.entry.name}` takes {len(self.entry.parameters)} parameters, not {len(arguments)}")
        self.parameters = {}
        for (name, size), value in zip(self.entry.parameters, arguments):
            data = struct.pack("<f", value) if isinstance(value, float) else value if isinstance(value, bytes) else (value & (2**(8 * size) - 1)).to_bytes(size, "little")
            self.parameters[name] = np.frombuffer(data, np.uint8)
        for z in range(self.grid[2]):
            for y in range(self.grid[1]):
                for x in range(self.grid[0]):
                    self.shared = np.full(self.shared_size, 255, np.uint8) if self.first_shared is None else self.first_shared.copy()
                    count = (int(np.prod(self.threads)) + WARP - 1) // WARP
                    warps = [Warp(self, (x, y, z), 0, count).run()] if self.lockstep else [Warp(self, (x, y, z), w).run() for w in range(count)]
                    while warps:
                        waiting = [w for w in self.order(warps) if next(w, "ended") != "ended"]
                        if waiting and len(waiting) < len(warps):
                            raise Error(f"{self.entry.name}: a barrier is reached by {len(waiting)} of {len(warps)} warps")
                        warps = [w for w in warps if w in waiting]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    options = parser.parse_args()
    try:
        with open(options.file) as text:
            entries = parse(text.read())
        for entry in entries.values():
            for title, span in [("all", None)] + [(f"loop at line {entry.code[a].line}", (a, b)) for a, b in loops(entry)]:
                counts = count(entry, span)
                print(f"{entry.name}, {title}: {sum(counts.values())} instructions")
                for name, number in counts.most_common():
                    print(f"  {number:5} {name}")
    except (Error, OSError, UnicodeDecodeError) as error:
        print(f"ptx.py: {options.file}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
