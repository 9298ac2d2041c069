"""Bahdanau, Cho and Bengio, Neural Machine Translation by Jointly Learning to Align and Translate (2014), on letters and phonemes:
a bidirectional GRU reads, an additive score aligns, a GRU writes through a maxout layer.

    python examples/models/g2p_bahdanau/train.py --out build/train/g2p_bahdanau
"""
import os
import sys

import torch
import torch.nn as nn

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "tools", "python"))
import sequence_training as training  # noqa: E402
from g2p_training import TASK  # noqa: E402

E, M, A, O = 64, 128, 128, 64          # embedding, state, alignment, maxout


class Network(training.Decoder):
    def __init__(self, task):
        super().__init__()
        self.src, self.tgt = nn.Embedding(len(task.source), E), nn.Embedding(len(task.target), E)
        self.enc = training.BidirectionalGRU(E, M)
        self.init = nn.Linear(M, M)
        self.query, self.keys = nn.Linear(M, A, bias=False), nn.Linear(2 * M, A, bias=False)
        self.v = nn.Parameter(torch.randn(A) * A ** -0.5)
        self.cell = nn.GRU(E + 2 * M, M, batch_first=True)
        self.readout = nn.Linear(M + E + 2 * M, 2 * O)
        self.out = nn.Linear(O, len(task.target), bias=False)
        self.drop = nn.Dropout(0.1)

    def encode(self, source, lengths):
        ann = self.enc(self.drop(self.src(source)), lengths)
        hide = torch.zeros(source.shape).masked_fill(~training.valid(source, lengths), -torch.inf)
        return {"ann": ann, "keys": self.keys(ann), "hide": hide, "first": ann[:, 0, M:]}

    def start(self, memory):
        return {"h": torch.tanh(self.init(memory["first"]))}

    def step(self, y, t, state, memory):
        h, x = state["h"], self.drop(self.tgt(y))
        s = torch.tanh(self.query(h)[:, None] + memory["keys"]) @ self.v + memory["hide"]
        p = torch.softmax(s, 1)
        z = (p[:, None] @ memory["ann"])[:, 0]
        h = self.cell(torch.cat([x, z], 1)[:, None], h[None].contiguous())[1][0]
        u = self.readout(self.drop(torch.cat([h, x, z], 1)))
        return self.out(torch.maximum(u[:, ::2], u[:, 1::2])), {"h": h}, {"p": p, "s": s, "context": z}


if __name__ == "__main__":
    training.main(Network, TASK, __doc__, epochs=8)
