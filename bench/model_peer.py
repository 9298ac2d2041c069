"""Answers requests for a Transformer's outputs, as CTranslate2, plain PyTorch or ONNX Runtime; bench/searches.py starts it beside a built program.

    model_peer.py ctranslate2|pytorch|onnxruntime FOLDER --heads 8 --limit 30 [--by-words] [--vocabularies source.vocab target.vocab] [--threads 2] [--convert TO] [--type int8]

FOLDER has weights.safetensors and the vocabularies. A request is a line of JSON, {"lines": [...], "beam": 4}; so is the answer,
{"seconds": of the search alone, "answers": [...]}. A first line of JSON says what answers. CTranslate2 and ONNX Runtime convert the weights into their own
formats first, in the folder --convert, in a process of its own, so that their memory is that of a user who has a converted model. ONNX Runtime has no search
for such a model: it runs PyTorch's, around its own encoder and steps.
"""
import argparse
import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "test", "models"))


# CTranslate2

def convert(options):
    """The same weights as CTranslate2's TransformerSpec: queries, keys and values of one input are one matrix, and so are keys and values of the source."""
    import numpy as np
    from ctranslate2.specs import TransformerSpec
    from safetensors.numpy import load_file
    tensors = load_file(os.path.join(options.folder, "weights.safetensors"))
    layers = lambda stack: 1 + max(int(k.split(".")[1]) for k in tensors if k.startswith(stack + "."))
    spec = TransformerSpec.from_config((layers("enc"), layers("dec")), options.heads, pre_norm=False)
    width = tensors["src.weight"].shape[1]
    half = width // 2
    angle = np.arange(1024, dtype=np.float32)[:, None] * np.exp(np.arange(half, dtype=np.float32) * np.float32(-np.log(10000.0) / half))
    waves = np.concatenate([np.sin(angle), np.cos(angle)], 1)

    def linear(to, *names):
        to.weight = np.concatenate([tensors[name + ".weight"] for name in names])
        if names[0] + ".bias" in tensors:
            to.bias = np.concatenate([tensors[name + ".bias"] for name in names])

    def norm(to, name):
        to.gamma, to.beta = tensors[name + ".weight"], tensors[name + ".bias"]

    def layer(to, name, attentions):
        own = to.self_attention
        linear(own.linear[0], *(f"{name}.self_attn.{c}_proj" for c in "qkv"))
        linear(own.linear[1], f"{name}.self_attn.o_proj")
        norm(own.layer_norm, f"{name}.norm1")
        if attentions == 2:
            cross = to.attention
            linear(cross.linear[0], f"{name}.cross_attn.q_proj")
            linear(cross.linear[1], *(f"{name}.cross_attn.{c}_proj" for c in "kv"))
            linear(cross.linear[2], f"{name}.cross_attn.o_proj")
            norm(cross.layer_norm, f"{name}.norm2")
        linear(to.ffn.linear_0, f"{name}.up")
        linear(to.ffn.linear_1, f"{name}.down")
        norm(to.ffn.layer_norm, f"{name}.norm{attentions + 1}")

    for number, to in enumerate(spec.encoder.layer):
        layer(to, f"enc.{number}", 1)
    for number, to in enumerate(spec.decoder.layer):
        layer(to, f"dec.{number}", 2)
    spec.encoder.scale_embeddings = spec.decoder.scale_embeddings = True
    spec.encoder.embeddings[0].weight = tensors["src.weight"]
    spec.decoder.embeddings.weight = spec.decoder.projection.weight = tensors["tgt.weight"]
    spec.encoder.position_encodings.encodings = spec.decoder.position_encodings.encodings = waves
    spec.config.add_source_eos, spec.config.layer_norm_epsilon = True, 1e-5
    for name, register in zip(options.vocabularies, (spec.register_source_vocabulary, spec.register_target_vocabulary)):
        with open(os.path.join(options.folder, name), encoding="utf-8") as f:
            register(f.read().split("\n")[:-1])
    spec.validate()
    spec.optimize()
    os.makedirs(options.convert, exist_ok=True)
    spec.save(options.convert)


