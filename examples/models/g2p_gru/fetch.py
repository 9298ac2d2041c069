"""Takes the published GRU out of g2p_en's wheel and writes it as Fovea reads it.

    python fetch.py WHEEL OUT      writes OUT/weights.safetensors, OUT/graphemes.vocab, OUT/phonemes.vocab

WHEEL is g2p_en-2.1.0-py3-none-any.whl (`pip download --no-deps g2p_en==2.1.0`) or its unpacked checkpoint20.npz.
Tensors get the names that model.attn gives them (PyTorch's for nn.GRU and nn.Linear); values and layouts stay as published.
"""
import io
import os
import re
import sys
import zipfile

import numpy as np
from safetensors.numpy import save_file

NAMES = {                                        # checkpoint20.npz -> weights.safetensors
    "enc_emb":  "enc_emb",                       # [29, 256]   letters
    "enc_w_ih": "encoder.weight_ih_l0",          # [768, 256]  gates reset, update, new
    "enc_w_hh": "encoder.weight_hh_l0",
    "enc_b_ih": "encoder.bias_ih_l0",
    "enc_b_hh": "encoder.bias_hh_l0",
    "dec_emb":  "dec_emb",                       # [74, 256]   phonemes
    "dec_w_ih": "decoder.weight_ih_l0",
    "dec_w_hh": "decoder.weight_hh_l0",
    "dec_b_ih": "decoder.bias_ih_l0",
    "dec_b_hh": "decoder.bias_hh_l0",
    "fc_w":     "out.weight",                    # [74, 256]
    "fc_b":     "out.bias",
}
SPECIAL_LETTERS = ["<pad>", "<unk>", "</s>"]
SPECIAL_PHONES = ["<pad>", "<unk>", "<s>", "</s>"]


def phonemes(source):
    """The phoneme list as g2p_en's source writes it: the literal after `self.phonemes =`."""
    literal = re.search(r"self\.phonemes = \[[^\]]*\] \+ \[([^\]]*)\]", source).group(1)
    return SPECIAL_PHONES + re.findall(r"'([A-Z0-9]+)'", literal)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    wheel, out = sys.argv[1:]
    if wheel.endswith(".whl"):
        with zipfile.ZipFile(wheel) as z:
            checkpoint = np.load(io.BytesIO(z.read("g2p_en/checkpoint20.npz")))
            source = z.read("g2p_en/g2p.py").decode()
    else:
        checkpoint = np.load(wheel)
        with open(os.path.join(os.path.dirname(wheel), "g2p.py"), encoding="utf-8") as f:
            source = f.read()
    os.makedirs(out, exist_ok=True)
    tensors = {new: np.ascontiguousarray(checkpoint[old], dtype=np.float32) for old, new in NAMES.items()}
    letters, phones = SPECIAL_LETTERS + list("abcdefghijklmnopqrstuvwxyz"), phonemes(source)
    assert tensors["enc_emb"].shape[0] == len(letters) and tensors["dec_emb"].shape[0] == len(phones)
    for name, tokens in (("graphemes.vocab", letters), ("phonemes.vocab", phones)):
        with open(os.path.join(out, name), "w", encoding="utf-8") as f:
            f.write("".join(t + "\n" for t in tokens))
    save_file(tensors, os.path.join(out, "weights.safetensors"))


if __name__ == "__main__":
    main()
