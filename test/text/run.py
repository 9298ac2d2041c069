"""Text to tokens and back (runtime/program/Vocabulary.h), compared with the libraries that the models were made with, on many odd lines.

    run.py [--build FOLDER] [--filter TEXT]

  sentencepiece   models of several kinds, trained here: the numbers and texts that PyPI `sentencepiece` gives, and what `transformers`' tokenizers of MarianMT and T5 give
  byte pairs      merges that PyPI `tokenizers` trained, and BartTokenizer of `transformers`
  damaged         any bytes as a file of pieces are an error or a model
"""
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import warnings

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
import pieces  # noqa: E402
sys.path.insert(0, os.path.join(HERE, ".."))
import family  # noqa: E402

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
warnings.simplefilter("ignore")
SPECIAL = re.compile(r"<(unk|s|/s|pad|mask)>")       # tokens there, text here
SPACE = "\u2581"
KINDS = {
    "unigram": dict(size=400),
    "bpe": dict(size=400, kind="bpe"),
    "unigram with bytes": dict(size=600, byte_fallback=True),
    "bpe with bytes": dict(size=600, kind="bpe", byte_fallback=True, character_coverage=0.99),
    "as it is": dict(size=400, normalization_rule_name="identity", remove_extra_whitespaces=False, add_dummy_prefix=False),
    "folded": dict(size=400, normalization_rule_name="nmt_nfkc_cf", split_digits=True),
    "space behind": dict(size=400, treat_whitespace_as_suffix=True),
    "own symbols": dict(size=400, user_defined_symbols=["<sep>", "attention"], unk_surface=" ? "),
    "characters": dict(size=90, kind="char"),
    "words": dict(size=400, kind="word"),
}


def check(program, unit, path, vocabulary, lines, *options):
    """For each line (numbers, text), or the error; complains of a text that does not grow from token to token."""
    done = subprocess.run([program, unit, path, vocabulary, *options], input="".join(line + "\n" for line in lines).encode("utf-8"), capture_output=True)
    if done.returncode != 0:
        return None, done.stderr.decode(errors="replace")
    answers = []
    for answer in done.stdout.decode("utf-8", errors="surrogateescape").split("\n")[:-1]:
        if answer.startswith("error: "):
            answers.append(answer)
            continue
        numbers, rest = answer.split("\t", 1)
        text, begins = rest.rsplit("\t", 1)
        if begins != "begins":
            answers.append(f"the text of {numbers} is not what its tokens began with")
            continue
        answers.append(([int(n) for n in numbers.split()], text))
    return answers, ""


def compare(name, lines, answers, wanted, report):
    """`wanted`: (numbers, text) of each line."""
    if answers is None or len(answers) != len(lines):
        return report(name, False, f"{answers and len(answers)} answers to {len(lines)} lines")
    wrong = [f"{line!r}\n  wanted {right}\n  found  {answer}" for line, answer, right in zip(lines, answers, wanted) if answer != right]
    report(name, not wrong, f"{len(lines) - len(wrong)} of {len(lines)} lines equal\n" + "\n".join(wrong[:5]))


def sentencepieces(program, folder, report):
    lines = pieces.lines()
    for kind, options in KINDS.items():
        path = os.path.join(folder, "pieces.spm")
        known = pieces.train(path, **options)
        answers, _ = check(program, "sentencepiece", path, "-", lines)
        texts = [known.decode([known.id_to_piece(n) for n in known.encode(line)]).replace(SPACE, " ") for line in lines]
        compare(f"sentencepiece: {kind}", lines, answers, [(known.encode(line), text) for line, text in zip(lines, texts)], report)


