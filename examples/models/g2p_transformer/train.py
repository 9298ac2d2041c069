"""Trains the letters-to-phonemes Transformer on CMUdict and writes weights.safetensors and the two vocabularies.

    python train.py --out DIR --steps N          a fixed number of steps: this is what README.md publishes
    python train.py --out DIR --minutes M        the same schedule measured in wall-clock time (for a busy machine)

The learning rate rises for 1,000 steps, stays, and falls linearly to zero in the last 58 % of the run. DIR/checkpoint.pt is
written every two minutes; the same command goes on from it. Losses: cross entropy with label smoothing 0.1, and two
small ones on one attention map (mean over the heads of the last decoder layer's cross-attention), so that it can be read:
  guided    attention far from the diagonal costs (Tachibana et al. 2017, equation 11, g = 0.2)
  backward  from one output to the next the attended mass may only move right: the part that moves left costs
"""
import argparse
import json
import math
import os
import random
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "..", "tools", "python"))
import cmudict_split as data  # noqa: E402
from sequence_training import batches, pad  # noqa: E402

WIDTH, HEADS, INNER, ENCODERS, DECODERS = 128, 4, 512, 4, 3
SMOOTHING, GUIDED, BACKWARD = 0.1, 0.5, 0.5
PAD, UNK, END_SOURCE = (data.GRAPHEMES.index(t) for t in ("<pad>", "<unk>", "</s>"))
START, END = data.PHONEMES.index("<s>"), data.PHONEMES.index("</s>")


def sinusoid(length):
    """[length, WIDTH]: sines in the first half, cosines in the second, wavelengths from 2 pi to 10000 * 2 pi."""
    half = WIDTH // 2
    frequency = torch.exp(torch.arange(half) * (-math.log(10000.0) / half))
    angle = torch.arange(length)[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], 1)


