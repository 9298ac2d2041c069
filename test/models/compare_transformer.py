"""Compares the program built from examples/models/g2p_transformer with the plain PyTorch reference; exit code 1 if they differ.

    compare_transformer.py PROGRAM [--model DIR] [--words N] [--beam-words N] [--map-words N] [--logit-words N]
                           [--search-words N] [--threads N]

  greedy    every held-out word (or the first N of a seeded shuffle): the same tokens, and the log-probability within 1e-3
  alone     500 of them among other neighbours and on one thread: the same lines, so no line depends on its neighbours
  beam      N words, beam 4, 4 answers each: the same tokens in the same order; answers whose reference scores lie
            within 1e-4 of each other may change places, and scores are within 1e-3
  maps      N words: every layer's cross-attention (mean over heads) within 1e-4, and the last layer's argmax monotone for 90 %
  search    N words through options of the search, a plain search (test/search/reference.py) over PyTorch's logits: the same tokens, log-probabilities within 1e-4
  score     N words with the dictionary's pronunciation: its log-probability and that of each token within 1e-4
  align     N words: of the last layer's map, mean over heads, the largest weight of each step; weights within 1e-4 of each other may change places
  logits    N words: the logits of every step of the greedy answer within 1e-4, and of the best answer of beam 4
  quality   word and phoneme error rates with and without stress; without stress at most 30 % of the held-out words are wrong
"""
import argparse
import json
import os
import random
import sys
import tempfile

import numpy
import program
import reference_transformer as reference
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "search"))
import reference as plain  # noqa: E402


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


class Word:
    """PyTorch's model on one word, for plain's searches: tokens are ids, the start token left out."""

    def __init__(self, model, word):
        self.model, self.known, self.context, self.length = model, {}, model.encode([word]), len(word) + 1

    @torch.no_grad()
    def step(self, output):
        """The logits after `output`, and the last layer's map of that step."""
        if output not in self.known:
            cache = list(self.step(output[:-1])[2]) if output else [None] * self.model.decoders
            logits, maps = self.model.step(torch.tensor([output[-1] if output else self.model.start]), len(output), *self.context, cache)
            self.known[output] = logits[0].numpy(), maps[-1][0].mean(0)[:self.length].numpy(), cache
        return self.known[output]

    def logits(self, output):
        return self.step(output)[0]

    def weights(self, output):
        return [self.step(output[:n])[1] for n in range(len(output))]


def compare_search(find, args, model, words):
    """Options as the command line has them, and what plain calls them."""
    ids = {phone: n for n, phone in enumerate(model.phonemes)}
    beams = {
        "--length-penalty 1 --length-norm gnmt": dict(penalty=1, norm="gnmt"), "--coverage-penalty 0.4": dict(coverage=0.4), "--early-stop": dict(patience=1),
        "--groups 2 --diversity 0.8": dict(groups=2, diversity=0.8), "--require ER0": dict(required=(ids["ER0"],)), "--prefix K": dict(prefix=(ids["K"],)),
        "--no-repeat-ngram 1 --repetition-penalty 1.2 --min-length 5": dict(rules=plain.Rules(model.end, repetition=1.2, ngram=1, least=5)),
    }
    rules, wrong, off, examples = plain.Rules(model.end), 0, 0.0, []
    known = [Word(model, word) for word in words]

    def compare(option, results):
        nonlocal wrong, off
        said = program.run(args.program, words, "--json", *option.split(), "--threads", args.threads)
        for word, line, result in zip(words, map(json.loads, said), results):
            if line["tokens"] != [model.phonemes[token] for token in result.output]:
                wrong += 1
                examples.append(f"{word} {option}: `{line['text']}`, PyTorch says `{' '.join(model.phonemes[token] for token in result.output)}`")
            else:
                off = max([off, abs(line["score"] - result.score)] + [abs(a - b) for a, b in zip(line["token_scores"], result.gains)])

    for option, keywords in beams.items():
        compare("--beam 4 " + option, [plain.Beams(word.logits, model.end, model.limit, **{"rules": rules, "beam": 4, "weights": word.weights, **keywords}).run()[0] for word in known])
    compare("--sample --seed 3 --temperature 1.3 --top-k 20 --top-p 0.9",
            [plain.sample(word.logits, model.end, model.limit, rules, lambda step, n=n: plain.uniform(3, n, 0, step), (), 1.3, 20, 0.9) for n, word in enumerate(known, 1)])
    find.report("search", wrong, len(words) * (len(beams) + 1), examples)
    find.require(off < 1e-4, f"search: log-probabilities differ by {off:.1e} at most")


def compare_score(find, args, model, words):
    test = program.cmudict_split.split("test")
    outputs = [" ".join(test[word][0]) for word in words]
    said = [json.loads(line) for line in program.run(args.program, [f"{word}\t{output}" for word, output in zip(words, outputs)], "--score", "--json", "--threads", args.threads)]
    off = 0.0
    for word, output, line in zip(words, outputs, said):
        tokens = tuple(model.phonemes.index(phone) for phone in output.split()) + (model.end,)
        rows = torch.log_softmax(model.logits_along(word, output.split()).double(), -1)
        wanted = [float(row[token]) for row, token in zip(rows, tokens)]
        off = max([off, abs(line["score"] - sum(wanted))] + [abs(a - b) for a, b in zip(line["token_scores"], wanted)])
    find.report("score, outputs", sum(line["text"] != output for line, output in zip(said, outputs)), len(words), [])
    find.require(off < 1e-4, f"score: log-probabilities differ by {off:.1e} at most")


def compare_align(find, args, model, words):
    _, maps = reference.alignments(model, words)
    wrong, examples = 0, []
    for word, rows, line in zip(words, maps, map(json.loads, program.run(args.program, words, "--json", "--align", "--threads", args.threads))):
        for step, position in enumerate(line["alignment"]):
            weights = rows[step][:len(word)]                                                                # </s> left out
            if weights.max() - weights[position] > 1e-4:
                wrong += 1
                examples.append(f"{word}, token {step}: {position}, PyTorch's weights are {weights.tolist()}")
    find.report("align", wrong, sum(len(rows) for rows in maps), examples)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--model", default=os.path.join(HERE, "..", "..", "examples", "models", "g2p_transformer"))
    parser.add_argument("--words", type=int, default=0, help="held-out words for greedy, 0: all")
    parser.add_argument("--beam-words", type=int, default=200)
    parser.add_argument("--map-words", type=int, default=200)
    parser.add_argument("--logit-words", type=int, default=300)
    parser.add_argument("--search-words", type=int, default=8)
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
    if args.search_words:
        compare_search(find, args, model, held_out(args.search_words))
        compare_score(find, args, model, held_out(20 * args.search_words))
        compare_align(find, args, model, held_out(20 * args.search_words))
    sys.exit(1 if find.failed else 0)


if __name__ == "__main__":
    main()
