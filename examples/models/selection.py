"""Selection as a task: a third of the letters are capitals; write them, in order, as small letters. `kQxFaz` gives `qf`. What has to be kept grows
with the length, so a vector of fixed size fills up, while attention has only to find the next capital (the argument of Bahdanau, Cho and Bengio
2014, section 5.2.2). Training sees 6 to 30 letters, 2 to 10 of them capitals; tests go to 60, of which 20 are."""
import os
import random
import string
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "python"))
import sequence_training as training  # noqa: E402

SHORTEST, LONGEST = 6, 30


def draw(generator, length):
    """A text of `length` letters, a third of them capitals."""
    letters = generator.choices(string.ascii_lowercase, k=length)
    for place in generator.sample(range(length), length // 3):
        letters[place] = letters[place].upper()
    return "".join(letters)


def selected(text):
    return [c.lower() for c in text if c.isupper()]


def pairs():
    generator = random.Random(1)
    texts = [draw(generator, generator.randint(SHORTEST, LONGEST)) for _ in range(80000)]
    return [(text, selected(text)) for text in texts]


def held_out(length=LONGEST, count=1000):
    generator = random.Random(1000 + length)
    return [draw(generator, length) for _ in range(count)]


def score(answers):
    return {"texts": 100 * sum(tokens != selected(text) for text, tokens in answers.items()) / len(answers)}


TASK = training.Task(["<pad>", "<unk>", "</s>"] + list(string.ascii_letters), ["<pad>", "<s>", "</s>"] + list(string.ascii_lowercase), 24,
                     pairs, held_out, score, lambda: held_out(LONGEST, 500), words=False)
