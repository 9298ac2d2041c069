// Reductions (rule E7) and the masks that apply to them (rules M1 to M3).
#include "frontend/Elaborate.h"

#include <algorithm>

namespace fovea {

using namespace core;

bool Elaborator::usesContext(IndexId index) {
  if (asked) asked->insert(index);
  return std::binary_search(context.begin(), context.end(), index);
}

// Rule M2: a mask applies when it contains a reduced index and each of its others is free in the operand or an axis of the
// definition in which the reduction stands.
std::vector<NodeId> Elaborator::masksFor(const std::vector<IndexId> &reduced, NodeId operand, const Scope &scope) {
  std::vector<NodeId> masks;
  for (const Mask *mask = scope.masks; mask; mask = mask->next) {
    bool contains = false, reaches = true;
    std::vector<IndexId> open;
    for (IndexId index : b.node(mask->node).free) {
      if (std::find(reduced.begin(), reduced.end(), index) != reduced.end())
        contains = true;
      else if (!b.isFree(operand, index))
        open.push_back(index);
    }
    if (!contains) continue;
    for (IndexId index : open) reaches &= usesContext(index);
    if (reaches) masks.push_back(mask->node);
  }
  return masks;
}

// Rule M3: a defined value is 0 where a mask over its axes removes the point.
NodeId Elaborator::keep(NodeId node, const std::vector<IndexId> &axes, const Scope &scope) {
  std::vector<NodeId> masks;
  for (const Mask *mask = scope.masks; mask; mask = mask->next) {
    const auto &free = b.node(mask->node).free;
    if (std::all_of(free.begin(), free.end(), [&](IndexId index) { return std::find(axes.begin(), axes.end(), index) != axes.end(); }))
      masks.push_back(mask->node);
  }
  return b.keep(node, std::move(masks));
}

// sum[j,k](e)
NodeId Elaborator::reduction(const ast::Expr *expr, Scope &scope, Op op, bool mean) {
  const std::string &name = expr->path[0].text();
  if (expr->args.size() != 1) {
    error(Diag::ArgumentCount, expr->range, {name, "1", std::to_string(expr->args.size())});
    return none;
  }
  bool boolean = op == Op::Any || op == Op::All || op == Op::Count;
  NodeId operand = mean || !boolean ? number(expr->args[0], scope) : condition(expr->args[0], scope);
  // After the operand: a concat in it may bring the index (rule F3).
  if (operand == none) poisonConcats(expr->args[0], scope);
  std::vector<IndexId> indices;
  if (!findIndices(scope, expr->indices, indices) || operand == none) return none;
  if ((op == Op::ArgMax || op == Op::ArgMin) && indices.size() != 1) {
    error(Diag::ArgOneIndex, expr->range, {name});
    return none;
  }
  std::vector<NodeId> masks = masksFor(indices, operand, scope);
  if (!mean) return b.reduce(op, indices, operand, masks);
  NodeId total = b.reduce(Op::Sum, indices, b.toF32(operand), masks);
  NodeId count = b.reduce(Op::Count, indices, b.boolean(true), masks);
  return b.binary(Op::Div, total, b.toF32(count));
}

}  // namespace fovea
