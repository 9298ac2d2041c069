"""What a line costs by the width of the beam, or by the length of the input, as a table and a picture.

    speed_plot.py PROGRAM --beams 1,2,4,8 | --inputs 16,32,64 [--text FILE] [--tokens N] [--plot FILE]

32 lines of words from FILE (docs/design.md unless told), each answered with N tokens (20 unless told), on one thread; the best of three runs, less that of an empty
input. With --beams lines have 16 words; with --inputs as many as said, and search is greedy.
"""
import argparse
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import curves  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LINES = 32


def seconds(program, lines, *arguments):
    """Of a run, the best of three."""
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run([program, "--threads", "1", *map(str, arguments)], input="".join(line + "\n" for line in lines), capture_output=True, text=True, check=True)
        best = min(best, time.perf_counter() - began)
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = lambda text: [int(n) for n in text.split(",")]
    parser.add_argument("program")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--beams", type=numbers, metavar="N,...")
    what.add_argument("--inputs", type=numbers, metavar="N,...")
    parser.add_argument("--text", metavar="FILE", default=os.path.join(ROOT, "docs", "design.md"))
    parser.add_argument("--tokens", type=int, default=20)
    parser.add_argument("--plot", metavar="FILE")
    args = parser.parse_args()
    with open(args.text, encoding="utf-8") as file:
        words = re.findall(r"[A-Za-z]+", file.read())
    of = lambda length: [" ".join(words[(n * length + k) % len(words)] for k in range(length)) for n in range(LINES)]
    program, limits = os.path.abspath(args.program), ("--min-length", args.tokens, "--max-length", args.tokens)
    start = seconds(program, [], *limits)
    if args.beams:
        title, places, runs = "hypotheses", args.beams, [(of(16), "--beam", beam) for beam in args.beams]
    else:
        title, places, runs = "words of the input", args.inputs, [(of(length), "--beam", 1) for length in args.inputs]
    times = [1000 * (seconds(program, lines, *limits, *options) - start) / LINES for lines, *options in runs]
    print(f"| {title} | " + " | ".join(map(str, places)) + " |\n|---|" + "---|" * len(places))
    print("| ms a line | " + " | ".join(f"{t:.2f}" for t in times) + " |")
    if args.plot:
        with curves.picture(args.plot) as axes:
            axes.plot(places, times, "o-", color="#2166ac", markersize=4)
            axes.set(xlabel=title, ylabel="milliseconds a line", xlim=(0, None), ylim=(0, None), xticks=places)


if __name__ == "__main__":
    main()
