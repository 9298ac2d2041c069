#include "lowering/stage/Graph.h"

#include <algorithm>
#include <functional>

namespace fovea {

using namespace core;

NodeId addPosition(Function &f, IndexId index) {
  for (NodeId n = 0; n < f.nodes.size(); n++)
    if (f.nodes[n].op == Op::Position && f.nodes[n].ref == index) return n;
  Node p;
  p.op = Op::Position;
  p.type = Type::I32;
  p.ref = index;
  p.free = {index};
  f.nodes.push_back(p);
  return NodeId(f.nodes.size() - 1);
}

IndexId GraphCopy::index(IndexId i) {
  if (auto it = indices.find(i); it != indices.end()) return it->second;
  Index copy = from.indices[i];
  IndexId made = IndexId(to.indices.size());
  // Classes are numbers of one function: a copied index is in a class of its own unless its partners were copied too.
  copy.extentClass = made;
  for (const auto &[theirs, ours] : indices)
    if (from.indices[theirs].extentClass == from.indices[i].extentClass) copy.extentClass = to.indices[ours].extentClass;
  NodeId extent = copy.extent;
  copy.extent = none;
  to.indices.push_back(copy);
  indices[i] = made;
  if (extent != none) {
    NodeId moved = node(extent);
    to.indices[made].extent = moved;
  }
  return made;
}

NodeId GraphCopy::valueOf(const Result &result, const Node &load) {
  // The value at the subscripts; plain subscripts at the result's own axes give the value itself.
  std::vector<NodeId> at;
  bool identity = true;
  for (size_t k = 0; k < load.args.size(); k++) {
    const Node &subscript = from.nodes[load.args[k]];
    identity &= subscript.op == Op::Position && index(subscript.ref) == result.axes[k];
    at.push_back(node(load.args[k]));
  }
  if (identity) return result.node;
  Node read;
  read.op = Op::Read;
  read.type = load.type;
  read.place = load.place;
  read.args.push_back(result.node);
  read.indices = to.nodes[result.node].free;
  std::vector<IndexId> free;
  for (IndexId i : read.indices) {
    size_t axis = std::find(result.axes.begin(), result.axes.end(), i) - result.axes.begin();
    read.args.push_back(at[axis]);
    free.insert(free.end(), to.nodes[at[axis]].free.begin(), to.nodes[at[axis]].free.end());
  }
  std::sort(free.begin(), free.end());
  free.erase(std::unique(free.begin(), free.end()), free.end());
  read.free = free;
  to.nodes.push_back(read);
  return NodeId(to.nodes.size() - 1);
}

NodeId GraphCopy::node(NodeId n) {
  if (auto it = done.find(n); it != done.end()) return it->second;
  const Node original = from.nodes[n];
  if (original.op == Op::Load)
    if (auto value = values.find(original.ref); value != values.end()) return done[n] = valueOf(value->second, original);
  Node copy = original;
  for (NodeId &a : copy.args) a = node(a);
  for (IndexId &i : copy.indices) i = index(i);
  for (IndexId &i : copy.free) i = index(i);
  std::sort(copy.free.begin(), copy.free.end());
  switch (copy.op) {
    case Op::Position: case Op::Extent: copy.ref = index(copy.ref); break;
    case Op::Load: copy.ref = tensors.at(copy.ref); break;
    case Op::State: {
      auto [it, fresh] = tags.try_emplace(copy.ref, uint32_t(1000000 + tags.size() + to.loops.size() * 1000));
      copy.ref = it->second;
      break;
    }
    case Op::Loop: {
      core::Loop loop = from.loops[original.ref];
      auto [it, fresh] = tags.try_emplace(loop.tag, uint32_t(1000000 + tags.size() + to.loops.size() * 1000));
      loop.tag = it->second;
      if (loop.index != none) loop.index = index(loop.index);
      if (loop.count != none) loop.count = node(loop.count);
      for (auto &item : loop.items) {
        for (IndexId &axis : item.axes) axis = index(axis);
        item.init = node(item.init);
        item.next = node(item.next);
      }
      copy.ref = uint32_t(to.loops.size());
      to.loops.push_back(loop);
      break;
    }
    default: break;
  }
  to.nodes.push_back(copy);
  return done[n] = NodeId(to.nodes.size() - 1);
}

void tidy(Function &f) {
  std::vector<NodeId> number(f.nodes.size(), none);
  std::vector<Node> nodes;
  std::vector<core::Loop> loops;
  std::function<NodeId(NodeId)> visit = [&](NodeId n) -> NodeId {
    if (n == none || number[n] != none) return n == none ? none : number[n];
    Node node = f.nodes[n];
    for (NodeId &a : node.args) a = visit(a);
    if (node.op == Op::Loop) {
      core::Loop loop = f.loops[node.ref];
      if (loop.count != none) loop.count = visit(loop.count);
      for (auto &item : loop.items) {
        item.init = visit(item.init);
        item.next = visit(item.next);
      }
      node.ref = uint32_t(loops.size());
      loops.push_back(loop);
    }
    if (node.op == Op::Load && f.tensors[node.ref].value != none) (void)visit(f.tensors[node.ref].value);
    nodes.push_back(node);
    return number[n] = NodeId(nodes.size() - 1);
  };
  for (Index &index : f.indices) index.extent = visit(index.extent);
  for (Tensor &t : f.tensors) (void)visit(t.value);
  for (Result &r : f.results) r.node = visit(r.node);
  for (Check &c : f.checks) c.condition = visit(c.condition);
  for (Tensor &t : f.tensors) t.value = visit(t.value);
  std::vector<Function::MaskInfo> masks;
  for (auto &mask : f.masks)
    if (number[mask.node] != none) masks.push_back({number[mask.node], mask.place, mask.text});
  f.masks = masks;
  std::vector<NodeId> scores;
  for (NodeId s : f.scores)
    if (number[s] != none) scores.push_back(number[s]);
  f.scores = scores;
  f.nodes = std::move(nodes);
  f.loops = std::move(loops);
}

}  // namespace fovea
