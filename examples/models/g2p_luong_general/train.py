"""Spelling to pronunciation as Luong, Pham and Manning (2015) attend: a bilinear score (`general`), input feeding.

    python examples/models/g2p_luong_general/train.py --out build/train/g2p_luong_general
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import luong  # noqa: E402
from g2p_training import TASK  # noqa: E402


class Network(luong.General):
    pass


if __name__ == "__main__":
    luong.training.main(Network, TASK, __doc__)
