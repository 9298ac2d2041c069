"""How sure programs that write dates are of each character of the right answer, as a table and a picture.

    dates_plot.py [--plot FILE] [NAME ...]

Of all held-out dates: the mean of -log2 of the probability that the program gives to each character after the right ones before it. The programs are
build/programs/NAME (./dev build NAME makes one).
"""
import argparse
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import curves  # noqa: E402
import model_table  # noqa: E402

sys.path.insert(0, os.path.join(model_table.ROOT, "examples", "models"))
import dates  # noqa: E402

NAMES = {"dates_plain": ("GRU, no attention", "#ef8a62"), "dates_seq2seq": ("stacked LSTM, no attention", "#b2182b"), "dates_attention": ("additive attention", "#2166ac")}
PLACES = list("YYYY-MM-DD")


def surprise(name, texts):
    """Bits, by the place in the answer."""
    program = os.path.join(model_table.ROOT, "build", "programs", name)
    lines, _ = model_table.answers(program, [f"{text}\t{dates.TRUTH[text]}" for text in texts], "--score", "--json")
    scores = [json.loads(line)["token_scores"] for line in lines]
    return [-sum(row[n] for row in scores) / len(scores) / 0.6931471805599453 for n in range(len(PLACES))]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="by default " + ", ".join(NAMES))
    parser.add_argument("--plot", metavar="FILE", help="also draw it")
    args = parser.parse_args()
    bits = {name: surprise(name, dates.TASK.held_out()) for name in args.names or NAMES}
    print("| model | " + " | ".join(PLACES) + " |\n|---|" + "---|" * len(PLACES))
    for name, row in bits.items():
        print(f"| {name} | " + " | ".join(f"{value:.4f}" for value in row) + " |")
    if args.plot:
        with curves.picture(args.plot) as axes:
            for name, row in bits.items():
                label, colour = NAMES.get(name, (name, None))
                axes.plot(range(len(PLACES)), row, "o-", color=colour, label=label, markersize=4)
            axes.set(xlabel="place in the answer", ylabel="bits of surprise", xticks=range(len(PLACES)))
            axes.set_xticklabels(PLACES)
            axes.legend(frameon=False, fontsize=8)


if __name__ == "__main__":
    main()
