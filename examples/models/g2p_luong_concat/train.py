"""Spelling to pronunciation as Luong, Pham and Manning (2015) attend: a score by a layer over both (`concat`), input feeding.

    python examples/models/g2p_luong_concat/train.py --out build/train/g2p_luong_concat
"""
import os
import sys

import torch
import torch.nn as nn

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import luong  # noqa: E402
from g2p_training import TASK  # noqa: E402

A = 128                                # alignment


class Network(luong.Luong):
    def __init__(self, task):
        super().__init__(task)
        self.query, self.keys = nn.Linear(self.m, A, bias=False), nn.Linear(self.m, A, bias=False)
        self.v = nn.Parameter(torch.randn(A) * A ** -0.5)

    def score(self, h, t, memory):
        return torch.tanh(self.query(h)[:, None] + self.keys(memory["ann"])) @ self.v


if __name__ == "__main__":
    luong.training.main(Network, TASK, __doc__)
