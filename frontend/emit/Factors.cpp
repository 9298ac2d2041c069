// What a reduction's operand says of where its terms count (rule M5): a factor of a sum that is 0, a read outside a tensor among them, and a
// condition that is counted. Such conditions join the masks, as far as they may bound a reduced index; the oracle goes without.
#include "frontend/Walk.h"
#include "frontend/emit/Emitter.h"

#include <algorithm>
#include <functional>
#include <map>

namespace fovea::emitter {

// Whether a value moves with one of the indices in a way that `Support.cpp` may solve.
bool Emitter::follows(NodeId n, ArrayRef<IndexId> indices) {
  bool found = false;
  core::walkBehind(f, n, [&](NodeId, const Node &node) -> std::span<const NodeId> {
    switch (node.op) {
      case Op::Position: found |= llvm::is_contained(indices, node.ref); return {};
      case Op::Add: case Op::Sub: case Op::Mul: case Op::Min: case Op::Max: return node.args;
      case Op::Neg: case Op::Abs: case Op::ToF32: case Op::Relu: case Op::Div: case Op::Pow: return {&node.args[0], 1};
      case Op::Load: {
        const Node *last = f.tensors[node.ref].sorted && !node.args.empty() ? &f.nodes[node.args.back()] : nullptr;
        found |= last && last->op == Op::Position && llvm::is_contained(indices, last->ref);
        return {};
      }
      default: return {};
    }
  });
  return found;
}

bool Emitter::mayBound(NodeId n, ArrayRef<IndexId> indices) {
  std::map<NodeId, bool> known;
  std::function<bool(NodeId)> may = [&](NodeId n) {
    auto [it, first] = known.try_emplace(n, false);
    if (!first) return it->second;
    const Node &node = f.nodes[n];
    auto decide = [&] {
      switch (node.op) {
        case Op::And: return may(node.args[0]) || may(node.args[1]);
        case Op::Or: return may(node.args[0]) && may(node.args[1]);
        case Op::Not: return may(node.args[0]);
        case Op::Lt: case Op::Le: case Op::Gt: case Op::Ge: return follows(node.args[0], indices) || follows(node.args[1], indices);
        case Op::Eq:
          return llvm::any_of(node.args, [&](NodeId a) { return follows(a, indices) || (f.nodes[a].op == Op::Mod && follows(f.nodes[a].args[0], indices)); });
        default: return false;
      }
    };
    return known[n] = decide();
  };
  return may(n);
}

void Emitter::addNonzero(Body &body, NodeId n, ArrayRef<IndexId> indices, NonzeroMemo &known, SmallVectorImpl<Value> &conditions) {
  auto [it, first] = known.try_emplace(n);
  if (first) {
    SmallVector<Value> found;
    findNonzero(body, n, indices, known, found);
    known[n] = found;
  }
  for (Value v : known[n])
    if (!llvm::is_contained(conditions, v)) conditions.push_back(v);
}

void Emitter::findNonzero(Body &body, NodeId n, ArrayRef<IndexId> indices, NonzeroMemo &known, SmallVectorImpl<Value> &conditions) {
  const Node &node = f.nodes[n];
  if (auto it = body.nest.leaves.find(n); it != body.nest.leaves.end()) {
    const Leaf &leaf = it->second;
    if (leaf.direct) return;
    for (auto [k, sub] : llvm::enumerate(leaf.subscripts))
      if (sub != core::none && follows(sub, indices) && !provenInside(sub, leaf.axes[k])) conditions.push_back(isInside(body, leaf, k));
    return;
  }
  auto factors = [&](NodeId a) { addNonzero(body, a, indices, known, conditions); };
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
      for (int side : {0, 1}) addNonzero(body, node.args[side], indices, known, either[side]);
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
  core::walkBehind(f, reduction.args[0], [&](NodeId, const Node &node) -> std::span<const NodeId> {
    if (node.op == Op::Mul) return node.args;
    if (node.op == Op::Load) {
      if (!node.args.empty() && f.nodes[node.args.back()].op == Op::Position) contiguous.insert(f.nodes[node.args.back()].ref);
      for (NodeId sub : node.args)
        if (f.nodes[sub].op != Op::Position && follows(sub, reduction.indices)) bounding.insert(f.nodes[sub].free.begin(), f.nodes[sub].free.end());
    } else if (llvm::any_of(reduction.indices, [&](IndexId i) { return llvm::is_contained(node.free, i); })) {
      bounding.insert(node.free.begin(), node.free.end());
    }
    return {};
  });
  if (!bounding.count(out.back())) return;
  for (size_t k = out.size() - 1; k-- > 0;)
    if (contiguous.count(out[k]) && !bounding.count(out[k])) {
      std::rotate(out.begin() + k, out.begin() + k + 1, out.end());
      return;
    }
}

MaskSet Emitter::masksOfUsers(NodeId n, const Axes &out) {
  const Node &sum = f.nodes[n];
  MaskSet found;
  if (!options.rows || sum.op != Op::Sum || sum.type != core::Type::F32) return found;
  auto longAxes = [&](const Node &node) { return llvm::count_if(node.free, [&](IndexId i) { return isLong(i); }); };
  for (NodeId m : holds[n]) {
    const Node &mask = f.nodes[m];
    if (llvm::is_contained(ArrayRef(sum.args).drop_front(), m) || !mayBound(m, out)) continue;
    // Known here, and of axes that no window has narrowed.
    if (!llvm::all_of(mask.free, [&](IndexId i) { return (llvm::is_contained(out, i) && !window(i, current)) || fixedPosition(i, current); })) continue;
    // What it reads is smaller than the sum, and it is the same in each nest that evaluates it: in a kernel arithmetic on reals may be
    // contracted in one and not in another.
    bool apt = true;
    core::walkBehind(f, m, [&](NodeId, const Node &node) -> std::span<const NodeId> {
      const bool tensor = node.op == Op::State || node.op == Op::LoopResult || isReduction(node.op);
      if (tensor) apt &= longAxes(node) < longAxes(sum);
      if (tensor || node.op == Op::Load) return {};
      apt &= options.contiguous || node.type != core::Type::F32 || node.args.empty();
      return node.args;
    });
    bool early = llvm::all_of(loopsOf[m], [&](uint32_t tag) {
      for (Scope *s = current; s; s = s->parent)
        if (s->tag == tag) return true;
      return false;
    });
    if (apt && early) found.insert(m);
  }
  return found;
}

void Emitter::addSupport(Body &body, const Node &reduction, SmallVectorImpl<Value> &conditions) {
  if (!options.rows) return;
  NodeId operand = reduction.args[0];
  // What the masks leave inside a tensor: the bounds then say so, and nothing is tested.
  if (MaskSet masks(reduction.args.begin() + 1, reduction.args.end()); !masks.empty())
    for (const auto &[n, leaf] : body.nest.leaves)
      for (auto [k, sub] : llvm::enumerate(leaf.subscripts))
        if (!leaf.direct && sub != core::none && !provenInside(sub, leaf.axes[k]) && provenInside(sub, leaf.axes[k], masks)) conditions.push_back(isInside(body, leaf, k));
  NonzeroMemo known;
  if (reduction.op == Op::Sum) addNonzero(body, operand, reduction.indices, known, conditions);
  if ((reduction.op == Op::Count || reduction.op == Op::Any) && mayBound(operand, reduction.indices)) conditions.push_back(evaluate(body, operand));
}

}  // namespace fovea::emitter
