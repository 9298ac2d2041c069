"""Transformers that normalise before each part (Xiong et al. 2020), in PyTorch: what g2p_relative, g2p_alibi, g2p_rotary, g2p_aan, g2p_ssru and
dates_transformer train. The sizes, bias(), turn() and make_past() are what a model chooses."""
import math
import os
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "python"))
import sequence_training as training  # noqa: E402


def sinusoid(length, m):
    """[length, m]: sines in the first half, cosines in the second, wavelengths from 2 pi to 10000 * 2 pi."""
    angle = torch.arange(length)[:, None] * torch.exp(torch.arange(m // 2) * (-math.log(10000.0) / (m // 2)))
    return torch.cat([angle.sin(), angle.cos()], 1)


class Attention(nn.Module):
    def __init__(self, m, heads, turn=None):
        super().__init__()
        for name in "qkvo":
            linear = nn.Linear(m, m, bias=False)
            nn.init.xavier_uniform_(linear.weight)
            setattr(self, name, linear)
        self.norm, self.heads, self.turn, self.scale = nn.LayerNorm(m), heads, turn, (m // heads) ** -0.5

    def forward(self, x, source, bias, drop):
        """x [b,t,m] -> x and what it attends to, and its traces: weights and scores [b,h,t,i], what they attend to [b,h,t,d]; source None: x itself.
        bias is added to the scores."""
        z = self.norm(x)
        source = z if source is None else source
        heads = lambda y: y.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        q, k, v = heads(self.q(z)), heads(self.k(source)), heads(self.v(source))
        if self.turn:
            q, k = self.turn(q), self.turn(k)
        s = q @ k.transpose(2, 3) * self.scale + bias
        p = torch.softmax(s, -1)
        context = p @ v
        return x + drop(self.o(context.transpose(1, 2).flatten(2))), {"p": p, "s": s, "context": context}


class Inner(nn.Module):
    def __init__(self, m, inner):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(m), nn.Linear(m, inner), nn.Linear(inner, m)

    def forward(self, x, drop):
        return x + drop(self.down(torch.relu(self.up(self.norm(x)))))


class Layer(nn.Module):
    """The named parts, in this order, and a feed-forward layer."""

    def __init__(self, m, inner, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.inner = Inner(m, inner)


class Prenorm(nn.Module):
    """Output embeddings are input embeddings."""
    m, inner, heads = 128, 256, 4
    encoders, decoders = 3, 2          # layers
    places = False                     # sinusoids in the input
    turn = None                        # what positions do to queries and keys [b,h,t,d] of self-attention

    def __init__(self, task):
        super().__init__()
        m = self.m
        self.src, self.tgt = nn.Embedding(len(task.source), m), nn.Embedding(len(task.target), m)
        for table in (self.src, self.tgt):
            nn.init.normal_(table.weight, std=m ** -0.5)
        self.enc = nn.ModuleList(Layer(m, self.inner, attention=self.attention()) for _ in range(self.encoders))
        self.enc_norm, self.dec_norm = nn.LayerNorm(m), nn.LayerNorm(m)
        self.add_decoder([Layer(m, self.inner, past=self.make_past(), cross=Attention(m, self.heads)) for _ in range(self.decoders)])
        self.drop = nn.Dropout(0.1)

    def attention(self):
        """Of positions among themselves."""
        return Attention(self.m, self.heads, self.turn)

    def add_decoder(self, layers):
        """Under the names that model.attn has; layers() has them, with their names."""
        self.dec = nn.ModuleList(layers)

    def layers(self):
        return [(f"dec.{n}", layer) for n, layer in enumerate(self.dec)]

    def make_past(self):
        return self.attention()

    def bias(self, length, decoder):
        """What distance adds to the scores [h or 1, length, length] of one stack."""
        return torch.zeros(1, length, length)

    def look_back(self, past, x):
        """x [b,t,m] -> the same and what the decoder makes of the steps before."""
        causal = torch.full(x.shape[1:2] * 2, -torch.inf).triu(1)
        return past(x, None, self.bias(x.shape[1], True) + causal, self.drop)[0]

    def embed(self, table, tokens):
        x = table(tokens) * math.sqrt(self.m)
        return self.drop(x + sinusoid(tokens.shape[1], self.m) if self.places else x)

    def encode(self, source, lengths):
        hide = torch.zeros(source.shape).masked_fill(~training.valid(source, lengths), -torch.inf)[:, None, None]
        x = self.embed(self.src, source)
        for layer in self.enc:
            x = layer.inner(layer.attention(x, None, self.bias(x.shape[1], False) + hide, self.drop)[0], self.drop)
        return {"memory": self.enc_norm(x), "hide": hide}

    def decode(self, memory, target):
        """target [b,t] -> logits [b,t,W] and the cross-attention's traces of each layer [b,h,t,...]"""
        x, traces = self.embed(self.tgt, target), {}
        for name, layer in self.layers():
            x, seen = layer.cross(self.look_back(layer.past, x), memory["memory"], memory["hide"], self.drop)
            traces.update({f"{name}.cross.{what}": value for what, value in seen.items()})
            x = layer.inner(x, self.drop)
        return F.linear(self.dec_norm(x), self.tgt.weight), traces

    def teacher(self, memory, target):
        return self.decode(memory, target)[0]

    def start(self, memory):
        return {"said": torch.zeros(len(memory["hide"]), 0, dtype=torch.long)}

    def step(self, y, t, state, memory):
        said = torch.cat([state["said"], y[:, None]], 1)
        logits, traces = self.decode(memory, said)
        return logits[:, -1], {"said": said}, {name: value[:, :, -1] for name, value in traces.items()}


class Stateful(Prenorm):
    """Decoder layers that carry a state from step to step; model.attn names them one by one. Here look_back() computes each step's anew and leaves the
    last one as past.last [b,m]."""
    places = True
    carried = ""                       # model.attn's states are this and the layer's number

    def add_decoder(self, layers):
        for n, layer in enumerate(layers, 1):
            setattr(self, f"dec{n}", layer)

    def layers(self):
        return [(f"dec{n}", getattr(self, f"dec{n}")) for n in range(1, self.decoders + 1)]

    def start(self, memory):
        nothing = torch.zeros(len(memory["hide"]), self.m)
        return {**super().start(memory), **{f"{self.carried}{n}": nothing for n in range(1, self.decoders + 1)}}

    def step(self, y, t, state, memory):
        logits, state, traces = super().step(y, t, state, memory)
        return logits, {**state, **{name.replace("dec", self.carried): layer.past.last for name, layer in self.layers()}}, traces
