"""Builds the models of published checkpoints (examples/models/marian, bart, t5) with random weights that PyPI `transformers` wrote, and compares the
programs with it, from text to text; exit code 1 if they differ.

    compare_checkpoints.py FOVEA [NAME]...

  greedy    lines of 1 to 200 tokens: the tokens that `generate` gives for what the tokenizer makes of the line, its text of them, and the logits of every
            step within 1e-4; tokens that `generate` rules out have logits of -infinity
  beam      some of them, beam 4: the tokens that `generate` gives without length penalty
  prefix, score   what results begin with, and the log-probability of outputs, both given as text (BART: as tokens)
  stream    the same text token by token;  by tokens: the same tokens where tokens are read
"""
import json
import os
import random
import re
import subprocess
import sys
import tempfile

import checkpoints
import numpy
import program
import torch
from checkpoints import pieces

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = ["marian", "marian_two_vocabularies", "bart", "bart_bare", "t5", "t5_untied"]


def lines_of(tokenizer, count=20):
    """Lines of text: sentences, one word, and what has up to 200 tokens."""
    known = [sentence for sentence in pieces.sentences() if 2 < len(tokenizer(sentence)["input_ids"]) < 60]
    draw = random.Random(3)
    lines = draw.sample(known, count) + ["attention", "  odd  blanks, \u00bd and na\u00efve \u65e5\u672c  "]
    for most in (130, 200):
        text = ""
        for sentence in draw.sample(known, len(known)):
            if len(tokenizer(text + " " + sentence)["input_ids"]) < most:
                text += " " + sentence
        lines.append(text)
    return lines


UNKNOWN = "⁇"


def said(tokenizer, tokens):
    """Tokens and text as the program has them: T5's sentinels stand in the text by their names; numbers without a token have a name and no text. Of an unknown
    token SentencePiece writes ` ⁇ ` (docs/programs.md), where transformers leaves it out."""
    names = [name or f"<unused {token}>" for token, name in zip(tokens, tokenizer.convert_ids_to_tokens(tokens))]
    unknown = None if type(tokenizer).__name__.startswith("Bart") else tokenizer.unk_token
    parts, run = [], []
    for token, name in zip(tokens + [None], names + ["<extra_id_"]):
        if not name.startswith("<extra_id_") and name != unknown:
            run.append(token)
            continue
        parts += [tokenizer.decode(run, skip_special_tokens=True).strip(" ")] + ([UNKNOWN if name == unknown else name] if token is not None else [])
        run = []
    return names, " ".join(part for part in parts if part)


def reference(model, rows, **options):
    """What `generate` gives: per source the tokens without start and end, and the logits of its steps (greedy search alone)."""
    config = model.config
    longest = max(map(len, rows))
    ids = torch.tensor([row + [config.pad_token_id] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    with torch.no_grad():
        given = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=checkpoints.LIMIT, do_sample=False, return_dict_in_generate=True,
                               output_scores=True, **options)
        logits = model(input_ids=ids, attention_mask=mask, decoder_input_ids=given.sequences[:, :-1]).logits
    tokens, steps = [], []
    for row in given.sequences[:, 1:].tolist():
        ended = config.eos_token_id in row
        tokens.append(row[:row.index(config.eos_token_id)] if ended else row)
        steps.append(len(tokens[-1]) + ended)
    if "num_beams" in options or "decoder_input_ids" in options:
        return tokens, None
    ruled_out = torch.isinf(torch.stack(given.scores, 1))
    logits = torch.where(ruled_out, torch.tensor(-numpy.inf), logits)
    return tokens, [logits[n, :count].numpy() for n, count in enumerate(steps)]


def compare_given(name, built, model, tokenizer, lines, rows):
    """Outputs that are given, as text: what results begin with, and what `--score` scores. BART's have `<s>` first, which no text has, so it reads tokens."""
    config, bart = model.config, name.startswith("bart")
    inner = lambda text: [token for token in tokenizer(text_target=text)["input_ids"] if token not in (tokenizer.bos_token_id, tokenizer.eos_token_id)]
    begin, start = [config.bos_token_id] if bart else [], [model.generation_config.decoder_start_token_id]
    words = lambda tokens: " ".join(tokenizer.convert_ids_to_tokens(begin + tokens))
    options = ["--tokens"] if bart else []
    read = [" ".join(tokenizer.convert_ids_to_tokens(row[1:-1])) for row in rows] if bart else lines

    text = "The model"
    prefix = begin + inner(text)
    wanted, _ = reference(model, rows, decoder_input_ids=torch.tensor([start + prefix] * len(rows)))
    wanted = [tokens[:checkpoints.LIMIT] for tokens in wanted]
    answers = [json.loads(answer)["tokens"] for answer in program.run(built, read, "--json", "--prefix", words(inner(text)) if bart else text, *options)]
    same = sum(said(tokenizer, tokens)[0] == answer for tokens, answer in zip(wanted, answers))
    print(f"{name} prefix: {same} of {len(lines)} lines have equal tokens")

    outputs = [line for line in pieces.sentences() if 2 < len(inner(line)) < checkpoints.LIMIT - 2][:len(lines)]
    worst = 0.0
    given = program.run(built, [f"{line}\t{words(inner(output)) if bart else output}" for line, output in zip(read, outputs)], "--score", *options)
    for row, output, answer in zip(rows, outputs, given):
        tokens = begin + inner(output) + [config.eos_token_id]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([row]), decoder_input_ids=torch.tensor([start + tokens[:-1]])).logits[0].double()
        if name.startswith("marian"):
            logits[:, config.pad_token_id] = -numpy.inf
        gains = torch.log_softmax(logits, -1)[range(len(tokens)), tokens]
        worst = max(worst, abs(float(gains[1 if bart else 0:].sum()) - float(answer)))
    print(f"{'FAILED: ' if worst > 1e-3 else ''}{name} score: differs by {worst:.1e} at most in {len(given)} outputs, 1e-3 is allowed")
    return same == len(lines) and worst <= 1e-3