def ctranslate2(options):
    if not os.path.exists(os.path.join(options.convert, "model.bin")):
        subprocess.run([sys.executable, *sys.argv, "--only-convert"], check=True)
    import ctranslate2 as library
    translator = library.Translator(options.convert, device="cpu", compute_type=options.type, inter_threads=1, intra_threads=options.threads)

    def answer(lines, beam):
        pieces = [line.split() if options.by_words else list(line) for line in lines]
        began = time.perf_counter()
        # Scores without length penalty; the end token may come first: what docs/search.md says.
        results = translator.translate_batch(pieces, beam_size=beam, max_batch_size=len(lines), length_penalty=0, max_decoding_length=options.limit, min_decoding_length=0)
        return time.perf_counter() - began, [" ".join(result.hypotheses[0]) for result in results]

    return f"CTranslate2 {library.__version__}", answer


# PyTorch

def searches():
    """Reference with a beam search of many lines at a time."""
    import torch

    import reference_transformer

    class Searches(reference_transformer.Reference):
        """Beam search of many lines at a time. A line's hypotheses read the keys and values of its source as queries of one attention, without copies."""

        def attend(self, q, k, v, hidden=None):
            beams = q.shape[0] // k.shape[0]
            if beams == 1:
                return super().attend(q, k, v, hidden)
            folded, seen = super().attend(q.unflatten(0, (-1, beams)).squeeze(3).transpose(1, 2), k, v, hidden)   # [s,h,beam,d]
            return folded.flatten(0, 1)[:, None], {what: value.transpose(1, 2).flatten(0, 1)[:, :, None] for what, value in seen.items()}

        @torch.no_grad()
        def beams(self, lines, size):
            source, hidden = self.encode(lines)
            cache = [None] * self.decoders
            live = list(range(len(lines)))                        # the lines still searched
            scores = torch.full((len(lines), size), -torch.inf)   # of the live hypotheses
            scores[:, 0] = 0
            sequences = torch.zeros((len(lines), size, 0), dtype=torch.long)
            y = torch.full((len(lines) * size,), self.start)
            finished = [[] for _ in lines]
            for t in range(self.limit):
                logits, _ = self.step(y, t, source, hidden, cache)
                total = scores[:, :, None] + torch.log_softmax(logits, -1).unflatten(0, (-1, size))
                words = total.shape[2]
                best, places = total.flatten(1).topk(2 * size)
                rows, keep = [], []
                for k, line in enumerate(live):
                    going = []
                    for rank, (score, place) in enumerate(zip(best[k].tolist(), places[k].tolist())):
                        parent, token = divmod(place, words)
                        if token != self.end:
                            going.append((parent, token, score))
                        elif rank < size:
                            finished[line].append((score, sequences[k, parent].tolist()))
                    going = going[:size]
                    if t == self.limit - 1:
                        finished[line] += [(score, sequences[k, parent].tolist() + [token]) for parent, token, score in going]
                    finished[line] = sorted(finished[line], key=lambda f: -f[0])[:size]
                    if len(finished[line]) < size or going[0][2] > finished[line][-1][0]:
                        rows.append(going)
                        keep.append(k)
                if not keep or t == self.limit - 1:
                    break
                parents, tokens = (torch.tensor([[g[part] for g in going] for going in rows]) for part in (0, 1))
                scores = torch.tensor([[g[2] for g in going] for going in rows])
                kept = torch.tensor(keep)
                sequences = torch.cat([sequences[kept[:, None], parents], tokens[:, :, None]], 2)
                chosen = (kept[:, None] * size + parents).flatten()
                cache = [(k[chosen], v[chosen]) for k, v in cache]
                if len(keep) < len(live):
                    live, hidden, source = [live[k] for k in keep], hidden[kept], [(k[kept], v[kept]) for k, v in source]
                y = tokens.flatten()
            return [[self.phonemes[token] for token in hypotheses[0][1]] for hypotheses in finished]

    return Searches


def answering(model):
    def answer(lines, beam):
        began = time.perf_counter()
        answers = model.greedy(lines, len(lines)) if beam == 1 else model.beams(lines, beam)
        return time.perf_counter() - began, [" ".join(a) for a in answers]

    return answer


