"""Spelling to pronunciation by gated convolutions with attention in every layer of the decoder (Gehring et al. 2017).

    python examples/models/g2p_conv/train.py --out build/train/g2p_conv
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import convolution  # noqa: E402
from g2p_training import TASK  # noqa: E402


class Network(convolution.Convolutional):
    pass


if __name__ == "__main__":
    convolution.training.main(Network, TASK, __doc__)
