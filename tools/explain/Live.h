// What a function computes: the nodes that its results need, and small words about core.
#ifndef FOVEA_TOOLS_EXPLAIN_LIVE_H
#define FOVEA_TOOLS_EXPLAIN_LIVE_H

#include "frontend/Builder.h"
#include "frontend/Walk.h"

#include <set>
#include <string>
#include <vector>

namespace fovea {

std::set<core::NodeId> liveNodes(const core::Function &f);

bool dependsOn(const core::Function &f, core::NodeId n, core::IndexId i);

// The conditions that a mask is the conjunction of.
void conjuncts(const core::Function &f, core::NodeId mask, std::set<core::NodeId> &out);

// "64" where it is known when compiling, else the index's name.
std::string extentName(const core::Function &f, core::IndexId i);

template <typename Range, typename F>
std::string join(const Range &range, const char *between, F text) {
  std::string out;
  for (const auto &item : range) out += (out.empty() ? "" : between) + text(item);
  return out;
}

}  // namespace fovea

#endif  // FOVEA_TOOLS_EXPLAIN_LIVE_H
