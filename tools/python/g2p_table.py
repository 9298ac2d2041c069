"""Measures the spelling-to-pronunciation programs on all held-out words of CMUdict and prints the table of docs/models.md.

    g2p_table.py [--docs] [--beam 4] [NAME ...]

The programs are build/programs/NAME (./dev build NAME makes one). Any pronunciation of a word that CMUdict has counts as right. Words per
second are those of greedy search with two threads, from start to end of the program, the better of two runs. --docs also writes the
table into docs/models.md, and each model's row and the picture alignment.png into its folder, where README.md has a place for them.
"""
import argparse
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cmudict_split as data  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MARK = "<!-- table of g2p -->\n"
OWN_PAGE = ("g2p_gru", "g2p_transformer")         # pages that say more than the table
PAPERS = {
    "g2p_seq2seq": "Sutskever et al. 2014: stacked LSTM, word read backwards, no attention",
    "g2p_gru": "Cho et al. 2014: GRU, no attention; g2p_en's weights",
    "g2p_bahdanau": "Bahdanau et al. 2014: additive score, maxout",
    "g2p_cond_gru": "Sennrich et al. 2017: Nematus' and Marian's conditional GRU",
    "g2p_luong_dot": "Luong et al. 2015: dot, no input feeding",
    "g2p_luong_general": "Luong et al. 2015: general",
    "g2p_luong_concat": "Luong et al. 2015: concat",
    "g2p_luong_location": "Luong et al. 2015: location",
    "g2p_luong_local_m": "Luong et al. 2015: local-m, 3 on each side",
    "g2p_luong_local_p": "Luong et al. 2015: local-p, 4 on each side",
    "g2p_conv": "Gehring et al. 2017: gated convolutions",
    "g2p_transformer": "Vaswani et al. 2017: Transformer, post-norm",
    "g2p_relative": "Raffel et al. 2020: pre-norm, relative buckets",
    "g2p_ssru": "Kim et al. 2019: SSRU in the decoder",
}


def parameters(path):
    """Numbers in a safetensors file."""
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    count = 0
    for name, tensor in header.items():
        if name != "__metadata__":
            size = 1
            for extent in tensor["shape"]:
                size *= extent
            count += size
    return count


def answer(program, words, *arguments):
    """The program's phonemes for each word, and seconds."""
    began = time.perf_counter()
    done = subprocess.run([program, "--threads", "2", *arguments], input="".join(w + "\n" for w in words), capture_output=True, text=True)
    seconds = time.perf_counter() - began
    lines = done.stdout.split("\n")[:-1]
    if done.returncode != 0 or len(lines) != len(words):
        sys.exit(f"{program} exited with {done.returncode} after {len(lines)} of {len(words)} lines\n{done.stderr}")
    return [line.split() for line in lines], seconds


def row(name, words, truth, beam):
    program = os.path.join(ROOT, "build", "programs", name)
    runs = [answer(program, words) for _ in range(2)]
    greedy = data.score(dict(zip(words, runs[0][0])), truth)
    wide = data.score(dict(zip(words, answer(program, words, "--beam", str(beam))[0])), truth)
    errors = " | ".join(f"{rates[key][unit]:.2f} %" for rates, key, unit in (
        (greedy, "stress", "wer"), (greedy, "stress", "per"), (greedy, "no_stress", "wer"), (wide, "stress", "wer"), (wide, "stress", "per")))
    return f"{parameters(program + '.safetensors'):,} | {errors} | {len(words) / min(seconds for _, seconds in runs):,.0f} |"


def replaced(path, lines):
    """Puts the lines between the marks of a file."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    parts = text.split(MARK)
    if len(parts) != 3:
        sys.exit(f"{path}: there are {len(parts) - 1} lines `{MARK.strip()}` where two are wanted")
    with open(path, "w", encoding="utf-8") as file:
        file.write(parts[0] + MARK + "\n".join(lines) + "\n" + MARK + parts[2])


def picture(name, folder):
    """alignment.png: the last map that the program traces for `pronunciation`; False where it traces none."""
    with tempfile.TemporaryDirectory() as maps:
        program = os.path.join(ROOT, "build", "programs", name)
        said = " ".join(answer(program, ["pronunciation"])[0][0]) + "\n"
        subprocess.run([program, "--maps", maps], input="pronunciation\n", capture_output=True, text=True)   # an error where the model traces nothing
        found = sorted(path for path in os.listdir(maps) if re.fullmatch(r"000001-(.*\.)?p\.png", path))
        if found:
            shutil.copy(os.path.join(maps, found[-1]), os.path.join(folder, "alignment.png"))
    path = os.path.join(folder, "README.md")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    text = re.sub(r"(\| build/programs/\S+\n).*\n```", lambda m: m[1] + said + "```", text, count=1)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all that are built")
    parser.add_argument("--docs", action="store_true", help="write what was measured into the documentation")
    parser.add_argument("--beam", type=int, default=4)
    args = parser.parse_args()
    names = args.names or [n for n in PAPERS if os.path.exists(os.path.join(ROOT, "build", "programs", n))]
    if args.docs and args.names:
        parser.error("--docs wants all models, not some")
    truth = data.split("test")
    words = sorted(truth)
    columns = f"parameters | words, greedy | phonemes | words, no stress | words, beam {args.beam} | phonemes | words a second |"
    lines = [f"| model | what | {columns}", "|---|---|" + "---|" * columns.count("|")]
    print("\n".join(lines), flush=True)
    for name in names:
        measured = row(name, words, truth, args.beam)
        lines.append(f"| [{name}](../examples/models/{name}/README.md) | {PAPERS.get(name, '')} | {measured}")
        print(lines[-1], flush=True)
        folder = os.path.join(ROOT, "examples", "models", name)
        if args.docs and name not in OWN_PAGE:
            replaced(os.path.join(folder, "README.md"), ["| " + columns, "|" + "---|" * columns.count("|"), "| " + measured])
            picture(name, folder)
    if args.docs:
        replaced(os.path.join(ROOT, "docs", "models.md"), lines)


if __name__ == "__main__":
    main()
