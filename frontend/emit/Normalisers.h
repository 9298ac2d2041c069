// Recognising normalisers by their text (rules F3, F4), on the core form. A user's own softmax is found as well as the prelude's.
#ifndef FOVEA_FRONTEND_EMIT_NORMALISERS_H
#define FOVEA_FRONTEND_EMIT_NORMALISERS_H

#include "frontend/Core.h"

#include <optional>
#include <set>

namespace fovea {

// z / sum[indices]{masks}(z) with z = exp(score - max(max[indices]{masks}(score), floor)).
struct Softmax {
  core::NodeId score = core::none;
  std::vector<core::IndexId> indices;  // normalised over
  std::set<core::NodeId> masks;
  bool one = false;                    // softmax1: exp(-m) joins the sum, m = max(max(score), 0)
  core::NodeId any = core::none;       // a node with all its dependencies
  core::NodeId key = core::none;       // identifies the scores: the node of the maximum
};

std::optional<Softmax> recogniseSoftmax(const core::Function &f, core::NodeId n);

// m + log(sum[indices]{masks}(exp(score - m))) with m as in softmax.
std::optional<Softmax> recogniseLogSumExp(const core::Function &f, core::NodeId n);

// Whether the extent of `index` is surely at most `by` times that of `axis` (a constraint `index = by * axis`).
bool isMultiple(const core::Function &f, core::IndexId index, core::IndexId axis, int64_t by);

}  // namespace fovea

#endif  // FOVEA_FRONTEND_EMIT_NORMALISERS_H