def compare(name, fovea, folder):
    model, tokenizer = checkpoints.save(name, folder)
    built = os.path.join(folder, "program")
    text = os.path.join(HERE, "..", "..", "examples", "models", name.split("_")[0], "model.attn")
    done = subprocess.run([fovea, "build", text, "--weights", os.path.join(folder, "model.safetensors"), "-o", built], capture_output=True, text=True)
    if done.returncode != 0:
        print(f"{name} builds: 0 of 1 equal\n{done.stderr}")
        return False
    lines = lines_of(tokenizer)
    rows = [tokenizer(line)["input_ids"] for line in lines]

    def answers_of(lines, *arguments):
        objects = [json.loads(answer) for answer in program.run(built, lines, "--json", *arguments)]
        return [(answer["tokens"], re.sub(f" *{UNKNOWN} *", f" {UNKNOWN} ", answer["text"]).strip(" ")) for answer in objects]

    def count_same(title, wanted, answers):
        same = sum(said(tokenizer, tokens) == answer for tokens, answer in zip(wanted, answers))
        for tokens, answer in zip(wanted, answers):
            if said(tokenizer, tokens) != answer:
                print(f"  transformers {said(tokenizer, tokens)}\n  program      {answer}")
        print(f"{name} {title}: {same} of {len(answers)} lines have equal tokens and text; {len({text for _, text in answers})} texts differ")
        return same == len(answers)

    greedy, logits = reference(model, rows)
    with tempfile.TemporaryDirectory() as scratch:
        answers = answers_of(lines, "--logits", scratch)
        found = [numpy.load(os.path.join(scratch, f"{n:06}-logits.npy")) for n in range(1, len(lines) + 1)]
    good = count_same("greedy", greedy, answers)
    print(f"{name}: {sum(len(rows) < checkpoints.LIMIT for rows in logits)} end before the limit")
    finite = lambda rows: numpy.where(numpy.isneginf(rows), numpy.float32(-1e3), rows)
    good &= program.compare_logits(f"{name} logits", [finite(rows) for rows in found], [finite(rows) for rows in logits])

    wanted, _ = reference(model, rows[8:], num_beams=4, length_penalty=0.0, early_stopping=False)
    good &= count_same("beam 4", wanted, answers_of(lines[8:], "--beam", 4))

    plain = program.run(built, lines)
    streamed = program.run(built, lines, "--stream")
    print(f"{name} stream: {sum(a == b for a, b in zip(plain, streamed))} of {len(lines)} lines equal")
    # Tokens in, tokens out. What the vocabulary does not have is unknown in both; a special token written out is unknown, so such lines are left out.
    special = set(tokenizer.all_special_tokens) - {"<unk>"}
    words = {n: token for token, n in getattr(tokenizer, "encoder", tokenizer.get_vocab()).items()}        # of the source
    tokens = {n: [words[token] for token in row[int(row[0] == tokenizer.bos_token_id):-1]] for n, row in enumerate(rows)}
    chosen = [n for n, row in tokens.items() if not special & set(row)]
    answers = program.run(built, [" ".join(tokens[n]) for n in chosen], "--tokens")
    same = sum(answer == " ".join(said(tokenizer, greedy[n])[0]) for n, answer in zip(chosen, answers))
    print(f"{name} by tokens: {same} of {len(chosen)} lines equal")
    good &= plain == streamed and same == len(chosen) > 0
    return compare_given(name, built, model, tokenizer, lines, rows) and good


def main():
    fovea, names = sys.argv[1], sys.argv[2:] or NAMES
    good = True
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            good &= compare(name, fovea, folder)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
