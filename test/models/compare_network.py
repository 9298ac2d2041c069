"""Compares a program with the PyTorch Network of its model's train.py; exit code 1 if they differ.

    compare_network.py NAME PROGRAM [--weights FILE] [--target T] [--inputs N] [--step-inputs N] [--beam-inputs N] [--ensemble-inputs N] [--whole] [--threads N]

Network and TASK are in examples/models/NAME/train.py (tools/python/sequence_training.py says what they are); of g2p_transformer, reference_transformer.py
is the network.

  greedy    every held-out input (or the first N): the same tokens, the log-probability within 1e-4 a step
  steps     300 inputs: after every step the logits, each attention's weights, scores and context, and each state that both sides name, within 1e-4. The
            program gives logits and weights, a copy of the model that traces more the rest
  beam      N inputs, beam 4, 4 answers each: the same tokens in the same order (equal scores may change places), scores within 1e-4 a step, and the
            logits along the best answer within 1e-4
  ensemble  N inputs, the same with two files of weights
  long      40 inputs that are several in one, longer than any that training saw: tokens again, and logits against PyTorch in f64. Errors grow from
            step to step there: within 1e-4, or 4 times what PyTorch's own f32 is off

With --whole every held-out input goes through the comparison of steps, and nothing else is compared.
"""
import argparse
import dataclasses
import math
import os
import random
import sys
import tempfile

import numpy
import program
import reference_transformer
import safetensors.torch
import torch
from compare_transformer import Findings

import g2p_training
import sequence_training as training

sys.path.insert(0, os.path.join(program.ROOT, "test", "search"))
import reference  # noqa: E402

NEAR_TIE = 1e-4           # two logits nearer than this may change places
CHUNK = 500               # inputs whose traces are held at a time
KINDS = {"p": "weights", "s": "scores", "context": "contexts"}    # by the last part of a trace's path


@dataclasses.dataclass
class Answers:
    texts: list           # as the program writes them
    lengths: list         # steps, the end token's included
    scores: list          # log-probability
    logits: list          # [t,W]
    ties: list            # smallest distance of the two best logits of a step
    traces: list          # {trace or state: [t,...]}, if wanted


class Transformer:
    """reference_transformer.py's model as a Network."""

    def __init__(self):
        self.model = reference_transformer.Reference(os.path.dirname(program.model_file("g2p_transformer")))

    @torch.no_grad()
    def encode(self, source, lengths):
        layers, hidden = self.model.encode_tokens(source, lengths)
        return {"layers": layers, "hidden": hidden}

    def start(self, memory):
        return {f"{side}{n}": keys[:, :, :0] for n, (keys, _) in enumerate(memory["layers"]) for side in "kv"}

    @torch.no_grad()
    def step(self, y, t, state, memory):
        cache = [(state[f"k{n}"], state[f"v{n}"]) for n in range(self.model.decoders)]
        logits, traces = self.model.traced_step(y, t, memory["layers"], memory["hidden"], cache)
        after = {f"{side}{n}": value for n, layer in enumerate(cache) for side, value in zip("kv", layer)}
        return logits, after, {f"dec.{n}.{what}": value for n, layer in enumerate(traces) for what, value in layer.items()}


