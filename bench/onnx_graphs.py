"""An encoder-decoder Transformer as two ONNX graphs, `encode.onnx` and `step.onnx`, as somebody who knows ONNX Runtime would write them: products of one
input are one matrix, attention is its MultiHeadAttention (com.microsoft), normalisation and residual its SkipLayerNormalization. In int8 the products with
weights are quantised by its own `quantize_dynamic`, a scale for each column.

encode: tokens i64 [b,i], mask i32 [b,i] (1: a token) -> of every decoder layer the source's keys and values k0, v0, .. [b,h,i,d]
step:   token i64 [b], position i64 [1], mask, those, and the keys and values of the steps before pk0, pv0, .. [b,h,t-1,d] -> logits [b,W], nk0, nv0, .. [b,h,t,d]
"""
import logging
import os

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

MICROSOFT = "com.microsoft"


class Graph:
    """Nodes and weights as they come; a value is its name."""

    def __init__(self):
        self.nodes, self.weights, self.known = [], [], set()

    def weight(self, name, array):
        if name not in self.known:
            self.known.add(name)
            self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def op(self, kind, *inputs, outputs=1, domain="", names=None, **attributes):
        found = names or [f"v{len(self.nodes)}_{n}" for n in range(outputs)]
        self.nodes.append(helper.make_node(kind, [i or "" for i in inputs], found, domain=domain, **attributes))
        return found if len(found) > 1 else found[0]

    def model(self, inputs, outputs):
        described = [[helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in side] for side in (inputs, outputs)]
        graph = helper.make_graph(self.nodes, "transformer", *described, initializer=self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid(MICROSOFT, 1)], ir_version=9)


