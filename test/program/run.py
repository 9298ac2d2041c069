"""Bad input, and what a shell does to a program: the Transformer of examples/models, made small, built and run. Weight files that lie or are
damaged, lines of any bytes, outputs that cannot be written, interrupts, terminals. Whatever comes, the exit code is a documented one,
each fault has one message on one line, the other lines are answered as without it, and no part of a file is left.

    run.py [--build FOLDER] [--sanitize] [--filter TEXT] [--seed N] [--count N]

Mutations are a function of the seed; the number of a mutation that fails is printed. With --sanitize the program is linked with the sanitizers."""

import json
import os
import pty
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

import numpy
import safetensors.numpy

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import family  # noqa: E402
from family import Fault, check  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODEL = os.path.join(ROOT, "examples", "models", "g2p_transformer")
WORDS = ["attention", "fovea", "a", "zyxomancy", "o'clock", "kernel"]


class Program:
    """The small model, its folder and its weights."""

    def __init__(self, fovea, folder, sanitize):
        self.path, self.folder = os.path.join(folder, "tiny"), folder
        models = os.path.dirname(MODEL)
        os.makedirs(os.path.join(folder, "model"))
        shutil.copy(os.path.join(models, "blocks.attn"), folder)
        for name in ("graphemes.vocab", "phonemes.vocab"):
            shutil.copy(os.path.join(MODEL, name), os.path.join(folder, "model"))
        with open(os.path.join(MODEL, "model.attn")) as file:
            text = file.read()
        for before, after in (("dim m = 128", "dim m = 16"), ("dim f = 512", "dim f = 32"), ("dim h = 4", "dim h = 2"), ("dim d = 32", "dim d = 8"),
                              ("[4];", "[1];"), ("[3];", "[1];"), ("at most 40", "at most 12")):
            check(text.count(before) == 1, f"model.attn no longer says `{before}`")
            text = text.replace(before, after)
        with open(os.path.join(folder, "model", "model.attn"), "w") as file:
            file.write(text)
        # Random weights of a size that makes answers differ from line to line, and some of them end.
        draw, size = numpy.random.default_rng(1), {128: 16, 512: 32}
        large = safetensors.numpy.load_file(os.path.join(MODEL, "weights.safetensors"))
        tensors = {name: draw.normal(0, 0.1 if name.endswith("bias") else 0.3 if name == "tgt.weight" else 1, [size.get(n, n) for n in tensor.shape])
                   .astype(numpy.float32) for name, tensor in sorted(large.items()) if not re.match(r"(enc|dec)\.[1-9]", name)}
        with open(os.path.join(MODEL, "phonemes.vocab")) as file:
            tensors["tgt.weight"][file.read().split("\n").index("</s>")] *= 2
        self.weights = safetensors.numpy.save(tensors)
        self.tensors = tensors
        good = os.path.join(folder, "good.safetensors")
        with open(good, "wb") as file:
            file.write(self.weights)
        environment = dict(os.environ)
        if sanitize:
            # The program's own objects are instrumented, so that it must be linked with what they call.
            os.makedirs(os.path.join(folder, "bin"))
            linker = os.path.join(folder, "bin", "c++")
            with open(linker, "w") as file:
                file.write(f'#!/bin/sh\nexec {shutil.which("c++")} -fsanitize=address,undefined "$@"\n')
            os.chmod(linker, 0o755)
            environment["PATH"] = os.path.dirname(linker) + os.pathsep + environment["PATH"]
        done = subprocess.run([fovea, "build", os.path.join(folder, "model", "model.attn"), "--weights", good, "-o", self.path],
                              capture_output=True, text=True, env=environment)
        check(done.returncode == 0 and not done.stderr, f"fovea build: {done.returncode} {done.stderr}")
        self.environment = dict(os.environ, ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "detect_leaks=0") + ":exitcode=99")

    def run(self, lines, *arguments, command=(), timeout=60):
        """Exit code, standard output and the lines of standard error. `lines`: bytes."""
        done = subprocess.run([*command, self.path, *map(str, arguments)], input=lines, capture_output=True, env=self.environment, timeout=timeout)
        errors = done.stderr.decode("utf-8").split("\n")
        check("Sanitizer" not in done.stderr.decode() and "runtime error:" not in done.stderr.decode(), done.stderr.decode()[:3000])
        check(errors.pop() == "", f"standard error does not end with a line end: {done.stderr[-200:]!r}")
        for error in errors:
            check(error.startswith("tiny: ") and len(error) < 400 and not re.search(r"[\x00-\x1f\x7f-\x9f]", error), f"no clear message: {error[:400]!r}")
        return done.returncode, done.stdout, errors

    def with_weights(self, contents, *arguments):
        path = os.path.join(self.folder, "changed.safetensors")
        with open(path, "wb") as file:
            file.write(contents)
        return self.run("".join(word + "\n" for word in WORDS).encode(), "--weights", path, *arguments)


