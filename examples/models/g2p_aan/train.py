"""Spelling to pronunciation with average attention in the decoder (Zhang, Xiong and Su, Accelerating Neural Transformer via an Average Attention
Network, 2018).

    python examples/models/g2p_aan/train.py --out build/train/g2p_aan
"""
import os
import sys

import torch
import torch.nn as nn

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import prenorm  # noqa: E402
from g2p_training import TASK  # noqa: E402


class Average(nn.Module):
    """The paper's equations 1 and 2."""

    def __init__(self, m, inner):
        super().__init__()
        self.norm, self.up, self.down, self.gate = nn.LayerNorm(m), nn.Linear(m, inner), nn.Linear(inner, m), nn.Linear(2 * m, 2 * m)


class Network(prenorm.Stateful):
    carried = "total"

    def make_past(self):
        return Average(self.m, self.inner)

    def look_back(self, past, x):
        y = past.norm(x)
        total = y.cumsum(1)
        past.last = total[:, -1]
        mean = past.down(torch.relu(past.up(total / torch.arange(1, x.shape[1] + 1)[:, None])))
        keep, take = torch.sigmoid(past.gate(torch.cat([y, mean], 2))).chunk(2, 2)
        return x + self.drop(keep * y + take * mean)


if __name__ == "__main__":
    prenorm.training.main(Network, TASK, __doc__)
