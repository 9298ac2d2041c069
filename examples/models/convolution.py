"""Gehring et al., Convolutional Sequence to Sequence Learning (2017), in PyTorch: what the models *_conv train. Gated convolutions read and write,
and each layer of the decoder attends."""
import os
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "python"))
import sequence_training as training  # noqa: E402

PLACES, HALF = 64, 0.5 ** 0.5


def places(table, length):
    """The first rows of the table [PLACES, e], zeros after them."""
    return F.pad(table.weight, (0, 0, 0, max(0, length - PLACES)))[:length]


class Attending(nn.Module):
    def __init__(self, e, m):
        super().__init__()
        self.conv, self.ask, self.take = nn.Conv1d(m, 2 * m, 3), nn.Linear(m, e), nn.Linear(e, m)

    def forward(self, x, y, memory):
        """x [b,t,m] of all steps so far, y [b,t,e] -> [b,t,m], and weights and scores [b,t,i] and what they attend to [b,t,e]"""
        h = F.glu(self.conv(F.pad(x.transpose(1, 2), (2, 0))), 1).transpose(1, 2)
        s = (self.ask(h) + y) * HALF @ memory["keys"].transpose(1, 2) + memory["hide"][:, None]
        p = torch.softmax(s, 2)
        context = p @ memory["values"]
        z = self.take(context * memory["lengths"].float().sqrt()[:, None, None])
        return ((h + z) * HALF + x) * HALF, {"p": p, "s": s, "context": context}


class Convolutional(nn.Module):
    e, m = 96, 128                     # embedding, width
    encoders, decoders = 4, 3

    def __init__(self, task):
        super().__init__()
        e, m = self.e, self.m
        self.src, self.tgt = nn.Embedding(len(task.source), e), nn.Embedding(len(task.target), e)
        self.src_place, self.tgt_place = nn.Embedding(PLACES, e), nn.Embedding(PLACES, e)
        for table in (self.src, self.tgt, self.src_place, self.tgt_place):
            nn.init.normal_(table.weight, std=0.1)
        self.read_in, self.read_out = nn.Linear(e, m), nn.Linear(m, e)
        self.write_in, self.write_out = nn.Linear(e, m), nn.Linear(m, e)
        self.enc = nn.ModuleList(nn.Conv1d(m, 2 * m, 3, padding=1) for _ in range(self.encoders))
        self.dec = nn.ModuleList(Attending(e, m) for _ in range(self.decoders))
        self.out = nn.Linear(e, len(task.target))
        self.drop = nn.Dropout(0.1)

    def encode(self, source, lengths):
        inside = training.valid(source, lengths)
        letter = self.drop(self.src(source) + places(self.src_place, source.shape[1]))
        x = self.read_in(letter).transpose(1, 2)
        for conv in self.enc:
            x = (F.glu(conv(self.drop(x * inside[:, None])), 1) + x) * HALF
        keys = self.read_out(x.transpose(1, 2))
        hide = torch.zeros(source.shape).masked_fill(~inside, -torch.inf)
        return {"keys": keys, "values": (keys + letter) * HALF, "hide": hide, "lengths": lengths}

    def decode(self, memory, target):
        """target [b,t] -> logits [b,t,W] and each layer's traces [b,t,...]"""
        y = self.drop(self.tgt(target) + places(self.tgt_place, target.shape[1]))
        x, traces = self.write_in(y), {}
        for n, layer in enumerate(self.dec):
            x, seen = layer(self.drop(x), y, memory)
            traces.update({f"dec.{n}.{name}": value for name, value in seen.items()})
        return self.out(self.drop(self.write_out(x))), traces

    def teacher(self, memory, target):
        return self.decode(memory, target)[0]

    def start(self, memory):
        return {"said": torch.zeros(len(memory["lengths"]), 0, dtype=torch.long)}

    def step(self, y, t, state, memory):
        said = torch.cat([state["said"], y[:, None]], 1)
        logits, traces = self.decode(memory, said)
        return logits[:, -1], {"said": said}, {name: value[:, -1] for name, value in traces.items()}