def marian(program, folder, report):
    """Two models of pieces with one vocabulary that lacks some of both and has language codes; the tokenizer of `transformers` for it."""
    import transformers
    source = pieces.train(os.path.join(folder, "source.spm"), 300)
    target = pieces.train(os.path.join(folder, "target.spm"), 280, "bpe")
    both = sorted({known.id_to_piece(n) for known in (source, target) for n in range(3, known.get_piece_size())})
    tokens = ["</s>", "<unk>"] + [piece for n, piece in enumerate(both) if len(piece) < 4 or n % 9] + [">>fra<<", ">>deu_Latn<<", "<pad>"]
    with open(os.path.join(folder, "vocab.json"), "w", encoding="utf-8") as file:
        json.dump({token: n for n, token in enumerate(tokens)}, file)
    with open(os.path.join(folder, "vocab"), "w", encoding="utf-8") as file:
        file.write("".join(token + "\n" for token in tokens))
    tokenizer = transformers.MarianTokenizer(os.path.join(folder, "source.spm"), os.path.join(folder, "target.spm"), os.path.join(folder, "vocab.json"))
    # Special tokens that are written out, and a code that the vocabulary lacks or that stands within the line, are text in one of them and tokens in the other.
    lines = [line for line in pieces.lines() + pieces.sentences()[:300] if ">>" not in line.removeprefix(">>fra<<") and not SPECIAL.search(line)]
    for side in ("source", "target"):
        path = os.path.join(folder, f"{side}.spm")
        answers, _ = check(program, "sentencepiece", path, os.path.join(folder, "vocab"), lines, "--unknown", "<unk>", "--with", ">>*<<")
        given = [(tokenizer(line) if side == "source" else tokenizer(text_target=line))["input_ids"][:-1] for line in lines]
        # An unknown token is `<unk>` there and the library's text for it here; no text has blanks at its ends there.
        texts = [None if 1 in ids else tokenizer.decode(ids, use_source_tokenizer=side == "source") for ids in given]
        found = [answer if isinstance(answer, str) else (answer[0], None if 1 in answer[0] else answer[1].strip(" ")) for answer in answers or []]
        compare(f"transformers' MarianTokenizer, {side}", lines, found, list(zip(given, texts)), report)
        report(f"MarianTokenizer, {side}: most texts are compared", sum(text is not None for text in texts) > 150, f"{sum(text is not None for text in texts)}")


