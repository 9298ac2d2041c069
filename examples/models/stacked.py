"""Sutskever, Vinyals and Le, Sequence to Sequence Learning with Neural Networks (2014), in PyTorch: what the models *_seq2seq train. A stacked
LSTM reads backwards, another begins with its last states and writes. No attention."""
import os
import sys

import torch.nn as nn
from torch.nn.utils.rnn import pack_padded_sequence

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "python"))
import sequence_training as training  # noqa: E402


class Stacked(nn.Module):
    e, m = 64, 192                     # embedding, state

    def __init__(self, task):
        super().__init__()
        e, m = self.e, self.m
        self.src, self.tgt = nn.Embedding(len(task.source), e), nn.Embedding(len(task.target), e)
        self.enc1, self.enc2 = nn.LSTM(e, m, batch_first=True), nn.LSTM(m, m, batch_first=True)
        self.dec1, self.dec2 = nn.LSTM(e, m, batch_first=True), nn.LSTM(m, m, batch_first=True)
        self.out = nn.Linear(m, len(task.target))
        self.drop = nn.Dropout(0.1)

    def encode(self, source, lengths):
        x = pack_padded_sequence(self.src(training.backwards(source, lengths)), lengths, batch_first=True, enforce_sorted=False)
        between, (h1, c1) = self.enc1(x)
        _, (h2, c2) = self.enc2(between)
        return {"h1": h1[0], "c1": c1[0], "h2": h2[0], "c2": c2[0]}

    def start(self, memory):
        return {"p": memory["h1"], "q": memory["c1"], "r": memory["h2"], "u": memory["c2"]}

    def step(self, y, t, state, memory):
        a, (h1, c1) = self.dec1(self.tgt(y)[:, None], (state["p"][None].contiguous(), state["q"][None].contiguous()))
        b, (h2, c2) = self.dec2(self.drop(a), (state["r"][None].contiguous(), state["u"][None].contiguous()))
        return self.out(self.drop(b[:, 0])), {"p": h1[0], "q": c1[0], "r": h2[0], "u": c2[0]}, {}

    def teacher(self, memory, target):
        a, _ = self.dec1(self.tgt(target), (memory["h1"][None].contiguous(), memory["c1"][None].contiguous()))
        b, _ = self.dec2(self.drop(a), (memory["h2"][None].contiguous(), memory["c2"][None].contiguous()))
        return self.out(self.drop(b))
