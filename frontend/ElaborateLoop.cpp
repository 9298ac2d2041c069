// iterate, fold and scan (rule E8).
#include "frontend/Elaborate.h"

#include <algorithm>

namespace fovea {

using namespace core;
using ast::Expr;

Elaborator::Nodes Elaborator::loop(const Expr *expr, Scope &scope) {
  Loop loop;
  loop.kind = expr->kind == Expr::Iterate ? Loop::Iterate : expr->kind == Expr::Fold ? Loop::Fold : Loop::Scan;
  loop.reverse = expr->reverse;
  const Expr *initExpr = expr->args[expr->args.size() - 2], *nextExpr = expr->args.back();
  if (loop.kind == Loop::Iterate) {
    loop.count = integer(expr->args[0], scope, Diag::IterateCount);
    if (loop.count == none) return {};
    if (!b.node(loop.count).free.empty()) {
      error(Diag::IterateCountFree, expr->args[0]->range, {indexName(b.node(loop.count).free[0])});
      return {};
    }
  } else {
    auto index = findIndex(scope, expr->path[0]);
    if (!index) return {};
    loop.index = *index;
  }

  Nodes inits = values(initExpr, scope);
  if (inits.empty()) return {};
  if (inits.size() != expr->targets.size()) {
    error(Diag::StateCount, initExpr->range, {std::to_string(expr->targets.size()), std::to_string(inits.size())});
    return {};
  }

  // Stated axes count as axes of the definition that the step stands in, and so does the loop's index.
  std::vector<IndexId> outer = context;
  std::set<IndexId> inner(outer.begin(), outer.end());
  if (loop.index != none) inner.insert(loop.index);
  for (size_t k = 0; k < expr->targets.size(); ++k) {
    const ast::Target &target = expr->targets[k];
    for (size_t other = 0; other < k; ++other)
      if (expr->targets[other].name.symbol == target.name.symbol) {
        error(Diag::NameTaken, target.name.range, {target.name.text(), "a state"});
        return {};
      }
    if (const Env *entry = find(scope.env, target.name.symbol); entry && (entry->binding.kind == Binding::Index || entry->binding.kind == Binding::Indices)) {
      error(Diag::NameTaken, target.name.range, {target.name.text(), kindName(entry->binding)});
      diagnostics.note(Diag::DeclaredHere, visible(entry->binding.declared), {target.name.text()});
      return {};
    }
    Loop::Item item;
    item.name = target.name.text();
    item.init = inits[k];
    item.type = b.type(inits[k]);
    if (target.stated) {
      if (!findIndices(scope, target.axes, item.axes)) return {};
      for (IndexId index : b.node(item.init).free)
        if (std::find(item.axes.begin(), item.axes.end(), index) == item.axes.end()) {
          error(Diag::StateAxis, initExpr->range, {indexName(index), axesText(item.name, item.axes), "first value", withAxis(item.name, item.axes, index)});
          return {};
        }
      if (expr->targets.size() == 1) inner.insert(item.axes.begin(), item.axes.end());
    } else {
      item.axes = b.node(item.init).free;
    }
    if (loop.index != none && std::find(item.axes.begin(), item.axes.end(), loop.index) != item.axes.end()) {
      error(Diag::StateHasLoopIndex, target.name.range, {item.name, indexName(loop.index)});
      return {};
    }
    loop.items.push_back(std::move(item));
  }

  // A step that a mask removes leaves the state as it was; a mask over the definition's axes gives the state those axes.
  std::vector<std::vector<NodeId>> masks(loop.items.size());
  if (loop.index != none)
    for (size_t k = 0; k < loop.items.size(); ++k) {
      Loop::Item &item = loop.items[k];
      for (const Mask *mask = scope.masks; mask; mask = mask->next) {
        const auto free = b.node(mask->node).free;
        if (!std::binary_search(free.begin(), free.end(), loop.index)) continue;
        std::vector<IndexId> more;
        bool applies = true;
        for (IndexId index : free)
          if (index != loop.index && std::find(item.axes.begin(), item.axes.end(), index) == item.axes.end()) {
            applies &= usesContext(index);
            more.push_back(index);
          }
        if (!applies) continue;
        masks[k].push_back(mask->node);
        item.axes.insert(item.axes.end(), more.begin(), more.end());
      }
    }

  // A state is f32 if its first or its next value is: where the first is i32, a trial tells about the next.
  Nodes nexts;
  for (int attempt = 0; attempt < 2; ++attempt) {
    bool integers = std::any_of(loop.items.begin(), loop.items.end(), [](const Loop::Item &item) { return item.type == Type::I32; });
    loop.tag = b.freshTag();
    Scope inside = scope;
    for (size_t k = 0; k < loop.items.size(); ++k) {
      Binding binding;
      binding.kind = Binding::Value;
      binding.declared = expr->targets[k].name.range;
      binding.node = b.state(loop.tag, static_cast<unsigned>(k), loop.items[k].axes, loop.items[k].type);
      binding.stated = expr->targets[k].stated;
      binding.axes = loop.items[k].axes;
      bind(inside, expr->targets[k].name.symbol, std::move(binding));
    }
    context.assign(inner.begin(), inner.end());
    unsigned before = effects;
    nexts = values(nextExpr, inside);
    context = outer;
    if (nexts.empty()) return {};
    if (nexts.size() != loop.items.size()) {
      error(Diag::StateCount, nextExpr->range, {std::to_string(loop.items.size()), std::to_string(nexts.size())});
      return {};
    }
    bool again = false;
    for (size_t k = 0; k < nexts.size(); ++k)
      if (loop.items[k].type == Type::I32 && b.type(nexts[k]) == Type::F32) {
        loop.items[k].type = Type::F32;
        loop.items[k].init = b.toF32(loop.items[k].init);
        again = true;
      }
    if (!again || !integers || effects != before) break;
    attempt = 0;  // another i32 state may follow this one; each attempt makes one more state f32
  }

  for (size_t k = 0; k < loop.items.size(); ++k) {
    Loop::Item &item = loop.items[k];
    NodeId next = nexts[k];
    if ((b.type(next) == Type::Bool) != (item.type == Type::Bool)) {
      error(Diag::StateType, nextExpr->range, {item.name, item.type == Type::Bool ? "bool" : "a number", typeName(next)});
      return {};
    }
    if (item.type == Type::F32) next = b.toF32(next);
    for (IndexId index : b.node(next).free)
      if (index != loop.index && std::find(item.axes.begin(), item.axes.end(), index) == item.axes.end()) {
        error(Diag::StateAxis, nextExpr->range, {indexName(index), axesText(item.name, item.axes), "next value", withAxis(item.name, item.axes, index)});
        return {};
      }
    NodeId state = b.state(loop.tag, static_cast<unsigned>(k), item.axes, item.type);
    for (NodeId mask : masks[k]) next = b.select(mask, next, state);
    item.next = next;
  }
  size_t count = loop.items.size();
  NodeId node = b.addLoop(std::move(loop));
  Nodes results;
  for (size_t k = 0; k < count; ++k) results.push_back(b.loopResult(node, static_cast<unsigned>(k)));
  return results;
}

}  // namespace fovea
