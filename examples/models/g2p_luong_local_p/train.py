"""Spelling to pronunciation as Luong, Pham and Manning (2015) attend: a window of 4 letters on each side of
a place that the state predicts, weighted by a Gaussian that is not renormalised (`local-p`); bilinear score, input feeding.

    python examples/models/g2p_luong_local_p/train.py --out build/train/g2p_luong_local_p
"""
import os
import sys

import torch
import torch.nn as nn

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import luong  # noqa: E402

A = 64                                 # of the prediction


class Network(luong.General):
    def __init__(self):
        super().__init__()
        self.guess = nn.Linear(luong.M, A, bias=False)
        self.v = nn.Parameter(torch.randn(A) * A ** -0.5)

    def weights(self, h, t, memory):
        i = torch.arange(memory["ann"].shape[1])
        off = i - (memory["lengths"] - 1)[:, None] * torch.sigmoid(torch.tanh(self.guess(h)) @ self.v)[:, None]
        p = torch.softmax((self.score(h, t, memory) + memory["hide"]).masked_fill(off.abs() > 4, -torch.inf), 1)
        return p * torch.exp(-off * off / 8)


TASK = luong.g2p.TASK

if __name__ == "__main__":
    luong.g2p.main(Network, __doc__)
