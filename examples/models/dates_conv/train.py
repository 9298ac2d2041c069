"""Date normalisation by gated convolutions with attention in every layer of the decoder (Gehring et al. 2017).

    python examples/models/dates_conv/train.py --out build/train/dates_conv
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import convolution  # noqa: E402
from dates import TASK  # noqa: E402


class Network(convolution.Convolutional):
    e, m = 48, 64
    encoders, decoders = 3, 2


if __name__ == "__main__":
    convolution.training.main(Network, TASK, __doc__)
