#include "test/program/ToyModel.h"

#include "test/program/MemRef.h"

namespace toy {

namespace {

const char *sentence = "";

int32_t mix(int32_t a, int32_t b) {
  uint32_t h = (uint32_t(a) * 0x9E3779B1u) ^ (uint32_t(b) + 0x7F4A7C15u);
  h ^= h >> 15;
  h *= 0x85EBCA6Bu;
  h ^= h >> 13;
  return int32_t(h);
}

float score(int32_t source, int32_t prefix, int64_t length, int64_t token) {
  float noise = float(uint32_t(mix(mix(source, prefix), int32_t(token))) >> 8) * 0x1p-24f * 4 - 2;
  return token == start ? noise - 20 : token == end ? noise + 0.5f * float(length) - 2 : noise;
}

int32_t sourceHash(const int32_t *tokens, int64_t length, int64_t stride) {
  int32_t hash = 1;
  for (int64_t k = 0; k < length; ++k)
    hash = mix(hash, tokens[k * stride]);
  return hash;
}

int32_t encode(void **args) {
  auto &src = tensor<int32_t, 2>(args[0]);
  auto &len = tensor<int32_t, 1>(args[1]);
  auto &sum = tensor<int32_t, 1>(args[2]);
  auto &h = tensor<int32_t, 1>(args[3]);
  auto &g = tensor<int32_t, 3>(args[4]);
  for (int64_t b = 0; b < src.sizes[0]; ++b) {
    for (int64_t i = 0; i < len(b); ++i)
      if (src(b, i) == 2 + 'q' - 'a') {
        sentence = "no q, please";
        return 7;
      }
    sum(b) = sourceHash(&src(b, 0), len(b), src.strides[1]);
    h(b) = 17;
    for (int64_t l = 0; l < 2; ++l)
      for (int64_t e = 0; e < 3; ++e)
        g(l, b, e) = int32_t(100 * l + e);
  }
  return 0;
}

// One step; `bias` [V] is added to the logits where it is not null.
int32_t stepWith(void **args, const float *bias, int64_t most) {
  auto &y = tensor<int32_t, 1>(args[0]);
  auto &map = tensor<int32_t, 1>(args[1]);
  auto &len = tensor<int32_t, 1>(args[2]);
  auto &src = tensor<int32_t, 2>(args[3]);
  auto &sum = tensor<int32_t, 1>(args[4]);
  auto &h = tensor<int32_t, 1>(args[5]);
  auto &hNext = tensor<int32_t, 1>(args[6]);
  auto &g = tensor<int32_t, 3>(args[7]);
  auto &gNext = tensor<int32_t, 3>(args[8]);
  auto &c = tensor<int32_t, 2>(args[9]);
  auto &d = tensor<int32_t, 4>(args[10]);
  int32_t position = *static_cast<int32_t *>(args[11]);
  auto &out = tensor<float, 2>(args[12]);
  auto &p = tensor<float, 2>(args[13]);
  auto &heads = tensor<float, 3>(args[14]);
  auto &self = tensor<float, 2>(args[15]);
  auto wrong = [](const char *text) {
    sentence = text;
    return 8;
  };
  int64_t rows = y.sizes[0], t = c.sizes[1];
  if (t != position + 1 || t > most || map.sizes[0] != rows || c.sizes[0] != rows || d.sizes[2] != t)
    return wrong("sizes disagree");
  for (int64_t b = 0; b < rows; ++b) {
    int32_t source = map(b);
    if (source < 0 || source >= len.sizes[0])
      return wrong("no such source");
    for (int64_t i = 0; i < len(source); ++i)
      if (src(source, i) == 2 + 'x' - 'a')
        return wrong("no x, please");
    c(b, t - 1) = y(b);
    for (int64_t k = 0; k < 3; ++k)
      for (int64_t e = 0; e < 2; ++e)
        d(k, b, t - 1, e) = y(b) + int32_t(10 * k + e);
    hNext(b) = mix(h(b), y(b));
    int32_t hash = 17, steps = 0;
    for (int64_t s = 0; s < t; ++s) {
      hash = mix(hash, c(b, s));
      ++steps;
      for (int64_t k = 0; k < 3; ++k)
        for (int64_t e = 0; e < 2; ++e)
          if (d(k, b, s, e) != c(b, s) + 10 * k + e)
            return wrong("two caches disagree");
    }
    if (hash != hNext(b))
      return wrong("state and cache disagree");
    for (int64_t l = 0; l < 2; ++l)
      for (int64_t e = 0; e < 3; ++e) {
        gNext(l, b, e) = g(l, b, e) + (e == 2 ? y(b) : 1000);
        if (e < 2 && gNext(l, b, e) != 100 * l + e + 1000 * steps)
          return wrong("a state is another layer's");
      }
    for (int64_t v = 0; v < out.sizes[1]; ++v) {
      out(b, v) = score(sum(source), hash, t, v);
      if (bias)
        out(b, v) += bias[v];
    }
    for (int64_t i = 0; i < p.sizes[1]; ++i) {
      p(b, i) = i < len(source) ? float((src(source, i) + y(b)) % 5) / 4 : 99;
      heads(b, 0, i) = i == position % len(source) ? 1.0f : 0.0f;
      heads(b, 1, i) = i < len(source) ? 1.0f / float(len(source)) : 99;
    }
    for (int64_t s = 0; s < t; ++s)
      self(b, s) = float(c(b, s));
  }
  return 0;
}

int32_t step(void **args) { return stepWith(args, nullptr, longest); }
int32_t stepWide(void **args) { return stepWith(args, tensor<float, 1>(args[16]).aligned, wideLongest); }

const char *lastError() { return sentence; }

constexpr char letters[] = "<unk>\n</s>\na\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\nm\nn\no\np\nq\nr\ns\nt\nu\nv\nw\nx\ny\nz\n\xC3\xA9\n";
constexpr char sounds[] = "<s>\n</s>\nA\nB\nC\nD\nE\n";
constexpr char wideSounds[] = "<s>\n</s>\n<unk>\nA\nB\nC\nD\nE\nF\nG\nH\nI\n";
constexpr char biasHeader[] = R"({"bias":{"dtype":"F32","shape":[12],"data_offsets":[0,48]}}      )";
constexpr size_t headerSize = sizeof biasHeader - 1;

// The weight file inside the wide program: no bias.
std::string makeWeights() {
  std::string bytes{char(headerSize), 0, 0, 0, 0, 0, 0, 0};
  return bytes + biasHeader + std::string(48, '\0');
}

void replace(std::string &text, const std::string &before, const std::string &after) { text.replace(text.find(before), before.size(), after); }

std::string makeJson() {
  return R"({
  "abi": 3, "name": "toy", "compiler": "0.1.0",
  "reads": {"kind": "text", "unit": "characters", "vocabulary": "letters.vocab", "end": "</s>", "unknown": "<unk>"},
  "writes": {"kind": "text", "unit": "words", "vocabulary": "sounds.vocab", "start": "<s>", "end": "</s>", "at_most": 6},
  "files": [{"name": "letters.vocab", "bytes": )" + std::to_string(sizeof letters - 1) + R"(}, {"name": "sounds.vocab", "bytes": )" +
                         std::to_string(sizeof sounds - 1) + R"(}],
  "traces": [{"name": "p"}, {"name": "dec.1.heads"}, {"name": "self"}],
  "stages": [
    {"name": "encode", "arguments": [
      {"what": "tokens",  "name": "src", "type": "i32", "shape": ["b", "i"]},
      {"what": "length",  "name": "len", "type": "i32", "shape": ["b"]},
      {"what": "packed",  "name": "sum", "type": "i32", "shape": ["b"]},
      {"what": "init",    "name": "h",   "type": "i32", "shape": ["b"]},
      {"what": "init",    "name": "g",   "type": "i32", "shape": [2, "b", 3]}]},
    {"name": "step", "arguments": [
      {"what": "tokens",  "name": "y",   "type": "i32", "shape": ["b"]},
      {"what": "map",     "name": "map", "type": "i32", "shape": ["b"]},
      {"what": "encoded", "name": "len", "type": "i32", "shape": ["s"]},
      {"what": "encoded", "name": "src", "type": "i32", "shape": ["s", "i"]},
      {"what": "packed",  "name": "sum", "type": "i32", "shape": ["s"]},
      {"what": "state",   "name": "h",   "type": "i32", "shape": ["b"]},
      {"what": "next",    "name": "h",   "type": "i32", "shape": ["b"]},
      {"what": "state",   "name": "g",   "type": "i32", "shape": [2, "b", 3]},
      {"what": "next",    "name": "g",   "type": "i32", "shape": [2, "b", 3]},
      {"what": "cache",   "name": "c",   "type": "i32", "shape": ["b", "t"]},
      {"what": "cache",   "name": "d",   "type": "i32", "shape": [3, "b", "t", 2]},
      {"what": "position","name": "t",   "type": "i32", "shape": []},
      {"what": "logits",  "name": "logits", "type": "f32", "shape": ["b", 7]},
      {"what": "trace",   "name": "p",   "type": "f32", "shape": ["b", "i"]},
      {"what": "trace",   "name": "dec.1.heads", "type": "f32", "shape": ["b", 2, "i"]},
      {"what": "trace",   "name": "self", "type": "f32", "shape": ["b", "t"]}]}]
})";
}

constexpr fovea_stage stages[] = {encode, step};
const unsigned char *const files[] = {reinterpret_cast<const unsigned char *>(letters), reinterpret_cast<const unsigned char *>(sounds)};

}  // namespace

