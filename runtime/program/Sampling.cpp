#include "runtime/program/Sampling.h"

#include "runtime/program/Scores.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace fovea::program {

void Sampling::prepare(const float *row, int64_t size) {
  logits = row;
  count = size;
  if (options.temperature == 1 && options.topK == 0 && options.topP == 1)
    return;
  kept.assign(row, row + size);
  logits = kept.data();
  if (options.temperature != 1) {
    // Less the largest, so that nothing overflows however cold it is.
    int64_t best = argmax(row, size);
    for (float &logit : kept)
      logit = float((double(logit) - (best < 0 ? 0 : double(row[best]))) / options.temperature);
  }
  if ((options.topK > 0 && options.topK < size) || options.topP < 1)
    keepMostLikely();
}

// Sets what is not among the K most likely tokens, and what lies beyond the share P of them, to -infinity. A NaN stays and ends the line.
void Sampling::keepMostLikely() {
  auto likelier = [&](int32_t a, int32_t b) { return kept[size_t(a)] != kept[size_t(b)] ? kept[size_t(a)] > kept[size_t(b)] : a < b; };
  order.clear();
  for (int32_t token = 0; token < int32_t(count); ++token) {
    if (std::isnan(kept[size_t(token)]))
      return;
    order.push_back(token);
  }
  auto drop = [&](std::vector<int32_t>::iterator from, std::vector<int32_t>::iterator to) {
    std::for_each(from, to, [&](int32_t token) { kept[size_t(token)] = -std::numeric_limits<float>::infinity(); });
  };
  if (options.topK > 0 && options.topK < count) {
    auto bound = order.begin() + options.topK;
    std::nth_element(order.begin(), bound, order.end(), likelier);
    drop(bound, order.end());
    order.erase(bound, order.end());
  }
  if (options.topP >= 1)
    return;
  // A heap gives the most likely tokens one by one, and few are wanted.
  auto behind = [&](int32_t a, int32_t b) { return likelier(b, a); };
  std::make_heap(order.begin(), order.end(), behind);
  const double whole = logSumExp(kept.data(), count);
  double share = 0;
  auto last = order.end();
  while (last != order.begin() && share < options.topP) {
    std::pop_heap(order.begin(), last, behind);
    share += std::exp(double(kept[size_t(*--last)]) - whole);
  }
  drop(order.begin(), last);
}

int64_t Sampling::draw(double u) const { return pick(logits, count, u); }

}  // namespace fovea::program
