"""Measures the programs that write dates as ISO dates on 5,000 held-out dates and prints the table of docs/models.md.

    dates_table.py [--docs] [NAME ...]

The programs are build/programs/NAME. A date is wrong unless every character is right. Dates per second are those of greedy search with two threads,
from start to end of the program, the better of two runs. model_table.py says what --docs writes.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import model_table  # noqa: E402

sys.path.insert(0, os.path.join(model_table.ROOT, "examples", "models"))
import dates  # noqa: E402

PAPERS = {
    "dates_plain": "Cho et al. 2014: GRU, no attention",
    "dates_seq2seq": "Sutskever et al. 2014: stacked LSTM, read backwards, no attention",
    "dates_attention": "Bahdanau et al. 2014: additive score",
    "dates_luong_general": "Luong et al. 2015: general, input feeding",
    "dates_luong_local_p": "Luong et al. 2015: local-p, 4 on each side",
    "dates_conv": "Gehring et al. 2017: gated convolutions",
    "dates_transformer": "Vaswani et al. 2017: Transformer, pre-norm",
}


def main():
    args = model_table.arguments(__doc__).parse_args()
    texts = dates.TASK.held_out()

    def measure(program):
        lines, speed = model_table.fastest(program, texts)
        wrong = sum(line != dates.TRUTH[text] for text, line in zip(texts, lines))
        return [f"{model_table.parameters(program):,}", f"{wrong} of {len(texts):,}", f"{speed:,.0f}"]

    columns = ["parameters", "wrong", "dates a second"]
    model_table.main(model_table.Table("dates", PAPERS, "21st of august, 2016", columns, measure), args)


if __name__ == "__main__":
    main()