class Dropout(nn.Module):
    """Dropout at rate 26/256 from random bytes: four times faster on a CPU than drawing a float per element."""

    def forward(self, x):
        if not self.training:
            return x
        noise = torch.empty(x.numel() // 8 + 1, dtype=torch.int64).random_(-2 ** 63, None).view(torch.uint8)
        return x * (noise[:x.numel()].view(x.shape) >= 26).to(x.dtype).mul_(256 / 230)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            linear = nn.Linear(WIDTH, WIDTH, bias=False)
            nn.init.xavier_uniform_(linear.weight)
            setattr(self, name, linear)

    def forward(self, x, source, bias, trace=False):
        """x [b,t,m], source [b,i,m], bias [b or 1,1,t or 1,i] added to the scores -> [b,t,m], and [b,t,i] mean over heads."""
        split = lambda y: y.unflatten(-1, (HEADS, WIDTH // HEADS)).transpose(1, 2)
        q, k, v = split(self.q_proj(x)), split(self.k_proj(source)), split(self.v_proj(source))
        p = torch.softmax(q @ k.transpose(2, 3) * (WIDTH // HEADS) ** -0.5 + bias, -1)
        y = self.o_proj((p.to(v.dtype) @ v).transpose(1, 2).flatten(2))
        return (y, p.float().mean(1)) if trace else y


class EncoderLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.self_attn, self.norm1, self.norm2 = Attention(), nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.up, self.down = nn.Linear(WIDTH, INNER), nn.Linear(INNER, WIDTH)

    def forward(self, x, bias, drop):
        x = self.norm1(x + drop(self.self_attn(x, x, bias)))
        return self.norm2(x + drop(self.down(torch.relu(self.up(x)))))


class DecoderLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.self_attn, self.cross_attn = Attention(), Attention()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(WIDTH) for _ in range(3))
        self.up, self.down = nn.Linear(WIDTH, INNER), nn.Linear(INNER, WIDTH)

    def forward(self, x, memory, causal, bias, drop):
        x = self.norm1(x + drop(self.self_attn(x, x, causal)))
        y, p = self.cross_attn(x, memory, bias, trace=True)
        x = self.norm2(x + drop(y))
        return self.norm3(x + drop(self.down(torch.relu(self.up(x))))), p


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.src = nn.Embedding(len(data.GRAPHEMES), WIDTH)
        self.tgt = nn.Embedding(len(data.PHONEMES), WIDTH)
        for table in (self.src, self.tgt):
            nn.init.normal_(table.weight, std=WIDTH ** -0.5)
        self.enc = nn.ModuleList(EncoderLayer() for _ in range(ENCODERS))
        self.dec = nn.ModuleList(DecoderLayer() for _ in range(DECODERS))
        self.drop = Dropout()
        self.register_buffer("position", sinusoid(64), persistent=False)

    def encode(self, source):
        """source [b,i] -> memory [b,i,m] and the bias [b,1,1,i] that hides its padding."""
        bias = torch.zeros(source.shape).masked_fill_(source == PAD, -1e9)[:, None, None]
        x = self.drop(self.src(source) * math.sqrt(WIDTH) + self.position[:source.shape[1]])
        for layer in self.enc:
            x = layer(x, bias, self.drop)
        return x, bias

    def decode(self, memory, bias, target):
        """target [b,t] -> logits [b,t,W] and the last layer's cross-attention, mean over heads [b,t,i]."""
        length = target.shape[1]
        causal = torch.full((length, length), -1e9).triu_(1)[None, None]
        x = self.drop(self.tgt(target) * math.sqrt(WIDTH) + self.position[:length])
        for layer in self.dec:
            x, p = layer(x, memory, causal, bias, self.drop)
        return F.linear(x, self.tgt.weight), p

    @torch.no_grad()
    def greedy(self, source):
        """source [b,i] -> [b,t] tokens with the maps [b,t,i]: simple and slow, for validation during training."""
        memory, bias = self.encode(source)
        out = torch.full((len(source), 1), START)
        for _ in range(data.LONGEST_PHONES + 1):
            logits, p = self.decode(memory, bias, out)
            out = torch.cat([out, logits[:, -1].argmax(-1, keepdim=True)], 1)
            if (out == END).any(1).all():
                break
        return out[:, 1:], p


def losses(model, source, target):
    memory, bias = model.encode(source)
    logits, p = model.decode(memory, bias, target[:, :-1])
    goal = target[:, 1:]
    entropy = F.cross_entropy(logits.float().flatten(0, 1), goal.flatten(), ignore_index=PAD, label_smoothing=SMOOTHING)
    rows = (goal != PAD).float()                                                    # [b,t]
    n = torch.arange(source.shape[1]) / (source != PAD).sum(1, keepdim=True)        # [b,i]
    t = torch.arange(goal.shape[1]) / rows.sum(1, keepdim=True)                     # [b,t]
    far = 1 - torch.exp(-(n[:, None] - t[:, :, None]) ** 2 / (2 * 0.2 ** 2))
    guided = ((p * far).sum(2) * rows).sum() / rows.sum()
    mass = p.cumsum(2)                                                              # of positions up to i
    backward = (F.relu(mass[:, 1:] - mass[:, :-1]).sum(2) * rows[:, 1:]).sum() / rows.sum()
    return entropy, guided, backward


def validate(model, truth):
    model.eval()
    answers, monotone = {}, 0
    order = sorted(truth, key=len)
    for first in range(0, len(order), 256):
        chunk = order[first:first + 256]
        source = pad([[data.GRAPHEMES.index(c) for c in w] + [END_SOURCE] for w in chunk])
        out, maps = model.greedy(source)
        for word, row, p in zip(chunk, out.tolist(), maps):
            length = row.index(END) if END in row else len(row)
            answers[word] = [data.PHONEMES[t] for t in row[:length]]
            monotone += data.is_monotone(p[:length + 1].tolist())
    model.train()
    result = data.score(answers, truth)
    result["monotone"] = 100.0 * monotone / len(truth)
    return result


def write(model, folder):
    tensors = {k: v.detach().float().contiguous().clone() for k, v in model.state_dict().items()}
    save_file(tensors, os.path.join(folder, "weights.safetensors"), {"format": "pt"})
    for name, tokens in (("graphemes.vocab", data.GRAPHEMES), ("phonemes.vocab", data.PHONEMES)):
        with open(os.path.join(folder, name), "w") as f:
            f.write("".join(t + "\n" for t in tokens))


class Threads:
    """On a shared machine two threads can be slower than one, as each waits for the other: every 40 steps, four are timed with each."""

    def __init__(self):
        self.times, self.best = {1: [], 2: []}, 2

    def choose(self, step):
        """Before a step: how many threads it gets."""
        place = step % 40
        if place == 8:
            self.best = min(self.times, key=lambda n: sum(self.times[n][-3:]))     # the first step after a change is not counted
            self.times = {1: [], 2: []}
        self.now = 1 if place < 4 else 2 if place < 8 else self.best
        torch.set_num_threads(self.now)
        self.began = time.time() if place < 8 else None

    def done(self):
        if self.began:
            self.times[self.now].append(time.time() - self.began)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2, help="0: one or two, whichever is faster at the moment")
    parser.add_argument("--bf16", action="store_true", help="train under bfloat16 autocast (faster where the CPU has AMX)")
    args = parser.parse_args()
    if (args.steps is None) == (args.minutes is None):
        parser.error("give --steps or --minutes")
    os.makedirs(args.out, exist_ok=True)
    torch.manual_seed(args.seed)
    threads = Threads() if args.threads == 0 else None
    if args.threads:
        torch.set_num_threads(args.threads)

    train, valid = data.split("train"), data.split("valid")
    letter = {c: i for i, c in enumerate(data.GRAPHEMES)}
    phone = {p: i for i, p in enumerate(data.PHONEMES)}
    pairs = [([letter[c] for c in w] + [END_SOURCE], [START] + [phone[p] for p in q] + [END]) for w, ps in train.items() for q in ps]
    model = Transformer()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.rate, betas=(0.9, 0.98), eps=1e-9, fused=True)
    print(f"{sum(p.numel() for p in model.parameters())} parameters, {len(train)} words, {len(pairs)} pairs, "
          f"{len(valid)} validation words", flush=True)

    step, before = 0, 0.0
    checkpoint = os.path.join(args.out, "checkpoint.pt")
    if os.path.exists(checkpoint):
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step, before = state["step"], state["seconds"]
    stream = batches(pairs, args.batch, random.Random(args.seed * 1000003 + step))
    unknown = torch.Generator().manual_seed(args.seed * 1000003 + step)
    began = saved = said = time.time()
    progress, sums, counted, checked = 0.0, torch.zeros(3), 0, step
    while True:
        seconds = before + time.time() - began
        progress = step / args.steps if args.steps else seconds / (60 * args.minutes)
        if progress >= 1:
            break
        rate = args.rate * min((step + 1) / 1000, 1.0, (1 - progress) / 0.58)
        for group in optimizer.param_groups:
            group["lr"] = rate
        if threads:
            threads.choose(step)
        source, _, target = next(stream)
        hidden = torch.rand(source.shape, generator=unknown) < 0.002        # a few letters unknown, so that <unk> means something
        source = torch.where(hidden & (source > END_SOURCE), UNK, source)
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            parts = losses(model, source, target)
        loss = parts[0] + GUIDED * parts[1] + BACKWARD * parts[2]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if threads:
            threads.done()
        step += 1
        sums += torch.stack(parts).detach()
        counted += 1
        if step % 100 == 0:
            now = time.time()
            print(f"step {step} epoch {step * args.batch / len(pairs):.2f} progress {progress:.3f} rate {rate:.2e} entropy {sums[0] / counted:.4f} "
                  f"guided {sums[1] / counted:.4f} backward {sums[2] / counted:.4f} ms/step {(now - said) * 1000 / counted:.0f}", flush=True)
            said, sums, counted = now, torch.zeros(3), 0
        if time.time() - saved > 120:
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "seconds": seconds}, checkpoint + ".new")
            os.replace(checkpoint + ".new", checkpoint)
            write(model, args.out)
            saved = time.time()
        if step - checked >= 2500:
            print("valid", step, json.dumps(validate(model, valid)), flush=True)
            checked, said = step, time.time()
    write(model, args.out)
    print("valid", step, json.dumps(validate(model, valid)), flush=True)


if __name__ == "__main__":
    main()