def pytorch(options):
    import torch
    torch.set_num_threads(options.threads)
    return "PyTorch " + torch.__version__, answering(searches()(options.folder, options.heads, options.limit, options.vocabularies, options.by_words))


# ONNX Runtime

def convert_to_onnx(options):
    import onnx_graphs
    onnx_graphs.write(options.folder, options.heads, options.limit, os.path.join(options.convert, options.type), options.type)


def onnxruntime(options):
    folder = os.path.join(options.convert, options.type)
    if not os.path.exists(os.path.join(folder, "step.onnx")):
        subprocess.run([sys.executable, *sys.argv, "--only-convert"], check=True)
    import numpy as np
    import onnxruntime as library
    import torch
    torch.set_num_threads(1)    # beside threads that wait for work in a loop, each side's or the other's, everything takes two to three times as long: measured

    def session(name):
        how = library.SessionOptions()
        how.intra_op_num_threads, how.inter_op_num_threads = options.threads, 1
        how.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return library.InferenceSession(os.path.join(folder, name + ".onnx"), how, ["CPUExecutionProvider"])

    class Steps(searches()):
        """Keys, values and masks stay NumPy's between the steps; nothing is copied on the way in or out."""

        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.encoder, self.stepper = session("encode"), session("step")
            self.empty = (self.number_of_heads, 0, self.width // self.number_of_heads)
            self.weights = None    # the graphs have their own

        def encode_tokens(self, source, length):
            mask = (torch.arange(source.shape[1]) < length[:, None]).int()
            found = [torch.from_numpy(value) for value in self.encoder.run(None, {"tokens": source.numpy(), "mask": mask.numpy()})]
            return list(zip(found[::2], found[1::2])), mask

        def step(self, y, t, source, mask, cache):
            beams = y.shape[0] // mask.shape[0]
            if beams > 1:
                known = getattr(self, "repeated", None)
                if known is None or known[0] is not source:   # once, and again when lines have ended
                    self.repeated = known = (source, [tuple(part.repeat_interleave(beams, 0) for part in layer) for layer in source], mask.repeat_interleave(beams, 0))
                _, source, mask = known
            feed = {"token": y.numpy(), "position": np.array([t]), "mask": mask.numpy()}
            for n, ((k, v), before) in enumerate(zip(source, cache)):
                feed[f"k{n}"], feed[f"v{n}"] = k.numpy(), v.numpy()
                feed[f"pk{n}"], feed[f"pv{n}"] = (np.zeros((y.shape[0], *self.empty), np.float32),) * 2 if before is None else (part.numpy() for part in before)
            logits, *after = (torch.from_numpy(value) for value in self.stepper.run(None, feed))
            cache[:] = zip(after[::2], after[1::2])
            return logits, []

    return f"ONNX Runtime {library.__version__}", answering(Steps(options.folder, options.heads, options.limit, options.vocabularies, options.by_words))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("side", choices=("ctranslate2", "pytorch", "onnxruntime"))
    parser.add_argument("folder")
    parser.add_argument("--heads", type=int, required=True)
    parser.add_argument("--limit", type=int, required=True)
    parser.add_argument("--by-words", action="store_true")
    parser.add_argument("--vocabularies", nargs=2, default=["source.vocab", "target.vocab"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--convert")
    parser.add_argument("--type", choices=("float32", "int8"), default="float32", help="what CTranslate2 and ONNX Runtime compute in")
    parser.add_argument("--only-convert", action="store_true")
    options = parser.parse_args()
    if options.only_convert:
        return {"ctranslate2": convert, "onnxruntime": convert_to_onnx}[options.side](options)
    name, answer = {"ctranslate2": ctranslate2, "pytorch": pytorch, "onnxruntime": onnxruntime}[options.side](options)
    print(json.dumps({"implementation": name}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        seconds, answers = answer(request["lines"], request["beam"])
        print(json.dumps({"seconds": seconds, "answers": answers}), flush=True)


if __name__ == "__main__":
    main()
