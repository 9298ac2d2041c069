"""Every search option of a program against reference.py, a plain search: tokens equal, scores within 1e-4. The program is the wide toy model of
test/program, whose logits are a formula, so that each case runs many lines in a moment.

    run.py [--build FOLDER] [--filter TEXT] [--seed N] [--count N]

Cases are a list, and --count random combinations of options, each a function of the seed and its number."""

import functools
import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading

import numpy
import safetensors.numpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import reference  # noqa: E402
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import family  # noqa: E402
from family import check  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOKENS = "<s> </s> <unk> A B C D E F G H I".split()
START, END, UNKNOWN, LIMIT = 0, 1, 2, 14


# The toy model of test/program/ToyModel.cpp

def mix(a, b):
    h = (a * 0x9E3779B1 & 0xFFFFFFFF) ^ (b + 0x7F4A7C15 & 0xFFFFFFFF)
    h ^= h >> 15
    h = h * 0x85EBCA6B & 0xFFFFFFFF
    return h ^ h >> 13


class Line:
    """The model on one source."""

    def __init__(self, text, bias=None):
        self.text = text
        self.source = [2 + ord(c) - ord("a") if "a" <= c <= "z" else 0 for c in text] + [1]
        self.hash = functools.reduce(mix, self.source, 1)
        self.bias = numpy.zeros(len(TOKENS), numpy.float32) if bias is None else bias
        self.known = {}

    def logits(self, output):
        if output not in self.known:
            prefix, f32 = functools.reduce(mix, (START, *output), 17), numpy.float32
            row = numpy.array([f32((mix(mix(self.hash, prefix), token) >> 8) * 2.0 ** -24 * 4) - f32(2) for token in range(len(TOKENS))], f32)
            row[START] -= f32(20)
            row[END] = row[END] + f32(0.5 * (len(output) + 1)) - f32(2)
            self.known[output] = row + self.bias
        return self.known[output]

    def weights(self, output, trace=None):
        """[steps, source] of `trace`; the last trace over the source is the one with heads."""
        n, fed = len(self.source), (START, *output)[:len(output)]
        if trace == "p":
            return [[(token + y) % 5 / 4 for token in self.source] for y in fed]
        if trace == "dec.1.heads-h0":
            return [[float(i == step % n) for i in range(n)] for step in range(len(output))]
        if trace == "dec.1.heads-h1":
            return [[1 / n] * n for _ in output]
        return [[(float(i == step % n) + 1 / n) / 2 for i in range(n)] for step in range(len(output))]

    def alignment(self, output, trace=None):
        """For each token the position of the largest weight, the first of equals, the source's end token left out."""
        return [max(range(len(row) - 1), key=lambda i: (row[i], -i)) for row in self.weights(output, trace)]


def words(count, seed):
    draw = random.Random(seed)
    return ["".join(draw.choice("abcdefghijklmno") for _ in range(draw.randrange(1, 10))) for _ in range(count)]


# Options as a dictionary: name without dashes -> value; True for a flag

def command(options):
    return [part for name, value in options.items() for one in (value if isinstance(value, list) else [value])
            for part in (["--" + name] if one is True else ["--" + name, str(one)])]


def ids(text):
    return tuple(TOKENS.index(token) for token in text.split())


def expected(line, number, options, prefix=()):
    """The results of reference.py; prefix: of the line."""
    limit, nbest = int(options.get("max-length", LIMIT)), int(options.get("nbest", 1))
    rules = reference.Rules(END, ids(options.get("suppress", "")), options.get("repetition-penalty", 1), options.get("no-repeat-ngram", 0), options.get("min-length", 0))
    prefix = prefix or ids(options.get("prefix", ""))
    if "sample" in options:
        drawn = [reference.sample(line.logits, END, limit, rules, functools.partial(reference.uniform, options.get("seed", 0), number, n), prefix,
                                  options.get("temperature", 1), options.get("top-k", 0), options.get("top-p", 1)) for n in range(nbest)]
        return drawn if all(drawn) else []
    beam, penalty, coverage = options.get("beam", nbest), options.get("length-penalty", 0), options.get("coverage-penalty", 0)
    if beam == 1 and not penalty and not coverage:
        result = reference.greedy(line.logits, END, limit, rules, prefix)
        return [result] if result else []
    return reference.Beams(line.logits, END, limit, rules, beam, nbest, prefix, penalty, options.get("length-norm", "power"), coverage,
                           functools.partial(line.weights, trace=options.get("attention")), 1 if "early-stop" in options else options.get("patience", 0),
                           options.get("groups", 1), options.get("diversity", 0), ids(options.get("require", "")),
                           [ids(phrase) for phrase in options.get("require-phrase", [])]).run()


