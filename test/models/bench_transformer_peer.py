"""Times the plain PyTorch greedy search of g2p_transformer, with its KV cache and batches sorted by length; prints one line of JSON.

    bench_transformer_peer.py [--model DIR] [--words 10000] [--batch 256] [--threads 2] [--repeat 3] [--output FILE]

words_per_second is from the fastest repeat, words_per_second_median from the median; neither counts starting Python and loading weights.
peak_rss_bytes is of the whole process. FILE gets the answers, a line a word, in the order of `--print-words`.
"""
import argparse
import json
import os
import resource
import sys
import time

import compare_transformer
import reference_transformer as reference
import torch


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=os.path.join(compare_transformer.HERE, "..", "..", "examples", "models", "g2p_transformer"))
    parser.add_argument("--words", type=int, default=10000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--output")
    parser.add_argument("--print-words", action="store_true", help="print the words and stop")
    parser.add_argument("--input", help="take the words from this file instead")
    args = parser.parse_args()
    if args.input:
        with open(args.input, encoding="utf-8") as f:
            words = f.read().split("\n")[:-1]
    else:
        words = compare_transformer.held_out(args.words)
    if args.print_words:
        print("\n".join(words))
        sys.exit(0)
    torch.set_num_threads(args.threads)
    model = reference.Reference(args.model)
    model.greedy(words[:2 * args.batch], args.batch)
    seconds = []
    for _ in range(args.repeat):
        began = time.perf_counter()
        answers = model.greedy(words, args.batch)
        seconds.append(time.perf_counter() - began)
    if args.output:
        with open(args.output, "w", encoding="utf-8") as f:
            f.write("".join(" ".join(a) + "\n" for a in answers))
    seconds.sort()
    print(json.dumps({
        "implementation": "PyTorch " + torch.__version__, "words": len(words), "batch": args.batch, "threads": args.threads,
        "words_per_second": len(words) / seconds[0], "words_per_second_median": len(words) / seconds[len(seconds) // 2],
        "seconds": seconds, "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


if __name__ == "__main__":
    main()
