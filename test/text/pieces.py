"""Models of pieces for the tests, trained on the repository's own pages."""
import glob
import io
import os
import random
import re

import sentencepiece

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def sentences():
    """Sentences of the pages, in order; none names a special token."""
    paths = [os.path.join(ROOT, "README.md")] + sorted(glob.glob(os.path.join(ROOT, "docs", "*.md")))
    found = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            text = re.sub(r"```.*?```|\|.*?\n", " ", file.read(), flags=re.S)
        found += [" ".join(part.split()) for part in re.split(r"(?<=[.:])\s|\n\n", text)]
    return [sentence for sentence in found if 8 < len(sentence) < 400 and not re.search(r"<[/\w]|>>|<<", sentence)]


def train(path, size, kind="unigram", **options):
    """Writes a model of SentencePiece, and gives its library's processor for it."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(sentences()), model_writer=model, vocab_size=size, model_type=kind, minloglevel=2, num_threads=1, **options)
    with open(path, "wb") as file:
        file.write(model.getvalue())
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


ODD = ["", " ", "   ", "a", " a  b ", "tab\there", "Hello, world!", "don't  won't I'll we've  they're", "x" * 300, "  three   spaces ", "naïve café ﬁne ½ ①",
       "Ünïcödé ẞ ß ſ", "日本語のテキスト、句読点。", "中文 混合 text", "한국어", "Ελληνικά", "עברית", "العربية ١٢٣", "हिन्दी", "emoji 🎈👩‍👩‍👧 ok", "e\u0301 and é", "\u200bzero\u200dwidth",
       "no\u00a0break\u2009thin\u3000wide", "１２３ ＡＢＣ", "12345678901234567890", "a1b2c3 3.14 1,000,000", "...!!!???", "<unk> <s> </s> <pad>", "<extra_id_0> in <extra_id_1>.",
       ">>fra<< Bonjour", "a >>fra<< b", ">>xxx<< none", "▁ low ▁line▁", "\x01\x02 control \x7f", "\ufeffmark", "\u2028line\u2029", "end.  ", "it's  'quoted'", "CamelCase snake_case",
       "\U0010ffff \ue000 private", "ＡＢＣ ｶﾅ", "Ⅻ ² ₃ ٣ ৩", "a\u0300\u0301\u0302", "ab\r", "tabs\t\tand  \t mixed", "’curly’ “quotes” – — …", "{}[]()<>|\\/~`@#$%^&*_+="]


def lines(count=400, seed=11):
    """Odd lines, sentences of the pages, and both with characters changed at random; none has a line feed."""
    draw = random.Random(seed)
    known = sentences()
    made = list(ODD)
    while len(made) < count:
        line = draw.choice(known if draw.random() < 0.7 else ODD)
        for _ in range(draw.choice([0, 0, 1, 3])):
            at = draw.randrange(len(line) + 1)
            line = line[:at] + draw.choice([" ", "  ", "é", "日", "🎈", "\u0301", "'", "0", "Z", "\t", "\u00a0", draw.choice(known)[:7]]) + line[at:]
        made.append(line)
    return [line.replace("\n", " ") for line in made]
