"""The text of PTX as entries and instructions; see ptx.py."""

import collections
import functools
import re

import numpy as np

KINDS = {"b": "u", "u": "u", "s": "i", "f": "f"}


class Error(Exception):
    pass


@functools.cache
def dtype(name):
    """NumPy's type of a PTX type: `u32`, `b64`, `f16`, ..."""
    kind, bits = KINDS.get(name[0]), name[1:]
    if name == "pred":
        return np.dtype(np.uint8)
    if kind is None or bits not in ("8", "16", "32", "64"):
        raise Error(f"type `.{name}` is not supported")
    return np.dtype(f"{kind}{int(bits) // 8}")


Instruction = collections.namedtuple("Instruction", "line text guard opcode parts operands")  # guard: (register, negated) or None; parts: the opcode, cut at its dots


class Entry:
    """A kernel: `parameters` (name, bytes) in order, `shared` and `local` (name, bytes), `code`, and `labels`, a position in it each."""

    def __init__(self, name, parameters):
        self.name, self.parameters, self.shared, self.local, self.code, self.labels = name, parameters, [], [], [], {}


def integer(text):
    if not re.fullmatch(r"-?(0[xX][0-9a-fA-F]+|0|[1-9][0-9]*)U?", text.strip()):
        raise Error(f"number `{text}` is not understood")
    return int(text.strip().rstrip("U"), 0)


def operand(text):
    text = text.strip()
    if text.startswith("{"):
        return "vector", [operand(x) for x in text[1:-1].split(",")]
    if text.startswith("["):
        base, _, offset = text[1:-1].partition("+")
        return "memory", operand(base), integer(offset) if offset else 0
    if re.fullmatch(r"0[fF][0-9a-fA-F]{8}|0[dD][0-9a-fA-F]{16}", text):
        return "bits", int(text[2:], 16), len(text) - 2
    if re.fullmatch(r"-?[0-9]\w*", text):
        return "integer", integer(text)
    if re.fullmatch(r"%(tid|ntid|ctaid|nctaid)\.[xyz]|%laneid|WARP_SZ", text):
        return "special", text
    if re.fullmatch(r"%[\w$]+(\|%[\w$]+)?", text):
        return "register", text
    if re.fullmatch(r"[\w$]+", text):
        return "name", text
    raise Error(f"operand `{text}` is not understood")


def parse(text):
    """The entries of a PTX module, by name."""
    text = re.sub(r"/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.S)
    text = re.sub(r"//[^\n]*", "", text)
    entries = {}
    for head in re.finditer(r"\.entry\s+([\w$]+)\s*\((.*?)\)([^{;]*)\{", text, flags=re.S):
        parameters = []
        for part in head.group(2).split(","):
            found = re.search(r"\.([bufs]\d+)\s(?:.*\s)?([\w$]+)\s*(?:\[(\d+)\])?\s*$", part.strip(), flags=re.S)
            if part.strip() and not found:
                raise Error(f"parameter `{part.strip()}` is not understood")
            if found:
                parameters.append((found.group(2), dtype(found.group(1)).itemsize * int(found.group(3) or 1)))
        entry = entries[head.group(1)] = Entry(head.group(1), parameters)
        end, depth = head.end(), 1
        while depth:
            if end == len(text):
                raise Error(f"the body of `{head.group(1)}` does not end")
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        position = head.end()
        for match in re.finditer(r"\s*([\w$]+):|([^;]+);", text[head.end():end - 1]):
            if match.group(1):
                entry.labels[match.group(1)] = len(entry.code)
                continue
            statement, line = " ".join(match.group(2).split()), text.count("\n", 0, position + match.end()) + 1
            if statement.startswith((".shared", ".local")):
                found = re.fullmatch(r"\.(?:shared|local) (?:\.align \d+ )?\.(\w+) ([\w$]+)\[(\d+)\]", statement)
                if not found:
                    raise Error(f"line {line}: `{statement}` is not understood")
                (entry.shared if statement.startswith(".shared") else entry.local).append((found.group(2), dtype(found.group(1)).itemsize * int(found.group(3))))
            elif not statement.startswith((".reg", ".pragma", ".loc", ".file")):
                found = re.fullmatch(r"(?:@(!?)(%\w+) )?([a-z][\w.:]*(?: \.\w+)*)(?: (.*))?", re.sub(r"^((?:@!?%\w+ )?\w+)\. ", r"\1.", statement))
                if not found:
                    raise Error(f"line {line}: `{statement}` is not understood")
                operands = re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^,\s]+", found.group(4) or "")
                try:
                    parsed = [operand(x) for x in operands]
                except Error as error:
                    raise Error(f"line {line}: {error}") from None
                entry.code.append(Instruction(line, statement, (found.group(2), bool(found.group(1))) if found.group(2) else None,
                                              found.group(3), found.group(3).split("."), parsed))
    if not entries:
        raise Error("there is no .entry")
    return entries


def loops(entry):
    """Innermost loops: (first, beyond) positions in the code, from a label to the last branch back to it, with no other loop inside."""
    found = {}
    for position, instruction in enumerate(entry.code):
        if instruction.parts[0] == "bra":
            target = entry.labels.get(instruction.operands[0][1], len(entry.code))
            if target <= position:
                found[target] = position + 1
    spans = [(a, b) for a, b in found.items()]
    return [s for s in spans if not any(t != s and s[0] <= t[0] and t[1] <= s[1] for t in spans)]


def count(entry, span=None):
    """How often each opcode stands in the code, or in a part of it."""
    return collections.Counter(i.opcode for i in (entry.code if span is None else entry.code[span[0]:span[1]]))
