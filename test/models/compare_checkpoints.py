"""Builds the models of published checkpoints (examples/models/marian, bart, t5) with random weights that PyPI `transformers` wrote, and compares the
programs with it; exit code 1 if they differ.

    compare_checkpoints.py FOVEA [NAME]...

  greedy    lines of 1 to 200 words: the tokens that `generate` gives, and the logits of every step within 1e-4; tokens that `generate` rules
            out have logits of -infinity
  beam      15 of them, beam 4: the tokens that `generate` gives without length penalty
"""
import os
import subprocess
import sys
import tempfile

import checkpoints
import numpy
import program
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = ["marian", "marian_two_vocabularies", "bart", "t5", "t5_untied"]


def lines_of(count=20):
    """Lists of numbers of tokens, none of them special."""
    generator = torch.Generator().manual_seed(3)
    lengths = torch.randint(1, 25, (count,), generator=generator).tolist() + [1, 130, 200]
    return [torch.randint(4, 89, (length,), generator=generator).tolist() for length in lengths]


def reference(model, sources, **options):
    """What `generate` gives: per source the tokens without start and end, and the logits of its steps (greedy search alone)."""
    config = model.config
    rows = [([config.bos_token_id] if config.model_type == "bart" else []) + source + [config.eos_token_id] for source in sources]
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
    if "num_beams" in options:
        return tokens, None
    ruled_out = torch.isinf(torch.stack(given.scores, 1))
    logits = torch.where(ruled_out, torch.tensor(-numpy.inf), logits)
    return tokens, [logits[n, :count].numpy() for n, count in enumerate(steps)]


def compare(name, fovea, folder):
    model, words = checkpoints.save(name, folder)
    built = os.path.join(folder, "program")
    text = os.path.join(HERE, "..", "..", "examples", "models", name.split("_")[0], "model.attn")
    done = subprocess.run([fovea, "build", text, "--weights", os.path.join(folder, "model.safetensors"), "-o", built], capture_output=True, text=True)
    if done.returncode != 0:
        print(f"{name} builds: 0 of 1 equal\n{done.stderr}")
        return False
    sources = lines_of()
    spoken = lambda tokens: " ".join(f"w{n}" for n in tokens)
    lines = [spoken(source) for source in sources]
    said = lambda tokens: " ".join(words[n] for n in tokens)

    wanted, logits = reference(model, sources)
    answers, found = program.logits(built, lines)
    same = sum(said(tokens) == answer for tokens, answer in zip(wanted, answers))
    print(f"{name} greedy: {same} of {len(lines)} equal; {len(set(answers))} answers differ, {sum(len(rows) < checkpoints.LIMIT for rows in logits)} end")
    finite = lambda rows: numpy.where(numpy.isneginf(rows), numpy.float32(-1e3), rows)
    good = program.compare_logits(f"{name} logits", [finite(rows) for rows in found], [finite(rows) for rows in logits])
    good &= same == len(lines)

    sources, lines = sources[8:], lines[8:]
    wanted, _ = reference(model, sources, num_beams=4, length_penalty=0.0, early_stopping=False)
    answers = program.run(built, lines, "--beam", 4)
    same = sum(said(tokens) == answer for tokens, answer in zip(wanted, answers))
    for tokens, answer in zip(wanted, answers):
        if said(tokens) != answer:
            print(f"  transformers {said(tokens)}\n  program      {answer}")
    print(f"{name} beam 4: {same} of {len(lines)} equal")
    return good and same == len(lines)


def main():
    fovea, names = sys.argv[1], sys.argv[2:] or NAMES
    good = True
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            good &= compare(name, fovea, folder)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
