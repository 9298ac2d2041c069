"""Compares a program with the PyTorch Network of its model's train.py; exit code 1 if they differ.

    compare_network.py NAME PROGRAM [--weights FILE] [--inputs N] [--beam-inputs N] [--ensemble-inputs N] [--map-inputs N] [--threads N]

Network and TASK are in examples/models/NAME/train.py (tools/python/sequence_training.py says what they are).

  greedy    every held-out input (or the first N): the same tokens, the log-probability within 1e-4 a step
  logits    300 inputs: the logits of every step within 1e-4
  beam      N inputs, beam 4, 4 answers each: the same tokens in the same order (equal scores may change places), scores within 1e-4 a step, and the
            logits along the best answer within 1e-4
  ensemble  N inputs, the same with two files of weights
  maps      N inputs: every traced map within 1e-4
  states    the same inputs: after every step each state that both sides name, traced in a copy of the model, within 1e-4
  long      40 inputs that are several in one, longer than any that training saw: tokens again, and logits against PyTorch in f64. Errors grow from
            step to step there: within 1e-4, or 4 times what PyTorch's own f32 is off
"""
import argparse
import dataclasses
import math
import os
import random
import re
import subprocess
import sys
import tempfile

import numpy
import program
import safetensors.torch
import torch
from compare_transformer import Findings

import sequence_training as training

sys.path.insert(0, os.path.join(program.ROOT, "test", "search"))
import reference  # noqa: E402

NEAR_TIE = 1e-4           # two logits nearer than this may change places


@dataclasses.dataclass
class Answers:
    texts: list           # as the program writes them
    lengths: list         # steps, the end token's included
    scores: list          # log-probability
    logits: list          # [t,W]
    ties: list            # smallest distance of the two best logits of a step
    maps: list            # {trace: [[i] or [h,i] of each step]}


