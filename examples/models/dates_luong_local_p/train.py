"""Date normalisation as Luong, Pham and Manning (2015) attend: a window of 4 letters on each side of a place that the state predicts, weighted
by a Gaussian that is not renormalised (`local-p`); bilinear score, input feeding.

    python examples/models/dates_luong_local_p/train.py --out build/train/dates_luong_local_p
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import luong  # noqa: E402
from dates import TASK  # noqa: E402


class Network(luong.LocalP):
    e, m, a = 32, 64, 32


if __name__ == "__main__":
    luong.training.main(Network, TASK, __doc__)
