"""Error against length of programs that pronounce words, as a table and docs/images/length.png.

    g2p_length_plot.py [--plot FILE] [NAME ...]

Of all held-out words, by their letters: how many in a hundred are wrong, stress counted. The programs are build/programs/NAME (./dev build NAME makes one).
"""
import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import curves  # noqa: E402
import g2p_training as g2p  # noqa: E402
import model_table  # noqa: E402

NAMES = {"g2p_seq2seq": ("stacked LSTM, no attention", "#b2182b"), "g2p_gru": ("GRU, no attention (g2p_en's weights)", "#ef8a62"),
         "g2p_bahdanau": ("additive attention", "#67a9cf"), "g2p_transformer": ("Transformer", "#2166ac")}
SHORTEST, LONGEST = 3, 15              # what is longer or shorter counts as these


def errors(name, words):
    """By length, the errors in percent."""
    lines, _ = model_table.answers(os.path.join(model_table.ROOT, "build", "programs", name), words)
    by_length = {}
    for word, line in zip(words, lines):
        by_length.setdefault(min(max(len(word), SHORTEST), LONGEST), {})[word] = line.split()
    return [g2p.TASK.score(by_length[length])["words"] for length in range(SHORTEST, LONGEST + 1)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="by default " + ", ".join(NAMES))
    parser.add_argument("--plot", metavar="FILE", help="also draw it")
    args = parser.parse_args()
    words, lengths = g2p.TASK.held_out(), range(SHORTEST, LONGEST + 1)
    rates = {name: errors(name, words) for name in args.names or NAMES}
    print("| letters | " + " | ".join(map(str, lengths)) + " |\n|---|" + "---|" * len(lengths))
    for name, rate in rates.items():
        print(f"| {name} | " + " | ".join(f"{r:.0f} %" for r in rate) + " |")
    if args.plot:
        with curves.picture(args.plot) as axes:
            for name, rate in rates.items():
                label, colour = NAMES.get(name, (name, None))
                axes.plot(lengths, rate, "o-", color=colour, label=label, markersize=4)
            axes.set(xlabel=f"letters of the word ({SHORTEST}: or fewer, {LONGEST}: or more)", ylabel="wrong words, %", ylim=(0, None))
            axes.legend(frameon=False, fontsize=8)


if __name__ == "__main__":
    main()
