// What a reduction's operand says of where its terms count (rule M5): a factor of a sum that is 0, a read outside a tensor among them, and a
// condition that is counted. Such conditions join the masks, as far as they may bound a reduced index; the oracle goes without.
#include "frontend/emit/Emitter.h"

#include <algorithm>
#include <functional>

namespace fovea::emitter {

// Whether a value moves with one of the indices in a way that `Support.cpp` may solve.
bool Emitter::follows(NodeId n, ArrayRef<IndexId> indices) {
  const Node &node = f.nodes[n];
  switch (node.op) {
    case Op::Position: return llvm::is_contained(indices, node.ref);
    case Op::Add: case Op::Sub: case Op::Mul: case Op::Min: case Op::Max: return follows(node.args[0], indices) || follows(node.args[1], indices);
    case Op::Neg: case Op::Abs: case Op::ToF32: case Op::Relu: case Op::Div: case Op::Pow: return follows(node.args[0], indices);
    case Op::Load: {
      const core::Tensor &t = f.tensors[node.ref];
      if (!t.sorted || node.args.empty()) return false;
      const Node &last = f.nodes[node.args.back()];
      return last.op == Op::Position && llvm::is_contained(indices, last.ref);
    }
    default: return false;
  }
}

bool Emitter::mayBound(NodeId n, ArrayRef<IndexId> indices) {
  const Node &node = f.nodes[n];
  switch (node.op) {
    case Op::And: return mayBound(node.args[0], indices) || mayBound(node.args[1], indices);
    case Op::Or: return mayBound(node.args[0], indices) && mayBound(node.args[1], indices);
    case Op::Not: return mayBound(node.args[0], indices);
    case Op::Lt: case Op::Le: case Op::Gt: case Op::Ge: return follows(node.args[0], indices) || follows(node.args[1], indices);
    case Op::Eq:
      return llvm::any_of(node.args, [&](NodeId a) { return follows(a, indices) || (f.nodes[a].op == Op::Mod && follows(f.nodes[a].args[0], indices)); });
    default: return false;
  }
}

void Emitter::addNonzero(Body &body, NodeId n, ArrayRef<IndexId> indices, SmallVectorImpl<Value> &conditions) {
  const Node &node = f.nodes[n];
  if (auto it = body.nest.leaves.find(n); it != body.nest.leaves.end()) {
    const Leaf &leaf = it->second;
    if (leaf.direct) return;
    for (auto [k, sub] : llvm::enumerate(leaf.subscripts))
      if (sub != core::none && follows(sub, indices) && !provenInside(sub, leaf.axes[k])) conditions.push_back(isInside(body, leaf, k));
    return;
  }
  auto factors = [&](NodeId a) { addNonzero(body, a, indices, conditions); };
  auto holds = [&](NodeId condition, bool contrary = false) {
    if (!mayBound(condition, indices)) return;
    Value v = evaluate(body, condition);
    conditions.push_back(contrary ? scalar().apply(Op::Not, core::Type::Bool, core::Type::Bool, {v}) : v);
  };
  auto exceedsZero = [&](NodeId x) {
    core::Type type = f.nodes[x].type;
    if (follows(x, indices)) conditions.push_back(scalar().apply(Op::Gt, core::Type::Bool, type, {evaluate(body, x), scalar().zero(type)}));
  };
  switch (node.op) {
    case Op::Mul: return factors(node.args[0]), factors(node.args[1]);
    case Op::Neg: case Op::Abs: case Op::Sqrt: case Op::Sign: return factors(node.args[0]);
    case Op::Div: case Op::Pow:
      if (node.op == Op::Div || isPositive(node.args[1])) factors(node.args[0]);
      return;
    case Op::Relu: return exceedsZero(node.args[0]);
    case Op::Max:
      for (int side : {0, 1})
        if (isZero(node.args[side])) return exceedsZero(node.args[1 - side]);
      return;
    case Op::Min:
      for (int side : {0, 1})
        if (isPositive(node.args[side])) return factors(node.args[1 - side]);
      return;
    case Op::ToF32: case Op::ToI32: return f.nodes[node.args[0]].type == core::Type::Bool ? holds(node.args[0]) : factors(node.args[0]);
    case Op::Keep:
      for (NodeId mask : ArrayRef(node.args).drop_front()) holds(mask);
      return factors(node.args[0]);
    case Op::Select:
      for (int side : {1, 2})
        if (isZero(node.args[side])) return holds(node.args[0], side == 1), factors(node.args[3 - side]);
      return;
    case Op::Add: case Op::Sub: {  // 0 where both are
      SmallVector<Value> either[2];
      for (int side : {0, 1}) addNonzero(body, node.args[side], indices, either[side]);
      if (!either[0].empty() && !either[1].empty())
        conditions.push_back(scalar().apply(Op::Or, core::Type::Bool, core::Type::Bool, {scalar().conjunction(either[0]), scalar().conjunction(either[1])}));
      return;
    }
    default: return;
  }
}

bool Emitter::isZero(NodeId n) {
  const Node &node = f.nodes[n];
  return (node.op == Op::ConstF32 && node.real == 0) || (node.op == Op::ConstI32 && node.integer == 0);
}

bool Emitter::isPositive(NodeId n) {
  const Node &node = f.nodes[n];
  return (node.op == Op::ConstF32 && node.real > 0) || (node.op == Op::ConstI32 && node.integer > 0);
}

void Emitter::orderAxes(const Node &reduction, Axes &out) {
  if (!options.rows || out.size() < 2) return;
  // The indices that bounds may depend on: those of masks, and of factors that are more than a read. And the axes that reads lie along.
  std::set<IndexId> bounding, contiguous;
  for (NodeId mask : ArrayRef(reduction.args).drop_front()) bounding.insert(f.nodes[mask].free.begin(), f.nodes[mask].free.end());
  std::function<void(NodeId)> factors = [&](NodeId n) {
    const Node &node = f.nodes[n];
    if (node.op == Op::Mul) return factors(node.args[0]), factors(node.args[1]);
    if (node.op == Op::Load) {
      if (!node.args.empty() && f.nodes[node.args.back()].op == Op::Position) contiguous.insert(f.nodes[node.args.back()].ref);
      for (NodeId sub : node.args)
        if (f.nodes[sub].op != Op::Position && follows(sub, reduction.indices)) bounding.insert(f.nodes[sub].free.begin(), f.nodes[sub].free.end());
    } else if (llvm::any_of(reduction.indices, [&](IndexId i) { return llvm::is_contained(node.free, i); })) {
      bounding.insert(node.free.begin(), node.free.end());
    }
  };
  factors(reduction.args[0]);
  if (!bounding.count(out.back())) return;
  for (size_t k = out.size() - 1; k-- > 0;)
    if (contiguous.count(out[k]) && !bounding.count(out[k])) {
      std::rotate(out.begin() + k, out.begin() + k + 1, out.end());
      return;
    }
}

void Emitter::addSupport(Body &body, const Node &reduction, SmallVectorImpl<Value> &conditions) {
  if (!options.rows) return;
  NodeId operand = reduction.args[0];
  // What the masks leave inside a tensor: the bounds then say so, and nothing is tested.
  if (MaskSet masks(reduction.args.begin() + 1, reduction.args.end()); !masks.empty())
    for (const auto &[n, leaf] : body.nest.leaves)
      for (auto [k, sub] : llvm::enumerate(leaf.subscripts))
        if (!leaf.direct && sub != core::none && !provenInside(sub, leaf.axes[k]) && provenInside(sub, leaf.axes[k], masks)) conditions.push_back(isInside(body, leaf, k));
  if (reduction.op == Op::Sum) addNonzero(body, operand, reduction.indices, conditions);
  if ((reduction.op == Op::Count || reduction.op == Op::Any) && mayBound(operand, reduction.indices)) conditions.push_back(evaluate(body, operand));
}

}  // namespace fovea::emitter
