// What a search changes in a row of logits before it chooses a token from it. The contract is docs/search.md, S10.
#ifndef FOVEA_RUNTIME_PROGRAM_TOKENRULES_H
#define FOVEA_RUNTIME_PROGRAM_TOKENRULES_H

#include <cstdint>
#include <vector>

namespace fovea::program {

class TokenRules {
public:
  struct Options {
    int64_t minLength = 0;             // tokens before the end token
    std::vector<int32_t> suppressed = {};   // never taken
    double repetitionPenalty = 1;      // 1: none
    int64_t noRepeat = 0;              // length of the n-grams that may not come twice; 0: any may
  };

  // `end`: -1 when the vocabulary has no end token.
  TokenRules(const Options &options, int32_t end) : options(options), end(end) {}

  bool penalises() const { return options.repetitionPenalty != 1; }
  // Whether a row is ever changed. Where none is, searches read the model's own rows.
  bool any() const { return penalises() || options.minLength > 0 || !options.suppressed.empty() || options.noRepeat > 0; }

  // Makes tokens of `output` (all so far, without the start token) less likely. Keskar et al. 2019, CTRL: a logit is divided by the penalty; one below 0 is
  // multiplied, so that it falls too.
  void penalise(float *logits, const std::vector<int32_t> &output) const;
  // Sets the logit of what may not follow `output` to -infinity.
  void forbid(float *logits, const std::vector<int32_t> &output) const;

private:
  const Options options;
  const int32_t end;
};

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_TOKENRULES_H
