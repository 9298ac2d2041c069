"""Prints the quality table of the letters-to-phonemes Transformer on the whole held-out part of CMUdict.

    python evaluate.py [--program PROGRAM] [--beam 4] [--words N]

With a built program, the program answers; without, the plain PyTorch reference does (and greedy alone, unless --beam is given).
"""
import argparse
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..", "..")
sys.path.insert(0, os.path.join(ROOT, "tools", "python"))
sys.path.insert(0, os.path.join(ROOT, "test", "models"))
import cmudict_split  # noqa: E402


def program_answers(program, words, beam):
    arguments = [program] + (["--beam", str(beam)] if beam > 1 else [])
    done = subprocess.run(arguments, input="".join(w + "\n" for w in words), capture_output=True, text=True)
    lines = done.stdout.split("\n")[:-1]
    if done.returncode != 0 or len(lines) != len(words):
        sys.exit(f"{program} exited with {done.returncode} after {len(lines)} of {len(words)} lines\n{done.stderr}")
    return [line.split() for line in lines]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=HERE)
    parser.add_argument("--program")
    parser.add_argument("--beam", type=int, default=0)
    parser.add_argument("--words", type=int, default=0, help="only the first N held-out words of the alphabet; 0: all")
    args = parser.parse_args()
    truth = cmudict_split.split("test")
    words = sorted(truth)[:args.words or len(truth)]
    truth = {w: truth[w] for w in words}
    found, monotone = {}, None
    if args.program:
        found["greedy"] = program_answers(args.program, words, 1)
        if args.beam > 1:
            found[f"beam {args.beam}"] = program_answers(args.program, words, args.beam)
    else:
        import reference_transformer as reference
        model = reference.Reference(args.model)
        found["greedy"], maps = reference.alignments(model, words)
        monotone = 100 * sum(map(reference.is_monotone, maps)) / len(words)
        if args.beam > 1:
            found[f"beam {args.beam}"] = [model.beam(w, args.beam)[0][0] for w in words]
    print(f"{len(words)} held-out words, answers of {args.program or 'PyTorch'}; any of a word's pronunciations counts as right\n")
    print("| search | stress | word errors | phoneme errors |\n|---|---|---|---|")
    for search, answers in found.items():
        rates = cmudict_split.score(dict(zip(words, answers)), truth)
        for name, key in (("with", "stress"), ("without", "no_stress")):
            print(f"| {search} | {name} | {rates[key]['wer']:.2f} % | {rates[key]['per']:.2f} % |")
    if monotone is not None:
        print(f"\nThe alignment (last decoder layer, mean over heads) is monotone for {monotone:.1f} % of the words.")


if __name__ == "__main__":
    main()
