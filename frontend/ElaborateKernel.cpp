// Kernels: signatures, constraints and extents (rules K1 to K6, K9).
#include "frontend/Elaborate.h"
#include "frontend/ReservedNames.h"

#include <algorithm>
#include <functional>

namespace fovea {

using namespace core;

bool Elaborator::kernel(const ast::Kernel &k) {
  b.function.name = k.name.text();
  b.function.place = sources.place(k.name.range);
  if (const char *why = reservedInC(k.name.text())) error(Diag::KernelName, k.name.range, {k.name.text(), why});
  activations.push_back({nullptr, nullptr, k.name.range, 0, "", "", {}});
  now = &activations.back();
  Scope scope;
  scope.file = &file;
  scope.activation = now;
  for (const ast::Parameter &p : k.parameters) parameter(scope, p);
  results(scope, k.results);
  for (const ast::Constraint &c : k.constraints) constraint(c, scope);
  statements(k.body, scope);
  checkResults(k.end);
  if (abort) diagnostics.error(abort->first, abort->second);
  if (!failed) checkExtents();
  if (failed) return false;
  b.finish();
  return true;
}

// --- signatures -----------------------------------------------------------------------------------------------------

// The index of an axis name; a new one where the name is new.
std::optional<IndexId> Elaborator::axis(Scope &scope, const ast::Name &name, bool known) {
  const Env *entry = lookup(scope, name.symbol);
  // In step, a value of encode does not take the name.
  if (entry && entry->binding.kind != Binding::Index && !find(scope.env, name.symbol)) entry = nullptr;
  if (entry) {
    if (entry->binding.kind != Binding::Index) {
      if (entry->binding.kind == Binding::Poison) return failed = true, std::nullopt;
      error(Diag::NameTaken, name.range, {name.text(), kindName(entry->binding)});
      diagnostics.note(Diag::DeclaredHere, entry->binding.declared, {name.text()});
      return std::nullopt;
    }
    if (known) given[entry->binding.id] = true;
    return entry->binding.id;
  }
  Index index;
  index.name = name.text();
  index.place = sources.place(name.range);
  Binding binding;
  binding.kind = Binding::Index;
  binding.declared = name.range;
  binding.id = b.addIndex(std::move(index));
  given.push_back(known);
  IndexId id = binding.id;
  bind(scope, name.symbol, std::move(binding));
  return id;
}

bool Elaborator::axes(Scope &scope, const std::vector<ast::Name> &names, std::vector<IndexId> &into, bool known) {
  for (size_t k = 0; k < names.size(); ++k) {
    for (size_t other = 0; other < k; ++other)
      if (names[other].symbol == names[k].symbol) {
        error(Diag::AxisInTypeTwice, names[k].range, {names[k].text()});
        return false;
      }
    auto index = axis(scope, names[k], known);
    if (!index) return false;
    into.push_back(*index);
  }
  return true;
}

std::optional<TensorId> Elaborator::tensor(Scope &scope, const ast::Name &name, const ast::Type &type, Tensor::Role role) {
  Tensor t;
  t.role = role;
  t.name = name.text();
  t.type = type.storage;
  t.sorted = type.sorted;
  t.place = sources.place(name.range);
  if (!axes(scope, type.axes, t.axes, true)) return std::nullopt;
  b.function.tensors.push_back(std::move(t));
  return static_cast<TensorId>(b.function.tensors.size() - 1);
}

void Elaborator::parameter(Scope &scope, const ast::Parameter &p) {
  Binding binding;
  binding.declared = p.name.range;
  if (p.type.tensor) {
    if (auto id = tensor(scope, p.name, p.type, Tensor::Input)) {
      binding.kind = Binding::Tensor;
      binding.id = *id;
      b.function.parameters.push_back({false, *id});
    }
  } else {
    binding.kind = Binding::Scalar;
    binding.id = static_cast<uint32_t>(b.function.scalars.size());
    b.function.parameters.push_back({true, binding.id});
    Scalar scalar;
    scalar.name = p.name.text();
    scalar.type = p.type.storage;
    scalar.place = sources.place(p.name.range);
    b.function.scalars.push_back(std::move(scalar));
  }
  const Env *entry = find(scope.env, p.name.symbol);
  if (entry && entry->binding.kind != Binding::Poison) {
    error(Diag::NameTaken, p.name.range, {p.name.text(), kindName(entry->binding)});
    diagnostics.note(Diag::DeclaredHere, entry->binding.declared, {p.name.text()});
    return;
  }
  bind(scope, p.name.symbol, std::move(binding));
}

// A result's axis that no parameter has may be defined later, by a constraint, a `dim` or a `concat`.
void Elaborator::results(Scope &scope, const std::vector<ast::Parameter> &list) {
  for (const ast::Parameter &r : list) {
    std::vector<IndexId> indices;
    axes(scope, r.type.axes, indices, false);
    const Env *entry = find(scope.env, r.name.symbol);
    if (entry && entry->binding.kind != Binding::Poison) {
      error(Diag::NameTaken, r.name.range, {r.name.text(), kindName(entry->binding)});
      diagnostics.note(Diag::DeclaredHere, entry->binding.declared, {r.name.text()});
      refusedResults.insert(r.name.symbol);
      continue;
    }
    Binding binding;
    binding.kind = Binding::Result;
    binding.declared = r.name.range;
    binding.id = static_cast<uint32_t>(b.function.results.size());
    Result result;
    result.name = r.name.text();
    result.type = r.type.storage;
    result.place = sources.place(r.name.range);
    result.axes = indices;
    b.function.results.push_back(std::move(result));
    Assigned state;
    state.axisNames = r.type.axes;
    state.tensor = r.type.tensor;
    assigned.push_back(std::move(state));
    resultRanges.push_back(r.name.range);
    bind(scope, r.name.symbol, std::move(binding));
  }
}

void Elaborator::checkResults(SourceRange) {
  for (size_t k = 0; k < assigned.size() && !otherTarget; ++k)
    if (!assigned[k].done && !assigned[k].bad && !aborted) error(Diag::ResultNotAssigned, resultRanges[k], {b.function.results[k].name});
}

// --- extents --------------------------------------------------------------------------------------------------------

// An i32 expression over extents and scalars, in which a bare index name is its extent.
NodeId Elaborator::extentExpr(const ast::Expr *expr, Scope &scope) {
  bool outer = extents;
  extents = true;
  NodeId node = integer(expr, scope, Diag::ExtentType);
  extents = outer;
  if (node == none) return none;
  std::vector<NodeId> stack{node};
  std::set<NodeId> seen{node};
  while (!stack.empty()) {
    const Node &n = b.node(stack.back());
    stack.pop_back();
    if (!isElementwise(n.op) && n.op != Op::Extent && n.op != Op::Scalar && n.op != Op::ConstI32 && n.op != Op::ConstF32 && n.op != Op::ConstBool) {
      error(Diag::ExtentExpression, expr->range);
      return none;
    }
    for (NodeId arg : n.args)
      if (seen.insert(arg).second) stack.push_back(arg);
  }
  return node;
}

// Whether something fixes the extent: a tensor, a constant, or a definition.
bool Elaborator::knownExtent(IndexId index) const {
  for (IndexId k = 0; k < given.size(); ++k)
    if (b.sameExtent(k, index) && (given[k] || b.function.indices[k].extent != none || b.function.indices[k].fixed)) return true;
  return false;
}

void Elaborator::setFixed(IndexId index, int64_t size, SourceRange at) {
  auto before = b.fixed(index);
  if (before && *before != size) {
    error(Diag::ContradictingExtents, at, {indexName(index), std::to_string(*before), std::to_string(size)});
    return;
  }
  b.function.indices[index].fixed = size;
}

void Elaborator::check(NodeId condition, SourceRange at) {
  if (b.node(condition).op == Op::ConstBool && b.node(condition).integer) return;
  for (const Check &c : b.function.checks)
    if (c.condition == condition) return;
  b.function.checks.push_back({condition, std::string(sources.text(at)), sources.place(at)});
}

// `known`: something else fixes the extent already, so equality is checked on entry.
void Elaborator::defineExtent(IndexId index, NodeId extent, SourceRange at, bool known) {
  const Node n = b.node(extent);
  if (auto size = b.constant(extent)) {
    if (*size < 0) return error(Diag::NegativeExtent, at, {indexName(index), std::to_string(*size)});
    setFixed(index, *size, at);
    if (n.op != Op::Extent) return;
  }
  if (n.op == Op::Extent) {
    auto here = b.fixed(index), there = b.fixed(n.ref);
    if (here && there && *here != *there)
      return error(Diag::ContradictingExtents, at, {indexName(index), std::to_string(*here), std::to_string(*there)});
    b.same(index, n.ref);
    return;
  }
  if (known) return check(b.compare(Op::Eq, b.extent(index), extent), at);
  b.function.indices[index].extent = extent;
  if (!b.notNegative(extent)) check(b.compare(Op::Ge, extent, b.integer(0)), at);
}

void Elaborator::constraint(const ast::Constraint &c, Scope &scope) {
  bool name = c.left->kind == ast::Expr::Reference && c.left->path.size() == 1 && !c.left->grouped;
  if (c.kind == ast::Constraint::Relation && name) {
    const ast::Name &left = c.left->path[0];
    NodeId right = extentExpr(c.right, scope);
    if (right == none) {
      if (!find(scope.env, left.symbol)) poison(scope, left.symbol, left.range);
      return;
    }
    if (!find(scope.env, left.symbol)) {
      if (!axis(scope, left, false)) return;
    }
    auto index = findIndex(scope, left);
    if (!index) return;
    bool known = knownExtent(*index);
    // Two indices that nothing fixes yet become one class; which one is defined later does not matter.
    defineExtent(*index, right, c.range, known);
    return;
  }
  if (c.kind == ast::Constraint::Relation) {
    NodeId left = extentExpr(c.left, scope), right = extentExpr(c.right, scope);
    if (left == none || right == none) return;
    auto x = b.constant(left), y = b.constant(right);
    if (x && y && *x != *y) return error(Diag::ConstraintFalse, c.range, {sources.text(c.range)});
    check(b.compare(Op::Eq, left, right), c.range);
    return;
  }
  auto index = findIndex(scope, c.left->path[0]);
  if (!index) return;
  auto size = [&](const ast::Expr *expr) -> std::optional<int64_t> {
    NodeId node = extentExpr(expr, scope);
    if (node == none) return std::nullopt;
    auto v = b.constant(node);
    if (!v || *v < 0) {
      error(Diag::ConstantExpected, expr->range);
      return std::nullopt;
    }
    return v;
  };
  Index &into = b.function.indices[*index];
  if (c.kind == ast::Constraint::Bound) {
    NodeId node = extentExpr(c.right, scope);
    if (node == none) return;
    auto v = b.constant(node);
    if (v && *v >= 0)
      into.bound = into.bound ? std::min(*into.bound, *v) : *v;
    else
      check(b.compare(Op::Le, b.extent(*index), node), c.range);
    return;
  }
  std::vector<int64_t> choices;
  for (const ast::Expr *expr : c.choices) {
    auto v = size(expr);
    if (!v) return;
    if (std::find(choices.begin(), choices.end(), *v) == choices.end()) choices.push_back(*v);
  }
  Index &now = b.function.indices[*index];
  if (!now.choices.empty()) return error(Diag::ChoicesTwice, c.range, {indexName(*index)});
  now.choices = choices;
  now.choicesOnly = c.only;
  choiceRanges[*index] = c.range;
}

// Every extent must be fixed by something, and nothing may contradict (rule K6).
bool Elaborator::checkExtents() {
  auto &indices = b.function.indices;
  // Classes whose extent follows from tensors and constants, then those defined over them.
  std::set<IndexId> known;
  for (IndexId k = 0; k < indices.size(); ++k)
    if (given[k] || indices[k].fixed) known.insert(b.root(k));
  auto ready = [&](NodeId extent) {
    std::vector<NodeId> stack{extent};
    std::set<NodeId> seen{extent};
    while (!stack.empty()) {
      const Node &n = b.node(stack.back());
      stack.pop_back();
      if (n.op == Op::Extent && !known.count(b.root(n.ref))) return false;
      for (NodeId arg : n.args)
        if (seen.insert(arg).second) stack.push_back(arg);
    }
    return true;
  };
  for (bool more = true; more;) {
    more = false;
    for (IndexId k = 0; k < indices.size(); ++k)
      if (indices[k].extent != none && !known.count(b.root(k)) && ready(indices[k].extent)) more = known.insert(b.root(k)).second;
  }
  bool ok = true;
  for (IndexId k = 0; k < indices.size(); ++k) {
    const Index &index = indices[k];
    SourceRange at = rangeOf(index.place, index.name);
    if (!known.count(b.root(k))) {
      error(Diag::UnknownExtent, at, {index.name});
      ok = false;
      continue;
    }
    auto size = b.fixed(k);
    if (size && index.bound && *size > *index.bound) {
      error(Diag::ContradictingExtents, at, {index.name, std::to_string(*size), "at most " + std::to_string(*index.bound)});
      ok = false;
    }
    if (size && index.choicesOnly && std::find(index.choices.begin(), index.choices.end(), *size) == index.choices.end()) {
      error(Diag::ContradictingExtents, choiceRanges[k], {index.name, std::to_string(*size), "one of the listed values"});
      ok = false;
    }
    // An index without a tensor of its own takes its extent from another of its class.
    if (!given[k] && index.extent == none && !size)
      for (IndexId other = 0; other < indices.size(); ++other)
        if (other != k && b.sameExtent(other, k) && (given[other] || indices[other].extent != none)) {
          indices[k].extent = b.rawExtent(other);
          break;
        }
  }
  for (const Check &c : b.function.checks) {
    const Node &n = b.node(c.condition);
    if (n.op == Op::ConstBool && !n.integer) {
      error(Diag::ConstraintFalse, rangeOf(c.place, c.text), {c.text});
      ok = false;
    } else if (n.op >= Op::Lt && n.op <= Op::Ne) {
      auto x = b.constant(n.args[0]), y = b.constant(n.args[1]);
      if (x && y && ((n.op == Op::Eq && *x != *y) || (n.op == Op::Ge && *x < *y) || (n.op == Op::Le && *x > *y))) {
        error(Diag::ConstraintFalse, rangeOf(c.place, c.text), {c.text});
        ok = false;
      }
    }
  }
  return ok;
}

SourceRange Elaborator::rangeOf(Place place, const std::string &text) const {
  std::string_view line = sources.line(place.file, place.line);
  auto begin = static_cast<uint32_t>(line.data() - sources.text(place.file).data()) + place.column - 1;
  return {place.file, begin, begin + static_cast<uint32_t>(text.size())};
}

}  // namespace fovea
