#include "tools/explain/Live.h"

#include <algorithm>

namespace fovea {

using namespace core;

std::set<NodeId> liveNodes(const Function &f) {
  std::set<NodeId> live;
  std::vector<NodeId> stack;
  for (const Result &r : f.results) stack.push_back(r.node);
  for (const Tensor &t : f.tensors)
    if (t.value != none) stack.push_back(t.value);
  while (!stack.empty()) {
    NodeId n = stack.back();
    stack.pop_back();
    if (n == none || !live.insert(n).second) continue;
    stack.insert(stack.end(), f.nodes[n].args.begin(), f.nodes[n].args.end());
    if (f.nodes[n].op != Op::Loop) continue;
    for (const Loop::Item &item : f.loops[f.nodes[n].ref].items) stack.push_back(item.init), stack.push_back(item.next);
    stack.push_back(f.loops[f.nodes[n].ref].count);
  }
  return live;
}

bool dependsOn(const Function &f, NodeId n, IndexId i) { return std::find(f.nodes[n].free.begin(), f.nodes[n].free.end(), i) != f.nodes[n].free.end(); }

void conjuncts(const Function &f, NodeId mask, std::set<NodeId> &out) {
  walkBehind(f, mask, [&](NodeId n, const Node &node) -> std::span<const NodeId> {
    if (node.op == Op::And) return node.args;
    return out.insert(n), std::span<const NodeId>();
  });
}

std::string extentName(const Function &f, IndexId i) { return f.indices[i].fixed ? std::to_string(*f.indices[i].fixed) : f.indices[i].name; }

}  // namespace fovea
