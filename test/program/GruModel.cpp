#include "test/program/GruModel.h"

#include "runtime/support/SafeTensors.h"
#include "test/program/MemRef.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <stdexcept>

namespace gru {

namespace {

float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

// One step of the cell without biases; w(g, m, x) and u(g, m, n) give the weights.
template <class Input, class Recurrent> std::vector<float> cell(const std::vector<float> &x, const std::vector<float> &h, Input w, Recurrent u) {
  std::vector<float> next(hidden);
  for (int64_t m = 0; m < hidden; ++m) {
    float a[gates] = {}, c[gates] = {};
    for (int64_t g = 0; g < gates; ++g)
      for (int64_t k = 0; k < hidden; ++k) {
        a[g] += w(g, m, k) * x[size_t(k)];
        c[g] += u(g, m, k) * h[size_t(k)];
      }
    float r = sigmoid(a[0] + c[0]), z = sigmoid(a[1] + c[1]);
    next[size_t(m)] = (1 - z) * std::tanh(a[2] + r * c[2]) + z * h[size_t(m)];
  }
  return next;
}

template <class T> std::vector<float> row(T &tensor, int64_t index) {
  std::vector<float> result;
  for (int64_t m = 0; m < hidden; ++m)
    result.push_back(tensor(index, m));
  return result;
}

int32_t load(void **args) {
  auto &output = tensor<float, 2>(args[0]);
  auto &packed = tensor<float, 2>(args[1]);
  for (int64_t m = 0; m < hidden; ++m)
    for (int64_t v = 0; v < sounds; ++v)
      packed(m, v) = output(v, m);
  return 0;
}

int32_t encode(void **args) {
  auto &tokens = tensor<int32_t, 2>(args[0]);
  auto &length = tensor<int32_t, 1>(args[1]);
  auto &source = tensor<float, 2>(args[2]);
  auto &w = tensor<float, 3>(args[3]);
  auto &u = tensor<float, 3>(args[4]);
  auto &h = tensor<float, 2>(args[5]);
  for (int64_t b = 0; b < tokens.sizes[0]; ++b) {
    std::vector<float> state(hidden);
    for (int64_t i = 0; i < length(b); ++i)
      state = cell(row(source, tokens(b, i)), state, w, u);
    for (int64_t m = 0; m < hidden; ++m)
      h(b, m) = state[size_t(m)];
  }
  return 0;
}

int32_t step(void **args) {
  auto &y = tensor<int32_t, 1>(args[0]);
  auto &target = tensor<float, 2>(args[1]);
  auto &w = tensor<float, 3>(args[2]);
  auto &u = tensor<float, 3>(args[3]);
  auto &packed = tensor<float, 2>(args[4]);
  auto &h = tensor<float, 2>(args[5]);
  auto &next = tensor<float, 2>(args[6]);
  auto &logits = tensor<float, 2>(args[7]);
  for (int64_t b = 0; b < y.sizes[0]; ++b) {
    std::vector<float> state = cell(row(target, y(b)), row(h, b), w, u);
    for (int64_t m = 0; m < hidden; ++m)
      next(b, m) = state[size_t(m)];
    for (int64_t v = 0; v < sounds; ++v) {
      logits(b, v) = 0;
      for (int64_t m = 0; m < hidden; ++m)
        logits(b, v) += packed(m, v) * state[size_t(m)];
    }
  }
  return 0;
}

constexpr char letterLines[] = "</s>\na\nb\nc\nd\ne\n";
constexpr char soundLines[] = "<s>\n</s>\nA\nB\nC\nD\nE\n";

std::string jsonFor(size_t inside) {
  return R"({
  "abi": 3, "name": "tiny_gru", "compiler": "0.1.0",
  "reads": {"kind": "text", "unit": "words", "vocabulary": "in.vocab", "end": "</s>"},
  "writes": {"kind": "text", "unit": "words", "vocabulary": "out.vocab", "start": "<s>", "end": "</s>", "at_most": 8},
  "files": [{"name": "in.vocab", "bytes": )" + std::to_string(sizeof letterLines - 1) + R"(}, {"name": "out.vocab", "bytes": )" +
         std::to_string(sizeof soundLines - 1) + "}" + (inside ? R"(, {"name": "tiny.safetensors", "bytes": )" + std::to_string(inside) + "}" : "") + R"(],
  "weights": "tiny.safetensors",
  "parameters": [
    {"name": "src", "type": "f32", "shape": [6, 5], "layout": [[0], [1]]},
    {"name": "tgt", "type": "f32", "shape": [7, 5]},
    {"name": "cell.w", "foreign": "rnn.weight_ih", "type": "f32", "shape": [3, 5, 5], "layout": [[0, 1], [2]]},
    {"name": "cell.u", "foreign": "rnn.weight_hh", "type": "f32", "shape": [3, 5, 5], "layout": [[2], [0, 1]]},
    {"name": "out", "type": "f32", "shape": [7, 5]}],
  "stages": [
    {"name": "load", "arguments": [
      {"what": "parameter", "name": "out", "type": "f32", "shape": [7, 5]},
      {"what": "packed", "name": "out.t", "type": "f32", "shape": [5, 7]}]},
    {"name": "encode", "arguments": [
      {"what": "tokens", "name": "s", "type": "i32", "shape": ["b", "i"]},
      {"what": "length", "name": "len", "type": "i32", "shape": ["b"]},
      {"what": "parameter", "name": "src", "type": "f32", "shape": [6, 5]},
      {"what": "parameter", "name": "cell.w", "type": "f32", "shape": [3, 5, 5]},
      {"what": "parameter", "name": "cell.u", "type": "f32", "shape": [3, 5, 5]},
      {"what": "init", "name": "h", "type": "f32", "shape": ["b", 5]}]},
    {"name": "step", "arguments": [
      {"what": "tokens", "name": "y", "type": "i32", "shape": ["b"]},
      {"what": "parameter", "name": "tgt", "type": "f32", "shape": [7, 5]},
      {"what": "parameter", "name": "cell.w", "type": "f32", "shape": [3, 5, 5]},
      {"what": "parameter", "name": "cell.u", "type": "f32", "shape": [3, 5, 5]},
      {"what": "packed", "name": "out.t", "type": "f32", "shape": [5, 7]},
      {"what": "state", "name": "h", "type": "f32", "shape": ["b", 5]},
      {"what": "next", "name": "h", "type": "f32", "shape": ["b", 5]},
      {"what": "logits", "name": "logits", "type": "f32", "shape": ["b", 7]}]}]
})";
}

constexpr fovea_stage stages[] = {load, encode, step};

}  // namespace

