"""Trains the small encoder-decoders of examples/models, and answers with them as their programs do.

A Network(task) is a torch.nn.Module that says what its model.attn says, so that training, tests and the program share no code but PyTorch's:

    encode(source [b,i], lengths [b])        -> memory, a dict of tensors with first axis b
    start(memory)                            -> state, a dict of tensors with first axis b
    step(y [b], t, state, memory)            -> logits [b,W], state, traces: of each attention what its model.attn calls p, s and context, by their
                                                paths: weights and scores (-inf where a mask removes them) [b,i] or [b,h,i], contexts [b,m] or [b,h,d]
    teacher(memory, target [b,t])            -> logits [b,t,W] under teacher forcing; Decoder has it as a loop over step

A Task says what is read and written. A train.py has both, as `Network` and `TASK`; tasks are g2p_training.py's pronunciation, and those that stand
beside the models.
"""
import argparse
import dataclasses
import importlib.util
import json
import os
import random
import time
import typing

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

PAD = 0                    # the first token of every vocabulary
SMOOTHING, CLIP, UNKNOWN = 0.1, 1.0, 0.002


@dataclasses.dataclass
class Task:
    source: list           # tokens, with <pad>, <unk> and </s>
    target: list           # tokens, with <pad>, <s> and </s>
    at_most: int           # steps of a program: `at most N`
    pairs: typing.Callable     # () -> [(input, output tokens)] to learn from; an input is a text, its characters are the tokens
    held_out: typing.Callable  # () -> inputs that training never sees, in an order that means nothing
    score: typing.Callable     # ({input: output tokens}) -> {what: error in percent}
    validation: typing.Callable    # () -> inputs to measure at the end of training
    words: bool = True         # outputs are written as words; else as characters

    def __post_init__(self):
        self.unknown, self.end_source = self.source.index("<unk>"), self.source.index("</s>")
        self.start, self.end = self.target.index("<s>"), self.target.index("</s>")
        self.ids = {token: n for n, token in enumerate(self.source)}

    def read(self, text):
        return [self.ids.get(character, self.unknown) for character in text] + [self.end_source]

    def write(self, tokens):
        return (" " if self.words else "").join(tokens)


class Decoder(nn.Module):
    """A Network whose training goes step by step."""

    def teacher(self, memory, target):
        state, rows = self.start(memory), []
        for t in range(target.shape[1]):
            logits, state, _ = self.step(target[:, t], t, state, memory)
            rows.append(logits)
        return torch.stack(rows, 1)


class BidirectionalGRU(nn.Module):
    """x [b,i,e] -> [b,i,2 m]: what a GRU knows from the left and what another knows from the right."""

    def __init__(self, e, m):
        super().__init__()
        self.ahead, self.back = nn.GRU(e, m, batch_first=True), nn.GRU(e, m, batch_first=True)

    def forward(self, x, lengths):
        return torch.cat([self.ahead(x)[0], backwards(self.back(backwards(x, lengths))[0], lengths)], -1)


def valid(source, lengths):
    """[b,i]: whether a position is inside its input."""
    return torch.arange(source.shape[1]) < lengths[:, None]


def backwards(x, lengths):
    """x [b,i,...] with each row's first `lengths` entries in reverse order."""
    i = torch.arange(x.shape[1])
    index = torch.where(i < lengths[:, None], lengths[:, None] - 1 - i, i)
    return torch.gather(x, 1, index.reshape(index.shape + (1,) * (x.dim() - 2)).expand_as(x))


def pad(rows):
    out = torch.full((len(rows), max(map(len, rows))), PAD)
    for i, row in enumerate(rows):
        out[i, :len(row)] = torch.tensor(row)
    return out


def batches(pairs, size, generator):
    """An endless shuffled stream of (source [b,i], lengths [b], target [b,t] with start and end), inputs of like length together."""
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
def greedy(network, task, inputs, size=256, collect=None):
    """The output tokens for each input, as the program says them. collect(n, t, logits [W], traces, state) sees every step of input n,
    without the padding of its weights and scores."""
    order = sorted(range(len(inputs)), key=lambda n: len(inputs[n]))
    answers = [None] * len(inputs)
    for first in range(0, len(order), size):
        chunk = order[first:first + size]
        rows = [task.read(inputs[n]) for n in chunk]
        source, lengths = pad(rows), torch.tensor([len(r) for r in rows])
        memory = network.encode(source, lengths)
        state, y = network.start(memory), torch.full((len(chunk),), task.start)
        said, unfinished = [[] for _ in chunk], set(range(len(chunk)))
        for t in range(task.at_most):
            logits, state, traces = network.step(y, t, state, memory)
            y = logits.argmax(-1)
            for r in sorted(unfinished):
                if collect:
                    own = {name: v[r] if name.split(".")[-1] == "context" else v[r, ..., :lengths[r]] for name, v in traces.items()}
                    collect(chunk[r], t, logits[r], own, {name: v[r] for name, v in state.items()})
                if y[r] == task.end:
                    unfinished.discard(r)
                else:
                    said[r].append(task.target[y[r]])
            if not unfinished:
                break
        for n, tokens in zip(chunk, said):
            answers[n] = tokens
    return answers


ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def models():
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


