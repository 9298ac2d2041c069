#include "frontend/emit/Normalisers.h"

#include "frontend/Walk.h"

#include <algorithm>

namespace fovea {

using namespace core;

namespace {

const Node &at(const Function &f, NodeId n) { return f.nodes[n]; }

std::set<NodeId> masksOf(const Node &node) { return {node.args.begin() + 1, node.args.end()}; }

bool has(const std::vector<IndexId> &indices, IndexId i) { return std::find(indices.begin(), indices.end(), i) != indices.end(); }

constexpr size_t mostOperands = 64;  // of what is recognised; more come of doubling, again and again

// The operands of a tree of one operation.
void operands(const Function &f, NodeId n, Op op, std::vector<NodeId> &out) {
  if (out.size() > mostOperands) return;
  if (at(f, n).op != op) return out.push_back(n);
  for (NodeId a : at(f, n).args) operands(f, a, op, out);
}

// m: a maximum over a row, and what else it is the maximum of.
struct Shift {
  NodeId m, maximum;
  std::vector<NodeId> others;
};

// `m` as the maximum of `score` over some indices, or of more than that.
std::optional<Shift> shiftOf(const Function &f, NodeId m, NodeId score) {
  std::vector<NodeId> all;
  operands(f, m, Op::Max, all);
  if (all.size() > mostOperands) return {};
  Shift shift{m, none, {}};
  for (NodeId n : all) {
    if (shift.maximum == none && at(f, n).op == Op::MaxOf && at(f, n).args[0] == score) shift.maximum = n;
    else shift.others.push_back(n);
  }
  if (shift.maximum == none) return {};
  return shift;
}

// exp(score - m)
std::optional<std::pair<NodeId, Shift>> shiftedExponential(const Function &f, NodeId z) {
  if (at(f, z).op != Op::Exp) return {};
  const Node &difference = at(f, at(f, z).args[0]);
  if (difference.op != Op::Sub) return {};
  auto shift = shiftOf(f, difference.args[1], difference.args[0]);
  if (!shift) return {};
  return std::pair(difference.args[0], *shift);
}

bool isConstant(const Function &f, NodeId n, double &value) {
  if (n == none) return value = 0, true;
  const Node &node = at(f, n);
  if (node.op == Op::ToF32 && at(f, node.args[0]).op == Op::ConstI32) return value = double(at(f, node.args[0]).integer), true;
  value = node.real;
  return node.op == Op::ConstF32;
}

bool same(const Function &f, NodeId a, NodeId b) {
  double x = 0, y = 0;
  return a == b || (isConstant(f, a, x) && isConstant(f, b, y) && x == y);
}

// divisor = sum(z) and exponentials of sinks, all shifted alike.
std::optional<Softmax> fromDivisor(const Function &f, NodeId divisor, NodeId score, const Shift &shift, NodeId z) {
  std::vector<NodeId> terms;
  operands(f, divisor, Op::Add, terms);
  if (terms.size() > mostOperands) return {};
  Softmax s;
  NodeId sum = none;
  for (NodeId n : terms) {
    const Node &term = at(f, n);
    if (sum == none && term.op == Op::Sum && term.args[0] == z) {
      sum = n;
      continue;
    }
    if (term.op != Op::Exp) return {};
    const Node &shifted = at(f, term.args[0]);
    if (shifted.op == Op::Neg && shifted.args[0] == shift.m) s.sinks.push_back(none);
    else if (shifted.op == Op::Sub && shifted.args[1] == shift.m) s.sinks.push_back(shifted.args[0]);
    else return {};
  }
  if (sum == none) return {};
  const Node &total = at(f, sum), &maximum = at(f, shift.maximum);
  if (total.indices != maximum.indices || masksOf(total) != masksOf(maximum)) return {};
  // The rest of m changes nothing: it is too low to, or a sink.
  for (NodeId other : shift.others) {
    double value = 0;
    bool low = isConstant(f, other, value) && value <= -3.3e38;
    if (!low && std::none_of(s.sinks.begin(), s.sinks.end(), [&](NodeId sink) { return same(f, sink, other); })) return {};
  }
  s.score = score, s.indices = total.indices, s.masks = masksOf(total), s.key = shift.maximum;
  std::set<IndexId> row(at(f, score).free.begin(), at(f, score).free.end());
  for (IndexId i : total.indices)
    if (!row.count(i)) return {};  // a score that lacks the index counts its points: not this form
  for (NodeId mask : s.masks) row.insert(at(f, mask).free.begin(), at(f, mask).free.end());
  for (NodeId sink : s.sinks)
    for (IndexId i : sink == none ? std::vector<IndexId>() : at(f, sink).free)
      if (!row.count(i) || has(total.indices, i)) return {};
  return s;
}

// A sum of products over an index of its own: what a dot product is.
bool isDot(const Function &f, NodeId n, const std::vector<IndexId> &keys) {
  const Node &node = at(f, n);
  if (node.op != Op::Sum || node.type != Type::F32 || node.indices.size() != 1 || node.args.size() != 1 || at(f, node.args[0]).op != Op::Mul) return false;
  for (NodeId factor : at(f, node.args[0]).args)
    if (at(f, factor).op != Op::Load) return false;
  return std::any_of(keys.begin(), keys.end(), [&](IndexId i) { return has(node.free, i); });
}

bool containsDot(const Function &f, NodeId root, const std::vector<IndexId> &keys) {
  bool found = false;
  walkBehind(f, root, [&](NodeId n, const Node &node) -> std::span<const NodeId> {
    found = found || isDot(f, n, keys);
    if (found || (node.op >= Op::Sum && node.op <= Op::ArgMin) || node.op == Op::LoopResult) return {};
    return node.args;
  });
  return found;
}

}  // namespace

std::optional<Softmax> recogniseSoftmax(const Function &f, NodeId n) {
  const Node &node = at(f, n);
  if (node.op != Op::Div) return {};
  return recogniseSoftmax(f, node.args[0], node.args[1]);
}

std::optional<Softmax> recogniseSoftmax(const Function &f, NodeId exponential, NodeId divisor) {
  auto z = shiftedExponential(f, exponential);
  if (!z) return {};
  return fromDivisor(f, divisor, z->first, z->second, exponential);
}

std::optional<Softmax> recogniseLogSumExp(const Function &f, NodeId n) {
  const Node &node = at(f, n);
  if (node.op != Op::Add) return {};
  for (int side : {0, 1}) {
    const Node &log = at(f, node.args[1 - side]);
    if (log.op != Op::Log) continue;
    std::vector<NodeId> terms;
    operands(f, log.args[0], Op::Add, terms);
    for (NodeId term : terms) {
      if (at(f, term).op != Op::Sum) continue;
      NodeId z = at(f, term).args[0];
      auto e = shiftedExponential(f, z);
      if (e && e->second.m == node.args[side]) return fromDivisor(f, log.args[0], e->first, e->second, z);
    }
  }
  return {};
}

std::optional<Pointwise> recognisePointwise(const Function &f, NodeId n, NodeId weight, bool bare) {
  const Node &sum = at(f, n);
  Pointwise p;
  p.score = weight, p.indices = sum.indices, p.masks = masksOf(sum);
  while (at(f, p.score).op == Op::Div && p.divisor == none) {
    NodeId by = at(f, p.score).args[1];
    if (std::any_of(sum.indices.begin(), sum.indices.end(), [&](IndexId i) { return has(at(f, by).free, i); })) break;
    p.divisor = by, p.score = at(f, p.score).args[0];
  }
  p.key = p.score;
  if (!containsDot(f, p.score, p.indices) || (!bare && isDot(f, p.score, p.indices))) return {};
  return p;
}

bool isMultiple(const Function &f, IndexId index, IndexId axis, int64_t by) {
  if (f.indices[index].fixed && f.indices[axis].fixed) return *f.indices[index].fixed <= by * *f.indices[axis].fixed;
  // by * |axis|, in either order; an axis of the same class will do.
  auto product = [&](NodeId n) {
    if (n == none || f.nodes[n].op != Op::Mul) return false;
    for (int side : {0, 1}) {
      const Node &number = f.nodes[f.nodes[n].args[side]], &extent = f.nodes[f.nodes[n].args[1 - side]];
      if (number.op != Op::ConstI32 || number.integer != by || extent.op != Op::Extent) continue;
      if (extent.ref == axis || f.indices[extent.ref].extentClass == f.indices[axis].extentClass) return true;
    }
    return false;
  };
  if (product(f.indices[index].extent)) return true;
  for (const Check &check : f.checks) {
    const Node &condition = f.nodes[check.condition];
    if (condition.op != Op::Eq) continue;
    for (int side : {0, 1}) {
      const Node &left = f.nodes[condition.args[side]];
      if (left.op == Op::Extent && left.ref == index && product(condition.args[1 - side])) return true;
    }
  }
  return false;
}

}  // namespace fovea
