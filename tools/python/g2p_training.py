"""Trains a spelling-to-pronunciation model on CMUdict; each train.py of examples/models/g2p_* holds a Network and calls main().

    train.py --out DIR [--epochs N] [--seed S] [--threads N]

Data and split are those of cmudict_split.py. Adam; the learning rate rises for 200 steps, stays until 40 % of the run and falls linearly
to zero; label smoothing 0.1, gradients clipped to norm 1, a letter in 500 replaced by <unk>. DIR/checkpoint.pt is written every minute and
the same command goes on from it. At the end DIR/weights.safetensors holds the weights, rounded to f16.

A Network is a torch.nn.Module that says what its model.attn says, so that training, tests and the program share no code but PyTorch's:

    encode(source [b,i], lengths [b])        -> memory, a dict of tensors with first axis b
    start(memory)                            -> state, a dict of tensors with first axis b
    step(y [b], t, state, memory)            -> logits [b,W], state, maps: {trace: [b,i] or [b,h,i]}
    teacher(memory, target [b,t])            -> logits [b,t,W] under teacher forcing; Decoder has it as a loop over step
"""
import argparse
import importlib.util
import json
import os
import random
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cmudict_split as data  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAD, UNK, END_SOURCE = (data.GRAPHEMES.index(t) for t in ("<pad>", "<unk>", "</s>"))
START, END = data.PHONEMES.index("<s>"), data.PHONEMES.index("</s>")
LETTERS, PHONES = len(data.GRAPHEMES), len(data.PHONEMES)
AT_MOST = 40               # steps of a program: `at most 40`
SMOOTHING, CLIP, UNKNOWN = 0.1, 1.0, 0.002


class Decoder(nn.Module):
    """A Network whose training goes step by step."""

    def teacher(self, memory, target):
        state, rows = self.start(memory), []
        for t in range(target.shape[1]):
            logits, state, _ = self.step(target[:, t], t, state, memory)
            rows.append(logits)
        return torch.stack(rows, 1)


def valid(source, lengths):
    """[b,i]: whether a position is inside its word."""
    return torch.arange(source.shape[1]) < lengths[:, None]


def backwards(x, lengths):
    """x [b,i,...] with each row's first `lengths` entries in reverse order."""
    i = torch.arange(x.shape[1])
    index = torch.where(i < lengths[:, None], lengths[:, None] - 1 - i, i)
    return torch.gather(x, 1, index.reshape(index.shape + (1,) * (x.dim() - 2)).expand_as(x))


class BidirectionalGRU(nn.Module):
    """x [b,i,e] -> [b,i,2 m]: what a GRU knows from the left and what another knows from the right."""

    def __init__(self, e, m):
        super().__init__()
        self.ahead, self.back = nn.GRU(e, m, batch_first=True), nn.GRU(e, m, batch_first=True)

    def forward(self, x, lengths):
        return torch.cat([self.ahead(x)[0], backwards(self.back(backwards(x, lengths))[0], lengths)], -1)


def pad(rows):
    out = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    for i, row in enumerate(rows):
        out[i, :len(row)] = torch.tensor(row)
    return out


def letters(word):
    known = {c: i for i, c in enumerate(data.GRAPHEMES)}
    return [known.get(c, UNK) for c in word] + [END_SOURCE]


def batches(pairs, size, generator):
    """An endless shuffled stream of (source [b,i], lengths [b], target [b,t] with <s> and </s>), words of like length together."""
    while True:
        order = list(range(len(pairs)))
        generator.shuffle(order)
        for first in range(0, len(order), size * 50):
            pool = sorted(order[first:first + size * 50], key=lambda n: (len(pairs[n][0]), len(pairs[n][1])))
            chunks = [pool[i:i + size] for i in range(0, len(pool), size)]
            generator.shuffle(chunks)
            for chunk in chunks:
                rows = [pairs[n][0] for n in chunk]
                yield pad(rows), torch.tensor([len(r) for r in rows]), pad([pairs[n][1] for n in chunk])


@torch.no_grad()
def greedy(network, words, size=256, collect=None):
    """The phonemes of each word, as the program says them. collect(n, t, logits [W], maps {trace: [i] or [h,i]}) sees every step of word n."""
    order = sorted(range(len(words)), key=lambda n: len(words[n]))
    answers = [None] * len(words)
    for first in range(0, len(order), size):
        chunk = order[first:first + size]
        rows = [letters(words[n]) for n in chunk]
        source, lengths = pad(rows), torch.tensor([len(r) for r in rows])
        memory = network.encode(source, lengths)
        state, y = network.start(memory), torch.full((len(chunk),), START)
        said, open_ = [[] for _ in chunk], set(range(len(chunk)))
        for t in range(AT_MOST):
            logits, state, maps = network.step(y, t, state, memory)
            y = logits.argmax(-1)
            for r in sorted(open_):
                if collect:
                    collect(chunk[r], t, logits[r], {name: p[r, ..., :lengths[r]] for name, p in maps.items()})
                if y[r] == END:
                    open_.discard(r)
                else:
                    said[r].append(data.PHONEMES[y[r]])
            if not open_:
                break
        for n, phones in zip(chunk, said):
            answers[n] = phones
    return answers