def load_weights(network, path):
    network.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()})
    return network.eval()


def load(name, weights=None):
    """The Network of examples/models/NAME/train.py with its weights, ready to answer, and its TASK."""
    folder = os.path.join(ROOT, "examples", "models", name)
    spec = importlib.util.spec_from_file_location(f"{name}_train", os.path.join(folder, "train.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return load_weights(module.Network(module.TASK), weights or os.path.join(folder, "weights.safetensors")), module.TASK


def optimizers(network, rate, muon):
    """Adam, or with a rate for it Muon (Jordan et al. 2024) for the matrices between embeddings and output, and Adam for all else."""
    ends = {id(module.weight) for name, module in network.named_modules() if isinstance(module, nn.Embedding) or name.split(".")[-1] == "out"}
    inner = [p for p in network.parameters() if muon and p.dim() == 2 and id(p) not in ends]
    rest = [p for p in network.parameters() if not any(p is q for q in inner)]
    adam = torch.optim.Adam(rest, lr=rate, betas=(0.9, 0.98), fused=True)
    return [adam, torch.optim.Muon(inner, lr=muon, weight_decay=0.0)] if muon else [adam]


def main(make, task, description, epochs=4, rate=2e-3, size=128, muon=0.0, drop=0.1):
    """The command line of a train.py. Learning rates rise for 200 steps, stay until 40 % of the run and fall linearly to zero; label
    smoothing 0.1, gradients clipped to norm 1, an input token in 500 unknown."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="folder for weights.safetensors (rounded to f16) and checkpoint.pt, written every minute: the same command goes on from it")
    parser.add_argument("--epochs", type=float, default=epochs, help=f"default: {epochs}")
    parser.add_argument("--batch", type=int, default=size, help=f"pairs a step (default: {size})")
    parser.add_argument("--rate", type=float, default=rate, help=f"highest learning rate (default: {rate})")
    parser.add_argument("--muon", type=float, default=muon, help=f"highest learning rate of Muon; 0: Adam for all parameters (default: {muon})")
    parser.add_argument("--drop", type=float, default=drop, help=f"dropout (default: {drop})")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    known = {token: n for n, token in enumerate(task.target)}
    pairs = [(task.read(x), [task.start] + [known[token] for token in y] + [task.end]) for x, y in task.pairs()]
    network = make(task)
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = args.drop
    steps = max(1, round(args.epochs * len(pairs) / args.batch))
    parts = optimizers(network, args.rate, args.muon)
    highest = [part.param_groups[0]["lr"] for part in parts]
    print(f"{sum(p.numel() for p in network.parameters())} parameters, {len(pairs)} pairs, {steps} steps", flush=True)

    step, checkpoint = 0, os.path.join(args.out, "checkpoint.pt")
    if os.path.exists(checkpoint):
        kept = torch.load(checkpoint, weights_only=True)
        if len(kept.get("optimizers", [])) != len(parts):
            parser.error(f"{checkpoint} is of a run with another --muon; give the same, or remove it")
        network.load_state_dict(kept["network"])
        for part, state in zip(parts, kept["optimizers"]):
            part.load_state_dict(state)
        step = kept["step"]
    stream = batches(pairs, args.batch, random.Random(args.seed * 1000003 + step))
    unknown = torch.Generator().manual_seed(args.seed * 1000003 + step)
    saved = said = time.time()
    total, counted = 0.0, 0
    while step < steps:
        for part, most in zip(parts, highest):
            part.param_groups[0]["lr"] = most * min((step + 1) / 200, 1.0, (1 - step / steps) / 0.6)
        source, lengths, target = next(stream)
        hidden = torch.rand(source.shape, generator=unknown) < UNKNOWN
        source = torch.where(hidden & (source > task.end_source), task.unknown, source)
        logits = network.teacher(network.encode(source, lengths), target[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), target[:, 1:].flatten(), ignore_index=PAD, label_smoothing=SMOOTHING)
        network.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        for part in parts:
            part.step()
        step, total, counted = step + 1, total + loss.item(), counted + 1
        if step % 200 == 0 or step == steps:
            now = time.time()
            print(f"step {step} of {steps} loss {total / counted:.4f} ms/step {(now - said) * 1000 / counted:.0f}", flush=True)
            said, total, counted = now, 0.0, 0
        if time.time() - saved > 60:
            torch.save({"network": network.state_dict(), "optimizers": [part.state_dict() for part in parts], "step": step}, checkpoint + ".new")
            os.replace(checkpoint + ".new", checkpoint)
            saved = time.time()
    path = os.path.join(args.out, "weights.safetensors")
    save_file({name: tensor.detach().half().contiguous() for name, tensor in network.state_dict().items()}, path, {"format": "pt"})
    os.chmod(path, 0o644)
    load_weights(network, path)
    inputs = task.validation()
    print("validation", json.dumps(task.score(dict(zip(inputs, greedy(network, task, inputs))))), flush=True)