std::vector<int32_t> encodeLetters(const std::string &text) {
  std::vector<int32_t> tokens;
  for (size_t at = 0; at < text.size(); ++at)
    if (text[at] == '\xC3')
      tokens.push_back(28), ++at;
    else
      tokens.push_back(text[at] >= 'a' && text[at] <= 'z' ? 2 + text[at] - 'a' : 0);
  tokens.push_back(1);
  return tokens;
}

std::vector<float> logits(const std::vector<int32_t> &source, const std::vector<int32_t> &prefix, int64_t count) {
  int32_t hash = 17;
  for (int32_t token : prefix)
    hash = mix(hash, token);
  std::vector<float> result;
  for (int64_t token = 0; token < count; ++token)
    result.push_back(score(sourceHash(source.data(), int64_t(source.size()), 1), hash, int64_t(prefix.size()), token));
  return result;
}

std::string text(const std::vector<int32_t> &tokens) {
  std::string result;
  for (int32_t token : tokens)
    result += (result.empty() ? "" : " ") + std::string(token == start ? "<s>" : token == end ? "</s>" : std::string(1, char('A' + token - 2)));
  return result;
}

const fovea_model &model() {
  static const std::string json = makeJson();
  static const fovea_model table{FOVEA_MODEL_ABI, 2, json.data(), json.size(), stages, files, nullptr, lastError, nullptr, nullptr};
  return table;
}

