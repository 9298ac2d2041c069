"""Whole models, many ways of asking: batch 1 and 32, greedy and beam 4, against CTranslate2, ONNX Runtime and PyTorch, on the same weights and threads; and in
int8, ours (`fovea build --quantize int8`) against those of the first two.

Each side is a process that stays: a request is a number of lines, answered together. It goes through a pipe, and the time is that from the first byte
written to the last line read, for our program as for the peers (model_peer.py). All are asked in turns.
"""
import itertools
import json
import os
import shutil
import subprocess
import sys
import time

import measure

HERE = os.path.dirname(os.path.abspath(__file__))
THREADS, CONFIGURATIONS = 2, ((1, 1), (1, 4), (32, 1), (32, 4))  # lines together, beam
PAUSE = 0.4          # longer than idle threads of OpenMP spin


class Program:
    def __init__(self, path, batch, beam):
        self.child = subprocess.Popen([path, "--threads", str(THREADS), "--batch", str(batch), "--beam", str(beam)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, lines, beam):
        began = time.perf_counter()
        self.child.stdin.write("".join(line + "\n" for line in lines))
        self.child.stdin.flush()
        answers = [self.child.stdout.readline().rstrip("\n") for _ in lines]
        return time.perf_counter() - began, answers


class Peer:
    def __init__(self, side, arguments):
        self.child = subprocess.Popen([sys.executable, os.path.join(HERE, "model_peer.py"), side, *arguments, "--threads", str(THREADS)],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        first = self.child.stdout.readline()
        if not first:
            raise SystemExit(f"model_peer.py {side} ended")
        self.name = json.loads(first)["implementation"]

    def ask(self, lines, beam):
        request = json.dumps({"lines": lines, "beam": beam}) + "\n"
        began = time.perf_counter()
        self.child.stdin.write(request)
        self.child.stdin.flush()
        answer = self.child.stdout.readline()
        return time.perf_counter() - began, json.loads(answer)["answers"]


def peak_of(child):
    with open(f"/proc/{child.pid}/status", encoding="utf-8") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM:"))


def configuration(model, kind, batch, beam, rounds, failures):
    """`requests` of `batch` lines a round, each with lines of its own. kind: f32 or int8."""
    servers = {"fovea": Program(model["programs"][kind], batch, beam)}
    for side in ("ctranslate2", "onnxruntime"):
        servers[side] = Peer(side, model["peer"] + ["--convert", f"{model['converted']}.{side}", "--type", {"f32": "float32"}.get(kind, kind)])
    if kind == "f32":
        servers["pytorch"] = Peer("pytorch", model["peer"])
    requests = [model["lines"][n * batch:(n + 1) * batch] for n in range(model["requests"][batch])]

    def asking(side):
        def ask():
            pieces = [servers[side].ask(lines, beam) for lines in requests]
            answers = [answer for _, some in pieces for answer in some]
            return {"seconds": sum(seconds for seconds, _ in pieces), "tokens": sum(len(answer.split()) for answer in answers), "answers": answers}
        return ask

    runs = measure.alternate(rounds, {side: asking(side) for side in servers}, pause=PAUSE)
    row = {"model": model["name"], "type": kind, "batch": batch, "beam": beam, "lines": batch * len(requests), "peers": {side: servers[side].name for side in servers if side != "fovea"}}
    ours = runs["fovea"][0]["answers"]
    for side, rounds_of in runs.items():
        speeds = [run["tokens"] / run["seconds"] for run in rounds_of]
        row[side] = {"best": max(speeds), "median": sorted(speeds)[len(speeds) // 2], "all": speeds, "peak_rss_bytes": peak_of(servers[side].child),
                     "same_answers": sum(a == b for a, b in zip(ours, rounds_of[0]["answers"]))}
        servers[side].child.stdin.close()
        servers[side].child.stdout.close()
        servers[side].child.wait()
        # Beams of the peers differ from ours where scores in f32 tie, and CTranslate2's also stops by a rule of its own (docs/performance.md).
        # In int8 each side rounds weights and activations in its own way.
        required = 0 if kind == "int8" or (side == "ctranslate2" and beam > 1 and not model["forced"]) else 0.99 if beam > 1 else 1
        if row[side]["same_answers"] < required * row["lines"]:
            failures.append(f"{model['name']}, {kind}, batch {batch}, beam {beam}: {row['lines'] - row[side]['same_answers']} of {row['lines']} answers of {side} differ")
    return row


def programs(options, source, path):
    """Of a model's folder, one for each type."""
    built = {"f32": path, "int8": path + "_int8"}
    for kind, program in built.items():
        measure.checked([options.fovea, "build", os.path.join(source, "model.attn"), "--weights", os.path.join(source, "weights.safetensors"), "-o", program] +
                        ["--quantize", "int8"] * (kind == "int8"))
    return built


def g2p(options, folder):
    source = os.path.join(measure.ROOT, "examples", "models", "g2p_transformer")
    words = measure.checked([sys.executable, os.path.join(measure.ROOT, "test", "models", "bench_transformer_peer.py"), "--words", "256", "--print-words"])["output"]
    return {"name": "g2p_transformer", "programs": programs(options, source, os.path.join(folder, "g2p")), "lines": words.split("\n")[:-1], "requests": {1: 64, 32: 8}, "forced": False,
            "peer": [source, "--heads", "4", "--limit", "40", "--vocabularies", "graphemes.vocab", "phonemes.vocab"], "converted": os.path.join(folder, "g2p")}


def base(options, folder):
    source = os.path.join(folder, "base")
    measure.checked([sys.executable, os.path.join(HERE, "base_transformer", "prepare.py"), source])
    with open(os.path.join(source, "lines.txt"), encoding="utf-8") as f:
        lines = f.read().split("\n")[:-1]
    return {"name": "base_transformer", "programs": programs(options, source, os.path.join(folder, "base_transformer")), "lines": lines, "requests": {1: 2, 32: 1}, "forced": True,
            "peer": [source, "--heads", "8", "--limit", "30", "--by-words"], "converted": os.path.join(folder, "base")}


def run(options):
    folder = os.path.join(options.output, "searches")
    shutil.rmtree(folder, ignore_errors=True)  # converted weights of an earlier run too
    os.makedirs(folder)
    failures = []
    result = {"threads": THREADS, "rows": [], "failures": failures}
    for prepare in (g2p, base):
        model = prepare(options, folder)
        if options.quick:
            model["requests"] = {batch: 1 for batch in model["requests"]}
        some = CONFIGURATIONS[:1] if options.quick and model["forced"] else CONFIGURATIONS
        for kind, (batch, beam) in itertools.product(model["programs"], some):
            result["rows"].append(configuration(model, kind, batch, beam, 1 if options.quick else 5, failures))
            row = result["rows"][-1]
            print(f"bench: {row['model']}, {kind}, batch {batch}, beam {beam}: " + ", ".join(f"{side} {row[side]['best']:.0f} tokens/s" for side in ("fovea", *row["peers"])), flush=True)
    return result
