// Walks over the graph of a function's nodes. A node may be used often, and by nodes that are used often: each is looked at once.
#ifndef FOVEA_FRONTEND_WALK_H
#define FOVEA_FRONTEND_WALK_H

#include "frontend/Core.h"

#include <span>
#include <unordered_set>

namespace fovea::core {

// Calls `enter` with a node, and with those behind it among the arguments that it returns; left before right, as they are written.
template <typename F>
void walkBehind(const Function &f, NodeId root, F enter) {
  std::vector<NodeId> work{root};
  std::unordered_set<NodeId> seen;
  while (!work.empty()) {
    NodeId n = work.back();
    work.pop_back();
    if (!seen.insert(n).second) continue;
    std::span<const NodeId> behind = enter(n, f.nodes[n]);
    work.insert(work.end(), behind.rbegin(), behind.rend());
  }
}

}  // namespace fovea::core

#endif  // FOVEA_FRONTEND_WALK_H
