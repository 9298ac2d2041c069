"""Writes what the benchmark of the base-size Transformer needs into a folder: model.attn, its vocabularies, weights.safetensors and lines.txt.

    prepare.py FOLDER [--seed 1]

The weights are random, from the seed. Each product keeps the size of its inputs or enlarges it a little, so that what a layer adds outweighs what
goes round it, and outputs do not repeat one token. The end token's embedding is 0: its logit is 0, far below the best of 32,000, so that every
output runs to the length limit and all sides take the same steps.
"""
import argparse
import os

import numpy as np
from safetensors.numpy import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
SPECIAL, VOCABULARY, WIDTH, INNER, LAYERS = ["<s>", "</s>", "<unk>"], 32000, 512, 2048, 6
LINES, WORDS = 64, (20, 30)  # words a line: 25 as a mean


def weights(seed):
    generator = np.random.default_rng(seed)
    matrix = lambda rows, columns, gain=1.0: (generator.standard_normal((rows, columns), dtype=np.float32) * np.float32(gain / columns**0.5))
    tensors = {}

    def norm(name):
        tensors[name + ".weight"] = (1 + 0.1 * generator.standard_normal(WIDTH, dtype=np.float32)).astype(np.float32)
        tensors[name + ".bias"] = (0.1 * generator.standard_normal(WIDTH, dtype=np.float32)).astype(np.float32)

    def attention(name):
        for part in ("q", "k"):
            tensors[f"{name}.{part}_proj.weight"] = matrix(WIDTH, WIDTH, 1.5)
        tensors[name + ".v_proj.weight"] = matrix(WIDTH, WIDTH)
        tensors[name + ".o_proj.weight"] = matrix(WIDTH, WIDTH, 0.6)

    for stack, attentions in (("enc", ["self_attn"]), ("dec", ["self_attn", "cross_attn"])):
        for layer in range(LAYERS):
            name = f"{stack}.{layer}"
            for part in attentions:
                attention(f"{name}.{part}")
            for number in range(len(attentions) + 1):
                norm(f"{name}.norm{number + 1}")
            for part, rows, columns in (("up", INNER, WIDTH), ("down", WIDTH, INNER)):
                tensors[f"{name}.{part}.weight"] = matrix(rows, columns, 3)
                tensors[f"{name}.{part}.bias"] = (0.1 * generator.standard_normal(rows, dtype=np.float32)).astype(np.float32)
            # What all of relu's outputs have in common says nothing of the token: without this every output would be the same.
            down = tensors[f"{name}.down.weight"]
            down -= down.mean(axis=1, keepdims=True)
    for name in ("src", "tgt"):
        tensors[name + ".weight"] = matrix(VOCABULARY, WIDTH)
    tensors["tgt.weight"][SPECIAL.index("</s>")] = 0
    return tensors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    os.makedirs(options.folder, exist_ok=True)
    path = lambda name: os.path.join(options.folder, name)
    with open(os.path.join(HERE, "model.attn"), encoding="utf-8") as f:
        text = f.read()
    blocks = os.path.relpath(os.path.join(HERE, "..", "..", "examples", "models", "blocks.attn"), options.folder)
    with open(path("model.attn"), "w", encoding="utf-8") as f:
        f.write(text.replace("../../examples/models/blocks.attn", blocks))
    words = {}
    for side, letter in (("source", "s"), ("target", "t")):
        words[side] = [f"{letter}{n}" for n in range(VOCABULARY - len(SPECIAL))]
        with open(path(side + ".vocab"), "w", encoding="utf-8") as f:
            f.write("".join(w + "\n" for w in SPECIAL + words[side]))
    generator = np.random.default_rng(options.seed)
    with open(path("lines.txt"), "w", encoding="utf-8") as f:
        for _ in range(LINES):
            chosen = generator.integers(len(words["source"]), size=generator.integers(WORDS[0], WORDS[1] + 1))
            f.write(" ".join(words["source"][n] for n in chosen) + "\n")
    save_file(weights(options.seed), path("weights.safetensors"))


if __name__ == "__main__":
    main()
