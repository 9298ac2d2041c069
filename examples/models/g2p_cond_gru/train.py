"""The conditional GRU of Nematus (Sennrich et al., Nematus: a Toolkit for Neural Machine Translation, 2017) and Marian, on letters and
phonemes: one GRU takes the last phoneme, the attention is asked with its state, a second GRU takes what was attended.

    python examples/models/g2p_cond_gru/train.py --out build/train/g2p_cond_gru
"""
import os
import sys

import torch
import torch.nn as nn

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "tools", "python"))
import sequence_training as training  # noqa: E402
from g2p_training import TASK  # noqa: E402

E, M, A = 64, 128, 128                 # embedding, state, alignment


class Network(training.Decoder):
    def __init__(self, task):
        super().__init__()
        self.src, self.tgt = nn.Embedding(len(task.source), E), nn.Embedding(len(task.target), E)
        self.enc = training.BidirectionalGRU(E, M)
        self.init = nn.Linear(2 * M, M)
        self.cell1, self.cell2 = nn.GRU(E, M, batch_first=True), nn.GRU(2 * M, M, batch_first=True)
        self.query, self.keys = nn.Linear(M, A, bias=False), nn.Linear(2 * M, A)
        self.v = nn.Parameter(torch.randn(A) * A ** -0.5)
        self.from_state, self.from_token, self.from_context = nn.Linear(M, E), nn.Linear(E, E, bias=False), nn.Linear(2 * M, E, bias=False)
        self.out = nn.Linear(E, len(task.target))
        self.drop = nn.Dropout(0.1)

    def encode(self, source, lengths):
        ann = self.enc(self.drop(self.src(source)), lengths)
        inside = training.valid(source, lengths)
        mean = (ann * inside[..., None]).sum(1) / lengths[:, None]
        hide = torch.zeros(source.shape).masked_fill(~inside, -torch.inf)
        return {"ann": ann, "keys": self.keys(ann), "hide": hide, "mean": mean}

    def start(self, memory):
        return {"h": torch.tanh(self.init(memory["mean"]))}

    def step(self, y, t, state, memory):
        x = self.drop(self.tgt(y))
        between = self.cell1(x[:, None], state["h"][None].contiguous())[1]
        s = torch.tanh(self.query(between[0])[:, None] + memory["keys"]) @ self.v + memory["hide"]
        p = torch.softmax(s, 1)
        z = (p[:, None] @ memory["ann"])[:, 0]
        h = self.cell2(z[:, None], between)[1][0]
        o = torch.tanh(self.from_state(self.drop(h)) + self.from_token(x) + self.from_context(z))
        return self.out(self.drop(o)), {"h": h}, {"p": p, "s": s, "context": z}


if __name__ == "__main__":
    training.main(Network, TASK, __doc__)
