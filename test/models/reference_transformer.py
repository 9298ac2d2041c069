"""The letters-to-phonemes Transformer in plain PyTorch: the truth for g2p_transformer and its peer in speed.

It shares no code with the training script nor with the compiler: it reads the safetensors file and the .vocab files of a folder and
works with functions on tensors. All arithmetic is f32; with `int8` (a program built with --quantize int8) products with weights are sums of
integers, exact, of rows that are quantised by the rule of docs/programs.md.

    reference_transformer.py --model DIR greedy [--maps] < WORDS    one line of phonemes a word (--maps: whether its map is monotone)
    reference_transformer.py --model DIR beam --beam 4 < WORDS       N lines a word: index TAB phonemes TAB log-probability
    reference_transformer.py --model DIR logits OUT.safetensors < WORDS    logits of every greedy step, see dump_logits

The search, which the program's must equal (the program's own rules are docs/search.md, S1 to S6):
  - A hypothesis is a sequence of tokens after <s>; its score is the sum of the log-probabilities (log softmax of the logits) of its
    tokens, </s> included, in f64. No length normalisation.
  - Beam of N, one step: every live hypothesis is extended by every token, and the 2N best candidates are looked at: higher score
    first, of equals the one of the better ranked hypothesis, then the lower token. One of the first N that ends with </s> is
    finished, one below them that ends is dropped, and the first N that do not end live on, in this order.
  - Of the finished the N best are kept. It stops when there are N and the best live score is no higher than the worst of them
    (scores only fall), when none is live, or after `LIMIT` steps, when the live ones count as finished without </s>.
  - Greedy is the argmax of the logits (first of equals) until </s>, at most `LIMIT` tokens.
"""
import argparse
import math
import os
import sys

import torch
from safetensors.torch import load_file, save_file

HEADS = 4
LIMIT = 40          # `at most 40` in model.attn: steps, </s> included


