"""Compares the program built from examples/models/g2p_transformer with the plain PyTorch reference; exit code 1 if they differ.

    compare_transformer.py PROGRAM [--model DIR] [--words N] [--beam-words N] [--map-words N] [--logit-words N] [--threads N]

  greedy    every held-out word (or the first N of a seeded shuffle): the same tokens, and the log-probability within 1e-3
  alone     500 of them among other neighbours and on one thread: the same lines, so no line depends on its neighbours
  beam      N words, beam 4, 4 answers each: the same tokens in the same order; answers whose reference scores lie
            within 1e-4 of each other may change places, and scores are within 1e-3
  maps      N words: every layer's cross-attention (mean over heads) within 1e-4, and the last layer's argmax monotone for 90 %
  logits    N words: the logits of every step of the greedy answer within 1e-4, and of the best answer of beam 4
  quality   word and phoneme error rates with and without stress; without stress at most 30 % of the held-out words are wrong
"""
import argparse
import os
import random
import sys
import tempfile

import numpy
import program
import reference_transformer as reference
import torch

HERE = os.path.dirname(os.path.abspath(__file__))


def held_out(count=0):
    """The held-out words in a seeded order, the first `count` of them (0: all)."""
    words = sorted(program.cmudict_split.split("test"))
    random.Random(3).shuffle(words)
    return words[:count or len(words)]


class Findings:
    def __init__(self):
        self.failed = False

    def report(self, name, wrong, total, examples):
        for line in examples[:10]:
            print(f"  {line}")
        print(f"{name}: {total - wrong} of {total} equal")
        self.failed |= wrong > 0

    def require(self, ok, text):
        print(("" if ok else "FAILED: ") + text)
        self.failed |= not ok


def compare_greedy(find, args, model, words):
    scores, margins, maps = [0.0] * len(words), [float("inf")] * len(words), [[] for _ in words]

    def collect(n, t, logits, p):
        two = logits.topk(2).values
        scores[n] += float(two[0] - torch.logsumexp(logits.double(), 0))
        margins[n] = min(margins[n], float(two[0] - two[1]))
        maps[n].append(p[-1].mean(0))

    wanted = model.greedy(words, 256, collect)
    lines = program.run(args.program, words, "--scores", "--threads", args.threads)
    said = [line.split("\t") for line in lines]
    wrong, off, examples = 0, 0.0, []
    for n, word in enumerate(words):
        text = said[n][0]
        if text != " ".join(wanted[n]):
            wrong += 1
            examples.append(f"{word}: `{text}`, PyTorch says `{' '.join(wanted[n])}` (nearest tie {margins[n]:.1e})")
        else:
            off = max(off, abs(float(said[n][-1]) - scores[n]))
    find.report("greedy", wrong, len(words), examples)
    find.require(off < 1e-3, f"greedy: log-probabilities differ by {off:.1e} at most")
    share = 100 * sum(map(reference.is_monotone, maps)) / len(words)
    find.require(share >= 90, f"alignment: PyTorch's is monotone for {share:.1f} % of {len(words)} words, at least 90 %")
    answers = {w: tuple(s[0].split()) for w, s in zip(words, said)}
    test = program.cmudict_split.split("test")
    rates = program.cmudict_split.score(answers, {w: test[w] for w in words})
    program.table(f"g2p_transformer, {len(words)} held-out words", rates)
    find.require(rates["no_stress"]["wer"] <= 30, f"quality: word errors without stress {rates['no_stress']['wer']:.2f} %, at most 30 %")
    some = list(range(min(500, len(words))))
    random.Random(4).shuffle(some)
    again = program.run(args.program, [words[n] for n in some], "--scores", "--threads", 1)
    pairs = [(words[n], lines[n], line) for n, line in zip(some, again) if line != lines[n]]
    for name, differ in (("other neighbours, phonemes", lambda a, b: a.split("\t")[0] != b.split("\t")[0]),
                         ("other neighbours, phonemes and log-probability to the last digit", lambda a, b: True)):
        examples = [f"{word}: `{a}`, among others `{b}`" for word, a, b in pairs if differ(a, b)]
        find.report(name, len(examples), len(some), examples)