def run(program, text, *arguments):
    done = subprocess.run([program, *arguments], input=text.encode(), capture_output=True, timeout=120)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def compare(program, lines, options, columns=None, arguments=(), model_of=Line):
    """Runs the program over `lines` and looks at every result; columns: a second column of each line, with --prefix-column."""
    text = "".join(line + ("\t" + columns[n] if columns and columns[n] else "") + "\n" for n, line in enumerate(lines))
    trace = options.get("attention", "dec.1.heads" if "coverage-penalty" in options else "p")
    code, out, err = run(program, text, "--json", "--align", *arguments, *command({"nbest": 1, "attention": trace, **options}))
    found, errors = {}, {}
    for row in map(json.loads, out.splitlines()):
        if "error" in row:
            errors[row["line"]] = row["error"]
        else:
            found.setdefault(row["line"], []).append(row)
            check(row["rank"] == len(found[row["line"]]), f"{row}")
    impossible = []
    for number, line in enumerate(lines, 1):
        model = model_of(line)
        wanted = expected(model, number, options, ids(columns[number - 1]) if columns else ())
        if not wanted:
            impossible.append(number)
        got = found.get(number, [])
        show = f"line {number} ({line}) with {' '.join(command(options))}: {got}, wanted {[(' '.join(TOKENS[t] for t in r.output), round(r.score, 6)) for r in wanted]}"
        check([row["tokens"] for row in got] == [[TOKENS[token] for token in result.output] for result in wanted], show)
        for row, result in zip(got, wanted):
            check(row["text"] == " ".join(row["tokens"]) and row["ended"] == (result.tokens[-1] == END), show)
            check(abs(row["score"] - result.score) < 1e-4 and len(row["token_scores"]) == len(result.gains), show)
            check(all(abs(score - gain) < 1e-4 for score, gain in zip(row["token_scores"], result.gains)), f"token scores: {show}")
            check(row["alignment"] == model.alignment(result.output, trace), f"alignment, wanted {model.alignment(result.output, trace)}: {show}")
    messages = [int(number) for number in re.findall(r"^\S+: line (\d+): ", err, re.M)]
    check(sorted(errors) == impossible and messages == impossible and err.count("\n") == len(messages) and code == (1 if impossible else 0), f"exit code {code}, {err[:500]}, no results for {impossible}")
    return found


