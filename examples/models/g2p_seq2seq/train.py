"""Spelling to pronunciation without attention: a stacked LSTM reads the word backwards, another begins with its last states and writes
(Sutskever, Vinyals and Le 2014).

    python examples/models/g2p_seq2seq/train.py --out build/train/g2p_seq2seq
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import stacked  # noqa: E402
from g2p_training import TASK  # noqa: E402


class Network(stacked.Stacked):
    pass


if __name__ == "__main__":
    stacked.training.main(Network, TASK, __doc__)