def compare_beam(find, args, model, words):
    answers = program.run(args.program, words, "--beam", 4, "--nbest", 4, "--scores", "--threads", args.threads, per_line=4)
    wrong, off, examples = 0, 0.0, []
    for word, lines in zip(words, answers):
        wanted = [(" ".join(phones), score) for phones, score in model.beam(word, 4)]
        said = [line.split("\t") for line in lines]
        score_of = dict(wanted)
        equal = sorted(text for _, text, _ in said) == sorted(score_of) and all(
            text == mine or abs(score_of[text] - score) < 1e-4 for (_, text, _), (mine, score) in zip(said, wanted))
        if not equal:
            wrong += 1
            examples.append(f"{word}: {[(text, score) for _, text, score in said]}, PyTorch says {wanted}")
        else:
            off = max([off] + [abs(float(score) - score_of[text]) for _, text, score in said])
    find.report("beam", wrong, len(words), examples)
    find.require(off < 1e-3, f"beam: log-probabilities differ by {off:.1e} at most")


def compare_maps(find, args, model, words):
    maps = [[] for _ in words]
    model.greedy(words, 256, lambda n, t, logits, p: maps[n].append(torch.stack([q.mean(0) for q in p])))    # [layer, i]
    with tempfile.TemporaryDirectory() as folder:
        program.run(args.program, words, "--maps", folder, "--threads", args.threads)
        found = program.maps(folder)
    off, missing, monotone = 0.0, [], 0
    for word, steps in zip(words, maps):
        wanted = torch.stack(steps, 1)                                                                      # [layer, t, i]
        for layer in range(len(wanted)):
            rows = found.get((word, "p", layer))
            if rows is None or torch.tensor(rows).shape != wanted[layer].shape:
                missing.append(f"{word}: layer {layer} is {'missing' if rows is None else 'of another shape'}")
                continue
            off = max(off, float((torch.tensor(rows) - wanted[layer]).abs().max()))
            if layer == len(wanted) - 1:
                monotone += program.cmudict_split.is_monotone(rows)
    find.report("maps", len(missing), len(words) * model.decoders, missing)
    find.require(off < 1e-4, f"maps: weights differ by {off:.1e} at most")
    find.require(monotone >= 0.9 * len(words), f"maps: alignment monotone for {100 * monotone / len(words):.1f} % of {len(words)} words, at least 90 %")


def compare_logits(find, args, model, words):
    wanted = [[] for _ in words]
    model.greedy(words, 256, lambda n, t, logits, p: wanted[n].append(logits.numpy()))
    _, found = program.logits(args.program, words, "--threads", args.threads)
    find.failed |= not program.compare_logits("logits greedy", found, [numpy.stack(rows) for rows in wanted])
    answers, found = program.logits(args.program, words, "--beam", 4, "--threads", args.threads)
    wanted = [model.logits_along(word, answer.split()).numpy() for word, answer in zip(words, answers)]
    find.failed |= not program.compare_logits("logits beam 4", found, wanted)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--model", default=os.path.join(HERE, "..", "..", "examples", "models", "g2p_transformer"))
    parser.add_argument("--words", type=int, default=0, help="held-out words for greedy, 0: all")
    parser.add_argument("--beam-words", type=int, default=200)
    parser.add_argument("--map-words", type=int, default=200)
    parser.add_argument("--logit-words", type=int, default=300)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model, find = reference.Reference(args.model), Findings()
    compare_greedy(find, args, model, held_out(args.words))
    if args.beam_words:
        compare_beam(find, args, model, held_out(args.beam_words))
    if args.map_words:
        compare_maps(find, args, model, held_out(args.map_words))
    if args.logit_words:
        compare_logits(find, args, model, held_out(args.logit_words))
    sys.exit(1 if find.failed else 0)


if __name__ == "__main__":
    main()
