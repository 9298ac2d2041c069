"""Date normalisation without attention: a stacked LSTM reads backwards, another begins with its last states and writes (Sutskever, Vinyals
and Le 2014).

    python examples/models/dates_seq2seq/train.py --out build/train/dates_seq2seq
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import stacked  # noqa: E402
from dates import TASK  # noqa: E402


class Network(stacked.Stacked):
    e, m = 32, 96


if __name__ == "__main__":
    stacked.training.main(Network, TASK, __doc__)
