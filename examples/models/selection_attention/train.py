"""Selection by an encoder-decoder with attention (Bahdanau, Cho and Bengio 2014): the writer looks back at every letter.

    python examples/models/selection_attention/train.py --out build/train/selection_attention
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import reader_writer  # noqa: E402
from selection import TASK  # noqa: E402


class Network(reader_writer.Net):
    def __init__(self, task):
        super().__init__(reader_writer.Attending(task, 32, 96))


if __name__ == "__main__":
    reader_writer.training.main(Network, TASK, __doc__)
