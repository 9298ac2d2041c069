"""Measures the spelling-to-pronunciation programs on all held-out words of CMUdict and prints the table of docs/models.md.

    g2p_table.py [--docs] [--beam 4] [NAME ...]

The programs are build/programs/NAME. Any pronunciation of a word that CMUdict has counts as right. Words per second are those of greedy search with
two threads, from start to end of the program, the better of two runs. model_table.py says what --docs writes.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cmudict_split as data  # noqa: E402
import model_table  # noqa: E402

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
    "g2p_alibi": "Press et al. 2022: pre-norm, ALiBi",
    "g2p_rotary": "Su et al. 2021: pre-norm, rotary positions",
    "g2p_aan": "Zhang et al. 2018: average attention in the decoder",
    "g2p_ssru": "Kim et al. 2019: SSRU in the decoder",
}


def main():
    parser = model_table.arguments(__doc__)
    parser.add_argument("--beam", type=int, default=4)
    args = parser.parse_args()
    truth = data.split("test")
    words = sorted(truth)

    def measure(program):
        lines, speed = model_table.fastest(program, words)
        rates = lambda lines: data.score(dict(zip(words, map(str.split, lines))), truth)
        greedy, wide = rates(lines), rates(model_table.answers(program, words, "--beam", str(args.beam))[0])
        errors = (greedy["stress"]["wer"], greedy["stress"]["per"], greedy["no_stress"]["wer"], wide["stress"]["wer"], wide["stress"]["per"])
        return [f"{model_table.parameters(program):,}", *(f"{rate:.2f} %" for rate in errors), f"{speed:,.0f}"]

    columns = ["parameters", "words, greedy", "phonemes", "words, no stress", f"words, beam {args.beam}", "phonemes", "words a second"]
    model_table.main(model_table.Table("g2p", PAPERS, "pronunciation", columns, measure, ("g2p_gru", "g2p_transformer")), args)


if __name__ == "__main__":
    main()
