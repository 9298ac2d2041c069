// Statements (rules K4, K6, K7) and what a definition means (rules M1 to M3).
#include "frontend/Elaborate.h"

#include <algorithm>

namespace fovea {

using namespace core;
using ast::Expr;
using ast::Statement;

void Elaborator::statements(const std::vector<Statement *> &list, Scope &scope) {
  for (const Statement *s : list) {
    if (aborted) return;
    statement(*s, scope);
  }
}

void Elaborator::statement(const Statement &s, Scope &scope) {
  switch (s.kind) {
  case Statement::Let: return let(s, scope);
  case Statement::Mask: return mask(s, scope);
  case Statement::Dims:
    for (const ast::Dim &d : s.dims) dim(d, scope);
    return;
  case Statement::Assign: return assign(s, scope);
  case Statement::Append:
    if (!inStep) return error(Diag::OnlyInStep, s.range, {"append"});
    return append(s, scope);
  case Statement::Trace:
    if (!inStep) return error(Diag::OnlyInStep, s.range, {"trace"});
    return trace(s, scope);
  case Statement::For:
    if (!inModel) return otherTarget = true, error(Diag::OnlyInModel, s.range, {"for", "; the loops of a kernel are `fold`, `scan` and `iterate`"});
    return forEach(s, scope);
  }
}

// Without stated axes a definition is evaluated where it is used, each use by itself (rule M2). It is evaluated here too, so
// that its errors come out; an error that depends on the use is left to the uses.
void Elaborator::let(const Statement &s, Scope &scope) {
  if (s.targets.size() == 1 && s.tuple) error(Diag::TupleSize, s.range, {"1", "2"});
  bool anyStated = std::any_of(s.targets.begin(), s.targets.end(), [](const ast::Target &t) { return t.stated; });
  std::vector<Binding> bindings(s.targets.size());
  bool ok = true;
  for (size_t k = 0; k < s.targets.size(); ++k) {
    bindings[k].declared = s.targets[k].name.range;
    for (size_t other = 0; other < k; ++other)
      if (s.targets[other].name.symbol == s.targets[k].name.symbol) {
        error(Diag::NameTaken, s.targets[k].name.range, {s.targets[k].name.text(), "a value"});
        ok = false;
      }
  }
  if (anyStated && ok) {
    for (size_t k = 0; k < s.targets.size() && ok; ++k) {
      NodeId node = stated(s.targets[k], s, k, scope, bindings[k].axes);
      ok = node != none;
      bindings[k].kind = Binding::Value;
      bindings[k].node = node;
      bindings[k].stated = s.targets[k].stated;
      if (ok && s.score) b.function.scores.push_back(b.node(node).op == Op::Keep ? b.node(node).args[0] : node);
    }
  } else if (ok) {
    lazies.push_back({&s, scope, {}});
    lazies.back().scope.activation = scope.activation;
    Lazy &lazy = lazies.back();
    unsigned before = effects;
    bool outerFailed = failed;
    bool depends = false;
    Nodes nodes;
    auto appendedBefore = appended;
    size_t tracesBefore = traces.size();
    {
      // A trial: what it asked about the using definition tells whether a failure is final.
      std::set<IndexId> questions, *outer = asked;
      asked = &questions;
      bool bad = false;
      {
        Diagnostics::Muted muted(diagnostics);
        nodes = lazily(lazy, bad);
      }
      asked = outer;
      depends = bad && !questions.empty();
      if (outer) outer->insert(questions.begin(), questions.end());
      if (nodes.empty() && !depends && !aborted && !diagnostics.isMuted()) {
        // Once more, for its messages.
        appended = appendedBefore;
        traces.resize(tracesBefore);
        lazily(lazy, bad);
      }
    }
    // A concat in the value may have brought an index, which the statements that follow see too; and an unknown name is reported once.
    for (const Env *env = lazy.scope.env, *outside = scope.env; env && env != outside; env = env->parent)
      if (env->binding.kind == Binding::Index || env->binding.kind == Binding::Poison) bind(scope, env->name, env->binding);
    ok = !nodes.empty() || depends;
    if (depends) failed = outerFailed;
    for (size_t k = 0; k < bindings.size() && ok; ++k) {
      if (effects != before) {
        // Appends, traces and draws happen once, so this value is what it is.
        bindings[k].kind = Binding::Value;
        bindings[k].node = nodes[k];
      } else {
        bindings[k].kind = Binding::Lazily;
        bindings[k].lazy = &lazy;
        bindings[k].id = static_cast<uint32_t>(k);
      }
    }
  }
  for (size_t k = 0; k < bindings.size(); ++k) {
    if (!claim(scope, s.targets[k].name, true)) ok = false;
    if (!ok) bindings[k].kind = Binding::Poison;
    bind(scope, s.targets[k].name.symbol, std::move(bindings[k]));
  }
  if (!ok) failed = true;
  if (!ok) poisonConcats(s.value, scope);
}

// The indices that a failed expression would have brought are not missing: they are wrong.
void Elaborator::poisonConcats(const Expr *expr, Scope &scope) {
  if (expr->kind == Expr::Call && expr->path[0].text() == "concat")
    for (const ast::Name &name : expr->indices)
      if (!lookup(scope, name.symbol)) poison(scope, name.symbol, name.range);
  for (const Expr *arg : expr->args) poisonConcats(arg, scope);
}

// The values of a definition for the definition that uses it now.
Elaborator::Nodes Elaborator::lazily(Lazy &lazy, bool &bad) {
  for (const Lazy::Entry &entry : lazy.entries) {
    std::vector<IndexId> held;
    std::set_intersection(entry.asked.begin(), entry.asked.end(), context.begin(), context.end(), std::back_inserter(held));
    if (held != entry.held) continue;
    if (asked) asked->insert(entry.asked.begin(), entry.asked.end());
    return entry.nodes;
  }
  const Statement &s = *lazy.statement;
  std::set<IndexId> questions, *outer = asked;
  asked = &questions;
  Activation *caller = now;
  now = lazy.scope.activation;
  bool outerExtents = extents;
  extents = false;
  Scope scope = lazy.scope;
  Nodes nodes = values(s.value, scope);
  if (!nodes.empty() && nodes.size() != s.targets.size()) {
    if (s.targets.size() == 1)
      error(Diag::TupleAsValue, s.value->range, {std::to_string(nodes.size())});
    else
      error(Diag::TupleSize, s.value->range, {std::to_string(s.targets.size()), std::to_string(nodes.size())});
    nodes.clear();
  }
  for (NodeId &node : nodes) {
    if (s.score) b.function.scores.push_back(node);
    node = keep(node, std::vector<IndexId>(b.node(node).free), scope);
  }
  extents = outerExtents;
  now = caller;
  asked = outer;
  // What a failed trial bound is forgotten: its messages were muted, and the names it poisoned would stay without any.
  if (!nodes.empty() || !diagnostics.isMuted()) lazy.scope.env = scope.env;
  if (nodes.empty()) {
    bad = true;
  } else {
    Lazy::Entry entry;
    entry.asked.assign(questions.begin(), questions.end());
    std::set_intersection(entry.asked.begin(), entry.asked.end(), context.begin(), context.end(), std::back_inserter(entry.held));
    entry.nodes = nodes;
    lazy.entries.push_back(std::move(entry));
  }
  if (asked) asked->insert(questions.begin(), questions.end());
  return nodes;
}

// A definition with stated axes is evaluated once; its axes are what masks see of it.
NodeId Elaborator::stated(const ast::Target &target, const Statement &s, size_t number, Scope &scope, std::vector<IndexId> &axes) {
  std::vector<IndexId> outer = context;
  std::set<IndexId> questions, *outerAsked = asked;
  if (target.stated) {
    // An axis that a concat in the value brings is not known yet.
    std::set<IndexId> known;
    for (const ast::Name &name : target.axes)
      if (auto index = findIndex(scope, name, false)) known.insert(*index);
    context.assign(known.begin(), known.end());
    asked = &questions;
  }
  Nodes nodes = values(s.value, scope);
  context = outer;
  asked = outerAsked;
  if (nodes.empty()) return none;
  if (nodes.size() != s.targets.size()) {
    error(Diag::TupleSize, s.value->range, {std::to_string(s.targets.size()), std::to_string(nodes.size())});
    return none;
  }
  NodeId node = nodes[number];
  if (!target.stated) return keep(node, std::vector<IndexId>(b.node(node).free), scope);
  if (!findIndices(scope, target.axes, axes)) return none;
  const Expr *part = s.value->kind == Expr::Tuple ? s.value->args[number] : s.value;
  if (!fits(node, axes, target.name.text(), target.name.range, part, scope)) return none;
  return keep(node, axes, scope);
}

// Whether the free indices of a value are all among the axes it is given.
bool Elaborator::fits(NodeId node, const std::vector<IndexId> &axes, const std::string &name, SourceRange declared, const Expr *expr, Scope &scope) {
  for (IndexId index : b.node(node).free) {
    if (std::find(axes.begin(), axes.end(), index) != axes.end()) continue;
    const Expr *at = culprit(expr, index, scope);
    std::string text(sources.text(at->range));
    std::string target = axesText(name, axes);
    if (at->kind == Expr::Reference && text == indexName(index))
      error(Diag::IndexNotListed, at->range, {indexName(index), target});
    else
      error(Diag::AxisNotListed, at->range, {indexName(index), text.size() > 40 ? text.substr(0, 37) + "..." : text, target});
    diagnostics.note(Diag::DeclaredHere, visible(declared), {name});
    return false;
  }
  return true;
}

// The smallest part of an expression that has the index.
const Expr *Elaborator::culprit(const Expr *expr, IndexId index, Scope &scope) {
  Diagnostics::Muted muted(diagnostics);
  bool outer = failed;
  while (true) {
    std::vector<const Expr *> parts;
    if (expr->kind == Expr::Index)
      for (const ast::Subscript &s : expr->subscripts) parts.push_back(s.value);
    if (expr->kind == Expr::Unary || expr->kind == Expr::Binary || expr->kind == Expr::If || expr->kind == Expr::Call || expr->kind == Expr::Index)
      parts.insert(parts.end(), expr->args.begin(), expr->args.end());
    const Expr *next = nullptr;
    for (const Expr *part : parts) {
      Scope copy = scope;
      unsigned before = effects;
      NodeId node = value(part, copy);
      if (effects != before) break;
      if (node != none && b.isFree(node, index)) {
        next = part;
        break;
      }
    }
    if (!next) break;
    expr = next;
  }
  failed = outer;
  return expr;
}

void Elaborator::mask(const Statement &s, Scope &scope) {
  NodeId node = condition(s.value, scope);
  if (node == none) return;
  maskPool.push_back({node, scope.masks});
  scope.masks = &maskPool.back();
  bool known = std::any_of(b.function.masks.begin(), b.function.masks.end(), [&](const Function::MaskInfo &m) { return m.node == node; });
  if (known) return;
  // The statement's own text, for an expression's range lacks the parentheses around its ends.
  std::string text(sources.text(s.range));
  size_t begin = text.find_first_not_of(" \t\r\n", std::string("mask").size()), end = text.find_last_not_of("; \t\r\n");
  b.function.masks.push_back({node, sources.place(s.range), begin < end ? text.substr(begin, end - begin + 1) : text});
}

void Elaborator::dim(const ast::Dim &d, Scope &scope) {
  NodeId extent = extentExpr(d.extent, scope);
  const Env *entry = find(scope.env, d.name.symbol);
  bool pending = entry && entry->binding.kind == Binding::Index && !knownExtent(entry->binding.id) && (!now || !now->function);
  if (extent == none) {
    if (!pending) poison(scope, d.name.symbol, d.name.range);
    if (pending) given[entry->binding.id] = true;  // not unknown: wrong
    return;
  }
  IndexId id;
  if (pending) {
    id = entry->binding.id;  // an axis of a result
    defineExtent(id, extent, d.name.range, false);
  } else {
    if (!claim(scope, d.name, false)) return;
    auto [it, fresh] = introduced.try_emplace({&d, extent}, static_cast<IndexId>(b.function.indices.size()));
    id = it->second;
    if (fresh) {
      Index index;
      index.name = d.name.text();
      index.place = sources.place(d.name.range);
      b.addIndex(std::move(index));
      given.resize(b.function.indices.size());
      defineExtent(id, extent, d.name.range, false);
      if (now && now->function) local.insert(id);
    }
    Binding binding;
    binding.kind = Binding::Index;
    binding.declared = d.name.range;
    binding.id = id;
    bind(scope, d.name.symbol, std::move(binding));
  }
}

// result = e; in a model also state = e; and variable = e;
void Elaborator::assign(const Statement &s, Scope &scope) {
  struct Place {
    const Env *entry;
    bool ok;
  };
  std::vector<Place> places;
  for (const ast::Target &target : s.targets) {
    const Env *entry = lookup(scope, target.name.symbol);
    bool fine = false;
    if (!entry) {
      std::string near = suggestion(scope, target.name.symbol, false);
      if (near.empty()) near = "; `let` defines a value";
      error(Diag::UnknownResult, target.name.range, {target.name.text(), near});
      poison(scope, target.name.symbol, target.name.range);
      otherTarget = true;
    } else if (entry->binding.kind == Binding::Poison || refusedResults.count(target.name.symbol)) {
      failed = true;
    } else if (entry->binding.kind == Binding::Result) {
      fine = true;
      if (nested > 0 || (now && now->function)) {
        error(Diag::AssignInFunction, target.name.range, {target.name.text()});
        assigned[entry->binding.id].bad = true;
        fine = false;
      }
      if (fine && (assigned[entry->binding.id].done || assigned[entry->binding.id].bad)) {
        error(Diag::AssignedTwice, target.name.range, {target.name.text()});
        fine = false;
      }
    } else if (inModel && (entry->binding.kind == Binding::Value || entry->binding.kind == Binding::Lazily)) {
      fine = true;
    } else {
      otherTarget = true;
      error(Diag::AssignToParameter, target.name.range, {target.name.text(), kindName(entry->binding)});
      diagnostics.note(Diag::DeclaredHere, visible(entry->binding.declared), {target.name.text()});
    }
    places.push_back({entry, fine});
  }
  // The axes of a single target are those that masks see.
  std::vector<IndexId> outer = context;
  std::set<IndexId> questions, *outerAsked = asked;
  std::vector<Nodes> all(s.targets.size());
  for (size_t k = 0; k < s.targets.size(); ++k) {
    if (k && inModel) {  // once: it may append, trace or draw
      all[k] = all[0];
      continue;
    }
    std::set<IndexId> known;
    if (places[k].entry && places[k].entry->binding.kind == Binding::Result)
      for (const ast::Name &name : assigned[places[k].entry->binding.id].axisNames)
        if (auto index = findIndex(scope, name, false)) known.insert(*index);
    if (places[k].entry && places[k].entry->binding.kind == Binding::Value && places[k].entry->binding.stated)
      known.insert(places[k].entry->binding.axes.begin(), places[k].entry->binding.axes.end());
    if (inModel) known.insert(outer.begin(), outer.end());
    context.assign(known.begin(), known.end());
    asked = &questions;
    all[k] = values(s.value, scope);
    context = outer;
    asked = outerAsked;
    if (all[k].size() > 1 && s.targets.size() == 1) {
      error(Diag::TupleAsValue, s.value->range, {std::to_string(all[k].size())});
      all[k].clear();
    } else if (!all[k].empty() && all[k].size() != s.targets.size()) {
      error(Diag::TupleSize, s.value->range, {std::to_string(s.targets.size()), std::to_string(all[k].size())});
      all[k].clear();
    }
  }
  for (size_t k = 0; k < s.targets.size(); ++k) {
    const ast::Target &target = s.targets[k];
    if (!places[k].ok) continue;
    const Expr *part = s.value->kind == Expr::Tuple && k < s.value->args.size() ? s.value->args[k] : s.value;
    const Nodes &nodes = all[k];
    if (places[k].entry->binding.kind == Binding::Result) {
      if (nodes.empty())
        assigned[places[k].entry->binding.id].bad = true, poisonConcats(s.value, scope);
      else
        assignResult(places[k].entry->binding.id, nodes[k], part, scope);
      continue;
    }
    Binding binding = places[k].entry->binding;
    if (nodes.empty()) {
      binding.kind = Binding::Poison;
    } else {
      NodeId node = nodes[k];
      bool state = binding.stated;
      if (state) {
        if (!fits(node, binding.axes, target.name.text(), binding.declared, part, scope)) {
          binding.kind = Binding::Poison;
          bind(scope, target.name.symbol, std::move(binding));
          continue;
        }
        node = store(node, b.type(binding.node) == Type::F32 ? Type::F32 : b.type(binding.node), part, target.name.text());
        if (node == none) node = binding.node;
        node = keep(node, binding.axes, scope);
      } else {
        node = keep(node, std::vector<IndexId>(b.node(node).free), scope);
      }
      binding.kind = Binding::Value;
      binding.node = node;
      binding.lazy = nullptr;
    }
    bind(scope, target.name.symbol, std::move(binding));
  }
}

void Elaborator::assignResult(uint32_t id, NodeId node, const Expr *expr, Scope &scope) {
  core::Result &result = b.function.results[id];
  Assigned &state = assigned[id];
  state.bad = true;
  std::vector<IndexId> axes;
  for (const ast::Name &name : state.axisNames) {
    auto index = findIndex(scope, name);
    if (!index) return;
    axes.push_back(*index);
  }
  if (!fits(node, axes, result.name, resultRanges[id], expr, scope)) return;
  node = store(node, result.type, expr, result.name);
  if (node == none) return;
  result.axes = axes;
  result.node = state.node = keep(node, axes, scope);
  state.bad = false;
  state.done = true;
}

// The value as the type it is stored in needs it (rules E2, K4).
NodeId Elaborator::store(NodeId node, core::Type type, const Expr *expr, const std::string &name) {
  bool floats = type == Type::F32 || type == Type::F16 || type == Type::BF16;
  if (type == Type::Bool || b.type(node) == Type::Bool) {
    if (type == Type::Bool && b.type(node) == Type::Bool) return node;
    error(Diag::StoreBool, expr->range, {name, type == Type::Bool ? "bool" : "a number", typeName(node)});
    return none;
  }
  if (floats) return b.toF32(node);
  if (b.type(node) == Type::I32) return node;
  error(Diag::StoreFloat, expr->range, {name});
  return none;
}

}  // namespace fovea
