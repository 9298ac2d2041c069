#include "tools/explain/Formula.h"

#include "tools/explain/Live.h"

#include <algorithm>
#include <map>

namespace fovea {

using namespace core;

namespace {

// A sum of products of extents, as {extents: coefficient}.
class Formula {
 public:
  void add(std::vector<std::string> extents, int64_t coefficient) {
    int64_t number = coefficient;
    std::erase_if(extents, [&](const std::string &e) {
      bool digits = e.find_first_not_of("0123456789") == std::string::npos;
      if (digits) number *= std::stoll(e);
      return digits;
    });
    terms[extents] += number;
  }
  // The terms of most extents first; what has at least two extents fewer than the first is left to `+ ...`.
  std::string str() const {
    std::vector<std::pair<std::vector<std::string>, int64_t>> sorted(terms.begin(), terms.end());
    std::stable_sort(sorted.begin(), sorted.end(), [](const auto &a, const auto &b) { return a.first.size() > b.first.size(); });
    std::string out;
    for (const auto &[extents, coefficient] : sorted) {
      if (extents.size() + 2 <= sorted[0].first.size()) return out + " + ...";
      std::string product = join(extents, "*", [](const std::string &e) { return e; });
      std::string number = coefficient == 1 && !product.empty() ? "" : std::to_string(coefficient);
      out += (out.empty() ? "" : " + ") + number + (number.empty() || product.empty() ? "" : "*") + product;
    }
    return out.empty() ? "0" : out;
  }

 private:
  std::map<std::vector<std::string>, int64_t> terms;
};

std::vector<std::string> extentNames(const Function &f, const std::vector<IndexId> &axes) {
  std::vector<std::string> out;
  for (IndexId i : axes) out.push_back(extentName(f, i));
  return out;
}

std::string countName(const Function &f, NodeId n) {
  const Node &node = f.nodes[n];
  if (node.op == Op::ConstI32) return std::to_string(node.integer);
  if (node.op == Op::Scalar) return f.scalars[node.ref].name;
  if (node.op == Op::Extent) return extentName(f, node.ref);
  return "rounds";
}

}  // namespace

int64_t bytesOf(Type type) {
  static const int64_t sizes[] = {4, 2, 2, 4, 1, 1, 1};
  return sizes[size_t(type)];
}

std::string flops(const Function &f) {
  std::set<NodeId> live = liveNodes(f);
  std::vector<std::set<uint32_t>> rounds(f.nodes.size());  // of each node: tags of the loops whose states it depends on
  for (NodeId n : live) {
    if (f.nodes[n].op == Op::State) rounds[n].insert(f.nodes[n].ref);
    for (NodeId argument : f.nodes[n].args)
      if (f.nodes[argument].op != Op::Loop) rounds[n].insert(rounds[argument].begin(), rounds[argument].end());
  }
  Formula formula;
  for (NodeId n : live) {
    const Node &node = f.nodes[n];
    std::vector<IndexId> indices = node.free;
    bool counted = node.type == Type::F32 && node.op >= Op::Neg && node.op <= Op::Select;
    if (isReduction(node.op) && f.nodes[node.args[0]].type == Type::F32) {
      counted = true;
      indices.insert(indices.end(), node.indices.begin(), node.indices.end());
      std::sort(indices.begin(), indices.end());
    }
    if (!counted) continue;
    std::vector<std::string> extents = extentNames(f, indices);
    for (const Loop &loop : f.loops)
      if (loop.kind == Loop::Iterate && rounds[n].count(loop.tag)) extents.push_back(countName(f, loop.count));
    formula.add(extents, 1);
  }
  return formula.str();
}

std::string bytesRead(const Function &f) {
  Formula formula;
  for (const Tensor &t : f.tensors)
    if (t.role != Tensor::Appended) formula.add(extentNames(f, t.axes), bytesOf(t.type));
  return formula.str();
}

std::string bytesWritten(const Function &f) {
  Formula formula;
  for (const Result &r : f.results) formula.add(extentNames(f, r.axes), bytesOf(r.type));
  return formula.str();
}

}  // namespace fovea