class Reference:
    """A model of this kind: of other sizes, vocabularies and length limits too. by_words: inputs are words with blanks between, not letters."""

    def __init__(self, folder, heads=HEADS, limit=LIMIT, vocabularies=("graphemes.vocab", "phonemes.vocab"), by_words=False, int8=False):
        self.number_of_heads, self.limit, self.by_words = heads, limit, by_words
        self.int8 = {} if int8 else None
        self.weights = load_file(os.path.join(folder, "weights.safetensors"))
        read = lambda name: open(os.path.join(folder, name), encoding="utf-8").read().split("\n")[:-1]
        self.graphemes, self.phonemes = map(read, vocabularies)
        self.letter = {c: i for i, c in enumerate(self.graphemes) if len(c) == 1 or by_words}
        self.unknown = self.graphemes.index("<unk>")
        self.start, self.end = self.phonemes.index("<s>"), self.phonemes.index("</s>")
        self.encoders = 1 + max(int(k.split(".")[1]) for k in self.weights if k.startswith("enc."))
        self.decoders = 1 + max(int(k.split(".")[1]) for k in self.weights if k.startswith("dec."))
        self.width = self.weights["src.weight"].shape[1]
        self.waves = self.sinusoid(2048)

    # Pieces

    def sinusoid(self, length):
        """[length, m]: sines in the first half of m, cosines in the second."""
        half = self.width // 2
        angle = torch.arange(length)[:, None] * torch.exp(torch.arange(half) * (-math.log(10000.0) / half))
        return torch.cat([angle.sin(), angle.cos()], 1)

    def norm(self, name, x):
        return torch.nn.functional.layer_norm(x, x.shape[-1:], self.weights[name + ".weight"], self.weights[name + ".bias"], 1e-5)

    def linear(self, name, x):
        weight, bias = self.weights[name + ".weight"], self.weights.get(name + ".bias")
        if self.int8 is None:
            return torch.nn.functional.linear(x, weight, bias)
        if name not in self.int8:
            self.int8[name] = self.quantise(weight)
        (codes, scales), (weight_codes, weight_scales) = self.quantise(x), self.int8[name]
        assert codes.shape[-1] * 127 * 127 < 2 ** 24                         # so that f32 holds every sum, exact in any order
        product = codes @ weight_codes.T * (scales * weight_scales[..., 0])
        return product if bias is None else product + bias

    @staticmethod
    def quantise(rows):
        """f32 [..., K] -> whole numbers from -127 to 127, and scales f32 [..., 1]."""
        largest = rows.abs().amax(-1, keepdim=True)
        tiny = largest < 2.0 ** -100
        inverse = torch.where(tiny, torch.zeros(()), 127 / largest)
        return torch.round(rows * inverse), torch.where(tiny, torch.zeros(()), largest / 127)

    def heads(self, name, x):
        """[b,t,m] -> [b,h,t,d]."""
        return self.linear(name, x).unflatten(-1, (self.number_of_heads, -1)).transpose(1, 2)

    def attend(self, q, k, v, hidden=None):
        """q [b,h,t,d], k and v [b,h,i,d], hidden bool [b,1,1,i] -> [b,t,m], and weights p and scores s [b,h,t,i] and the context [b,h,t,d]."""
        s = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5
        if hidden is not None:
            s = s.masked_fill(hidden, -torch.inf)
        p = torch.softmax(s, -1)
        context = p @ v
        return context.transpose(1, 2).flatten(2), {"p": p, "s": s, "context": context}

    def feed_forward(self, name, x):
        return self.linear(name + ".down", torch.relu(self.linear(name + ".up", x)))

    # Encode and step

    def tokens(self, word):
        return [self.letter.get(c, self.unknown) for c in (word.split() if self.by_words else word)] + [self.graphemes.index("</s>")]

    def encode(self, words):
        """Words -> what all steps share: per decoder layer the keys and values [b,h,i,d] of the source, and `hidden` [b,1,1,i]."""
        rows = [self.tokens(w) for w in words]
        length = torch.tensor([len(r) for r in rows])
        return self.encode_tokens(torch.tensor([r + [0] * (int(length.max()) - len(r)) for r in rows]), length)

    def encode_tokens(self, source, length):
        """The same of tokens [b,i] and their numbers [b]."""
        hidden = (torch.arange(source.shape[1]) >= length[:, None])[:, None, None]
        x = self.weights["src.weight"][source] * math.sqrt(self.width) + self.waves[:source.shape[1]]
        for n in range(self.encoders):
            name = f"enc.{n}"
            y, _ = self.attend(*(self.heads(f"{name}.self_attn.{c}_proj", x) for c in "qkv"), hidden)
            x = self.norm(name + ".norm1", x + self.linear(name + ".self_attn.o_proj", y))
            x = self.norm(name + ".norm2", x + self.feed_forward(name, x))
        return [(self.heads(f"dec.{n}.cross_attn.k_proj", x), self.heads(f"dec.{n}.cross_attn.v_proj", x))
                for n in range(self.decoders)], hidden

    def step(self, y, t, source, hidden, cache):
        """Tokens y [b] at position t -> logits [b,W] and per layer the map [b,h,i]. cache: per layer keys, values [b,h,t,d], replaced."""
        logits, traces = self.traced_step(y, t, source, hidden, cache)
        return logits, [layer["p"] for layer in traces]

    def traced_step(self, y, t, source, hidden, cache):
        """The same, with weights p and scores s [b,h,i] and the context [b,h,d] of each layer's cross-attention."""
        x = (self.weights["tgt.weight"][y] * math.sqrt(self.width) + self.waves[t])[:, None]
        traces = []
        for n in range(self.decoders):
            name = f"dec.{n}"
            q, k, v = (self.heads(f"{name}.self_attn.{c}_proj", x) for c in "qkv")
            if cache[n] is not None:
                k, v = torch.cat([cache[n][0], k], 2), torch.cat([cache[n][1], v], 2)
            cache[n] = (k, v)
            a, _ = self.attend(q, k, v)
            x = self.norm(name + ".norm1", x + self.linear(name + ".self_attn.o_proj", a))
            a, seen = self.attend(self.heads(name + ".cross_attn.q_proj", x), *source[n], hidden)
            traces.append({what: value[:, :, 0] for what, value in seen.items()})
            x = self.norm(name + ".norm2", x + self.linear(name + ".cross_attn.o_proj", a))
            x = self.norm(name + ".norm3", x + self.feed_forward(name, x))
        return self.linear("tgt", x[:, 0]), traces

    # Searches

    @torch.no_grad()
    def greedy(self, words, batch=64, collect=None):
        """Words -> lists of phonemes, in order; batches of like length. collect(word number, step, logits [W], maps per layer [h,i])
        is called for every step of every word, the one that gives </s> included. A line that has ended leaves its batch's arithmetic."""
        answers = [None] * len(words)
        order = sorted(range(len(words)), key=lambda n: len(words[n]))
        for first in range(0, len(order), batch):
            numbers = order[first:first + batch]
            source, hidden = self.encode([words[n] for n in numbers])
            cache = [None] * self.decoders
            y = torch.full((len(numbers),), self.start)
            out = [[] for _ in numbers]
            live = list(range(len(numbers)))
            for t in range(self.limit):
                logits, maps = self.step(y, t, source, hidden, cache)
                y = logits.argmax(-1)
                tokens = y.tolist()
                if collect:
                    for row, place in enumerate(live):
                        length = len(words[numbers[place]]) + 1
                        collect(numbers[place], t, logits[row], [p[row, :, :length] for p in maps])
                stay = [row for row, token in enumerate(tokens) if token != self.end]
                for row in stay:
                    out[live[row]].append(tokens[row])
                if not stay:
                    break
                if len(stay) < len(live):
                    keep = torch.tensor(stay)
                    live = [live[row] for row in stay]
                    y, hidden = y[keep], hidden[keep]
                    source = [(k[keep], v[keep]) for k, v in source]
                    cache = [(k[keep], v[keep]) for k, v in cache]
            for place, n in enumerate(numbers):
                answers[n] = [self.phonemes[token] for token in out[place]]
        return answers

    @torch.no_grad()
    def logits_along(self, word, phones):
        """[t,W]: the logits of each step on the way through a given answer, the step after its last phoneme included where there is room."""
        source, hidden = self.encode([word])
        cache, tokens = [None] * self.decoders, [self.start] + [self.phonemes.index(p) for p in phones]
        return torch.cat([self.step(torch.tensor([y]), t, source, hidden, cache)[0] for t, y in enumerate(tokens[:self.limit])])

    @torch.no_grad()
    def beam(self, word, size):
        """One word -> at most `size` answers (phonemes, score), best first: the header says how."""
        source, hidden = self.encode([word])
        live, finished = [((), 0.0, [None] * self.decoders)], []                    # tokens, score, cache;  tokens, score
        for t in range(self.limit):
            candidates = []                                                         # cost, parent's rank, token, tokens, cache
            for rank, (tokens, score, cache) in enumerate(live):
                cache = list(cache)
                logits, _ = self.step(torch.tensor([tokens[-1] if tokens else self.start]), t, source, hidden, cache)
                gain = torch.log_softmax(logits[0].double(), 0).tolist()
                candidates += [(-(score + g), rank, y, tokens + (y,), cache) for y, g in enumerate(gain)]
            best = sorted(candidates, key=lambda c: c[:3])[:2 * size]
            finished += [(tokens, -cost) for cost, _, y, tokens, _ in best[:size] if y == self.end]
            live = [(tokens, -cost, cache) for cost, _, y, tokens, cache in best if y != self.end][:size]
            if t == self.limit - 1:
                finished += [(tokens, score) for tokens, score, _ in live]
            finished = sorted(finished, key=lambda f: -f[1])[:size]                 # stable: of equals the one that finished earlier
            if not live or len(finished) == size and live[0][1] <= finished[-1][1]:
                break
        return [([self.phonemes[y] for y in tokens if y != self.end], score) for tokens, score in finished]


