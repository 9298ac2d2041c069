"""Spelling to pronunciation by a Transformer whose scores fall with distance (Press, Smith and Lewis, Train Short, Test Long: Attention with Linear
Biases Enables Input Length Extrapolation, 2022).

    python examples/models/g2p_alibi/train.py --out build/train/g2p_alibi
"""
import os
import sys

import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import prenorm  # noqa: E402
from g2p_training import TASK  # noqa: E402


class Network(prenorm.Prenorm):
    def bias(self, length, decoder):
        slopes = torch.tensor([2.0 ** (-8 * n / self.heads) for n in range(1, self.heads + 1)])
        i = torch.arange(length)
        return -slopes[:, None, None] * (i - i[:, None]).abs()


if __name__ == "__main__":
    prenorm.training.main(Network, TASK, __doc__)
