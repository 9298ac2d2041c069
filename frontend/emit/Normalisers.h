// Recognising normalisers by their text (rules F3, F4), on the core form. A user's own softmax is found as well as the prelude's.
#ifndef FOVEA_FRONTEND_EMIT_NORMALISERS_H
#define FOVEA_FRONTEND_EMIT_NORMALISERS_H

#include "frontend/Core.h"

#include <optional>
#include <set>

namespace fovea {

// What is normalised, or is weights already.
struct Scores {
  core::NodeId score = core::none;
  std::vector<core::IndexId> indices;  // normalised over
  std::set<core::NodeId> masks;
  core::NodeId key = core::none;       // identifies the scores: the node of the maximum, or the score itself
};

// The shift-invariant exponential family: z / (sum[indices]{masks}(z) + exp(sink - m) + ...) with z = exp(score - m) and
// m = max(max[indices]{masks}(score), ...), where the rest of m is a very low constant or sinks.
struct Softmax : Scores {
  std::vector<core::NodeId> sinks;     // `none` is a sink of 0 (softmax1)
};

std::optional<Softmax> recogniseSoftmax(const core::Function &f, core::NodeId n);
// The same, its two parts given: z and the divisor.
std::optional<Softmax> recogniseSoftmax(const core::Function &f, core::NodeId exponential, core::NodeId divisor);

// m + log(the same divisor).
std::optional<Softmax> recogniseLogSumExp(const core::Function &f, core::NodeId n);

// The weights of a sum of products that need no maximum (a decomposable sum): any function of a dot product, point by point. What
// divides them all alike is taken out of the sum.
struct Pointwise : Scores {
  core::NodeId divisor = core::none;   // or none
};

// `weight` as a factor of the sum `n`. `bare`: a dot product alone will do, which may as well be a projection.
std::optional<Pointwise> recognisePointwise(const core::Function &f, core::NodeId n, core::NodeId weight, bool bare);

// Whether the extent of `index` is surely at most `by` times that of `axis` (a constraint `index = by * axis`).
bool isMultiple(const core::Function &f, core::IndexId index, core::IndexId axis, int64_t by);

}  // namespace fovea

#endif  // FOVEA_FRONTEND_EMIT_NORMALISERS_H
