// The rewriting half of Builder: masks, substitution, equality of loops, and the final clean-up.
#include "frontend/Builder.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

namespace fovea {

using namespace core;

// --- masks ----------------------------------------------------------------------------------------------------------

std::vector<NodeId> Builder::simplifyMasks(std::vector<NodeId> masks) const {
  for (size_t k = 0; k < masks.size();) {  // `a and b` is two masks: each may bound an index of its own
    const Node &m = node(masks[k]);
    if (m.op != Op::And) {
      ++k;
      continue;
    }
    masks[k] = m.args[0];
    masks.push_back(m.args[1]);
  }
  std::erase_if(masks, [&](NodeId m) { return node(m).op == Op::ConstBool && node(m).integer; });
  std::sort(masks.begin(), masks.end());
  masks.erase(std::unique(masks.begin(), masks.end()), masks.end());
  return masks;
}

NodeId Builder::keep(NodeId value, std::vector<NodeId> masks) {
  masks = simplifyMasks(std::move(masks));
  value = strip(value, masks);
  if (node(value).op == Op::Keep) {
    const Node inner = node(value);
    masks.insert(masks.end(), inner.args.begin() + 1, inner.args.end());
    masks = simplifyMasks(std::move(masks));
    value = inner.args[0];
  }
  if (masks.empty()) return value;
  Node n{.op = Op::Keep, .type = type(value), .args = {value}};
  n.args.insert(n.args.end(), masks.begin(), masks.end());
  return intern(std::move(n));
}

// Where all of `masks` (sorted) hold, Keep(x, some of them) is x. Goes through elementwise nodes, and through reductions over indices that the
// masks do not have: other nodes read x at other points.
NodeId Builder::strip(NodeId value, const std::vector<NodeId> &masks) {
  if (masks.empty() || !infos[value].hasKeep) return value;
  std::vector<NodeId> stack{value}, order;
  std::unordered_set<NodeId> seen{value};
  while (!stack.empty()) {
    NodeId id = stack.back();
    stack.pop_back();
    const Node &n = node(id);
    bool elsewhere = isReduction(n.op) && std::any_of(masks.begin(), masks.end(), [&](NodeId m) {
      return std::any_of(n.indices.begin(), n.indices.end(), [&](IndexId i) { return isFree(m, i); });
    });
    if (elsewhere) continue;
    order.push_back(id);
    for (NodeId arg : n.args)
      if (infos[arg].hasKeep && seen.insert(arg).second) stack.push_back(arg);
  }
  std::sort(order.begin(), order.end());
  std::unordered_map<NodeId, NodeId> now;
  auto get = [&](NodeId id) { auto it = now.find(id); return it == now.end() ? id : it->second; };
  for (NodeId id : order) {
    Node n = node(id);
    if (n.op == Op::Keep) {
      n.args[0] = get(n.args[0]);
      n.args.erase(std::remove_if(n.args.begin() + 1, n.args.end(), [&](NodeId m) { return std::binary_search(masks.begin(), masks.end(), m); }),
                   n.args.end());
      if (n.args.size() == 1) {
        now[id] = n.args[0];
        continue;
      }
    } else {
      for (NodeId &arg : n.args) arg = get(arg);
    }
    if (n.args == node(id).args) continue;
    n.free.clear();
    Place before = std::exchange(place, n.place);  // it is what is written there
    now[id] = intern(std::move(n));
    place = before;
  }
  return get(value);
}

// --- reading at other points ----------------------------------------------------------------------------------------

NodeId Builder::read(NodeId value, Substitution substitution) {
  std::erase_if(substitution, [&](const auto &s) {
    return !isFree(value, s.first) || (node(s.second).op == Op::Position && node(s.second).ref == s.first);
  });
  if (substitution.empty()) return value;

  auto renames = [&](const auto &s) { return node(s.second).op == Op::Position && sameExtent(node(s.second).ref, s.first); };
  bool renaming = std::all_of(substitution.begin(), substitution.end(), renames);
  const Info info = infos[value];
  if (info.structural && renaming) return replace(value, substitution);
  constexpr uint32_t cheap = 48;
  if (info.structural && info.weight <= cheap) {
    // Outside of the range the value is 0, not what the expression would give there.
    std::vector<NodeId> conditions;
    const Node base = node(value);
    for (const auto &s : substitution) {
      if (inside(s.second, s.first)) continue;
      bool axis = base.op == Op::State;  // a load or read at this very axis gives 0 by itself
      size_t first = base.op == Op::Read ? 1 : 0;
      if (base.op == Op::Load || base.op == Op::Read)
        for (size_t k = first; k < base.args.size(); ++k) {
          IndexId along = base.op == Op::Read ? base.indices[k - 1] : function.tensors[base.ref].axes[k];
          axis |= node(base.args[k]).op == Op::Position && node(base.args[k]).ref == s.first && sameExtent(along, s.first);
        }
      if (axis) continue;
      if (!notNegative(s.second)) conditions.push_back(compare(Op::Ge, s.second, integer(0)));
      conditions.push_back(compare(Op::Lt, s.second, extent(s.first)));
    }
    NodeId result = replace(value, substitution);
    if (conditions.empty()) return result;
    NodeId all = conditions[0];
    for (size_t k = 1; k < conditions.size(); ++k) all = binary(Op::And, all, conditions[k]);
    Type t = type(result);
    return select(all, result, t == Type::F32 ? real(0) : t == Type::I32 ? integer(0) : boolean(false));
  }

  return readNode(value, substitution);
}

NodeId Builder::readNode(NodeId value, const Substitution &substitution) {
  Node n{.op = Op::Read, .type = type(value), .args = {value}, .indices = node(value).free};
  for (IndexId index : n.indices) {
    auto s = std::find_if(substitution.begin(), substitution.end(), [&](const auto &s) { return s.first == index; });
    n.args.push_back(s == substitution.end() ? position(index) : s->second);
  }
  return intern(std::move(n));
}

// Replaces indices in a structural node.
NodeId Builder::replace(NodeId value, const Substitution &substitution) {
  std::vector<NodeId> stack{value}, order;
  std::unordered_set<NodeId> seen{value};
  auto touched = [&](NodeId id) { return std::any_of(substitution.begin(), substitution.end(), [&](const auto &s) { return isFree(id, s.first); }); };
  while (!stack.empty()) {
    NodeId id = stack.back();
    stack.pop_back();
    order.push_back(id);
    // What a read reads stays as it is; where it reads changes.
    for (size_t k = node(id).op == Op::Read ? 1 : 0; k < node(id).args.size(); ++k)
      if (NodeId arg = node(id).args[k]; touched(arg) && seen.insert(arg).second) stack.push_back(arg);
  }
  std::sort(order.begin(), order.end());
  std::unordered_map<NodeId, NodeId> now;
  for (NodeId id : order) {
    Node n = node(id);
    if (n.op == Op::Position) {
      auto s = std::find_if(substitution.begin(), substitution.end(), [&](const auto &s) { return s.first == n.ref; });
      if (s != substitution.end()) now[id] = s->second;
      continue;
    }
    if (n.op == Op::State) {
      now[id] = readNode(id, substitution);
      continue;
    }
    for (size_t k = n.op == Op::Read ? 1 : 0; k < n.args.size(); ++k) {
      auto it = now.find(n.args[k]);
      if (it != now.end()) n.args[k] = it->second;
    }
    n.free.clear();
    now[id] = intern(std::move(n));
  }
  auto it = now.find(value);
  return it == now.end() ? value : it->second;
}

// --- loops ----------------------------------------------------------------------------------------------------------

NodeId Builder::addLoop(Loop loop) {
  Node n{.op = Op::Loop};
  std::vector<IndexId> free;
  for (const Loop::Item &item : loop.items) free.insert(free.end(), item.axes.begin(), item.axes.end());
  if (loop.kind == Loop::Scan) free.push_back(loop.index);
  std::sort(free.begin(), free.end());
  free.erase(std::unique(free.begin(), free.end()), free.end());
  // The same loop elaborated again differs in its tag alone.
  for (uint32_t k = 0; k < function.loops.size(); ++k) {
    compared.clear();
    equalTags.clear();
    if (equalLoops(function.loops[k], loop, 0)) {
      n.ref = k;
      return intern(std::move(n));
    }
  }
  n.ref = static_cast<uint32_t>(function.loops.size());
  function.loops.push_back(std::move(loop));
  size_t before = function.nodes.size();
  NodeId id = intern(std::move(n));
  if (id >= before) function.nodes[id].free = std::move(free);
  return id;
}

NodeId Builder::loopResult(NodeId loopNode, unsigned number) {
  const Loop &loop = function.loops[node(loopNode).ref];
  Node n{.op = Op::LoopResult, .type = loop.items[number].type, .args = {loopNode}};
  n.integer = number;
  std::vector<IndexId> free = loop.items[number].axes;
  if (loop.kind == Loop::Scan) free.push_back(loop.index);
  std::sort(free.begin(), free.end());
  size_t before = function.nodes.size();
  NodeId id = intern(std::move(n));
  if (id >= before) function.nodes[id].free = std::move(free);
  return id;
}

bool Builder::equalLoops(const Loop &a, const Loop &b, unsigned depth) {
  if (a.kind != b.kind || a.reverse != b.reverse || a.index != b.index || a.items.size() != b.items.size()) return false;
  if ((a.count == none) != (b.count == none) || (a.count != none && !equalNodes(a.count, b.count, depth))) return false;
  for (size_t k = 0; k < a.items.size(); ++k)
    if (a.items[k].axes != b.items[k].axes || a.items[k].type != b.items[k].type || !equalNodes(a.items[k].init, b.items[k].init, depth)) return false;
  equalTags.emplace_back(a.tag, b.tag);
  bool equal = true;
  for (size_t k = 0; k < a.items.size() && equal; ++k) equal = equalNodes(a.items[k].next, b.items[k].next, depth);
  equalTags.pop_back();
  return equal;
}

bool Builder::equalNodes(NodeId a, NodeId b, unsigned depth) {
  if (a == b) return true;
  constexpr unsigned deepest = 2000;  // beyond, two loops count as different, which costs time only
  const Node &x = node(a), &y = node(b);
  if (depth > deepest || x.op != y.op || x.type != y.type || x.indices != y.indices || x.args.size() != y.args.size() || x.integer != y.integer ||
      x.real != y.real)
    return false;
  auto [it, fresh] = compared.try_emplace((uint64_t{a} << 32) | b, false);
  if (!fresh) return it->second;
  bool equal = x.ref == y.ref;
  if (x.op == Op::State) equal = x.ref == y.ref || std::find(equalTags.begin(), equalTags.end(), std::pair(x.ref, y.ref)) != equalTags.end();
  if (x.op == Op::Loop && !equal) equal = equalLoops(function.loops[x.ref], function.loops[y.ref], depth + 1);
  for (size_t k = 0; k < x.args.size() && equal; ++k) equal = equalNodes(x.args[k], y.args[k], depth + 1);
  compared[(uint64_t{a} << 32) | b] = equal;
  return equal;
}

// --- clean-up -------------------------------------------------------------------------------------------------------

void Builder::finish() {
  Function &f = function;
  std::vector<char> used(f.nodes.size(), 0);
  std::vector<NodeId> stack;
  auto use = [&](NodeId id) {
    if (id != none && !used[id]) used[id] = 1, stack.push_back(id);
  };
  for (const Result &result : f.results) use(result.node);
  for (const Check &check : f.checks) use(check.condition);
  for (const Index &index : f.indices) use(index.extent);
  for (const Tensor &tensor : f.tensors) use(tensor.value);
  for (const auto &mask : f.masks) use(mask.node);
  while (!stack.empty()) {
    const Node &n = f.nodes[stack.back()];
    stack.pop_back();
    for (NodeId arg : n.args) use(arg);
    if (n.op == Op::Loop) {
      const Loop &loop = f.loops[n.ref];
      use(loop.count);
      for (const Loop::Item &item : loop.items) use(item.init), use(item.next);
    }
  }
  std::vector<NodeId> now(f.nodes.size(), none);
  std::vector<uint32_t> loopNow(f.loops.size(), none);
  std::vector<Node> nodes;
  std::vector<Loop> loops;
  for (NodeId id = 0; id < f.nodes.size(); ++id) {
    if (!used[id]) continue;
    Node n = std::move(f.nodes[id]);
    for (NodeId &arg : n.args) arg = now[arg];
    if (n.op == Op::Loop) {
      uint32_t &to = loopNow[n.ref];
      if (to == none) {
        to = static_cast<uint32_t>(loops.size());
        loops.push_back(std::move(f.loops[n.ref]));
      }
      n.ref = to;
    }
    now[id] = static_cast<NodeId>(nodes.size());
    nodes.push_back(std::move(n));
  }
  auto move = [&](NodeId &id) {
    if (id != none) id = now[id];
  };
  for (Loop &loop : loops) {
    move(loop.count);
    for (Loop::Item &item : loop.items) move(item.init), move(item.next);
  }
  f.nodes = std::move(nodes);
  f.loops = std::move(loops);
  for (Result &result : f.results) move(result.node);
  for (Check &check : f.checks) move(check.condition);
  for (Index &index : f.indices) move(index.extent);
  for (Tensor &tensor : f.tensors) move(tensor.value);
  for (auto &mask : f.masks) move(mask.node);
  for (NodeId &score : f.scores) move(score);
  std::erase(f.scores, none);
  std::sort(f.scores.begin(), f.scores.end());
  f.scores.erase(std::unique(f.scores.begin(), f.scores.end()), f.scores.end());
  for (IndexId k = 0; k < f.indices.size(); ++k) {
    if (auto size = fixed(k)) f.indices[k].fixed = size;
    f.indices[k].extentClass = root(k);
  }
}

}  // namespace fovea
