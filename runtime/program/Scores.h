// What a search does with a row of logits.
#ifndef FOVEA_RUNTIME_PROGRAM_SCORES_H
#define FOVEA_RUNTIME_PROGRAM_SCORES_H

#include <cstdint>

namespace fovea::program {

// Index of the largest logit, the first of equals; -1 when none is above -infinity (NaN is not).
int64_t argmax(const float *logits, int64_t count);

// The first index from `from` on whose logit is above `bound`, or `count`.
int64_t nextAbove(const float *logits, int64_t from, int64_t count, float bound);

// log(sum(exp(logits))), within 1e-6 of the exact value; NaN or infinite when a logit is NaN or +infinity, or none is above
// -infinity.
double logSumExp(const float *logits, int64_t count);

// The token at which the running sum of exp(logits) passes `u` (in [0, 1)) of the whole; -1 when the sum is no number.
int64_t pick(const float *logits, int64_t count, double u);

// A number in [0, 1) that depends on the four alone: one draw of hypothesis `hypothesis` of line `line` at step `step`.
double uniform(uint64_t seed, uint64_t line, uint64_t hypothesis, uint64_t step);

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_SCORES_H
