// Expressions: types and operators (rules E1 to E4), and reads (rules E5, E6).
#include "frontend/Config.h"
#include "frontend/Elaborate.h"
#include "frontend/NearMiss.h"

#include <algorithm>

namespace fovea {

using namespace core;
using ast::Expr;
using ast::Operator;

const char *Elaborator::typeName(NodeId node) const { return b.type(node) == Type::F32 ? "f32" : b.type(node) == Type::I32 ? "i32" : "bool"; }

NodeId Elaborator::value(const Expr *expr, Scope &scope) {
  if (!stackLeft(expr->range)) return none;
  Place before = b.place;
  b.place = sources.place(visible(expr->range));
  NodeId result = none;
  switch (expr->kind) {
  case Expr::Integer: result = b.integer(expr->integer); break;
  case Expr::Real: result = b.real(expr->real); break;
  case Expr::Boolean: result = b.boolean(expr->integer); break;
  case Expr::Text: error(Diag::TextAsValue, expr->range); break;
  case Expr::Reference: result = reference(expr, scope); break;
  case Expr::Extent:
    if (auto index = findIndex(scope, expr->path[0], true, true)) result = b.extent(*index);
    break;
  case Expr::Unary: result = unary(expr, scope); break;
  case Expr::Binary: result = binary(expr, scope); break;
  case Expr::Index: result = index(expr, scope); break;
  default: {
    Nodes parts = values(expr, scope);
    if (parts.size() > 1)
      error(Diag::TupleAsValue, expr->range, {std::to_string(parts.size())});
    else if (parts.size() == 1)
      result = parts[0];
  }
  }
  b.place = before;
  if (result == none) failed = true;
  return result;
}

Elaborator::Nodes Elaborator::values(const Expr *expr, Scope &scope) {
  if (!stackLeft(expr->range)) return {};
  Place before = b.place;
  b.place = sources.place(visible(expr->range));
  Nodes result;
  switch (expr->kind) {
  case Expr::Tuple:
    for (const Expr *arg : expr->args) {
      result.push_back(value(arg, scope));
      if (result.back() == none) {
        result.clear();
        break;
      }
    }
    break;
  case Expr::If: result = conditional(expr, scope); break;
  case Expr::Block: result = block(expr, scope); break;
  case Expr::Call: result = call(expr, scope); break;
  case Expr::Iterate:
  case Expr::Fold:
  case Expr::Scan: result = loop(expr, scope); break;
  default: {
    NodeId node = value(expr, scope);
    if (node != none) result = {node};
  }
  }
  b.place = before;
  return result;
}

NodeId Elaborator::number(const Expr *expr, Scope &scope) {
  NodeId node = value(expr, scope);
  if (node == none || b.type(node) != Type::Bool) return node;
  error(Diag::BoolAsNumber, expr->range);
  return none;
}

NodeId Elaborator::integer(const Expr *expr, Scope &scope, Diag otherwise) {
  NodeId node = value(expr, scope);
  if (node == none || b.type(node) == Type::I32) return node;
  error(otherwise, expr->range, {typeName(node)});
  return none;
}

NodeId Elaborator::condition(const Expr *expr, Scope &scope) {
  NodeId node = value(expr, scope);
  if (node == none || b.type(node) == Type::Bool) return node;
  error(Diag::NotABool, expr->range, {typeName(node)});
  return none;
}

const ast::Literal *Elaborator::configured(const Expr *expr, Scope &scope) {
  if (!config || expr->kind != Expr::Reference || expr->path.size() != 2 || expr->path[0].text() != "config" || lookup(scope, expr->path[0].symbol)) return nullptr;
  const ast::Literal *found = config->find(expr->path[1], expr->range, diagnostics);
  failed |= !found;
  return found;
}

const std::string *Elaborator::text(const Expr *expr, Scope &scope) {
  if (expr->kind == Expr::Text) return expr->path[0].symbol;
  const ast::Literal *value = configured(expr, scope);
  return value && value->kind == ast::Literal::Text ? &value->text : nullptr;
}

NodeId Elaborator::reference(const Expr *expr, Scope &scope) {
  const ast::Name &name = expr->path[0];
  if (expr->path.size() > 1) {
    // encode.h: the same as h, said with its origin.
    if (inModel && name.text() == "encode" && expr->path.size() == 2)
      if (const Env *entry = find(encodeEnv, expr->path[1].symbol)) return reference(entry, expr->path[1], scope);
    unsigned before = diagnostics.errorCount();
    if (const ast::Literal *constant = configured(expr, scope)) {
      switch (constant->kind) {
      case ast::Literal::Integer: return b.integer(constant->integer);
      case ast::Literal::Real: return b.real(constant->real);
      case ast::Literal::Boolean: return b.boolean(constant->integer);
      case ast::Literal::Text: error(Diag::TextAsValue, expr->range); return none;
      }
    }
    if (diagnostics.errorCount() != before) return none;
    error(Diag::UnknownName, expr->range, {sources.text(expr->range), nearMiss(expr->path.back().text(), {})});
    return none;
  }
  const Env *entry = lookup(scope, name.symbol);
  if (entry) return reference(entry, name, scope);
  bool function = scope.file->functions.count(name.symbol) > 0;
  if (function)
    error(Diag::FunctionAsValue, name.range, {name.text()});
  else
    error(Diag::UnknownName, name.range, {name.text(), suggestion(scope, name.symbol, false)});
  poison(scope, name.symbol, name.range);  // once is enough
  return none;
}

NodeId Elaborator::reference(const Env *entry, const ast::Name &name, Scope &) {
  const Binding &binding = entry->binding;
  switch (binding.kind) {
  case Binding::Index: return extents ? b.extent(binding.id) : b.position(binding.id);
  case Binding::Indices: error(Diag::SeveralIndices, name.range, {name.text()}); return none;
  case Binding::Tensor: {
    TensorId tensor = currentCache(binding.id);
    if (b.function.tensors[tensor].role == Tensor::Cache) {
      error(Diag::CacheBeforeAppend, name.range, {name.text()});
      return none;
    }
    return b.loadBare(tensor);
  }
  case Binding::Scalar: {
    Type type = b.function.scalars[binding.id].type;
    return b.scalar(binding.id, type == Type::Bool ? type : type == Type::F32 || type == Type::F16 || type == Type::BF16 ? Type::F32 : Type::I32);
  }
  case Binding::Value: return binding.node;
  case Binding::Lazily: {
    bool bad = false;
    Nodes nodes = lazily(*binding.lazy, bad);
    return nodes.empty() ? none : nodes[binding.id];
  }
  case Binding::Result:
    if (assigned[binding.id].bad) return none;
    if (!assigned[binding.id].done) {
      failed = true;
      if (assigned[binding.id].early) return none;
      assigned[binding.id].early = !diagnostics.isMuted();
      error(Diag::ResultBeforeAssigned, name.range, {name.text()});
      diagnostics.note(Diag::DeclaredHere, binding.declared, {name.text()});
      return none;
    }
    return assigned[binding.id].node;
  case Binding::Instance:
  case Binding::Instances: error(Diag::BlockAsValue, name.range, {name.text()}); return none;
  case Binding::Poison: return none;
  }
  return none;
}

NodeId Elaborator::unary(const Expr *expr, Scope &scope) {
  if (expr->op == Operator::Not) {
    NodeId a = condition(expr->args[0], scope);
    return a == none ? none : b.logicNot(a);
  }
  NodeId a = number(expr->args[0], scope);
  return a == none ? none : b.unary(Op::Neg, a, b.type(a));
}

bool Elaborator::join(NodeId &a, NodeId &c) {
  if (b.type(a) == b.type(c)) return true;
  if (b.type(a) == Type::Bool || b.type(c) == Type::Bool) return false;
  a = b.toF32(a), c = b.toF32(c);
  return true;
}

NodeId Elaborator::binary(const Expr *expr, Scope &scope) {
  Op op{};
  switch (expr->op) {
  case Operator::Mul: op = Op::Mul; break;
  case Operator::Div: op = Op::Div; break;
  case Operator::Mod: op = Op::Mod; break;
  case Operator::Add: op = Op::Add; break;
  case Operator::Sub: op = Op::Sub; break;
  case Operator::Lt: op = Op::Lt; break;
  case Operator::Le: op = Op::Le; break;
  case Operator::Gt: op = Op::Gt; break;
  case Operator::Ge: op = Op::Ge; break;
  case Operator::Eq: op = Op::Eq; break;
  case Operator::Ne: op = Op::Ne; break;
  case Operator::And: op = Op::And; break;
  default: op = Op::Or; break;
  }
  if (op == Op::And || op == Op::Or) {
    NodeId x = condition(expr->args[0], scope), y = condition(expr->args[1], scope);
    return x == none || y == none ? none : b.binary(op, x, y);
  }
  bool equality = op == Op::Eq || op == Op::Ne;
  if (equality) {
    const std::string *left = text(expr->args[0], scope), *right = text(expr->args[1], scope);
    if (left && right) return b.boolean((*left == *right) == (op == Op::Eq));
    if (left || right) {
      NodeId other = value(expr->args[left ? 1 : 0], scope);
      if (other != none) error(Diag::MixedTypes, expr->range, {left ? "text" : typeName(other), left ? typeName(other) : "text"});
      return none;
    }
  }
  NodeId x = equality ? value(expr->args[0], scope) : number(expr->args[0], scope);
  NodeId y = equality ? value(expr->args[1], scope) : number(expr->args[1], scope);
  if (x == none || y == none) return none;
  if (!join(x, y)) {
    error(Diag::MixedTypes, expr->range, {typeName(x), typeName(y)});
    return none;
  }
  return op >= Op::Lt && op <= Op::Ne ? b.compare(op, x, y) : b.binary(op, x, y);
}

Elaborator::Nodes Elaborator::conditional(const Expr *expr, Scope &scope) {
  NodeId c = condition(expr->args[0], scope);
  Nodes then = values(expr->args[1], scope), otherwise = values(expr->args[2], scope);
  if (c == none || then.empty() || otherwise.empty()) return {};
  if (then.size() != otherwise.size()) {
    error(Diag::TupleSize, expr->range, {std::to_string(then.size()), std::to_string(otherwise.size())});
    return {};
  }
  Nodes result;
  for (size_t k = 0; k < then.size(); ++k) {
    if (!join(then[k], otherwise[k])) {
      error(Diag::MixedTypes, expr->range, {typeName(then[k]), typeName(otherwise[k])});
      return {};
    }
    result.push_back(b.select(c, then[k], otherwise[k]));
  }
  return result;
}

Elaborator::Nodes Elaborator::block(const Expr *expr, Scope &scope) {
  Scope inside = scope;
  ++nested;
  statements(expr->statements, inside);
  --nested;
  return values(expr->args[0], inside);
}

// t[e1, e2] gives every axis of t by position, t[a: e] some by name.
NodeId Elaborator::index(const Expr *expr, Scope &scope) {
  const Expr *base = expr->args[0];
  const Env *entry = nullptr;
  if (base->kind == Expr::Reference && base->path.size() == 1 && !base->grouped) {
    entry = lookup(scope, base->path[0].symbol);
  }
  NodeId node = value(base, scope);
  // The indices in brackets are positions, even where bare names stand for extents.
  bool outerExtents = extents;
  extents = false;
  Nodes subscripts;
  bool ok = node != none;
  for (const ast::Subscript &s : expr->subscripts) {
    subscripts.push_back(integer(s.value, scope, Diag::SubscriptType));
    ok &= subscripts.back() != none;
  }
  extents = outerExtents;
  if (!ok) return none;
  // `(e)[a: x]` is `let t = e;` read there, so masks apply to e first (rule M3).
  if (!entry) node = keep(node, b.node(node).free, scope);

  std::vector<IndexId> axes;
  bool stated = false;
  if (entry && entry->binding.kind == Binding::Tensor) axes = b.function.tensors[entry->binding.id].axes, stated = true;
  if (entry && entry->binding.kind == Binding::Value && entry->binding.stated) axes = entry->binding.axes, stated = true;
  if (entry && entry->binding.kind == Binding::Result) axes = b.function.results[entry->binding.id].axes, stated = true;
  if (!stated) axes = b.node(node).free;
  std::string name(sources.text(base->range).substr(0, 40));

  Builder::Substitution substitution;
  if (!expr->subscripts[0].axis) {
    if (axes.empty()) {
      error(Diag::SubscriptCount, expr->range, {name, "0", std::to_string(expr->subscripts.size())});
      return none;
    }
    if (!stated) {
      error(Diag::PositionalNeedsAxes, expr->range, {name});
      return none;
    }
    if (axes.size() != subscripts.size()) {
      error(Diag::SubscriptCount, expr->range, {name, std::to_string(axes.size()), std::to_string(subscripts.size())});
      if (entry) diagnostics.note(Diag::DeclaredHere, visible(entry->binding.declared), {name});
      return none;
    }
    for (size_t k = 0; k < axes.size(); ++k) substitution.emplace_back(axes[k], subscripts[k]);
  } else {
    for (size_t k = 0; k < subscripts.size(); ++k) {
      const ast::Name &axis = *expr->subscripts[k].axis;
      auto index = findIndex(scope, axis, false);
      // In a block the axes of a value from outside may have names that only their own scope knows.
      if (!index)
        for (IndexId a : axes)
          if (indexName(a) == axis.text()) index = a;
      if (!index || std::find(axes.begin(), axes.end(), *index) == axes.end()) {
        const Env *known = find(scope.env, axis.symbol);
        if (known && known->binding.kind == Binding::Indices) {
          error(Diag::SeveralIndices, axis.range, {axis.text()});
          return none;
        }
        error(Diag::NoSuchAxis, axis.range, {name, axis.text()});
        if (entry) diagnostics.note(Diag::DeclaredHere, visible(entry->binding.declared), {name});
        return none;
      }
      for (const auto &s : substitution)
        if (s.first == *index) {
          error(Diag::AxisTwice, axis.range, {axis.text()});
          return none;
        }
      substitution.emplace_back(*index, subscripts[k]);
    }
  }
  // A tensor of which some axes are replaced is one load; a read outside is 0 there (rule E6).
  if (b.node(node).op == Op::Load && entry && entry->binding.kind == Binding::Tensor) {
    std::vector<NodeId> args;
    for (IndexId axis : axes) {
      auto s = std::find_if(substitution.begin(), substitution.end(), [&](const auto &s) { return s.first == axis; });
      args.push_back(s == substitution.end() ? b.position(axis) : s->second);
    }
    return b.load(b.node(node).ref, std::move(args));
  }
  // Along an axis on which the value does not depend, it is 0 outside all the same.
  std::vector<NodeId> conditions;
  for (const auto &s : substitution) {
    if (b.isFree(node, s.first) || b.inside(s.second, s.first)) continue;
    if (!b.notNegative(s.second)) conditions.push_back(b.compare(Op::Ge, s.second, b.integer(0)));
    conditions.push_back(b.compare(Op::Lt, s.second, b.extent(s.first)));
  }
  NodeId result = b.read(node, std::move(substitution));
  for (NodeId c : conditions) {
    Type t = b.type(result);
    result = b.select(c, result, t == Type::F32 ? b.real(0) : t == Type::I32 ? b.integer(0) : b.boolean(false));
  }
  return result;
}

}  // namespace fovea
