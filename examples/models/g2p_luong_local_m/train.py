"""Spelling to pronunciation as Luong, Pham and Manning (2015) attend: a window of 3 letters on each side of the
current output's position (`local-m`), bilinear score, input feeding.

    python examples/models/g2p_luong_local_m/train.py --out build/train/g2p_luong_local_m
"""
import os
import sys

import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import luong  # noqa: E402
from g2p_training import TASK  # noqa: E402


class Network(luong.General):
    def weights(self, h, t, memory):
        i, last = torch.arange(memory["ann"].shape[1]), memory["lengths"][:, None] - 1
        far = ((i - t).abs() > 3) & (i != last)
        s = (self.score(h, t, memory) + memory["hide"]).masked_fill(far, -torch.inf)
        return torch.softmax(s, 1), s


if __name__ == "__main__":
    luong.training.main(Network, TASK, __doc__)
