// A model written by hand, to test the program shell: its scores are noise that depends on the source and on every token so
// far, and its step notices when the search gave a hypothesis another's state or cache.
#ifndef FOVEA_TEST_PROGRAM_TOYMODEL_H
#define FOVEA_TEST_PROGRAM_TOYMODEL_H

#include "runtime/program/table.h"

#include <cstdint>
#include <string>
#include <vector>

namespace toy {

inline constexpr int64_t vocabulary = 7;   // <s> </s> A B C D E
inline constexpr int32_t start = 0, end = 1;
inline constexpr int64_t longest = 6;      // `at most 6`

// Tokens of the letters of a word, with the end token: <unk> 0, </s> 1, a 2, ..., z 27, e with acute 28.
std::vector<int32_t> encodeLetters(const std::string &letters);

// Logits after `prefix`, which begins with the start token.
std::vector<float> logits(const std::vector<int32_t> &source, const std::vector<int32_t> &prefix, int64_t count = vocabulary);

std::string text(const std::vector<int32_t> &tokens);  // "A C B"

// The table. Stages fail with a sentence for a source that holds `q` (encode) or `x` (step).
const fovea_model &model();

// The same with 12 tokens (<s> </s> <unk> A ... I), an unknown token of the output, outputs of 14 steps, and one parameter, `bias` f32 [12], which is added to
// the logits: 0 in the file inside. test/search/run.py knows its formula.
inline constexpr int64_t wideVocabulary = 12, wideLongest = 14;
const fovea_model &wide();

}  // namespace toy

#endif  // FOVEA_TEST_PROGRAM_TOYMODEL_H