CASES = {
    "S3 greedy": {},
    "S4 beam": {"beam": 4, "nbest": 4},
    "S4 beam wider than the vocabulary": {"beam": 30, "nbest": 30},
    "S8 samples": {"sample": True, "nbest": 3, "seed": 5},
    "S8 temperature, cold": {"sample": True, "nbest": 3, "temperature": 0.3},
    "S8 temperature, hot": {"sample": True, "nbest": 3, "temperature": 2.5, "seed": 8},
    "S8 temperature, frozen: greedy": {"sample": True, "temperature": 0.001},
    "S8 top-k": {"sample": True, "nbest": 3, "top-k": 3},
    "S8 top-k of one": {"sample": True, "top-k": 1},
    "S8 top-k beyond the vocabulary": {"sample": True, "nbest": 2, "top-k": 100},
    "S8 top-p": {"sample": True, "nbest": 3, "top-p": 0.5},
    "S8 top-p of almost nothing": {"sample": True, "top-p": 1e-6},
    "S8 temperature, then top-k, then top-p": {"sample": True, "nbest": 3, "temperature": 1.7, "top-k": 6, "top-p": 0.8},
    "S2 maximum length": {"max-length": 3},
    "S2 maximum length of a beam": {"max-length": 5, "beam": 5, "nbest": 5},
    "S2 maximum length of samples": {"max-length": 4, "sample": True},
    "S10 minimum length": {"min-length": 9},
    "S10 minimum length of a beam": {"min-length": 9, "beam": 3, "nbest": 3, "length-penalty": 1},
    "S10 minimum length at the limit": {"min-length": 6, "max-length": 6, "beam": 2},
    "S10 minimum length of samples": {"min-length": 10, "sample": True, "nbest": 2},
    "S7 length penalty": {"beam": 4, "nbest": 4, "length-penalty": 0.8},
    "S7 length penalty without a beam": {"length-penalty": 2},
    "S7 GNMT's length penalty": {"beam": 4, "nbest": 4, "length-penalty": 0.8, "length-norm": "gnmt"},
    "S7 GNMT's length penalty, large": {"beam": 3, "nbest": 3, "length-penalty": 5, "length-norm": "gnmt"},
    "S12 coverage": {"beam": 4, "nbest": 4, "coverage-penalty": 0.4},
    "S12 coverage of a map by name": {"beam": 4, "nbest": 4, "coverage-penalty": 0.7, "attention": "p"},
    "S12 coverage of the first head": {"beam": 4, "nbest": 4, "coverage-penalty": 0.7, "attention": "dec.1.heads-h0"},
    "S12 coverage of the second head": {"beam": 4, "nbest": 4, "coverage-penalty": 0.7, "attention": "dec.1.heads-h1"},
    "S16 alignment by one head": {"beam": 4, "nbest": 4, "attention": "dec.1.heads-h0"},
    "S12 coverage and length": {"beam": 3, "nbest": 3, "coverage-penalty": 0.2, "length-penalty": 0.6, "length-norm": "gnmt", "min-length": 5},
    "S5 early stop": {"beam": 4, "nbest": 3, "early-stop": True},
    "S5 patience": {"beam": 4, "nbest": 4, "patience": 2, "length-penalty": 1},
    "S5 little patience": {"beam": 5, "nbest": 2, "patience": 0.4, "length-penalty": 1},
    "S13 groups": {"beam": 6, "nbest": 6, "groups": 3, "diversity": 0.7},
    "S13 a group's best hypothesis stands behind others (S5's bound, of `jnm`)": {"beam": 9, "nbest": 9, "groups": 3, "diversity": 1.16},
    "S13 groups of one": {"beam": 4, "nbest": 4, "groups": 4, "diversity": 1.5},
    "S13 groups without diversity": {"beam": 6, "nbest": 6, "groups": 2},
    "S10 suppressed": {"suppress": "A C"},
    "S10 suppressed end": {"suppress": "</s>", "beam": 3, "nbest": 3},
    "S10 suppressed in a beam": {"suppress": "B <unk>", "beam": 4, "nbest": 4},
    "S10 suppressed in samples": {"suppress": "B <unk>", "sample": True, "nbest": 3},
    "S10 repetition penalty": {"repetition-penalty": 1.8},
    "S10 repetition penalty in a beam": {"repetition-penalty": 1.8, "beam": 4, "nbest": 4},
    "S10 repetition penalty in samples": {"repetition-penalty": 3, "sample": True, "nbest": 2},
    "S10 repetition rewarded": {"repetition-penalty": 0.5, "beam": 3},
    "S10 no token twice": {"no-repeat-ngram": 1},
    "S10 no pair twice": {"no-repeat-ngram": 2, "beam": 4, "nbest": 4, "min-length": 11},
    "S10 no triple twice": {"no-repeat-ngram": 3, "suppress": "A B C D E F <unk>", "min-length": 8},
    "S10 no pair twice in samples": {"no-repeat-ngram": 2, "suppress": "A B C D E F", "sample": True},
    "S10 rules that leave no token": {"no-repeat-ngram": 1, "suppress": "A B C D E F G <unk> <s>", "min-length": 4},
    "S10 rules that leave no token to a beam": {"no-repeat-ngram": 1, "suppress": "A B C D E F G <unk> <s>", "min-length": 4, "beam": 3},
    "S11 prefix": {"prefix": "A A B"},
    "S11 prefix of a beam": {"prefix": "C D", "beam": 4, "nbest": 4},
    "S11 prefix of groups": {"prefix": "C D", "beam": 4, "nbest": 4, "groups": 2, "diversity": 1},
    "S11 prefix of samples": {"prefix": "C D", "sample": True, "nbest": 3},
    "S11 prefix against the rules": {"prefix": "A A A", "suppress": "A", "no-repeat-ngram": 1, "beam": 2},
    "S11 prefix as long as the limit": {"prefix": "A B C", "max-length": 3, "beam": 2},
    "S14 a required token": {"require": "D", "beam": 4, "nbest": 4},
    "S14 required tokens": {"require": "D D H", "beam": 8, "nbest": 3},
    "S14 required tokens and as many hypotheses": {"require": "A B C", "beam": 4, "nbest": 2},
    "S14 required tokens and a length": {"require": "A B", "beam": 6, "nbest": 6, "length-penalty": 1, "max-length": 5},
    "S14 required tokens that fill the limit": {"require": "A B C", "beam": 4, "max-length": 3},
    "S14 required tokens that the rules do not let come": {"require": "D D", "beam": 4, "no-repeat-ngram": 1},
    "S14 a phrase": {"require-phrase": ["A B C"], "beam": 6, "nbest": 3},
    "S14 phrases that begin alike, and one in the other": {"require-phrase": ["A A B", "A B", "B A"], "beam": 12, "nbest": 4},
    "S14 a phrase twice is once": {"require-phrase": ["C D", "C D"], "beam": 5, "nbest": 2},
    "S14 phrases and tokens": {"require-phrase": ["D D", "B A"], "require": "A H", "beam": 10, "nbest": 3, "length-penalty": 0.7},
    "S14 a phrase that begins in the prefix": {"require-phrase": ["B C A"], "beam": 6, "prefix": "A B"},
    "S14 a phrase that fills the limit": {"require-phrase": ["A B C"], "beam": 4, "max-length": 3},
    "S14 a phrase that the rules do not let come": {"require-phrase": ["D D"], "beam": 4, "no-repeat-ngram": 1},
    "S14 required tokens and rules": {"require": "A B", "beam": 6, "no-repeat-ngram": 1, "repetition-penalty": 1.3, "prefix": "B C"},
}


