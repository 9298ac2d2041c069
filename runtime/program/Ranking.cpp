#include "runtime/program/Ranking.h"

#include <algorithm>
#include <cmath>

namespace fovea::program {

double Ranking::normalise(double score, int64_t length) const {
  if (options.lengthPenalty == 0)
    return score;
  double base = options.norm == Options::Gnmt ? double(5 + length) / 6 : double(length);
  return score / std::pow(base, options.lengthPenalty);
}

double Ranking::rank(double score, int64_t length, double coverage) const {
  double rank = normalise(score, length);
  return options.coveragePenalty == 0 ? rank : rank + options.coveragePenalty * coverage;
}

double Ranking::bound(double score, int64_t length) const {
  // A divisor grows with the length. Rounding may leave the score of what is certain a little above 0.
  return normalise(score, score <= 0 ? limit : std::min(length + 1, limit));
}

int64_t Ranking::enough(int64_t width) const {
  return options.patience == 0 ? 0 : std::max<int64_t>(1, int64_t(std::ceil(options.patience * double(width) - 1e-9)));
}

}  // namespace fovea::program