class Comparison:
    def __init__(self, args):
        self.args, self.find = args, Findings()
        self.network, self.task = training.load(args.name, args.weights)

    def run(self, inputs, *options, **settings):
        return program.run(self.args.program, inputs, *options, "--threads", self.args.threads, **settings)

    def logits(self, inputs, *options):
        return program.logits(self.args.program, inputs, *options, "--threads", self.args.threads)

    def answers(self, inputs):
        """What PyTorch says."""
        rows, maps = [[] for _ in inputs], [{} for _ in inputs]

        def collect(n, t, logits, p):
            rows[n].append(logits)
            for name, weights in p.items():
                maps[n].setdefault(name, []).append(weights)

        tokens = training.greedy(self.network, self.task, inputs, collect=collect)
        logits = [torch.stack(r) for r in rows]
        two = [r.topk(2).values for r in logits]
        return Answers([self.task.write(t) for t in tokens], [len(r) for r in logits],
                       [float(torch.log_softmax(r.double(), 1).amax(1).sum()) for r in logits], [r.numpy() for r in logits],
                       [float((t[:, 0] - t[:, 1]).min()) for t in two], maps)

    def logits_after(self, text, network=None):
        """A function of the ids so far: the logits [W] of the next."""
        network, row = network or self.network, self.task.read(text)
        with torch.no_grad():
            memory = network.encode(torch.tensor([row]), torch.tensor([len(row)]))
            states = {None: network.start(memory)}
        known = {}

        @torch.no_grad()
        def after(said):
            if said not in known:
                before = states[said[:-1] if said else None]
                logits, states[said], _ = network.step(torch.tensor([said[-1] if said else self.task.start]), len(said), before, memory)
                known[said] = logits[0].numpy()
            return known[said]
        return after

    def beam_search(self, logits, width):
        """The `width` best answers of docs/search.md's beam search: [(output, steps, score, ids)]."""
        task = self.task
        results = reference.Beams(logits, task.end, task.at_most, reference.Rules(task.end), width, width).run()
        return [(task.write([task.target[k] for k in r.output]), len(r.tokens), r.score, r.output) for r in results]

    def compare_greedy(self, inputs):
        wanted = self.answers(inputs)
        said = [line.split("\t") for line in self.run(inputs, "--scores")]
        other = [n for n in range(len(inputs)) if said[n][0] != wanted.texts[n]]
        wrong = [n for n in other if wanted.ties[n] > NEAR_TIE]
        self.find.report("greedy", len(wrong), len(inputs), [f"{inputs[n]}: `{said[n][0]}`, PyTorch says `{wanted.texts[n]}`" for n in wrong])
        self.find.require(len(other) - len(wrong) <= 2, f"greedy ties: {len(other) - len(wrong)} parted where two logits lie within {NEAR_TIE:g}, at most 2")
        off = max((abs(float(said[n][1]) - wanted.scores[n]) / wanted.lengths[n] for n in set(range(len(inputs))) - set(other)), default=0.0)
        self.find.require(off <= 1e-4, f"greedy scores: log-probabilities differ by {off:.1e} a step, at most 1e-4")
        split = str.split if self.task.words else list
        for what, rate in self.task.score({text: split(s[0]) for text, s in zip(inputs, said)}).items():
            print(f"  errors of {what}: {rate:.2f} %")

    def compare_logits(self, inputs):
        wanted = self.answers(inputs)
        found, logits = self.logits(inputs)
        same = [n for n in range(len(inputs)) if found[n] == wanted.texts[n]]
        self.find.report("logits tokens", len(inputs) - len(same), len(inputs), [f"{inputs[n]}: `{found[n]}`" for n in set(range(len(inputs))) - set(same)])
        self.find.failed |= not program.compare_logits("logits", [logits[n] for n in same], [wanted.logits[n] for n in same])

    def compare_beams(self, what, inputs, wanted, *options):
        """`wanted`: what `beam_search` gives for each input."""
        answers = self.run(inputs, "--beam", 4, "--nbest", 4, "--scores", *options, per_line=4)
        wrong, off, examples = 0, 0.0, []
        for text, lines, best in zip(inputs, answers, wanted):
            said = [line.split("\t") for line in lines]
            known = {output: (steps, score) for output, steps, score, _ in best}
            if sorted(output for _, output, _ in said) == sorted(known) and all(
                    output == mine or abs(known[output][1] - score) < 1e-4 for (_, output, _), (mine, _, score, _) in zip(said, best)):
                off = max([off] + [abs(float(s) - known[output][1]) / known[output][0] for _, output, s in said])
            else:
                wrong += 1
                examples.append(f"{text}: {[(output, s) for _, output, s in said]}, PyTorch says {best}")
        self.find.report(what, wrong, len(inputs), examples)
        self.find.require(off <= 1e-4, f"{what} scores: log-probabilities differ by {off:.1e} a step, at most 1e-4")

    def compare_beam(self, inputs):
        after = [self.logits_after(text) for text in inputs]
        wanted = [self.beam_search(logits, 4) for logits in after]
        self.compare_beams("beam", inputs, wanted)
        found, logits = self.logits(inputs, "--beam", 4)
        same = [n for n in range(len(inputs)) if found[n] == wanted[n][0][0]]
        along = lambda n, said: numpy.stack([after[n](said[:t]) for t in range(min(len(said) + 1, self.task.at_most))])
        self.find.failed |= not program.compare_logits("beam logits", [logits[n] for n in same], [along(n, wanted[n][0][3]) for n in same])

    def compare_ensemble(self, inputs):
        """With a second file of weights, the first with noise: S18, the log of the mean of both probabilities."""
        path = self.args.weights or os.path.join(program.ROOT, "examples", "models", self.args.name, "weights.safetensors")
        weights, generator = safetensors.torch.load_file(path), torch.Generator().manual_seed(3)
        noisy = {name: tensor + 0.2 * tensor.std() * torch.randn(tensor.shape, generator=generator) if tensor.is_floating_point() and tensor.numel() > 1 else tensor
                 for name, tensor in weights.items()}
        with tempfile.TemporaryDirectory() as folder:
            other = os.path.join(folder, "other.safetensors")
            safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in noisy.items()}, other)
            second, _ = training.load(self.args.name, other)

            def both(text):
                one, two = self.logits_after(text), self.logits_after(text, second)
                share = lambda row: torch.log_softmax(torch.tensor(row).double(), 0)
                return lambda said: torch.logaddexp(share(one(said)), share(two(said))).sub(math.log(2)).float().numpy()
            wanted = [self.beam_search(both(text), 4) for text in inputs]
            self.compare_beams("ensemble", inputs, wanted, "--weights", path, "--weights", other)
            changed = sum(abs(self.beam_search(self.logits_after(text), 4)[0][2] - best[0][2]) > 1e-3 for text, best in zip(inputs, wanted))
            self.find.require(2 * changed >= len(inputs), f"ensemble: {changed} of {len(inputs)} best scores are not those of the first alone, at least half")

    def compare_maps(self, inputs):
        self.compare_traced("map", inputs, self.args.program)

    def compare_states(self, inputs):
        models = os.path.join(program.ROOT, "examples", "models")
        with open(os.path.join(models, self.args.name, "model.attn"), encoding="utf-8") as file:
            text = file.read()
        row = self.task.read(inputs[0])
        known = self.network.start(self.network.encode(torch.tensor([row]), torch.tensor([len(row)])))
        names = [name for name in re.findall(r"\bstate (\w+): f32\[b,", text) if name in known]
        if not names:
            return
        end = text.rindex("\n  }\n}")
        with tempfile.TemporaryDirectory() as folder:
            for other in os.listdir(models):
                if other != self.args.name:
                    os.symlink(os.path.join(models, other), os.path.join(folder, other))
            os.mkdir(os.path.join(folder, self.args.name))
            copy, built = os.path.join(folder, self.args.name, "model.attn"), os.path.join(folder, "program")
            with open(copy, "w", encoding="utf-8") as file:
                file.write(text[:end] + "".join(f"\n    trace {name};" for name in names) + text[end:])
            fovea = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(self.args.program))), "bin", "fovea")
            weights = self.args.weights or os.path.join(models, self.args.name, "weights.safetensors")
            subprocess.run([fovea, "build", copy, "--weights", weights, "-o", built], check=True, capture_output=True)
            step = self.network.step

            def traced(*arguments):
                logits, state, _ = step(*arguments)
                return logits, state, {name: state[name][..., None] for name in names}    # a column: greedy() cuts maps at the source's length

            self.network.step = traced
            self.compare_traced("state", inputs, built)
            self.network.step = step

    def compare_traced(self, what, inputs, built):
        wanted = self.answers(inputs).maps
        if not any(wanted):
            return
        with tempfile.TemporaryDirectory() as folder:
            program.run(built, inputs, "--maps", folder, "--threads", self.args.threads)
            found = program.traced_maps(folder)
        off, missing, total = 0.0, [], 0
        for text, traces in zip(inputs, wanted):
            for name, steps in traces.items():
                total += 1
                mine = torch.stack(steps)                                                   # [t,i] or [t,h,i]
                mine = mine[..., 0] if what == "state" else mine.mean(1) if mine.dim() == 3 else mine
                _, rows = found.get((text, name), (0, None))
                if rows is None or numpy.shape(rows) != tuple(mine.shape):
                    missing.append(f"{text}: {name} is {'missing' if rows is None else 'of another shape'}")
                else:
                    off = max(off, float((torch.tensor(rows) - mine).abs().max()))
        self.find.report(f"{what}s", len(missing), total, missing)
        self.find.require(off <= 1e-4, f"{what} values: they differ by {off:.1e}, at most 1e-4")

    def compare_long(self, inputs):
        draw = random.Random(7)
        least = 2 * sorted(map(len, inputs))[len(inputs) // 2]
        lines = []
        for _ in range(40):
            text = ""
            while len(text) < least:
                text += draw.choice(inputs)
            lines.append(text[:60])
        single = self.answers(lines)
        torch.set_default_dtype(torch.float64)
        self.network.double()
        exact = self.answers(lines)
        torch.set_default_dtype(torch.float32)
        self.network.float()
        found, logits = self.logits(lines)
        sure = [n for n in range(len(lines)) if single.ties[n] > NEAR_TIE and single.texts[n] == exact.texts[n]]
        self.find.require(len(sure) >= 30, f"long: {len(sure)} inputs have one answer in f32 and f64, at least 30")
        wrong = [n for n in sure if found[n] != exact.texts[n]]
        self.find.report("long tokens", len(wrong), len(sure), [f"{lines[n]}: `{found[n]}`, PyTorch says `{exact.texts[n]}`" for n in wrong])
        off = lambda n, rows: float(numpy.abs(rows[n] - exact.logits[n]).max())
        share = max((off(n, logits) / max(1e-4, 4 * off(n, single.logits)) for n in sure if n not in wrong), default=0.0)
        self.find.require(share <= 1, f"long logits: the largest error is {share:.2f} of what is allowed, at most 1")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("program")
    parser.add_argument("--weights")
    parser.add_argument("--inputs", type=int, default=0, help="held-out inputs for greedy, 0: all")
    parser.add_argument("--beam-inputs", type=int, default=40)
    parser.add_argument("--ensemble-inputs", type=int, default=10)
    parser.add_argument("--map-inputs", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    comparison = Comparison(args)
    inputs = comparison.task.held_out()
    comparison.compare_greedy(inputs[:args.inputs or len(inputs)])
    comparison.compare_logits(inputs[:300])
    comparison.compare_beam(inputs[:args.beam_inputs])
    comparison.compare_ensemble(inputs[:args.ensemble_inputs])
    comparison.compare_maps(inputs[:args.map_inputs])
    comparison.compare_states(inputs[:args.map_inputs])
    comparison.compare_long(inputs)
    sys.exit(1 if comparison.find.failed else 0)


if __name__ == "__main__":
    main()
