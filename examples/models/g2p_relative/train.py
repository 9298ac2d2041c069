"""Spelling to pronunciation by a Transformer whose scores know the distance in buckets (Raffel et al., Exploring the Limits of
Transfer Learning, 2020).

    python examples/models/g2p_relative/train.py --out build/train/g2p_relative
"""
import os
import sys

import torch
import torch.nn as nn

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import prenorm  # noqa: E402
from g2p_training import TASK  # noqa: E402


BUCKETS, FARTHEST = 16, 32


def bucket(distance, both_ways):
    """T5's: the near distances one by one, the others on a logarithmic scale."""
    buckets, first = BUCKETS, 0
    if both_ways:
        buckets //= 2
        first = torch.where(distance > 0, buckets, 0)
        distance = distance.abs()
    else:
        distance = (-distance).clamp(min=0)
    near = buckets // 2
    far = near + (torch.log(distance.clamp(min=1).double() / near) / torch.log(torch.tensor(FARTHEST / near).double()) * (buckets - near)).long()
    return first + torch.where(distance < near, distance, far.clamp(max=buckets - 1))


class Network(prenorm.Prenorm):
    def __init__(self, task):
        super().__init__(task)
        self.enc_near, self.dec_near = (nn.Embedding(BUCKETS, self.heads) for _ in range(2))
        for module in self.modules():
            if isinstance(module, prenorm.Attention):
                module.scale = 1.0
        for layer in [x.attention for x in self.enc] + [x.past for x in self.dec] + [x.cross for x in self.dec]:
            nn.init.normal_(layer.q.weight, std=(self.m * self.m // self.heads) ** -0.5)
        for layer in self.dec:
            layer.cross.scale = (self.m // self.heads) ** -0.5

    def bias(self, length, decoder):
        i = torch.arange(length)
        table = self.dec_near if decoder else self.enc_near
        return table(bucket(i - i[:, None], not decoder)).permute(2, 0, 1)


if __name__ == "__main__":
    prenorm.training.main(Network, TASK, __doc__)
