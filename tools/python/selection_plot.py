"""Error against length of the two selection programs, as a table and docs/images/selection.png.

    selection_plot.py [--plot FILE] [--texts N]

For each length, N texts (1,000 unless told) that training never saw; an answer is right when every letter is. The programs are
build/programs/selection_plain and selection_attention.
"""
import argparse
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import curves  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "examples", "models"))
import selection  # noqa: E402

LENGTHS = (6, 12, 18, 24, 30, 36, 42, 48, 54, 60)
NAMES = {"selection_plain": "without attention", "selection_attention": "with attention"}


def error(name, length, count):
    texts = selection.held_out(length, count)
    program = os.path.join(ROOT, "build", "programs", name)
    done = subprocess.run([program], input="".join(text + "\n" for text in texts), capture_output=True, text=True, check=True)
    return selection.score(dict(zip(texts, map(list, done.stdout.splitlines()))))["texts"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plot", metavar="FILE", help="also draw it")
    parser.add_argument("--texts", type=int, default=1000)
    args = parser.parse_args()
    rates = {name: [error(name, length, args.texts) for length in LENGTHS] for name in NAMES}
    print("| letters, to write | " + " | ".join(f"{n}, {n // 3}" for n in LENGTHS) + " |\n|---|" + "---|" * len(LENGTHS))
    for name, label in NAMES.items():
        print(f"| {label} | " + " | ".join(f"{rate:.1f} %" for rate in rates[name]) + " |")
    if args.plot:
        with curves.picture(args.plot) as axes:
            for (name, label), colour in zip(NAMES.items(), ("#b2182b", "#2166ac")):
                axes.plot(LENGTHS, rates[name], "o-", color=colour, label=label)
            axes.axvspan(selection.SHORTEST, selection.LONGEST, color="#eeeeee", zorder=0)
            axes.text(selection.SHORTEST + 0.5, 103, "lengths seen in training", fontsize=8, color="#555555")
            axes.set(xlabel="letters read (a third of them to be written)", ylabel="wrong answers, %", ylim=(-3, 112), xlim=(5, 61))
            axes.legend(frameon=False, loc="center right")


if __name__ == "__main__":
    main()