def t5(program, folder, report):
    import transformers
    path = os.path.join(folder, "spiece.model")
    pieces.train(path, 400, pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    named = [f"<extra_id_{n}>" for n in range(99, -1, -1)]
    options = [part for name in named for part in ("--with", name)] + ["--tokens", "512"]
    lines = ["The <extra_id_0> walks in <extra_id_1> park.", "<extra_id_99>", "a<extra_id_5>b", "  <extra_id_1>  <extra_id_0> "] + pieces.sentences()[:100]
    answers, _ = check(program, "sentencepiece", path, "-", lines, *options)
    tokenizer = transformers.T5Tokenizer.from_pretrained(folder)
    wanted = [tokenizer(line)["input_ids"][:-1] for line in lines]
    compare("transformers' T5Tokenizer", lines, answers and [answer[0] for answer in answers], wanted, report)
    answers = [answer for answer in answers or [] if 2 not in answer[0]]
    back, _ = check(program, "sentencepiece", path, "-", [answer[1] for answer in answers], *options)
    compare("T5: text of sentinels is read as it is written", [answer[1] for answer in answers], back, answers, report)



def byte_pairs(program, folder, report):
    """GPT-2's and BART's: merges trained by `tokenizers`, which is the reference too, with all its special tokens."""
    import tokenizers
    import transformers
    trained = tokenizers.ByteLevelBPETokenizer()
    trained.train_from_iterator(pieces.sentences() + pieces.ODD * 3, vocab_size=700, min_frequency=2, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"], show_progress=False)
    trained.save_model(folder)
    tokenizer = transformers.BartTokenizer.from_pretrained(folder, mask_token=tokenizers.AddedToken("<mask>", lstrip=True))      # as published
    tokens = tokenizer.get_vocab()
    vocabulary, merges = os.path.join(folder, "vocab"), os.path.join(folder, "merges.txt")
    with open(vocabulary, "w", encoding="utf-8") as file:
        file.write("".join(token + "\n" for token in sorted(tokens, key=tokens.get)))
    lines = [line for line in pieces.lines(1000) if not SPECIAL.search(line)] + ["It <mask> a <mask>.", "<mask>", "a  <mask><mask>  b", "  <mask>"]
    answers, message = check(program, "bytepairs", merges, vocabulary, lines, "--with", "<mask>", "--without", "<s>", "--without", "<pad>", "--unknown", "<unk>")
    wanted = [tokenizer(line, add_special_tokens=False)["input_ids"] for line in lines]
    # A space stands before the mask here, so that it can be read again.
    compare("byte pairs: transformers' BartTokenizer", lines, answers, [(ids, line if "<mask>" not in line else answer[1]) for ids, line, answer in zip(wanted, lines, answers)], report)
    masks = [answer[1] for answer in answers if 4 in answer[0]]
    report("byte pairs: the mask in a text", masks == ["It <mask> a <mask>.", "<mask>", "a <mask> <mask>  b", "<mask>"], str(masks))

    # Tokens in any order: bytes that make no character, special tokens in between.
    draw, fed = random.Random(9), []
    for _ in range(300):
        fed.append([draw.randrange(5, len(tokens)) if draw.random() < 0.6 else draw.randrange(5, 261) for _ in range(draw.randrange(1, 9))])
    answers, _ = check(program, "bytepairs", merges, vocabulary, [" ".join(map(str, ids)) for ids in fed], "--numbers", "")
    compare("byte pairs: text of any tokens", fed, answers, [(ids, tokenizer.decode(ids, clean_up_tokenization_spaces=False).replace("\n", " ")) for ids in fed], report)
    for bad, sentence in (("a b\nc\n", "line 2 is not two pieces"), ("a  b\n", "line 1 is not two pieces"), ("a b c\n", "line 1 is not two pieces")):
        with open(os.path.join(folder, "bad.txt"), "w", encoding="utf-8") as file:
            file.write(bad)
        answers, message = check(program, "bytepairs", os.path.join(folder, "bad.txt"), vocabulary, [])
        report(f"byte pairs: {sentence}, {bad!r}", answers is None and message.startswith(f"error: pieces `pieces`: {sentence}"), message)


def damaged(program, folder, report, count=60):
    """Files with bytes changed, cut and put in give one error, or read lines."""
    draw = random.Random(5)
    path, bad = os.path.join(folder, "pieces.spm"), os.path.join(folder, "bad.spm")
    wrong, read = [], 0
    for n in range(count):
        if n % 20 == 0:
            pieces.train(path, 400, ["unigram", "bpe", "unigram"][n // 20], byte_fallback=False)
            with open(path, "rb") as file:
                good = file.read()
        data = bytearray(good)
        for _ in range(draw.choice([1, 3, 30])):
            at = draw.randrange(len(data) + 1) if draw.random() < 0.5 else draw.randrange(40)
            data[at:at + draw.choice([0, 1, 1, 4, 1000])] = draw.randbytes(draw.choice([0, 1, 1, 4]))
        with open(bad, "wb") as file:
            file.write(data)
        done = subprocess.run([program, "sentencepiece", bad, "-"], input="Hello world.\nnaïve\n".encode(), capture_output=True)
        message = done.stderr.decode(errors="replace")
        read += done.returncode == 0
        if not (done.returncode == 0 or (done.returncode == 1 and message.startswith("error: pieces `pieces`: ") and message.count("\n") == 1)):
            wrong.append(f"file {n}: exit code {done.returncode}: {message[-300:]}")
    report("sentencepiece: damaged files are one error or a model", not wrong and 0 < read < count, f"{read} of {count} read\n" + "\n".join(wrong[:5]))


def main():
    options = family.parser(__doc__).parse_args()
    tests = family.Tests(options)
    program = os.path.join(options.build, "bin", "text-check")
    for group in (sentencepieces, marian, t5, byte_pairs, damaged):
        with tempfile.TemporaryDirectory() as folder:
            group(program, folder, tests.report)
    return tests.exit_code()


if __name__ == "__main__":
    sys.exit(main())
