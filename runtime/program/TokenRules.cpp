#include "runtime/program/TokenRules.h"

#include <algorithm>
#include <limits>

namespace fovea::program {

void TokenRules::penalise(float *logits, const std::vector<int32_t> &output) const {
  if (!penalises())
    return;
  for (size_t at = 0; at < output.size(); ++at) {
    if (std::find(output.begin(), output.begin() + int64_t(at), output[at]) != output.begin() + int64_t(at))
      continue;  // each token once
    float &logit = logits[output[at]];
    logit = float(logit > 0 ? double(logit) / options.repetitionPenalty : double(logit) * options.repetitionPenalty);
  }
}

void TokenRules::forbid(float *logits, const std::vector<int32_t> &output) const {
  constexpr float never = -std::numeric_limits<float>::infinity();
  for (int32_t token : options.suppressed)
    logits[token] = never;
  if (end >= 0 && int64_t(output.size()) < options.minLength)
    logits[end] = never;
  // Whatever came after the last n - 1 tokens where they stood before.
  const int64_t before = options.noRepeat - 1, length = int64_t(output.size());
  if (before < 0)
    return;
  const auto tail = output.end() - std::min(before, length);
  for (int64_t at = 0; at + before < length; ++at)
    if (std::equal(tail, output.end(), output.begin() + at))
      logits[output[size_t(at + before)]] = never;
}

}  // namespace fovea::program
