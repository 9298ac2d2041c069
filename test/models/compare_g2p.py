"""Compares a program built from a spelling-to-pronunciation model with its PyTorch Network; exit code 1 if they differ.

    compare_g2p.py NAME PROGRAM [--weights FILE] [--words N] [--beam-words N] [--map-words N] [--threads N]

The Network is the class of examples/models/NAME/train.py (tools/python/g2p_training.py says what it answers).

  greedy    every held-out word (or the first N of a seeded shuffle): the same tokens, the log-probability within 1e-4 a step
  logits    N words: the logits of every step within 1e-4, greedy and along the best answer of beam 4
  beam      N words, beam 4, 4 answers each: the same tokens in the same order (equal scores may change places)
  maps      N words: every traced map within 1e-4
  long      the words glued together to 30 to 60 letters: greedy tokens and logits again, far beyond what training saw
"""
import argparse
import os
import random
import sys
import tempfile

import numpy
import program
import torch
from compare_transformer import Findings, held_out

import g2p_training as g2p

NEAR_TIE = 1e-4           # two logits nearer than this may change places


def answers_of(network, words):
    """Phonemes, log-probability, logits [t,W], smallest distance of the two best logits, and maps {trace: [t,i]} of each word."""
    rows, maps = [[] for _ in words], [{} for _ in words]

    def collect(n, t, logits, p):
        rows[n].append(logits)
        for name, weights in p.items():
            maps[n].setdefault(name, []).append(weights)

    phones = g2p.greedy(network, words, collect=collect)
    logits = [torch.stack(r) for r in rows]
    scores = [float(torch.log_softmax(r.double(), 1).amax(1).sum()) for r in logits]
    ties = [float((lambda two: two[:, 0] - two[:, 1])(r.topk(2).values).min()) for r in logits]
    return phones, scores, [r.numpy() for r in logits], ties, maps


@torch.no_grad()
def beam(network, word, width):
    """The `width` best answers of docs/search.md's beam search, S4 and S5, written plainly: [(phonemes, score)]."""
    row = g2p.letters(word)
    memory = network.encode(torch.tensor([row]), torch.tensor([len(row)]))
    live, finished = [(0.0, [], network.start(memory))], []
    for t in range(g2p.AT_MOST):
        found = []
        for rank, (score, said, state) in enumerate(live):
            logits, after, _ = network.step(torch.tensor([said[-1] if said else g2p.START]), t, state, memory)
            found += [(score + float(s), rank, token, after) for token, s in enumerate(torch.log_softmax(logits[0].double(), 0))]
        found.sort(key=lambda c: (-c[0], c[1], c[2]))
        following = []
        for place, (score, rank, token, after) in enumerate(found[:2 * width]):
            if len(following) == width:
                break
            said = live[rank][1]
            if token == g2p.END:
                if place < width:
                    finished.append((score, said))
            else:
                following.append((score, said + [token], after))
                if t + 1 == g2p.AT_MOST:
                    finished.append((score, said + [token]))
        finished = sorted(finished, key=lambda f: -f[0])[:width]
        live = following
        if len(finished) == width and live[0][0] <= finished[-1][0]:
            break
    return [([g2p.data.PHONEMES[k] for k in said], score) for score, said in finished]


@torch.no_grad()
def logits_along(network, word, phones):
    row = g2p.letters(word)
    memory = network.encode(torch.tensor([row]), torch.tensor([len(row)]))
    state, rows, y = network.start(memory), [], g2p.START
    for t in range(min(len(phones) + 1, g2p.AT_MOST)):
        logits, state, _ = network.step(torch.tensor([y]), t, state, memory)
        rows.append(logits[0])
        if t < len(phones):
            y = g2p.data.PHONEMES.index(phones[t])
    return torch.stack(rows).numpy()