# Weight files

def packed(header, data):
    return struct.pack("<Q", len(header)) + header + data


def lies(program):
    """(name, file, what the one message says; None where the file is good)."""
    size, = struct.unpack("<Q", program.weights[:8])
    header, data = program.weights[8:8 + size], program.weights[8 + size:]
    entries = json.loads(header)
    names = sorted(entries, key=lambda name: entries[name]["data_offsets"])
    first, second = names[:2]

    def changed(name, **fields):
        return packed(json.dumps({**entries, name: {**entries[name], **fields}}).encode(), data)

    def added(key, value, more=b""):
        """`key`: JSON text."""
        return packed(header.rstrip()[:-1] + b"," + key + b":" + json.dumps(value).encode() + b"}", data + more)

    begin, end = entries[first]["data_offsets"]
    shape = entries[first]["shape"]
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [len(data), len(data)]}
    yield "as it is", program.weights, None
    yield "padded", packed(header + b" " * 1001, data), None
    yield "unaligned", packed(header.rstrip() + b" " * (8 - len(header.rstrip()) % 8 + 1), data), None
    yield "metadata", added(b'"__metadata__"', {"format": "pt"}), None
    yield "a tensor more", added(b'"more"', {"dtype": "U8", "shape": [3], "data_offsets": [len(data), len(data) + 3]}, b"abc"), None
    yield "an empty tensor more", added(b'"more"', empty), None
    yield "as f64", safetensors.numpy.save({name: tensor.astype(numpy.float64) for name, tensor in program.tensors.items()}), None

    yield "empty", b"", "shorter than 8 bytes"
    yield "seven bytes", program.weights[:7], "shorter than 8 bytes"
    yield "size alone", program.weights[:8], "cut short"
    yield "no header", packed(b"", data), "does not begin with"
    yield "half a header", program.weights[:8 + size // 2], "cut short"
    yield "header alone", program.weights[:8 + size], "lies outside the file"
    yield "last byte missing", program.weights[:-1], "lies outside the file"
    yield "a byte too many", program.weights + b"\0", "1 unused bytes at the end"
    yield "text", b"hello, these are no weights\n", "a header of"
    for length in (2 ** 64 - 1, 2 ** 63, 2 ** 32, 100_000_001):
        yield f"header of {length} bytes", struct.pack("<Q", length) + program.weights[8:], f"a header of {length} bytes"
    yield "header of 100 MB in a small file", struct.pack("<Q", 100_000_000) + program.weights[8:], "cut short"
    yield "header of 20 MB of spaces", packed(header + b" " * 20_000_000, data), None
    yield "header one byte longer", struct.pack("<Q", size + 1) + program.weights[8:], "not JSON"
    yield "header without its end", struct.pack("<Q", len(header.rstrip()) - 1) + program.weights[8:], "not JSON"
    yield "a list", packed(b"[" + header + b"]", data), "does not begin with"
    yield "nothing declared", packed(b"{}", data), f"{len(data)} unused bytes at the end"
    yield "a tower of objects", packed(b'{"a":' * 200_000, data), "nested too deep"
    yield "a tower of lists", packed(b'{"a":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}", data), "nested too deep"
    yield "not UTF-8", packed(header.replace(first.encode(), b"\xff\xfe" + first.encode()[2:]), data), "not JSON"
    yield "overlong UTF-8", packed(header.replace(first.encode(), b"\xc0\xaf" + first.encode()[2:]), data), "not JSON"
    yield "half a surrogate", added(b'"\\ud800"', empty), "not JSON"
    yield "a NUL in the text", packed(header.replace(b":", b":\0", 1), data), "not JSON"
    yield "a name twice", added(json.dumps(first).encode(), entries[first]), "occurs twice in the header"
    yield "a key twice", packed(header.replace(b'"dtype":', b'"dtype":"F32","dtype":', 1), data), "`dtype` occurs twice"
    yield "metadata of numbers", added(b'"__metadata__"', {"a": 1}), "`__metadata__` is not a map"
    yield "metadata twice", added(b'"__metadata__":{},"__metadata__"', {}), "occurs twice"

    for name, offsets in (("beyond the file", [begin, 2 ** 40]), ("at the end of numbers", [2 ** 63 - 4, 2 ** 63 - 1]), ("backwards", [end, begin])):
        yield f"offsets {name}", changed(first, data_offsets=offsets), "lies outside the file"
    for offsets in ([0, 2 ** 63], [2 ** 64 - 4, 2 ** 64 - 1], [0, 2 ** 64 + 8], [-4, 0], [0.0, 4.0], [0, 1e300], [0], [0, 4, 8], [], "0,4", None, [[0], [4]], {}):
        yield f"offsets {offsets}", changed(first, data_offsets=offsets), "not two positions"
    yield "two tensors in one place", changed(second, data_offsets=[begin, end], shape=shape), "overlaps another"
    yield "tensors that share bytes", changed(second, data_offsets=[n - 4 for n in entries[second]["data_offsets"]]), "overlaps another"
    yield "a hole", changed(second, data_offsets=[n + 4 for n in entries[second]["data_offsets"]]), "4 unused bytes|overlaps another"
    for wrong in ([2 ** 32, 2 ** 32], [2 ** 62, 4], [3, 2 ** 63 - 1]):
        yield f"shape {wrong}", changed(first, shape=wrong), "size overflows"
    for wrong in ([-1, 4], [2 ** 63], [2 ** 64], [1.0], ["16"], [[16]], [None], "16", 16, None, {}):
        yield f"shape {wrong}", changed(first, shape=wrong), "not a list of extents"
    yield "shape too large", changed(first, shape=[n + 1 for n in shape]), "has a shape of"
    yield "shape of another rank", changed(first, shape=shape + [1]), "and the model wants"
    yield "shape of 100,000 axes", changed(first, shape=[1] * 100_000 + shape), r"has shape \[1, 1.*\.\.\.\], and the model wants"
    yield "shape turned", changed("src.weight", shape=entries["src.weight"]["shape"][::-1]), r"has shape \[16, 30\], and the model wants \[30, 16\]"
    for dtype in (None, 7, [], {}):
        yield f"type {dtype}", changed(first, dtype=dtype), "not a string"
    for dtype in ("F33", "f32", "", "F32 ", "F32\0", "F32\n\x1b[2J", "é" * 100_000):
        yield f"type {dtype[:9]!r}", changed(first, dtype=dtype), "unknown type"
    for dtype in ("I32", "U32"):
        yield f"type {dtype}", changed(first, dtype=dtype), f"is stored as {dtype}, and the model wants f32"
    yield "type of another size", changed(first, dtype="F64"), "has a shape of"
    for missing in ("dtype", "shape", "data_offsets"):
        entry = {key: value for key, value in entries[first].items() if key != missing}
        yield f"no {missing}", packed(json.dumps({**entries, first: entry}).encode(), data), "lacks one of"
    for name in (b'"\\n\\u001b[31m\\u0000"', b'"\\u009b"', b'""', b'"' + b"x" * 1_000_000 + b'"'):
        yield f"a bad tensor named {name[:30].decode()}", added(name, {**empty, "dtype": "none"}), "tensor `.{0,90}` has the unknown type"
    yield "a tensor that is no object", added(b'"more"', 5), "lacks one of"

    for name in names:
        yield f"without {name}", safetensors.numpy.save({k: v for k, v in program.tensors.items() if k != name}), f"of another model: there is no tensor `{name}`"
    with open(os.path.join(MODEL, "weights.safetensors"), "rb") as file:
        yield "of the large model", file.read(), "these are weights of another model: tensor `.*` has shape"
    yield "of no model", safetensors.numpy.save({"a": numpy.zeros(3, numpy.float32)}), "of another model: there is no tensor"


def check_lie(program, contents, wanted, answers):
    code, out, errors = program.with_weights(contents)
    if wanted is None:
        check((code, out, errors) == (0, answers, []), f"exit code {code}, {errors}, {out[:200]!r}")
    else:
        check(code == 1 and out == b"" and len(errors) == 1, f"exit code {code}, {errors}, {out[:200]!r}")
        check(errors[0].startswith("tiny: error: ") and "changed.safetensors: " in errors[0] and re.search(wanted, errors[0]), f"{errors[0]} (wanted: {wanted})")


# Ways to search with logits and maps that may be anything; at most two results a line.
SEARCHES = [(), ("--beam", 3), ("--nbest", 2), ("--sample",), ("--sample", "--temperature", 0.5, "--top-k", 5, "--top-p", 0.5), ("--beam", 4, "--groups", 2, "--diversity", 1),
            ("--beam", 3, "--coverage-penalty", 1, "--align"), ("--repetition-penalty", 2, "--no-repeat-ngram", 2, "--token-scores"), ("--beam", 3, "--require", "K"),
            ("--stream",), ("--json", "--align")]


def check_damage(program, draw):
    """A damaged file is refused with one message, or taken, and then every line has an answer or a message."""
    contents = bytearray(program.weights)
    size, = struct.unpack("<Q", program.weights[:8])
    kind = draw.randrange(6)
    if kind == 0:                                                                  # cut anywhere
        del contents[draw.randrange(len(contents)):]
    elif kind == 1:                                                                # bits of the header
        for _ in range(draw.choice([1, 1, 2, 8])):
            contents[draw.randrange(8 + size)] ^= 1 << draw.randrange(8)
    elif kind == 2:                                                                # a number in the header
        found = draw.choice(list(re.finditer(rb"\d+", contents[8:8 + size])))
        number = draw.choice([b"0", b"1", b"4", b"-1", b"2147483648", b"4294967296", b"9223372036854775807", b"18446744073709551615", b"1e9", b"0.5", b"null",
                              str(int(found[0]) + draw.choice([-4, -1, 1, 4])).encode()])
        header = bytes(contents[8:8 + found.start()] + number + contents[8 + found.end():8 + size])
        contents = bytearray(packed(header, bytes(contents[8 + size:])))
    elif kind == 3:                                                                # a piece of the header moved
        at, to, length = (draw.randrange(8, 8 + size) for _ in range(3))
        piece = contents[at:at + length % 64]
        contents[to:to + len(piece)] = piece
    elif kind == 4:                                                                # bytes put in or taken out
        at = draw.randrange(len(contents))
        contents[at:at + draw.randrange(9)] = draw.randbytes(draw.randrange(9))
    else:                                                                          # numbers that are none, or very large
        for _ in range(draw.choice([1, 10, 1000])):
            at = 8 + size + 4 * draw.randrange((len(contents) - 8 - size) // 4)
            contents[at:at + 4] = struct.pack("<I", draw.choice([0x7FC00000, 0xFF800000, 0x7F800000, 0x7F7FFFFF, 0xFF7FFFFF, 1, draw.getrandbits(32)]))
    code, out, errors = program.with_weights(bytes(contents), *draw.choice(SEARCHES))
    check(code in (0, 1), f"exit code {code}, {errors}")
    if code == 1 and len(errors) == 1 and errors[0].startswith("tiny: error: "):
        check(out == b"", f"{errors}, and yet {out!r}")
    else:
        check(all(re.match(r"tiny: line \d+: ", error) for error in errors) and (code == 1) == bool(errors), f"exit code {code}, {errors}")
        check(len(WORDS) <= out.count(b"\n") <= 2 * len(WORDS), f"{out!r}")


def check_damages(program, seed, numbers):
    for number in numbers:
        try:
            check_damage(program, random.Random(f"{seed} weights {number}"))
        except (Fault, UnicodeDecodeError, subprocess.TimeoutExpired) as error:
            raise Fault(f"damage {number}: {error}")


# Lines

def draw_line(draw, longest):
    kind = draw.randrange(12)
    word = "".join(draw.choice("abcdefghijklmnopqrstuvwxyz'") for _ in range(draw.randrange(1, 14)))
    if kind < 4:
        return word.encode()
    if kind == 4:
        return draw.choice([b"", b" ", b"\t", b"\xef\xbb\xbf", b"\0", b"\r", b"\x1b[2J", b"</s>", b"<s>", b"<unk>", b"<pad>", b"-", b"--help"])
    if kind == 5:
        return (word + draw.choice(["é", "ß", "e\u0301", "中", "🙂", "\U0010FFFF", "\u2028", "\u0000", "\ufeff", "A"]) + word).encode()
    if kind == 6:
        return bytes(byte for byte in draw.randbytes(draw.randrange(1, 40)) if byte != 10)
    if kind == 7:                                                                  # no UTF-8: lone, overlong, surrogate, too large, cut off
        return word.encode() + draw.choice([b"\xff", b"\x80", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf0\x9f\x99", b"\xc3"])
    if kind == 8:
        return word.encode() + b"\r"
    if kind == 9:
        return word.encode() + bytes([draw.randrange(1, 10), 0, draw.randrange(11, 32)])
    return b"ab" * (draw.choice([longest // 2, longest // 2, longest // 2 + 1, 10 * longest]) if draw.random() < 0.2 else 9)


def check_lines(program, draw, options):
    """Lines of any bytes among good ones. The reference has empty lines in the place of those that cannot be processed."""
    longest = draw.choice([16, 200, 1024])
    lines = [draw_line(draw, longest) for _ in range(60)] + [b"a" * 1_000_000, b"\xff" * 1_000_000, draw_line(draw, longest)]
    draw.shuffle(lines)
    end = draw.choice([b"\n", b"\r\n"])
    text = end.join(lines) + draw.choice([b"", end] if lines[-1] else [end])
    lines = [line.removesuffix(b"\r") for line in text.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n").split(b"\n")]
    good, bad = [], []
    for number, line in enumerate(lines, 1):
        try:
            fits = len(line.decode("utf-8")) <= longest
        except UnicodeDecodeError:
            fits = False
        good.append(line if fits else b"")
        if not fits:
            bad.append(number)
    folders = {option: tempfile.mkdtemp(dir=program.folder) for option in ("--maps", "--logits") if option in options}
    arguments = [*options, "--max-input", longest]
    for option, folder in folders.items():
        arguments.insert(arguments.index(option) + 1, folder)
    code, out, errors = program.run(text, *arguments, "--threads", draw.choice([1, 2, 3]), "--batch", draw.choice([1, 7, 64]))
    written = {option: sorted(os.listdir(folder)) for option, folder in folders.items()}
    plain, wanted, none = program.run(b"\r\n".join(good) + b"\r\n", *arguments, "--threads", 1, "--batch", 16)
    check(plain == 0 and not none, f"the reference fails: {none}")
    check(out == wanted, f"answers differ from those without bad lines:\n{out[:500]!r}\n{wanted[:500]!r}")
    check([int(re.match(r"tiny: line (\d+): the line ", error)[1]) for error in errors] == bad, f"lines {bad} are bad, said was {errors}")
    check(code == (1 if bad else 0), f"exit code {code}")
    for option, folder in folders.items():
        check(written[option] and written[option] == sorted(os.listdir(folder)), "files differ from those without bad lines")
        numbers = {int(name[:6]) for name in written[option]}
        check(numbers == {n for n, line in enumerate(good, 1) if line},
              f"files are of the lines {numbers}")


# The shell

def check_outputs(program, answers):
    text = "".join(word + "\n" for word in WORDS).encode()
    closed = ("sh", "-c", 'exec "$@" {}', "sh")

    def shell(redirection):
        return tuple(part.format(redirection) if "{}" in part else part for part in closed)

    for redirection, said in ((">/dev/full", "cannot write the output: No space left on device"), (">&-", "cannot write the output: Bad file descriptor"),
                              ("<&-", "cannot read the input: Bad file descriptor"), ("<&- >&-", "cannot read the input: Bad file descriptor")):
        code, out, errors = program.run(text, command=shell(redirection))
        check((code, out, errors) == (1, b"", [f"tiny: error: {said}"]), f"{redirection}: {code} {out} {errors}")
    output = os.path.join(program.folder, "output")
    for redirection, wanted in (("2>&-", 0), ("2>/dev/full", 0), (">&- 2>&-", 0)):
        code, out, errors = program.run(text, "--output", output, command=shell(redirection))
        with open(output, "rb") as file:
            check(code == wanted and file.read() == answers, f"{redirection}: exit code {code}, or another output")
        os.remove(output)
        code, out, errors = program.run(b"\xff\n" + text, "--output", output, command=shell(redirection))
        with open(output, "rb") as file:
            check(code == 1 and file.read() == b"\n" + answers, f"{redirection}: a message in the output")
        os.remove(output)
    code, out, errors = program.run(text, "--output", "/dev/full")
    check(code == 1 and errors == ["tiny: error: cannot write `/dev/full`: No space left on device"], f"{code} {errors}")
    for option in ("--help", "--version"):
        code, out, errors = program.run(b"", option, command=shell(">/dev/full"))
        check(code == 1 and errors == ["tiny: error: cannot write the output"], f"{option} to a full device: {code} {errors}")
    for option, path, said in (("--input", "/none", "cannot read `/none`: No such file"), ("--output", "/none/none", "cannot write `/none/none`: No such file"),
                               ("--input", program.folder, "cannot read the input: Is a directory"), ("--weights", program.folder, "not a file"),
                               ("--weights", "/dev/zero", "not a file"), ("--weights", "/none", "/none: cannot open: No such file"),
                               ("--maps", "/dev/null", "cannot make the folder"), ("--logits", "/proc/none", "cannot make the folder")):
        code, out, errors = program.run(text, option, path)
        check(code == 1 and out == b"" and len(errors) == 1 and said in errors[0], f"{option} {path}: {code} {errors}")
    fifo = os.path.join(program.folder, "fifo")
    os.mkfifo(fifo)
    code, out, errors = program.run(text, "--weights", fifo, timeout=20)
    check(code == 1 and len(errors) == 1 and "not a file" in errors[0], f"a pipe as weights: {code} {errors}")
    child = subprocess.Popen([program.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=program.environment)
    child.stdout.close()
    child.stdin.write(text)
    child.stdin.close()
    check(child.wait(20) == -signal.SIGPIPE and child.stderr.read() == b"", f"with nobody who reads: {child.returncode}")


def check_interrupt(program, number):
    """In the middle of many lines, with every kind of output."""
    words = [word + letter for word in WORDS for letter in "abcdefghijklmnopqrstuvwxyz"] * 40
    folder = tempfile.mkdtemp(dir=program.folder)
    source, output = os.path.join(folder, "words"), os.path.join(folder, "output")
    with open(source, "w") as file:
        file.write("".join(word + "\n" for word in words))
    for arguments in (["--maps", folder + "/maps", "--logits", folder + "/maps"], ["--maps", folder + "/maps", "--output", output]):
        child = subprocess.Popen([program.path, "--input", source, "--batch", "16", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=program.environment)
        while not os.path.isdir(folder + "/maps") or len(os.listdir(folder + "/maps")) < 50:
            check(child.poll() is None, "it ended too soon to be interrupted")
            time.sleep(0.001)
        child.send_signal(number)
        out, err = child.communicate(timeout=30)
        check(child.returncode == -number and err == b"", f"{child.returncode} {err[:300]!r}")
        check(not os.path.exists(output) and {"words", "maps"} == set(os.listdir(folder)), f"left in the folder: {os.listdir(folder)}")
        wanted = program.run("".join(word + "\n" for word in words[:out.count(b"\n")]).encode())[1]
        check(out == wanted and out.count(b"\n") < len(words), "the lines that were written are not the first answers")
        for name in os.listdir(folder + "/maps"):
            check(re.fullmatch(r"\d{6}-(logits\.npy|[\w.]+?(-h\d)?\.(png|json))", name), f"left in the folder: {name}")
            with open(os.path.join(folder, "maps", name), "rb") as file:
                contents = file.read()
            check(contents.endswith(b"\xaeB`\x82" if name.endswith(".png") else b"}\n" if name.endswith(".json") else contents[-1:]) and contents, f"{name} is cut off")
        shutil.rmtree(folder + "/maps")


def check_progress(program, terminal):
    """Lines that come slowly, for longer than the two seconds after which somebody who watches wants to know."""
    screen, other = pty.openpty() if terminal else os.pipe()
    child = subprocess.Popen([program.path], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=other, env=program.environment)
    os.close(other)
    began = time.monotonic()
    while time.monotonic() - began < 2.8:
        child.stdin.write(b"abc\n\xff\n" if time.monotonic() - began > 2.4 else b"abc\n")
        child.stdin.flush()
        time.sleep(0.1)
    child.stdin.close()
    code, text = child.wait(20), b""
    try:
        while part := os.read(screen, 4096):
            text += part
    except OSError:                                                                # a terminal that nobody writes to any more
        pass
    os.close(screen)
    shown = re.findall(rb"\r\x1b\[K(\d+) lines, ([\d.]+) lines/s, (\d+) tokens/s", text)
    counts = [int(n) for n, _, _ in shown]
    answer = subprocess.run([program.path, "--json"], input=b"abc\n", capture_output=True, env=program.environment, check=True).stdout
    tokens = len(json.loads(answer)["tokens"])
    check(code == 1 and b"the line is not UTF-8" in text, f"{code} {text!r}")
    if terminal:
        check(len(counts) >= 2 and counts == sorted(counts) and text.endswith(b"tokens/s\r\n"), f"{text!r}")
        lines, bad = float(shown[-1][1]), text.count(b"tiny: line ")
        check(abs(float(shown[-1][2]) - lines * tokens * (1 - bad / counts[-1])) <= 0.5 + 0.05 * tokens, f"{tokens} tokens a line: {shown[-1]}")
        check(b"\r\x1b[Ktiny: line " in text, f"a message stands behind the count: {text!r}")
    else:
        check(not counts and text.count(b"\n") == text.count(b"tiny: line "), f"{text!r}")


def main():
    parser = family.parser(__doc__)
    parser.add_argument("--seed", type=int, default=20171)
    parser.add_argument("--count", type=int, default=250, help="mutations of the weights")
    options = parser.parse_args()
    tests = family.Tests(options)
    test = tests.run

    with tempfile.TemporaryDirectory() as folder:
        try:
            program = Program(os.path.join(options.build, "bin", "fovea"), folder, options.sanitize)
            code, answers, errors = program.run("".join(word + "\n" for word in WORDS).encode())
            check(code == 0 and answers.count(b"\n") == len(WORDS) and len(set(answers.split(b"\n"))) > len(WORDS), f"{code} {answers} {errors}")
        except Fault as error:
            program = None
            test("the small model builds", check, False, str(error))
        if program:
            for name, contents, wanted in lies(program):
                test(f"weights: {name}", check_lie, program, contents, wanted, answers)
            for first in range(0, options.count, 25):
                test(f"weights: damage {first} to {first + 24} of seed {options.seed}", check_damages, program, options.seed, range(first, first + 25))
            for number, arguments in enumerate(([], ["--beam", "3"], ["--nbest", "2", "--scores"], ["--sample", "--seed", "7"], ["--maps"], ["--logits", "--beam", "2"],
                                                  ["--beam", "4", "--groups", "2", "--diversity", "1", "--coverage-penalty", "0.3", "--align", "--nbest", "3"],
                                                  ["--sample", "--top-p", "0.8", "--no-repeat-ngram", "2", "--token-scores", "--prefix-column"])):
                name = f"lines: {' '.join(arguments) or 'greedy'}, seed {options.seed}"
                test(name, check_lines, program, random.Random(f"{options.seed} lines {number}"), arguments)
            test("outputs and inputs that are closed, full or gone", check_outputs, program, answers)
            for number in (signal.SIGINT, signal.SIGTERM):
                test(f"{number.name} leaves only what is complete", check_interrupt, program, number)
            test("progress on a terminal", check_progress, program, True)
            test("no progress elsewhere", check_progress, program, False)
    return tests.exit_code()


if __name__ == "__main__":
    sys.exit(main())
