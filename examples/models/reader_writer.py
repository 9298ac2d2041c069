"""reader_writer.attn in PyTorch: what selection_* and dates_* train."""
import os
import sys

import torch
import torch.nn as nn

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "python"))
import sequence_training as training  # noqa: E402


class Plain(nn.Module):
    def __init__(self, task, e, m):
        super().__init__()
        self.src, self.tgt = nn.Embedding(len(task.source), e), nn.Embedding(len(task.target), e)
        self.reader, self.writer = nn.GRU(e, m, batch_first=True), nn.GRU(e, m, batch_first=True)
        self.out = nn.Linear(m, len(task.target))

    def encode(self, source, lengths):
        x = nn.utils.rnn.pack_padded_sequence(self.src(source), lengths, batch_first=True, enforce_sorted=False)
        return {"h": self.reader(x)[1][0]}

    def start(self, memory):
        return memory

    def step(self, y, t, state, memory):
        h = self.writer(self.tgt(y)[:, None], state["h"][None].contiguous())[1][0]
        return self.out(h), {"h": h}, {}

    def teacher(self, memory, target):
        return self.out(self.writer(self.tgt(target), memory["h"][None].contiguous())[0])


class Attending(training.Decoder):
    def __init__(self, task, e, m):
        super().__init__()
        self.m = m
        self.src, self.tgt = nn.Embedding(len(task.source), e), nn.Embedding(len(task.target), e)
        self.enc = training.BidirectionalGRU(e, m)
        self.cell = nn.GRU(e + 2 * m, m, batch_first=True)
        self.query, self.keys = nn.Linear(m, m), nn.Linear(2 * m, m, bias=False)
        self.v = nn.Parameter(torch.randn(m) * m ** -0.5)
        self.out = nn.Linear(m + 2 * m, len(task.target))

    def encode(self, source, lengths):
        ann = self.enc(self.src(source), lengths)
        hide = torch.zeros(source.shape).masked_fill(~training.valid(source, lengths), -torch.inf)
        return {"ann": ann, "keys": self.keys(ann), "hide": hide}

    def start(self, memory):
        return {"h": torch.zeros(len(memory["ann"]), self.m)}

    def step(self, y, t, state, memory):
        h = state["h"]
        s = torch.tanh(self.query(h)[:, None] + memory["keys"]) @ self.v + memory["hide"]
        p = torch.softmax(s, 1)
        z = (p[:, None] @ memory["ann"])[:, 0]
        h = self.cell(torch.cat([self.tgt(y), z], 1)[:, None], h[None].contiguous())[1][0]
        return self.out(torch.cat([h, z], 1)), {"h": h}, {"net.p": p, "net.s": s, "net.context": z}


class Net(nn.Module):
    """One of the two as the part `net` of a model."""

    def __init__(self, net):
        super().__init__()
        self.net = net
        self.encode, self.start, self.step, self.teacher = net.encode, net.start, net.step, net.teacher