Weights randomWeights(unsigned seed) {
  std::mt19937 random(seed);
  auto tensor = [&](int64_t count) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float &value : values)
      value = float(int(random() % 1001) - 500) / 128;  // exact in f16 and bf16 only now and then
    return values;
  };
  return {tensor(letters * hidden), tensor(sounds * hidden), tensor(gates * hidden * hidden), tensor(gates * hidden * hidden), tensor(sounds * hidden)};
}

void write(const Weights &weights, const std::string &path, const std::string &type) {
  struct Entry { const char *name; const std::vector<float> *values; std::vector<int64_t> shape; };
  const Entry entries[] = {{"src", &weights.source, {letters, hidden}},
                           {"tgt", &weights.target, {sounds, hidden}},
                           {"rnn.weight_ih", &weights.input, {gates * hidden, hidden}},
                           {"rnn.weight_hh", &weights.recurrent, {hidden, gates * hidden}},
                           {"out", &weights.output, {sounds, hidden}},
                           {"unused", &weights.output, {sounds * hidden}}};
  std::vector<std::vector<unsigned char>> bytes;
  std::vector<fovea::SafeTensor> tensors;
  for (const Entry &entry : entries) {
    auto &stored = bytes.emplace_back();
    for (float value : *entry.values) {
      unsigned char buffer[8];
      size_t size = 4;
      uint32_t bits = std::bit_cast<uint32_t>(value);
      std::memcpy(buffer, &bits, 4);
      if (type == "F64") {
        double wide = value;
        std::memcpy(buffer, &wide, size = 8);
      } else if (type == "BF16") {
        uint16_t upper = uint16_t(bits >> 16);
        std::memcpy(buffer, &upper, size = 2);
      } else if (type == "F16") {
        auto half = _Float16(value);
        std::memcpy(buffer, &half, size = 2);
      }
      stored.insert(stored.end(), buffer, buffer + size);
    }
  }
  for (size_t index = 0; index < bytes.size(); ++index)
    tensors.push_back({entries[index].name, type, entries[index].shape, bytes[index].data(), bytes[index].size()});
  std::string error;
  if (!fovea::writeSafeTensors(path, tensors, error))
    throw std::runtime_error(error);
}

std::vector<int32_t> decode(const Weights &weights, const std::vector<int32_t> &source) {
  auto w = [&](int64_t g, int64_t m, int64_t x) { return weights.input[size_t((g * hidden + m) * hidden + x)]; };
  auto u = [&](int64_t g, int64_t m, int64_t n) { return weights.recurrent[size_t(n * gates * hidden + g * hidden + m)]; };
  auto embed = [](const std::vector<float> &table, int32_t token) {
    return std::vector<float>(table.begin() + token * hidden, table.begin() + (token + 1) * hidden);
  };
  std::vector<float> state(hidden);
  for (int32_t token : source)
    state = cell(embed(weights.source, token), state, w, u);
  std::vector<int32_t> result;
  for (int32_t token = 0; int64_t(result.size()) < longest;) {
    state = cell(embed(weights.target, token), state, w, u);
    std::vector<float> logits(sounds);
    for (int64_t v = 0; v < sounds; ++v)
      for (int64_t m = 0; m < hidden; ++m)
        logits[size_t(v)] += weights.output[size_t(v * hidden + m)] * state[size_t(m)];
    token = int32_t(std::max_element(logits.begin(), logits.end()) - logits.begin());
    if (token == 1)
      break;
    result.push_back(token);
  }
  return result;
}

const fovea_model &model(const std::string &inside) {
  static std::string bytes, json;
  static const unsigned char *files[3];
  static fovea_model table;
  bytes = inside;
  json = jsonFor(inside.size());
  files[0] = reinterpret_cast<const unsigned char *>(letterLines);
  files[1] = reinterpret_cast<const unsigned char *>(soundLines);
  files[2] = reinterpret_cast<const unsigned char *>(bytes.data());
  table = {FOVEA_MODEL_ABI, 3, json.data(), json.size(), stages, files, nullptr, nullptr, nullptr, nullptr};
  return table;
}

}  // namespace gru
