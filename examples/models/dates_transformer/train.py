"""Date normalisation by a Transformer that normalises before each part (Vaswani et al. 2017, Xiong et al. 2020).

    python examples/models/dates_transformer/train.py --out build/train/dates_transformer
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import prenorm  # noqa: E402
from dates import TASK  # noqa: E402


class Network(prenorm.Prenorm):
    m, inner, heads = 64, 128, 4
    encoders, decoders = 2, 2
    places = True


if __name__ == "__main__":
    prenorm.training.main(Network, TASK, __doc__)
