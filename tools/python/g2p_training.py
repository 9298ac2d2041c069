"""Spelling to pronunciation as a task: what every train.py of examples/models/g2p_* but g2p_transformer's trains on. Words, tokens and split are
those of cmudict_split.py."""
import os
import random
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cmudict_split as data  # noqa: E402
import sequence_training as training  # noqa: E402


def pairs():
    return [(word, phones) for word, pronunciations in data.split("train").items() for phones in pronunciations]


def held_out():
    words = sorted(data.split("test"))
    random.Random(3).shuffle(words)
    return words


def score(answers):
    words = data.words()
    rates = data.score(answers, {word: words[word] for word in answers})
    return {"words": rates["stress"]["wer"], "phonemes": rates["stress"]["per"],
            "words, no stress": rates["no_stress"]["wer"], "phonemes, no stress": rates["no_stress"]["per"]}


TASK = training.Task(data.GRAPHEMES, data.PHONEMES, 40, pairs, held_out, score, lambda: sorted(data.split("valid")))
