"""Every search option of a program against reference.py, a plain search: tokens equal, scores within 1e-4. The program is the wide toy model of
test/program, whose logits are a formula, so that each case runs many lines in a moment.

    run.py [--build FOLDER] [--filter TEXT] [--seed N] [--count N]

Cases are a list, and --count random combinations of options, each a function of the seed and its number."""

import argparse
import functools
import json
import os
import random
import re
import subprocess
import sys
import time

import numpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import reference  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOKENS = "<s> </s> <unk> A B C D E F G H I".split()
START, END, UNKNOWN, LIMIT = 0, 1, 2, 14


class Fault(Exception):
    pass


def check(ok, message):
    if not ok:
        raise Fault(message)


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
        return [[(float(i == step % n) + 1 / n) / 2 for i in range(n)] for step in range(len(output))]


def words(count, seed):
    draw = random.Random(seed)
    return ["".join(draw.choice("abcdefghijklmno") for _ in range(draw.randrange(1, 10))) for _ in range(count)]


# Options as a dictionary: name without dashes -> value; True for a flag

def command(options):
    return [part for name, value in options.items() for part in (["--" + name] if value is True else ["--" + name, str(value)])]


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
                           options.get("groups", 1), options.get("diversity", 0), ids(options.get("require", ""))).run()


def run(program, text, *arguments):
    done = subprocess.run([program, *arguments], input=text.encode(), capture_output=True, timeout=120)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def compare(program, lines, options, columns=None):
    """Runs the program over `lines` and looks at every result; columns: a second column of each line, with --prefix-column."""
    text = "".join(line + ("\t" + columns[n] if columns and columns[n] else "") + "\n" for n, line in enumerate(lines))
    code, out, err = run(program, text, "--scores", *command({"nbest": 1, **options}))
    found = {}
    for row in out.split("\n"):
        if row:
            number, output, score = row.split("\t")
            found.setdefault(int(number), []).append((output, float(score)))
    impossible = []
    for number, line in enumerate(lines, 1):
        wanted = expected(Line(line), number, options, ids(columns[number - 1]) if columns else ())
        if not wanted:
            impossible.append(number)
        got = found.get(number, [])
        show = f"line {number} ({line}) with {' '.join(command(options))}: {got}, wanted {[(' '.join(TOKENS[t] for t in r.output), round(r.score, 6)) for r in wanted]}"
        check([output for output, _ in got] == [" ".join(TOKENS[token] for token in result.output) for result in wanted], show)
        check(all(abs(score - result.score) < 1e-4 for (_, score), result in zip(got, wanted)), show)
    messages = [int(number) for number in re.findall(r"^\S+: line (\d+): ", err, re.M)]
    check(messages == impossible and err.count("\n") == len(messages) and code == (1 if impossible else 0), f"exit code {code}, {err[:500]}, no results for {impossible}")
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
    "S12 coverage and length": {"beam": 3, "nbest": 3, "coverage-penalty": 0.2, "length-penalty": 0.6, "length-norm": "gnmt", "min-length": 5},
    "S5 early stop": {"beam": 4, "nbest": 3, "early-stop": True},
    "S5 patience": {"beam": 4, "nbest": 4, "patience": 2, "length-penalty": 1},
    "S5 little patience": {"beam": 5, "nbest": 2, "patience": 0.4, "length-penalty": 1},
    "S13 groups": {"beam": 6, "nbest": 6, "groups": 3, "diversity": 0.7},
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
    options |= some(0.5, attention=draw.choice(["p", "dec.1.heads"])) if "coverage-penalty" in options else {}
    options |= some(0.3, patience=real(0.3, 3)) if "early-stop" not in options else {}
    groups = draw.randrange(2, 4) if kind == 3 else 1
    width = draw.randrange(1, 6)
    if kind == 3:
        options |= {"groups": groups} | some(0.9, diversity=real(0, 3))
    required = draw.choices([token for token in TOKENS[2:] if token not in options.get("suppress", "").split()], k=draw.randrange(1, 4)) if kind == 4 else []
    if required:
        options["require"] = " ".join(required)
        width += len(required)
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


def check_neighbours(program, lines, options):
    """Results depend on neither batches nor threads."""
    text, arguments = "".join(line + "\n" for line in lines), ["--scores", *command(options)]
    whole = run(program, text, *arguments)
    check(whole[0] == 0, whole[2])
    for batch, threads in ((1, 1), (3, 2), (1000, 1)):
        check(run(program, text, *arguments, "--batch", str(batch), "--threads", str(threads)) == whole, f"another answer with --batch {batch} --threads {threads}")


WRONG = {
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
    "--beam 4 --groups 2 --require A": "--require: does not go with --groups", "--beam 4 --require </s>": "--require: `</s>` is no token of a result",
    "--beam 4 --require A --suppress A": "--require: `A` is suppressed", "--beam 20 --max-length 2 --require A --require A --require B": "--require: a result has at most 2 tokens",
    "--prefix A --prefix-column": "excludes", "--attention p": "--attention", "--coverage-penalty 1 --attention self": "--attention: ",
    "--coverage-penalty 1 --attention q": "--attention: ",
}


def check_usage(program):
    for arguments, said in WRONG.items():
        code, out, err = run(program, "abc\n", *arguments.split())
        check(code == 2 and out == "" and said in err, f"{arguments}: {code} {err!r}")
    code, out, err = run(program, "abc\n", "--max-length", "2", "--prefix", "A B C")
    check(code == 2 and "--prefix: a result has at most 2 tokens, and these are 3" in err, err)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--jobs")
    parser.add_argument("--sanitize", action="store_true")
    parser.add_argument("--filter", default="")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=60, help="random combinations of options")
    options = parser.parse_args()
    results = open(os.environ.get("FOVEA_RESULTS", os.devnull), "a")
    program, failed = os.path.join(options.build, "bin", "fovea-wide-program"), 0

    def test(name, action, *arguments):
        nonlocal failed
        if options.filter not in name:
            return
        started = time.time()
        try:
            action(*arguments)
            message = ""
        except (Fault, OSError, ValueError, subprocess.TimeoutExpired) as error:
            message = f"{type(error).__name__}: {error}"
        failed += bool(message)
        print(f"{'FAIL' if message else 'pass'} {name} {message}", flush=True)
        results.write(json.dumps({"name": name, "result": "fail" if message else "pass", "message": message, "seconds": time.time() - started}) + "\n")
        results.flush()

    lines = words(40, options.seed)
    for name, case in CASES.items():
        test(name, compare, program, lines, case)
    for number in range(options.count):
        test(f"random options {number} of seed {options.seed}", compare, program, lines[:12], random_options(random.Random(f"{options.seed} options {number}")))
    test("S11 a prefix for each line", check_columns, program, lines, options.seed)
    for case in ({"sample": True, "top-p": 0.7, "nbest": 3}, {"beam": 6, "groups": 2, "diversity": 1, "nbest": 6}, {"beam": 4, "require": "A", "repetition-penalty": 1.5},
                 {"no-repeat-ngram": 2, "min-length": 8}, {"beam": 4, "coverage-penalty": 0.5, "attention": "p"}):
        test(f"neighbours change nothing: {' '.join(command(case))}", check_neighbours, program, words(300, options.seed), case)
    test("wrong usage", check_usage, program)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