class Comparison:
    def __init__(self, args):
        self.args, self.find = args, Findings()
        self.network, self.task = (Transformer(), g2p_training.TASK) if args.name == "g2p_transformer" else training.load(args.name, args.weights)

    def run(self, inputs, *options, **settings):
        return program.run(self.args.program, inputs, *options, "--threads", self.args.threads, **settings)

    def logits(self, inputs, *options):
        return program.logits(self.args.program, inputs, *options, "--threads", self.args.threads)

    def answers(self, inputs, states=None):
        """What PyTorch says; with `states`, these and all traces."""
        rows, traces = [[] for _ in inputs], [{} for _ in inputs]

        def collect(n, t, logits, traced, state):
            rows[n].append(logits)
            if states is not None:
                for name, value in {**traced, **{name: state[name] for name in states}}.items():
                    traces[n].setdefault(name, []).append(value)

        tokens = training.greedy(self.network, self.task, inputs, collect=collect)
        logits = [torch.stack(r) for r in rows]
        two = [r.topk(2).values for r in logits]
        return Answers([self.task.write(t) for t in tokens], [len(r) for r in logits],
                       [float(torch.log_softmax(r.double(), 1).amax(1).sum()) for r in logits], [r.numpy() for r in logits],
                       [float((t[:, 0] - t[:, 1]).min()) for t in two], [{name: torch.stack(v).numpy() for name, v in t.items()} for t in traces])

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

    def compare_steps(self, inputs):
        row = self.task.read(inputs[0])
        known = self.network.start(self.network.encode(torch.tensor([row]), torch.tensor([len(row)])))
        states = [name for name in program.states_of(self.args.name) if name in known]
        totals, wrong, off, lost, parted = {}, {}, {}, [], 0
        kind_of = lambda name: "states" if name in states else KINDS[name.split(".")[-1]]

        def compare(kind, what, found, wanted):
            totals[kind] = totals.get(kind, 0) + 1
            if found is None or found.shape != wanted.shape or found.dtype != wanted.dtype:
                wrong.setdefault(kind, []).append(f"{what}: {'missing' if found is None else f'{found.dtype}{found.shape}'}, PyTorch has {wanted.dtype}{wanted.shape}")
                return
            there = numpy.isfinite(wanted)      # a score is -inf in PyTorch where a mask removes it
            off[kind] = max(off.get(kind, 0.0), float(numpy.abs(found[there] - wanted[there]).max(initial=0.0)))

        with tempfile.TemporaryDirectory() as folder:
            copy = program.traced_copy(self.args.name, states, folder, self.args.program, self.args.weights, self.args.target)
            for first in range(0, len(inputs), CHUNK):
                chunk = inputs[first:first + CHUNK]
                wanted = self.answers(chunk, states)
                maps = any(kind_of(name) == "weights" for name in wanted.traces[0])
                said, found = program.steps(self.args.program, chunk, maps, "--threads", self.args.threads)
                same = [n for n in range(len(chunk)) if said[n] == wanted.texts[n]]
                for n in set(range(len(chunk))) - set(same):
                    if wanted.ties[n] <= NEAR_TIE:
                        parted += 1
                    else:
                        lost.append(f"{chunk[n]}: `{said[n]}`, PyTorch says `{wanted.texts[n]}`")
                more = program.steps(copy, chunk, True, "--threads", self.args.threads)[1] if wanted.traces[0] else None
                for n in same:
                    compare("logits", chunk[n], found[n].get("logits"), wanted.logits[n])
                    for name, value in wanted.traces[n].items():
                        kind = kind_of(name)
                        compare(kind, f"{chunk[n]}, {name}", (found if kind == "weights" else more)[n].get(name), value)
        self.find.report("steps, tokens", len(lost), len(inputs), lost)
        self.find.require(parted <= 2, f"steps ties: {parted} parted where two logits lie within {NEAR_TIE:g}, at most 2")
        for kind, total in totals.items():
            self.find.report(f"steps, {kind}", len(wrong.get(kind, [])), total, wrong.get(kind, []))
            self.find.require(off.get(kind, 0.0) <= 1e-4, f"steps {kind}: they differ by {off.get(kind, 0.0):.1e}, at most 1e-4")

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
    parser.add_argument("--target", default="host", help="of the copy that traces more")
    parser.add_argument("--inputs", type=int, default=0, help="held-out inputs for greedy, 0: all")
    parser.add_argument("--beam-inputs", type=int, default=40)
    parser.add_argument("--ensemble-inputs", type=int, default=10)
    parser.add_argument("--step-inputs", type=int, default=300)
    parser.add_argument("--whole", action="store_true", help="the steps of all held-out inputs, and nothing else")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    comparison = Comparison(args)
    inputs = comparison.task.held_out()
    if args.whole:
        comparison.compare_steps(inputs)
    else:
        comparison.compare_greedy(inputs[:args.inputs or len(inputs)])
        comparison.compare_steps(inputs[:args.step_inputs])
        comparison.compare_beam(inputs[:args.beam_inputs])
        comparison.compare_ensemble(inputs[:args.ensemble_inputs])
        comparison.compare_long(inputs)
    sys.exit(1 if comparison.find.failed else 0)


if __name__ == "__main__":
    main()
