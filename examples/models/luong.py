"""Luong, Pham and Manning, Effective Approaches to Attention-based Neural Machine Translation (2015), in PyTorch: what the models
*_luong_* train. Two LSTM layers read, two write; the sizes, score(), weights() and `feeds` are what a model chooses."""
import os
import sys

import torch
import torch.nn as nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "python"))
import sequence_training as training  # noqa: E402


class Reader(nn.Module):
    def __init__(self, e, m):
        super().__init__()
        self.enc1, self.enc2 = nn.LSTM(e, m, batch_first=True), nn.LSTM(m, m, batch_first=True)

    def forward(self, x, lengths):
        x = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        between, (h1, c1) = self.enc1(x)
        above, (h2, c2) = self.enc2(between)
        return pad_packed_sequence(above, batch_first=True)[0], h1[0], c1[0], h2[0], c2[0]


class Luong(training.Decoder):
    e, m = 64, 128                     # embedding, state
    feeds = True                       # input feeding: the attentional state is part of the next step's input

    def __init__(self, task):
        super().__init__()
        e, m = self.e, self.m
        self.src, self.tgt = nn.Embedding(len(task.source), e), nn.Embedding(len(task.target), e)
        self.reader = Reader(e, m)
        self.dec1 = nn.LSTM(e + m if self.feeds else e, m, batch_first=True)
        self.dec2 = nn.LSTM(m, m, batch_first=True)
        self.merge, self.out = nn.Linear(2 * m, m), nn.Linear(m, len(task.target))
        self.drop = nn.Dropout(0.1)

    def score(self, h, t, memory):
        """h [b,m] and memory["ann"] [b,i,m] -> [b,i]"""
        raise NotImplementedError

    def weights(self, h, t, memory):
        """Weights and masked scores, both [b,i]."""
        s = self.score(h, t, memory) + memory["hide"]
        return torch.softmax(s, 1), s

    def encode(self, source, lengths):
        ann, h1, c1, h2, c2 = self.reader(self.drop(self.src(source)), lengths)
        hide = torch.zeros(source.shape).masked_fill(~training.valid(source, lengths), -torch.inf)
        return {"ann": ann, "hide": hide, "lengths": lengths, "h1": h1, "c1": c1, "h2": h2, "c2": c2}

    def start(self, memory):
        state = {name: memory[name] for name in ("h1", "c1", "h2", "c2")}
        return {**state, "fed": torch.zeros_like(memory["h1"])}

    def step(self, y, t, state, memory):
        x = self.drop(self.tgt(y))
        if self.feeds:
            x = torch.cat([x, state["fed"]], 1)
        _, (h1, c1) = self.dec1(x[:, None], (state["h1"][None].contiguous(), state["c1"][None].contiguous()))
        _, (h2, c2) = self.dec2(self.drop(h1[0])[:, None], (state["h2"][None].contiguous(), state["c2"][None].contiguous()))
        p, s = self.weights(h2[0], t, memory)
        context = (p[:, None] @ memory["ann"])[:, 0]
        fed = torch.tanh(self.merge(torch.cat([context, h2[0]], 1)))
        return self.out(self.drop(fed)), {"h1": h1[0], "c1": c1[0], "h2": h2[0], "c2": c2[0], "fed": fed}, {"p": p, "s": s, "context": context}


class General(Luong):
    """h W a"""

    def __init__(self, task):
        super().__init__(task)
        self.general = nn.Linear(self.m, self.m, bias=False)

    def score(self, h, t, memory):
        return (memory["ann"] @ (h @ self.general.weight)[..., None])[..., 0]


class LocalP(General):
    """A window of `side` on each side of a place that the state predicts through `a` units; a Gaussian around it, not renormalised."""
    a, side = 64, 4

    def __init__(self, task):
        super().__init__(task)
        self.guess = nn.Linear(self.m, self.a, bias=False)
        self.v = nn.Parameter(torch.randn(self.a) * self.a ** -0.5)

    def weights(self, h, t, memory):
        i = torch.arange(memory["ann"].shape[1])
        off = i - (memory["lengths"] - 1)[:, None] * torch.sigmoid(torch.tanh(self.guess(h)) @ self.v)[:, None]
        s = (self.score(h, t, memory) + memory["hide"]).masked_fill(off.abs() > self.side, -torch.inf)
        return torch.softmax(s, 1) * torch.exp(-2 * off * off / self.side ** 2), s
