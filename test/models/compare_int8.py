"""Compares programs of examples/models/g2p_transformer built with --quantize int8 with the same arithmetic in PyTorch, with each other (one for
each target), and their quality with the f32 program's; exit code 1 if they differ.

    compare_int8.py F32_PROGRAM INT8_PROGRAM [INT8_PROGRAM of another target...] [--model DIR] [--words N] [--threads N]

PyTorch has the same integers, but takes the f32 sums between the products (layer norms, softmax, attention) in another order. A last bit apart may move
a value over the middle between two codes, which moves logits by up to 0.1. So every answer must be PyTorch's token for token, or leave it at a near tie: a
step whose two best logits of PyTorch lie within TIE, or be what PyTorch says of the word alone: its sums, and with them its answer, depend on the batch, the
program's do not. Such words are counted, and more than one in 500 is a failure.

  greedy    every held-out word (or the first N of a seeded shuffle)
  targets   the same words by the other programs: the same answers, without exception
  logits    300 words: by the other programs the same to the bit; of PyTorch within 0.2, and within 1e-4 where no value moved, in at least 80 % of the steps
  quality   word and phoneme error rates of both programs; int8 costs at most 0.5 points of each
"""
import argparse
import sys

import compare_transformer as plain
import numpy
import program
import reference_transformer as reference
import torch

TIE = 0.05


def near_ties(find, name, words, found, wanted, margins, alone):
    """Whether answers differ at ties alone. `margins`: by word the distance of the two best logits, step by step; `alone`: PyTorch's answer to one word."""
    differ = [n for n in range(len(words)) if found[n] != wanted[n]]
    wrong, ties = [], 0
    for n in differ:
        a, b = found[n].split(), wanted[n].split()
        step = next((k for k, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
        if margins[n][min(step, len(margins[n]) - 1)] <= TIE or alone(words[n]) == found[n]:
            ties += 1
        else:
            wrong.append(f"{words[n]}: `{found[n]}`, wanted `{wanted[n]}` ({margins[n][min(step, len(margins[n]) - 1)]:.1e} apart at step {step})")
    find.report(f"{name} but for near ties", len(wrong), len(words), wrong)
    find.require(ties <= max(1, len(words) // 500), f"{name} at near ties: {ties} words of {len(words)} differ, at most one in 500")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("f32")
    parser.add_argument("int8", nargs="+")
    parser.add_argument("--model", default=plain.os.path.join(plain.HERE, "..", "..", "examples", "models", "g2p_transformer"))
    parser.add_argument("--words", type=int, default=0, help="held-out words, 0: all")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model, find, words = reference.Reference(args.model, int8=True), plain.Findings(), plain.held_out(args.words)
    margins = [[] for _ in words]

    def collect(n, t, logits, p):
        two = logits.topk(2).values
        margins[n].append(float(two[0] - two[1]))

    wanted = [" ".join(answer) for answer in model.greedy(words, 256, collect)]
    found = program.run(args.int8[0], words, "--threads", args.threads)
    near_ties(find, "int8 greedy", words, found, wanted, margins, lambda word: " ".join(model.greedy([word], 256)[0]))
    for other in args.int8[1:]:
        answers = program.run(other, words, "--threads", args.threads)
        wrong = [f"{w}: `{a}`, {args.int8[0]} says `{b}`" for w, a, b in zip(words, answers, found) if a != b]
        find.report(f"int8 {plain.os.path.basename(other)}", len(wrong), len(words), wrong)

    some, steps = words[:300], [[] for _ in words[:300]]
    model.greedy(some, 256, lambda n, t, logits, p: steps[n].append(logits.numpy()))
    answers, logits = program.logits(args.int8[0], some, "--threads", args.threads)
    off = numpy.concatenate([numpy.abs(logits[n] - numpy.stack(steps[n])).max(1) for n in range(len(some)) if len(steps[n]) == len(logits[n])])
    find.require(len(off) > 0 and off.max() <= 0.2, f"int8 logits: PyTorch's differ by {off.max():.1e} at most in {len(off)} steps, 0.2 is allowed at most")
    find.require((off <= 1e-4).mean() >= 0.8, f"int8 logits where no value moved: {100 * (off <= 1e-4).mean():.1f} % of the steps within 1e-4, at least 80 %")
    for other in args.int8[1:]:
        _, theirs = program.logits(other, some, "--threads", args.threads)
        wrong = [w for w, a, b in zip(some, logits, theirs) if a.tobytes() != b.tobytes()]
        find.report(f"int8 logits {plain.os.path.basename(other)}, to the bit", len(wrong), len(some), wrong)

    test, rates = program.cmudict_split.split("test"), {}
    for name, path in (("f32", args.f32), ("int8", args.int8[0])):
        answers = found if name == "int8" else program.run(path, words, "--threads", args.threads)
        rates[name] = program.cmudict_split.score({w: tuple(a.split()) for w, a in zip(words, answers)}, {w: test[w] for w in words})
        program.table(f"{name}, {len(words)} held-out words", rates[name])
    for kind in ("stress", "no_stress"):
        for rate, title in (("wer", "word errors"), ("per", "phoneme errors")):
            loss = rates["int8"][kind][rate] - rates["f32"][kind][rate]
            find.require(loss <= 0.5, f"int8 quality: {title} ({kind}) {loss:+.2f} points, at most 0.5")
    sys.exit(1 if find.failed else 0)


if __name__ == "__main__":
    main()
