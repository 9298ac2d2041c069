#include "frontend/emit/Normalisers.h"

namespace fovea {

using namespace core;

namespace {

const Node &at(const Function &f, NodeId n) { return f.nodes[n]; }

// Max(MaxOf{...}(score), constant) in either order; the constant is -3.4e38 or 0.
struct Shift {
  NodeId score, maximum;
  double floor;
};
std::optional<Shift> shift(const Function &f, NodeId n) {
  if (at(f, n).op != Op::Max) return {};
  for (int side : {0, 1}) {
    NodeId reduced = at(f, n).args[side], constant = at(f, n).args[1 - side];
    if (at(f, reduced).op != Op::MaxOf || at(f, constant).op != Op::ConstF32) continue;
    double floor = at(f, constant).real;
    if (floor != 0 && floor > -3.3e38) continue;
    return Shift{at(f, reduced).args[0], reduced, floor};
  }
  return {};
}

std::set<NodeId> masksOf(const Node &node) { return {node.args.begin() + 1, node.args.end()}; }

// exp(score - shift)
std::optional<Shift> shiftedExponential(const Function &f, NodeId z) {
  if (at(f, z).op != Op::Exp) return {};
  const Node &difference = at(f, at(f, z).args[0]);
  if (difference.op != Op::Sub) return {};
  auto s = shift(f, difference.args[1]);
  if (!s || s->score != difference.args[0]) return {};
  return s;
}

std::optional<Softmax> fromSum(const Function &f, NodeId sum, const Shift &s, NodeId z, NodeId whole) {
  const Node &total = at(f, sum), &maximum = at(f, s.maximum);
  if (total.op != Op::Sum || total.args[0] != z || total.indices != maximum.indices || masksOf(total) != masksOf(maximum)) return {};
  for (IndexId i : total.indices) {
    bool found = false;
    for (IndexId j : at(f, s.score).free) found |= i == j;
    if (!found) return {};  // a score that lacks the index counts its points: not this form
  }
  return Softmax{s.score, total.indices, masksOf(total), false, whole, s.maximum};
}

}  // namespace

std::optional<Softmax> recogniseSoftmax(const Function &f, NodeId n) {
  const Node &node = at(f, n);
  if (node.op != Op::Div) return {};
  auto s = shiftedExponential(f, node.args[0]);
  if (!s) return {};
  if (at(f, node.args[1]).op == Op::Sum && s->floor != 0) return fromSum(f, node.args[1], *s, node.args[0], n);
  // softmax1: exp(-m) + sum
  const Node &total = at(f, node.args[1]);
  if (total.op != Op::Add || s->floor != 0) return {};
  NodeId m = at(f, at(f, node.args[0]).args[0]).args[1];
  for (int side : {0, 1}) {
    const Node &sink = at(f, total.args[side]);
    if (sink.op != Op::Exp || at(f, sink.args[0]).op != Op::Neg || at(f, sink.args[0]).args[0] != m) continue;
    if (auto found = fromSum(f, total.args[1 - side], *s, node.args[0], n)) {
      found->one = true;
      return found;
    }
  }
  return {};
}

std::optional<Softmax> recogniseLogSumExp(const Function &f, NodeId n) {
  const Node &node = at(f, n);
  if (node.op != Op::Add) return {};
  for (int side : {0, 1}) {
    const Node &log = at(f, node.args[1 - side]);
    auto s = shift(f, node.args[side]);
    if (!s || s->floor == 0 || log.op != Op::Log || at(f, log.args[0]).op != Op::Sum) continue;
    NodeId z = at(f, log.args[0]).args[0];
    auto e = shiftedExponential(f, z);
    if (!e || e->maximum != s->maximum) continue;
    return fromSum(f, log.args[0], *s, z, n);
  }
  return {};
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