def is_monotone(rows):
    """Whether the argmax (first of equals) of each row of an alignment [target, source] never moves back."""
    best = torch.stack(list(rows)).argmax(1).tolist()
    return all(a <= b for a, b in zip(best, best[1:]))


def alignments(model, words, batch=256):
    """Greedy answers, and per word the alignment [t,i]: the last layer's cross-attention, mean over heads, </s> included."""
    maps = [[] for _ in words]
    answers = model.greedy(words, batch, lambda n, t, logits, p: maps[n].append(p[-1].mean(0)))
    return answers, maps


def dump_logits(model, words, path):
    """Writes, for step-by-step comparison, per word number n: `n.source` i32[i], `n.tokens` i32[t] (fed to step t, <s> first) and
    `n.logits` f32[t,W] along the greedy path, the step that gives </s> included. One word at a time: no padding takes part."""
    tensors = {}
    for n, word in enumerate(words):
        rows = []
        model.greedy([word], 1, lambda _, t, logits, p: rows.append(logits.clone()))
        chosen = [int(row.argmax()) for row in rows]
        tensors[f"{n}.source"] = torch.tensor(model.tokens(word), dtype=torch.int32)
        tensors[f"{n}.tokens"] = torch.tensor([model.start] + chosen[:-1], dtype=torch.int32)
        tensors[f"{n}.logits"] = torch.stack(rows)
    save_file(tensors, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=os.path.join(os.path.dirname(__file__), "..", "..", "examples", "models", "g2p_transformer"))
    parser.add_argument("--threads", type=int, default=2)
    commands = parser.add_subparsers(dest="command", required=True)
    greedy = commands.add_parser("greedy")
    greedy.add_argument("--maps", action="store_true")
    commands.add_parser("beam").add_argument("--beam", type=int, default=4)
    commands.add_parser("logits").add_argument("out")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = Reference(args.model)
    words = [line.rstrip("\n") for line in sys.stdin]
    if args.command == "greedy" and args.maps:
        for answer, rows in zip(*alignments(model, words)):
            print(" ".join(answer), "monotone" if is_monotone(rows) else "not monotone", sep="\t")
    elif args.command == "greedy":
        for answer in model.greedy(words):
            print(" ".join(answer))
    elif args.command == "beam":
        for word in words:
            for index, (answer, score) in enumerate(model.beam(word, args.beam)):
                print(index, " ".join(answer), f"{score:.6f}", sep="\t")
    else:
        dump_logits(model, words, args.out)


if __name__ == "__main__":
    main()
