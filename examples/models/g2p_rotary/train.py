"""Spelling to pronunciation by a Transformer that turns queries and keys by their positions (Su et al., RoFormer: Enhanced Transformer with
Rotary Position Embedding, 2021).

    python examples/models/g2p_rotary/train.py --out build/train/g2p_rotary
"""
import os
import sys

import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import prenorm  # noqa: E402
from g2p_training import TASK  # noqa: E402


class Network(prenorm.Prenorm):
    @staticmethod
    def turn(x):
        """The paper's equation 34: pairs of neighbours as complex numbers, times e^(i t theta)."""
        theta = 10000.0 ** (-torch.arange(0, x.shape[-1], 2) / x.shape[-1])
        angle = torch.arange(x.shape[-2])[:, None] * theta
        return torch.view_as_real(torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous()) * torch.polar(torch.ones_like(angle), angle)).flatten(-2)


if __name__ == "__main__":
    prenorm.training.main(Network, TASK, __doc__)
