"""Spelling to pronunciation with simpler simple recurrent units in the decoder (Kim et al., From Research to Production and Back:
Ludicrously Fast Neural Machine Translation, 2019).

    python examples/models/g2p_ssru/train.py --out build/train/g2p_ssru
"""
import os
import sys

import torch
import torch.nn as nn

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import prenorm  # noqa: E402
from g2p_training import TASK  # noqa: E402


class Unit(nn.Module):
    def __init__(self, m):
        super().__init__()
        self.norm, self.forget = nn.LayerNorm(m), nn.Linear(m, m)
        self.update = nn.Linear(m, m, bias=False)


class Network(prenorm.Stateful):
    carried = "c"

    def make_past(self):
        return Unit(self.m)

    def look_back(self, past, x):
        y = past.norm(x)
        gate, new = torch.sigmoid(past.forget(y)), past.update(y)
        kept, rows = torch.zeros_like(x[:, 0]), []
        for t in range(x.shape[1]):
            kept = gate[:, t] * kept + (1 - gate[:, t]) * new[:, t]
            rows.append(kept)
        past.last = kept
        return x + self.drop(torch.relu(torch.stack(rows, 1)))


if __name__ == "__main__":
    prenorm.training.main(Network, TASK, __doc__)