const fovea_model &wide() {
  static const std::string weights = makeWeights();
  static const std::string json = [] {
    std::string text = makeJson();
    replace(text, R"("name": "toy")", R"("name": "wide")");
    replace(text, R"("end": "</s>", "at_most": 6)", R"("end": "</s>", "unknown": "<unk>", "at_most": 14)");
    replace(text, R"("sounds.vocab", "bytes": )" + std::to_string(sizeof sounds - 1),
            R"("sounds.vocab", "bytes": )" + std::to_string(sizeof wideSounds - 1) + R"(}, {"name": "bias.safetensors", "bytes": )" + std::to_string(weights.size()));
    replace(text, R"("traces")", R"("weights": "bias.safetensors", "parameters": [{"name": "bias", "type": "f32", "shape": [12]}], "traces")");
    replace(text, R"(["b", 7])", R"(["b", 12])");
    replace(text, R"("shape": ["b", "t"]}]}])", R"("shape": ["b", "t"]}, {"what": "parameter", "name": "bias", "type": "f32", "shape": [12]}]}])");
    return text;
  }();
  static constexpr fovea_stage stages[] = {encode, stepWide};
  static const unsigned char *const files[] = {reinterpret_cast<const unsigned char *>(letters), reinterpret_cast<const unsigned char *>(wideSounds),
                                               reinterpret_cast<const unsigned char *>(weights.data())};
  static const fovea_model table{FOVEA_MODEL_ABI, 2, json.data(), json.size(), stages, files, nullptr, lastError, nullptr, nullptr};
  return table;
}

}  // namespace toy