class Transformer:
    def __init__(self, folder, heads, limit):
        self.tensors, self.heads = load_file(os.path.join(folder, "weights.safetensors")), heads
        self.width = self.tensors["src.weight"].shape[1]
        self.layers = {stack: 1 + max(int(name.split(".")[1]) for name in self.tensors if name.startswith(stack + ".")) for stack in ("enc", "dec")}
        half = self.width // 2
        angle = np.arange(max(limit, 1024), dtype=np.float32)[:, None] * np.exp(np.arange(half, dtype=np.float32) * np.float32(-np.log(10000.0) / half))
        self.waves = np.concatenate([np.sin(angle), np.cos(angle)], 1)

    def linear(self, g, x, *names):
        y = g.op("MatMul", x, g.weight("+".join(names), np.concatenate([self.tensors[name + ".weight"] for name in names]).T))
        bias = names[0] + ".bias"
        return g.op("Add", y, g.weight(bias, self.tensors[bias])) if bias in self.tensors else y

    def add_and_norm(self, g, name, x, y):
        return g.op("SkipLayerNormalization", x, y, *(g.weight(f"{name}.{part}", self.tensors[f"{name}.{part}"]) for part in ("weight", "bias")), domain=MICROSOFT, epsilon=1e-5)

    def split(self, g, x, parts):
        return g.op("Split", x, g.weight(f"split{parts}", np.full(parts, self.width, np.int64)), outputs=parts, axis=-1)

    def attend(self, g, q, k, v, mask=None, past=(None, None), names=None):
        return g.op("MultiHeadAttention", q, k, v, None, mask, None, *past, domain=MICROSOFT, num_heads=self.heads, names=names)

    def feed_forward(self, g, name, x):
        return self.linear(g, g.op("Relu", self.linear(g, x, name + ".up")), name + ".down")

    def embed(self, g, side, tokens, waves):
        rows = g.op("Gather", g.weight(side, self.tensors[side + ".weight"]), tokens)
        return g.op("Add", g.op("Mul", rows, g.weight("root", np.float32(self.width ** 0.5))), waves)

    def by_heads(self, g, x):
        return g.op("Transpose", g.op("Reshape", x, g.weight("apart", np.array([0, 0, self.heads, self.width // self.heads], np.int64))), perm=[0, 2, 1, 3])

    def cache(self, prefix, extent):
        return [(f"{prefix}{part}{n}", TensorProto.FLOAT, ["b", self.heads, extent, self.width // self.heads]) for n in range(self.layers["dec"]) for part in "kv"]

    def encode(self):
        g = Graph()
        length = g.op("Shape", "tokens", start=1, end=2)
        waves = g.op("Slice", g.weight("waves", self.waves), g.weight("zero", np.array([0], np.int64)), length)
        x = self.embed(g, "src", "tokens", waves)
        for n in range(self.layers["enc"]):
            name = f"enc.{n}"
            q, k, v = self.split(g, self.linear(g, x, *(f"{name}.self_attn.{c}_proj" for c in "qkv")), 3)
            x = self.add_and_norm(g, name + ".norm1", x, self.linear(g, self.attend(g, q, k, v, "mask"), f"{name}.self_attn.o_proj"))
            x = self.add_and_norm(g, name + ".norm2", x, self.feed_forward(g, name, x))
        for n in range(self.layers["dec"]):
            for part, y in zip("kv", self.split(g, self.linear(g, x, *(f"dec.{n}.cross_attn.{c}_proj" for c in "kv")), 2)):
                g.op("Identity", self.by_heads(g, y), names=[f"{part}{n}"])
        return g.model([("tokens", TensorProto.INT64, ["b", "i"]), ("mask", TensorProto.INT32, ["b", "i"])], self.cache("", "i"))

    def step(self):
        g = Graph()
        x = self.embed(g, "tgt", g.op("Unsqueeze", "token", g.weight("one", np.array([1], np.int64))), g.op("Gather", g.weight("waves", self.waves), "position"))
        for n in range(self.layers["dec"]):
            name = f"dec.{n}"
            q, k, v = self.split(g, self.linear(g, x, *(f"{name}.self_attn.{c}_proj" for c in "qkv")), 3)
            a = self.attend(g, q, k, v, past=(f"pk{n}", f"pv{n}"), names=[f"a{n}", f"nk{n}", f"nv{n}"])[0]
            x = self.add_and_norm(g, name + ".norm1", x, self.linear(g, a, f"{name}.self_attn.o_proj"))
            a = self.attend(g, self.linear(g, x, f"{name}.cross_attn.q_proj"), f"k{n}", f"v{n}", "mask")
            x = self.add_and_norm(g, name + ".norm2", x, self.linear(g, a, f"{name}.cross_attn.o_proj"))
            x = self.add_and_norm(g, name + ".norm3", x, self.feed_forward(g, name, x))
        g.op("Squeeze", g.op("MatMul", x, g.weight("scores", self.tensors["tgt.weight"].T)), g.weight("one", np.array([1], np.int64)), names=["logits"])
        inputs = [("token", TensorProto.INT64, ["b"]), ("position", TensorProto.INT64, [1]), ("mask", TensorProto.INT32, ["b", "i"])] + self.cache("", "i") + self.cache("p", "t")
        return g.model(inputs, [("logits", TensorProto.FLOAT, ["b", self.tensors["tgt.weight"].shape[0]])] + self.cache("n", "u"))


def write(folder, heads, limit, to, kind):
    """to/encode.onnx and to/step.onnx. kind: float32 or int8."""
    model = Transformer(folder, heads, limit)
    os.makedirs(to, exist_ok=True)
    for name in ("encode", "step"):
        path = os.path.join(to, name + ".onnx")
        onnx.save(getattr(model, name)(), path)
        if kind == "int8":
            from onnxruntime.quantization import QuantType, quantize_dynamic
            logging.getLogger().setLevel(logging.ERROR)   # it advises shape inference, which knows nothing of MultiHeadAttention
            quantize_dynamic(path, path, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QInt8,
                             extra_options={"MatMulConstBOnly": True, "DefaultTensorType": TensorProto.FLOAT})
