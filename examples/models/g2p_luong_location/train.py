"""Spelling to pronunciation as Luong, Pham and Manning (2015) attend: a score by position alone (`location`), input feeding.

    python examples/models/g2p_luong_location/train.py --out build/train/g2p_luong_location
"""
import os
import sys

import torch.nn as nn
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import luong  # noqa: E402
from g2p_training import TASK  # noqa: E402

PLACES = 64                            # source positions that have a score; later ones score 0


class Network(luong.Luong):
    def __init__(self, task):
        super().__init__(task)
        self.place = nn.Linear(self.m, PLACES, bias=False)

    def score(self, h, t, memory):
        return F.pad(self.place(h), (0, max(0, memory["ann"].shape[1] - PLACES)))[:, :memory["ann"].shape[1]]


if __name__ == "__main__":
    luong.training.main(Network, TASK, __doc__)
