"""Spelling to pronunciation as Luong, Pham and Manning (2015) attend: a window of 4 letters on each side of
a place that the state predicts, weighted by a Gaussian that is not renormalised (`local-p`); bilinear score, input feeding.

    python examples/models/g2p_luong_local_p/train.py --out build/train/g2p_luong_local_p
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import luong  # noqa: E402
from g2p_training import TASK  # noqa: E402


class Network(luong.LocalP):
    pass


if __name__ == "__main__":
    luong.training.main(Network, TASK, __doc__)