def compare_greedy(find, args, network, words):
    phones, scores, _, ties, _ = answers_of(network, words)
    said = [line.split("\t") for line in program.run(args.program, words, "--scores", "--threads", args.threads)]
    wrong = [n for n in range(len(words)) if said[n][0].split() != phones[n] and ties[n] > NEAR_TIE]
    tied = sum(said[n][0].split() != phones[n] for n in range(len(words))) - len(wrong)
    find.report("greedy", len(wrong), len(words), [f"{words[n]}: `{said[n][0]}`, PyTorch says `{' '.join(phones[n])}`" for n in wrong])
    find.require(tied <= 2, f"greedy ties: {tied} words parted where two logits lie within {NEAR_TIE:g}, at most 2")
    off = max((abs(float(said[n][1]) - scores[n]) / (len(phones[n]) + 1) for n in range(len(words)) if said[n][0].split() == phones[n]), default=0.0)
    find.require(off <= 1e-4, f"greedy scores: log-probabilities differ by {off:.1e} a step, at most 1e-4")
    truth = g2p.data.split("test")
    program.table(f"{args.name}, {len(words)} held-out words", g2p.data.score({w: s[0].split() for w, s in zip(words, said)}, {w: truth[w] for w in words}))


def compare_logits(find, args, network, title, words):
    phones, _, wanted, _, _ = answers_of(network, words)
    found, logits = program.logits(args.program, words, "--threads", args.threads)
    same = [n for n in range(len(words)) if found[n].split() == phones[n]]
    find.report(f"{title} tokens", len(words) - len(same), len(words), [f"{words[n]}: `{found[n]}`" for n in set(range(len(words))) - set(same)])
    find.failed |= not program.compare_logits(f"{title} logits", [logits[n] for n in same], [wanted[n] for n in same])


def compare_beam(find, args, network, words):
    answers = program.run(args.program, words, "--beam", 4, "--nbest", 4, "--scores", "--threads", args.threads, per_line=4)
    wrong, off, examples = 0, 0.0, []
    for word, lines in zip(words, answers):
        wanted = [(" ".join(p), s) for p, s in beam(network, word, 4)]
        said = [line.split("\t") for line in lines]
        score_of = dict(wanted)
        if sorted(text for _, text, _ in said) == sorted(score_of) and all(
                text == mine or abs(score_of[text] - score) < 1e-4 for (_, text, _), (mine, score) in zip(said, wanted)):
            off = max([off] + [abs(float(s) - score_of[text]) / (len(text.split()) + 1) for _, text, s in said])
        else:
            wrong += 1
            examples.append(f"{word}: {[(text, s) for _, text, s in said]}, PyTorch says {wanted}")
    find.report("beam", wrong, len(words), examples)
    find.require(off <= 1e-4, f"beam scores: log-probabilities differ by {off:.1e} a step, at most 1e-4")
    best, found = program.logits(args.program, words, "--beam", 4, "--threads", args.threads)
    find.failed |= not program.compare_logits("beam logits", found, [logits_along(network, w, a.split()) for w, a in zip(words, best)])


def compare_maps(find, args, network, words):
    _, _, _, _, wanted = answers_of(network, words)
    if not any(wanted):
        return
    with tempfile.TemporaryDirectory() as folder:
        program.run(args.program, words, "--maps", folder, "--threads", args.threads)
        found = program.traced_maps(folder)
    off, missing, total = 0.0, [], 0
    for word, traces in zip(words, wanted):
        for name, steps in traces.items():
            total += 1
            mine = torch.stack(steps)                                                   # [t,i] or [t,h,i]
            mine = mine.mean(1) if mine.dim() == 3 else mine
            _, rows = found.get((word, name), (0, None))
            if rows is None or numpy.shape(rows) != tuple(mine.shape):
                missing.append(f"{word}: {name} is {'missing' if rows is None else 'of another shape'}")
            else:
                off = max(off, float((torch.tensor(rows) - mine).abs().max()))
    find.report("maps", len(missing), total, missing)
    find.require(off <= 1e-4, f"map weights: they differ by {off:.1e}, at most 1e-4")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("program")
    parser.add_argument("--weights")
    parser.add_argument("--words", type=int, default=0, help="held-out words for greedy, 0: all")
    parser.add_argument("--beam-words", type=int, default=60)
    parser.add_argument("--map-words", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    network, find = g2p.load(args.name, args.weights), Findings()
    words = held_out(args.words)
    compare_greedy(find, args, network, words)
    compare_logits(find, args, network, "greedy", words[:300])
    compare_beam(find, args, network, words[:args.beam_words])
    compare_maps(find, args, network, words[:args.map_words])
    draw = random.Random(7)
    glued = ["".join(draw.sample(words, 6))[:draw.randint(30, 60)] for _ in range(40)]
    compare_logits(find, args, network, "long", glued)
    sys.exit(1 if find.failed else 0)


if __name__ == "__main__":
    main()
