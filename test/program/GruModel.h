// A tiny GRU encoder-decoder by hand, with weights: parameters with foreign names and layouts, a load stage that packs, a
// state that encode begins.
#ifndef FOVEA_TEST_PROGRAM_GRUMODEL_H
#define FOVEA_TEST_PROGRAM_GRUMODEL_H

#include "runtime/program/table.h"

#include <cstdint>
#include <string>
#include <vector>

namespace gru {

inline constexpr int64_t letters = 6, sounds = 7, hidden = 5, gates = 3;
inline constexpr int64_t longest = 8;

// The tensors of its weight file, row-major.
struct Weights {
  std::vector<float> source;     // "src": [letters, hidden]
  std::vector<float> target;     // "tgt": [sounds, hidden]
  std::vector<float> input;      // "rnn.weight_ih": [gates * hidden, hidden]
  std::vector<float> recurrent;  // "rnn.weight_hh": [hidden, gates * hidden], the transpose
  std::vector<float> output;     // "out": [sounds, hidden]
};
Weights randomWeights(unsigned seed);

// Writes them as safetensors; types are "F32", "F16", "BF16" or "F64".
void write(const Weights &weights, const std::string &path, const std::string &type = "F32");

// Greedy output for a source with its end token, computed plainly.
std::vector<int32_t> decode(const Weights &weights, const std::vector<int32_t> &source);

// Vocabularies: words `</s> a b c d e` in, `<s> </s> A B C D E` out. `inside`: bytes of a weight file in the program, or empty.
const fovea_model &model(const std::string &inside = "");

}  // namespace gru

#endif  // FOVEA_TEST_PROGRAM_GRUMODEL_H
