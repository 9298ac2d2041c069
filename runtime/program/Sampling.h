// Draws a token from a row of logits. The contract is docs/search.md, S8.
#ifndef FOVEA_RUNTIME_PROGRAM_SAMPLING_H
#define FOVEA_RUNTIME_PROGRAM_SAMPLING_H

#include <cstdint>
#include <vector>

namespace fovea::program {

struct SamplingOptions {
  double temperature = 1;
  int64_t topK = 0;          // 0: all
  double topP = 1;           // nucleus sampling: Holtzman et al. 2020
};

class Sampling {
public:
  explicit Sampling(const SamplingOptions &options) : options(options) {}

  // What is drawn from from now on; `logits` must live until the last draw.
  void prepare(const float *logits, int64_t count);
  // A token, given a number in [0, 1); -1 when a logit is NaN or +infinity, or none is above -infinity.
  int64_t draw(double u) const;

private:
  const SamplingOptions options;
  const float *logits = nullptr;
  int64_t count = 0;
  std::vector<float> kept;        // what is left of the row
  std::vector<int32_t> order;

  void keepMostLikely();
};

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_SAMPLING_H
