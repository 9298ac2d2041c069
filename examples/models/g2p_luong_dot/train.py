"""Spelling to pronunciation as Luong, Pham and Manning (2015) attend: the dot product as score, nothing fed to the next step.

    python examples/models/g2p_luong_dot/train.py --out build/train/g2p_luong_dot
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import luong  # noqa: E402
from g2p_training import TASK  # noqa: E402


class Network(luong.Luong):
    feeds = False

    def score(self, h, t, memory):
        return (memory["ann"] @ h[..., None])[..., 0]


if __name__ == "__main__":
    luong.training.main(Network, TASK, __doc__)
