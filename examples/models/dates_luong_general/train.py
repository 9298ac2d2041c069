"""Date normalisation as Luong, Pham and Manning (2015) attend: a bilinear score (`general`), input feeding.

    python examples/models/dates_luong_general/train.py --out build/train/dates_luong_general
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import luong  # noqa: E402
from dates import TASK  # noqa: E402


class Network(luong.General):
    e, m = 32, 64


if __name__ == "__main__":
    luong.training.main(Network, TASK, __doc__)
