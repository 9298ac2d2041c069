"""What T5 knows of positions: the bias that each head of the encoder adds to a score, by the distance of the key, as a picture.

    t5_bias_plot.py CHECKPOINT [--longest N] [--plot FILE]

CHECKPOINT is the folder of a T5, with config.json and model.safetensors. Without --plot the buckets of distances are printed, as Raffel et al., Exploring the
Limits of Transfer Learning with a Unified Text-to-Text Transformer (2020), section 2.1, have them: near distances have one each, farther ones share.
"""
import argparse
import json
import math
import os
import sys

from safetensors.numpy import load_file

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import curves  # noqa: E402

TABLE = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"    # [buckets, heads]


def bucket(distance, buckets, longest):
    """Of key minus query, in both directions: half of the buckets for each, half of these for one distance alone."""
    side, exact = buckets // 2, buckets // 4
    far, first = abs(distance), buckets // 2 if distance > 0 else 0
    return first + (far if far < exact else min(side - 1, exact + int(math.log(far / exact) / math.log(longest / exact) * (side - exact))))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--longest", type=int, default=160, help="distance to draw, to each side (default: 160)")
    parser.add_argument("--plot", metavar="FILE")
    args = parser.parse_args()
    with open(os.path.join(args.checkpoint, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    table = load_file(os.path.join(args.checkpoint, "model.safetensors"))[TABLE]
    distances = range(-args.longest, args.longest + 1)
    of = [bucket(d, config["relative_attention_num_buckets"], config["relative_attention_max_distance"]) for d in distances]
    if not args.plot:
        for n in sorted(set(of)):
            shared = [d for d, other in zip(distances, of) if other == n]
            print(f"bucket {n}: {shared[0]} to {shared[-1]}")
        return
    with curves.picture(args.plot) as axes:
        for head in range(table.shape[1]):
            axes.step(distances, table[of, head], where="mid", linewidth=1, label=f"head {head}")
        axes.set(xlabel="position of the key less that of the query", ylabel="added to the score")
        axes.legend(frameon=False, fontsize=8, ncols=2)


if __name__ == "__main__":
    main()