def quality(network, truth):
    words = sorted(truth)
    return data.score(dict(zip(words, greedy(network, words))), truth)


def networks():
    """Names of the models in examples/models that have a Network and weights."""
    folder = os.path.join(ROOT, "examples", "models")
    found = []
    for name in sorted(os.listdir(folder)):
        script = os.path.join(folder, name, "train.py")
        if os.path.exists(script) and os.path.exists(os.path.join(folder, name, "weights.safetensors")):
            with open(script, encoding="utf-8") as file:
                if "class Network(" in file.read():
                    found.append(name)
    return found


def load(name, weights=None):
    """The Network of examples/models/NAME/train.py with its weights, ready to answer."""
    folder = os.path.join(ROOT, "examples", "models", name)
    spec = importlib.util.spec_from_file_location(f"{name}_train", os.path.join(folder, "train.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.Network()
    tensors = load_file(weights or os.path.join(folder, "weights.safetensors"))
    network.load_state_dict({k: v.float() for k, v in tensors.items()})
    return network.eval()


def main(make, epochs=4, rate=2e-3, size=128, description=None):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="folder for checkpoint.pt and weights.safetensors")
    parser.add_argument("--epochs", type=float, default=epochs, help=f"default: {epochs}")
    parser.add_argument("--batch", type=int, default=size, help=f"words a step (default: {size})")
    parser.add_argument("--rate", type=float, default=rate, help=f"highest learning rate (default: {rate})")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    phone = {p: i for i, p in enumerate(data.PHONEMES)}
    words = data.words()
    pairs = [(letters(w), [START] + [phone[p] for p in q] + [END]) for w, qs in words.items() if data.part(w) == "train" for q in qs]
    held_back = {w: qs for w, qs in words.items() if data.part(w) == "valid"}
    network = make()
    steps = max(1, round(args.epochs * len(pairs) / args.batch))
    optimizer = torch.optim.Adam(network.parameters(), lr=args.rate, betas=(0.9, 0.98), fused=True)
    print(f"{sum(p.numel() for p in network.parameters())} parameters, {len(pairs)} pairs, {steps} steps", flush=True)

    step, checkpoint = 0, os.path.join(args.out, "checkpoint.pt")
    if os.path.exists(checkpoint):
        kept = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(kept["network"])
        optimizer.load_state_dict(kept["optimizer"])
        step = kept["step"]
    stream = batches(pairs, args.batch, random.Random(args.seed * 1000003 + step))
    unknown = torch.Generator().manual_seed(args.seed * 1000003 + step)
    saved = said = time.time()
    total, counted = 0.0, 0
    while step < steps:
        for group in optimizer.param_groups:
            group["lr"] = args.rate * min((step + 1) / 200, 1.0, (1 - step / steps) / 0.6)
        source, lengths, target = next(stream)
        hidden = torch.rand(source.shape, generator=unknown) < UNKNOWN
        source = torch.where(hidden & (source > END_SOURCE), UNK, source)
        logits = network.teacher(network.encode(source, lengths), target[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), target[:, 1:].flatten(), ignore_index=PAD, label_smoothing=SMOOTHING)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimizer.step()
        step, total, counted = step + 1, total + loss.item(), counted + 1
        if step % 200 == 0 or step == steps:
            now = time.time()
            print(f"step {step} of {steps} loss {total / counted:.4f} ms/step {(now - said) * 1000 / counted:.0f}", flush=True)
            said, total, counted = now, 0.0, 0
        if time.time() - saved > 60:
            torch.save({"network": network.state_dict(), "optimizer": optimizer.state_dict(), "step": step}, checkpoint + ".new")
            os.replace(checkpoint + ".new", checkpoint)
            saved = time.time()
    weights = {k: v.detach().half().contiguous() for k, v in network.state_dict().items()}
    path = os.path.join(args.out, "weights.safetensors")
    save_file(weights, path, {"format": "pt"})
    os.chmod(path, 0o644)
    network.load_state_dict({k: v.float() for k, v in weights.items()})
    network.eval()
    print("valid", json.dumps(quality(network, held_back)), flush=True)