def random_options(draw):
    """Options that go together."""
    some = lambda chance, **options: {name.replace("_", "-"): value for name, value in options.items()} if draw.random() < chance else {}
    real = lambda low, high: round(draw.uniform(low, high), 3)
    options = {"max-length": draw.randrange(4, LIMIT + 1)} if draw.random() < 0.5 else {}
    limit = options.get("max-length", LIMIT)
    options |= some(0.3, min_length=draw.randrange(limit + 1)) | some(0.3, suppress=" ".join(draw.sample(TOKENS[2:], draw.randrange(1, 4))))
    options |= some(0.3, repetition_penalty=real(0.7, 3)) | some(0.3, no_repeat_ngram=draw.randrange(1, 4)) | some(0.3, prefix=" ".join(draw.choices(TOKENS[2:], k=draw.randrange(1, 4))))
    kind = draw.randrange(5)
    if kind == 0:
        return options
    if kind == 1:
        return options | {"sample": True, "seed": draw.randrange(2 ** 63), "nbest": draw.randrange(1, 4)} | some(0.5, temperature=real(0.2, 3)) | \
            some(0.5, top_k=draw.randrange(1, 14)) | some(0.5, top_p=real(0.05, 1))
    options |= some(0.5, length_penalty=real(0, 3)) | some(0.3, coverage_penalty=real(0, 1)) | some(0.2, early_stop=True)
    options |= some(0.5, length_norm=draw.choice(["power", "gnmt"])) if "length-penalty" in options else {}
    options |= some(0.5, attention=draw.choice(["p", "dec.1.heads", "dec.1.heads-h0", "dec.1.heads-h1"])) if "coverage-penalty" in options else {}
    options |= some(0.3, patience=real(0.3, 3)) if "early-stop" not in options else {}
    groups = draw.randrange(2, 4) if kind == 3 else 1
    width = draw.randrange(1, 6)
    if kind == 3:
        options |= {"groups": groups} | some(0.9, diversity=real(0, 3))
    required = draw.choices([token for token in TOKENS[2:] if token not in options.get("suppress", "").split()], k=draw.randrange(1, 4)) if kind == 4 else []
    if required:
        options["require"] = " ".join(required)
        width += len(required)
        if draw.random() < 0.6:
            options["require-phrase"] = [" ".join(draw.choices(required + TOKENS[2:4], k=draw.randrange(2, 4))) for _ in range(draw.randrange(1, 3))]
            count = sum(len(phrase.split()) for phrase in set(options["require-phrase"]))
            suppressed = any(token in options.get("suppress", "").split() for phrase in options["require-phrase"] for token in phrase.split())
            if suppressed or len(required) + count > limit:
                del options["require-phrase"]
            else:
                width += count
                if draw.random() < 0.4:
                    width -= len(required)
                    del options["require"]
    options["beam"] = width * groups
    patience = 1 if "early-stop" in options else options.get("patience")
    options["nbest"] = draw.randrange(1, 1 + min(width * groups, groups * max(1, -int(-patience * width // 1))) if patience else 1 + width * groups)
    return options


# What is no comparison with the reference

def check_columns(program, lines, seed):
    """S11: a prefix for each line."""
    draw = random.Random(f"{seed} columns")
    columns = [" ".join(draw.choices(TOKENS[2:], k=draw.randrange(0, 6))) for _ in lines]
    for options in ({}, {"beam": 4, "nbest": 2}, {"sample": True}):
        compare(program, lines, {"prefix-column": True, **options}, columns)
    code, out, err = run(program, "abc\tA A A A\nabc\tA A A\nabc\n\tA\nabc\t\xff\n", "--prefix-column", "--max-length", "3")
    check(code == 1 and out.split("\n")[:2] == ["", "A A A"] and out.split("\n")[3] == "", f"{code} {out!r}")
    check("line 1: the prefix has 4 tokens, more than the 3 of a result" in err and err.count("\n") == 1, err)


def check_score(program, lines, seed):
    """S15: the log-probability of outputs that are given, and of those that a search found."""
    draw, pairs = random.Random(f"{seed} outputs"), []
    for line in lines:
        pairs.append((line, tuple(draw.choices(range(2, len(TOKENS)), k=draw.randrange(0, LIMIT + 1)))))
    text = "".join(f"{line}\t{' '.join(TOKENS[token] for token in output)}\n" for line, output in pairs)
    code, out, err = run(program, text, "--score", "--token-scores", "--align", "--attention", "p")
    rows = [row.split("\t") for row in out.split("\n")[:-1]]
    check(code == 0 and not err and len(rows) == len(pairs), f"{code} {err}")
    as_json = [json.loads(row) for row in run(program, text, "--score", "--json", "--batch", "7")[1].splitlines()]
    for (line, output), (score, scores, pairing), row in zip(pairs, rows, as_json):
        model = Line(line)
        gains = reference.gains_of(model.logits, output + ((END,) if len(output) < LIMIT else ()))
        found = [float(part) for part in scores.split()]
        check(len(found) == len(gains) and all(abs(a - b) < 1e-4 for a, b in zip(found, gains)) and abs(float(score) - sum(gains)) < 1e-4, f"{line} {output}: {score} {scores}, wanted {gains}")
        check(pairing == " ".join(f"{n}-{position}" for n, position in enumerate(model.alignment(output, "p"))), f"{line} {output}: {pairing}")
        check(abs(row["score"] - sum(gains)) < 1e-4 and row["tokens"] == [TOKENS[token] for token in output] and row["ended"] == (len(output) < LIMIT), f"{row}")
    found = [json.loads(row) for row in run(program, "".join(line + "\n" for line in lines), "--json", "--beam", "4", "--no-repeat-ngram", "2", "--repetition-penalty", "1.5")[1].splitlines()]
    again = run(program, "".join(f"{line}\t{row['text']}\n" for line, row in zip(lines, found)), "--score")[1].splitlines()
    check(all(abs(float(score) - row["score"]) < 2e-6 for score, row in zip(again, found)), "another score for what a search found")
    code, out, err = run(program, "abc\n\n\tA\nabc\t" + "A " * 15 + "\nabc\t\nabc\tx </s>\nq\tA\n", "--score")
    check(code == 1 and [bool(row) for row in out.split("\n")] == [False, False, False, False, True, True, False, False], f"{out!r}")
    wanted = sum(reference.gains_of(Line("abc").logits, (UNKNOWN, UNKNOWN, END)))
    check(abs(float(out.split("\n")[5]) - wanted) < 1e-4, "text never yields the end token")
    check(re.findall(r"line (\d): (.*)", err) == [("1", "the line has no TAB between an input and an output"), ("4", "the output has 15 tokens, more than the 14 of a result"),
                                                  ("7", "encode: no q, please")], err)


class Mean:
    """An ensemble of lines: S18."""

    def __init__(self, lines):
        self.lines, self.weights, self.alignment = lines, lines[0].weights, lines[0].alignment

    def logits(self, output):
        return numpy.log(numpy.mean([numpy.exp(reference.log_softmax(line.logits(output))) for line in self.lines], 0))


def check_ensemble(program, lines, seed):
    draw = numpy.random.default_rng(seed)
    biases = [draw.normal(0, 1.5, len(TOKENS)).astype(numpy.float32) for _ in range(3)]
    biases[1][3] = -numpy.inf
    with tempfile.TemporaryDirectory() as folder:
        files = [os.path.join(folder, f"{n}.safetensors") for n in range(len(biases))]
        for path, bias in zip(files, biases):
            safetensors.numpy.save_file({"bias": bias}, path)
        for count in (1, 2, 3):
            chosen = [part for path in files[:count] for part in ("--weights", path)]
            for options in ({}, {"beam": 4, "nbest": 4, "length-penalty": 0.7}, {"sample": True, "nbest": 2, "top-p": 0.8}, {"repetition-penalty": 1.5, "beam": 3}):
                compare(program, lines, options, None, chosen, lambda text: Mean([Line(text, bias) for bias in biases[:count]]) if count > 1 else Line(text, biases[0]))
        chosen = ["--weights", files[0], "--weights", files[2]]
        text = "".join(line + "\n" for line in lines)
        check(run(program, text, "--weights", files[0], "--weights", files[0], "--scores")[1] == run(program, text, "--weights", files[0], "--scores")[1], "twice the same is another")
        code, out, err = run(program, text, "--weights", files[0], "--weights", os.path.join(folder, "none"))
        check(code == 1 and out == "" and err.count("\n") == 1 and "none: cannot open" in err, err)
        code, out, err = run(program, text, *chosen, "--logits", folder)
        rows = numpy.load(os.path.join(folder, "000001-logits.npy"))
        check(numpy.abs(rows[0] - Mean([Line(lines[0], biases[0]), Line(lines[0], biases[2])]).logits(())).max() < 1e-5, "the logits are not the ensemble's")


def check_stream(program, lines):
    """S19: each token is a write of its own; a pipe of packets keeps them apart."""
    text = "\n".join(lines[:20] + ["", "q"] + lines[20:]) + "\n"
    for options in ([], ["--sample", "--seed", "4", "--temperature", "0.8"], ["--scores", "--token-scores", "--align"], ["--prefix", "A B", "--no-repeat-ngram", "1"]):
        plain = run(program, text, *options)
        reading, writing = os.pipe2(os.O_DIRECT)
        child = subprocess.Popen([program, "--stream", *options], stdin=subprocess.PIPE, stdout=writing, stderr=subprocess.PIPE)
        os.close(writing)
        packets = []
        feeding = threading.Thread(target=lambda: (child.stdin.write(text.encode()), child.stdin.close()))
        feeding.start()
        while packet := os.read(reading, 4096):
            packets.append(packet.decode())
        os.close(reading)
        feeding.join()
        err = child.stderr.read().decode()
        child.stderr.close()
        check(child.wait(20) == plain[0] == 1 and "".join(packets) == plain[1] and err == plain[2], f"{options}: {child.returncode} {''.join(packets)[:500]!r} {err!r}")
        wanted = []
        for line in plain[1].split("\n")[:-1]:
            output, tab, rest = line.partition("\t")
            wanted += [(" " if n else "") + token for n, token in enumerate(output.split())] + [tab + rest + "\n"]
        check(packets == wanted, f"{options}: {packets[:20]}, wanted {wanted[:20]}")


def check_interrupt(program):
    """A line that is being written is finished before the program ends."""
    child = subprocess.Popen([program, "--stream"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    child.stdin.write(b"abc\n")
    child.stdin.flush()
    line = child.stdout.readline()
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=20)
    check(line.decode() == run(program, "abc\n")[1] and out == err == b"" and child.returncode == -signal.SIGINT, f"{child.returncode} {line!r} {out!r} {err!r}")


def check_edges(program):
    """S20."""
    for options in ([], ["--beam", "50"], ["--sample", "--top-k", "50"], ["--beam", "4096", "--max-length", "2"], ["--stream"]):
        code, out, err = run(program, "\n\n", *options)
        check((code, out, err) == (0, "\n\n", ""), f"{options}: {code} {out!r} {err!r}")
        check(run(program, "", *options) == (0, "", ""), "no line gives no line")
    for options in ({}, {"beam": 50, "nbest": 50}, {"sample": True}):
        compare(program, ["!", "!?!", "     ", "\t", "ABC"], options)
    # More hypotheses than there are outputs: all of them, each once, the best first.
    rows = [json.loads(row) for row in run(program, "abc\n", "--json", "--beam", "4096", "--nbest", "4096", "--max-length", "3")[1].splitlines()]
    check(len(rows) == 1 + 11 + 11 ** 2 + 11 ** 3, f"{len(rows)} outputs")
    check(len({tuple(row["tokens"]) + (row["ended"],) for row in rows}) == len(rows), "an output twice")
    check(all(a["score"] >= b["score"] for a, b in zip(rows, rows[1:])), "not in order")
    check(abs(sum(math.exp(row["score"]) for row in rows) - 1) < 1e-4, "the probabilities of all outputs do not add up to 1")


def check_text(program, lines):
    """What --json says, in columns."""
    text = "\n".join(lines[:10] + ["", "q"] + lines[10:]) + "\n"
    for extra in ([], ["--nbest", "3"]):
        rows = [json.loads(row) for row in run(program, text, "--json", "--align", *extra)[1].splitlines()]
        for options in ([], ["--scores"], ["--token-scores"], ["--align"], ["--scores", "--token-scores", "--align"]):
            code, out, err = run(program, text, *options, *extra)
            wanted = []
            for row in rows:
                line = [str(row["line"])] * bool(extra) + [row.get("text", "")]
                if "--scores" in options:
                    line.append(f"{row.get('score', 0):.6f}")
                if "--token-scores" in options:
                    line.append(" ".join(f"{score:.6f}" for score in row.get("token_scores", [])))
                if "--align" in options:
                    line.append(" ".join(f"{n}-{position}" for n, position in enumerate(row.get("alignment", []))))
                wanted.append("\t".join(line) if "score" in row else "")
            check(code == 1 and out.split("\n") == wanted + [""], f"{options}: {out[:500]!r}, wanted {wanted[:5]}")
    check(rows[30] == {"line": 11, "text": "", "tokens": []} and rows[31] == {"line": 12, "error": "encode: no q, please"}, f"{rows[30:32]}")


def check_unknown(program, lines):
    """S17: unknown tokens become what stands in the input, also what the input's vocabulary does not have."""
    lines = [line.replace("a", "ä").replace("b", "B").replace("c", "漢") for line in lines]
    count = 0
    for options in ([], ["--beam", "4", "--nbest", "4"], ["--attention", "p"]):
        rows = [json.loads(row) for row in run(program, "\n".join(lines), "--json", "--align", "--replace-unknown", *options)[1].splitlines()]
        for row in rows:
            parts = [lines[row["line"] - 1][position] if token == "<unk>" else token for token, position in zip(row["tokens"], row["alignment"])]
            count += sum(part != token for part, token in zip(parts, row["tokens"]))
            check(row["text"] == " ".join(parts), f"{row}, wanted {parts}")
        plain = [json.loads(row) for row in run(program, "\n".join(lines), "--json", "--align", *options)[1].splitlines()]
        check([row["tokens"] for row in plain] == [row["tokens"] for row in rows] and all(row["text"] == " ".join(row["tokens"]) for row in plain), "other tokens")
    check(count > 50, f"{count} unknown tokens: the test wants more")


def check_neighbours(program, lines, options):
    """Results depend on neither batches nor threads."""
    text, arguments = "".join(line + "\n" for line in lines), ["--scores", *command(options)]
    whole = run(program, text, *arguments)
    check(whole[0] == 0, whole[2])
    for batch, threads in ((1, 1), (3, 2), (1000, 1)):
        check(run(program, text, *arguments, "--batch", str(batch), "--threads", str(threads)) == whole, f"another answer with --batch {batch} --threads {threads}")


WRONG = {
    "--stream --beam 2": "--stream: writes tokens of one line as they are chosen; it does not go with --beam", "--stream --json": "does not go with --json",
    "--stream --sample --nbest 2": "--stream", "--stream --output /dev/null": "--stream",
    "--score --beam 2": "--score: takes outputs as they are; it does not go with --beam", "--score --prefix-column": "does not go with --prefix-column",
    "--json --scores": "--json: has all scores; it does not go with --scores", "--align --attention self": "--attention: `self` is no trace over the input",
    "--temperature 0.5": "--temperature requires --sample", "--sample --temperature 0": "--temperature: ", "--sample --top-p 0": "--top-p: ",
    "--sample --top-p 1.1": "--top-p: ", "--sample --top-k 0": "--top-k: ", "--top-k 3": "--top-k requires --sample",
    "--min-length 15": "--min-length: ", "--max-length 15": "--max-length: ", "--max-length 0": "--max-length: ",
    "--min-length 5 --max-length 4": "--min-length: cannot exceed --max-length (4)", "--length-norm gnmt": "--length-norm requires --length-penalty",
    "--length-penalty 1 --length-norm none": "--length-norm: ", "--early-stop --patience 2": "--patience excludes --early-stop",
    "--beam 4 --nbest 4 --patience 0.5": "--nbest: cannot exceed the 2 after which --patience stops", "--diversity 1": "--diversity requires --groups",
    "--beam 4 --groups 3": "--groups: must divide --beam (4)", "--groups 2": "--groups: must divide --beam (1)",
    "--sample --groups 1": "--sample: draws instead of searching; it does not go with --groups", "--sample --coverage-penalty 1": "--coverage-penalty",
    "--suppress X": "--suppress: `X` is not made of tokens of the output's vocabulary", "--repetition-penalty 0": "--repetition-penalty: ",
    "--no-repeat-ngram 0": "--no-repeat-ngram: ", "--beam 2 --require A --require B": "--require: 2 tokens need a --beam of at least 3",
    "--beam 3 --require-phrase A,B": "--require-phrase: `A,B` is not made of tokens", "--beam 4 --groups 2 --require-phrase A": "--require-phrase: does not go with --groups",
    "--beam 2 --require A --require-phrase B": "--require-phrase: 2 tokens need a --beam of at least 3", "--sample --require-phrase A": "--sample: draws instead of searching",
    "--beam 4 --groups 2 --require A": "--require: does not go with --groups", "--beam 4 --require </s>": "--require: `</s>` is no token of a result",
    "--beam 4 --require A --suppress A": "--require: `A` is suppressed", "--beam 20 --max-length 2 --require A --require A --require B": "--require: a result has at most 2 tokens",
    "--prefix A --prefix-column": "excludes", "--attention p": "--attention", "--coverage-penalty 1 --attention self": "--attention: ",
    "--coverage-penalty 1 --attention q": "--attention: ", "--align --attention dec.1.heads-h2": "--attention: `dec.1.heads-h2` is no trace over the input, nor a head of one",
    "--align --attention dec.1.heads-h": "--attention: ", "--align --attention dec.1.heads-h-1": "--attention: ", "--align --attention dec.1.heads-h00x": "--attention: ",
    "--align --attention p-h0": "--attention: ", "--align --attention -h0": "--attention",
}


def check_usage(program):
    for arguments, said in WRONG.items():
        code, out, err = run(program, "abc\n", *arguments.split())
        check(code == 2 and out == "" and said in err, f"{arguments}: {code} {err!r}")
    code, out, err = run(program, "abc\n", "--max-length", "2", "--prefix", "A B C")
    check(code == 2 and "--prefix: a result has at most 2 tokens, and these are 3" in err, err)


def main():
    parser = family.parser(__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=60, help="random combinations of options")
    options = parser.parse_args()
    tests = family.Tests(options)
    test, program = tests.run, os.path.join(options.build, "bin", "fovea-wide-program")

    lines = words(40, options.seed)
    for name, case in CASES.items():
        test(name, compare, program, lines, case)
    for number in range(options.count):
        test(f"random options {number} of seed {options.seed}", compare, program, lines[:12], random_options(random.Random(f"{options.seed} options {number}")))
    test("S11 a prefix for each line", check_columns, program, lines, options.seed)
    test("S15 scores of outputs that are given", check_score, program, lines, options.seed)
    test("S18 ensembles", check_ensemble, program, lines[:15], options.seed)
    test("S19 tokens are written as they are chosen", check_stream, program, lines)
    test("S19 an interrupt while lines are streamed", check_interrupt, program)
    test("S20 edges", check_edges, program)
    test("text has what JSON has", check_text, program, lines)
    test("S17 unknown tokens are replaced", check_unknown, program, lines)
    for case in ({"sample": True, "top-p": 0.7, "nbest": 3}, {"beam": 6, "groups": 2, "diversity": 1, "nbest": 6}, {"beam": 4, "require": "A", "repetition-penalty": 1.5},
                 {"no-repeat-ngram": 2, "min-length": 8}, {"beam": 4, "coverage-penalty": 0.5, "attention": "p"}):
        test(f"neighbours change nothing: {' '.join(command(case))}", check_neighbours, program, words(300, options.seed), case)
    test("wrong usage", check_usage, program)
    return tests.exit_code()


if __name__ == "__main__":
    sys.exit(main())
