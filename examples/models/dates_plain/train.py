"""Date normalisation by an encoder-decoder without attention (Cho et al. 2014): all that the reader knows is in one vector.

    python examples/models/dates_plain/train.py --out build/train/dates_plain
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import reader_writer  # noqa: E402
from dates import TASK  # noqa: E402


class Network(reader_writer.Net):
    def __init__(self, task):
        super().__init__(reader_writer.Plain(task, 32, 128))


if __name__ == "__main__":
    reader_writer.training.main(Network, TASK, __doc__)
