// Calls: functions, which are inlined (rules F1 to F3), and what is built in (rule E9).
#include "frontend/Builtins.h"
#include "frontend/Elaborate.h"

#include <algorithm>

namespace fovea {

using namespace core;
using ast::Expr;

// A function of the instance's block; null if it has none of that name.
static const ast::Function *findFunction(const Instance &instance, Symbol name) {
  for (const ast::Function *candidate : instance.block->functions)
    if (candidate->name.symbol == name) return candidate;
  return nullptr;
}

// Where the body of such a function is, under the masks of its caller.
static Scope insideOf(const Instance *instance, const Scope &caller) {
  Scope inside;
  inside.env = instance->env;
  inside.masks = caller.masks;
  inside.file = instance->file;
  inside.instance = instance;
  return inside;
}

Elaborator::Nodes Elaborator::call(const Expr *expr, Scope &scope) {
  const ast::Name &name = expr->path[0];
  const Env *entry = lookup(scope, name.symbol);
  if (entry && entry->binding.kind == Binding::Poison) return {};
  if (entry && entry->binding.kind == Binding::Instance) return instanceCall(expr, entry, scope);
  if (expr->path.size() > 1) {
    if (entry)
      error(Diag::NotAFunction, name.range, {name.text(), kindName(entry->binding)});
    else
      error(Diag::UnknownFunction, name.range, {name.text(), suggestion(scope, name.symbol, false)});
    return {};
  }
  if (entry) {
    error(Diag::NotAFunction, name.range, {name.text(), kindName(entry->binding)});
    diagnostics.note(Diag::DeclaredHere, visible(entry->binding.declared), {name.text()});
    return {};
  }
  // Functions of a block see each other.
  if (const ast::Function *sibling = scope.instance ? findFunction(*scope.instance, name.symbol) : nullptr) {
    for (const Activation *a = now; a; a = a->caller)
      if (a->function == sibling && a->path == now->path) {
        error(Diag::RecursiveFunction, expr->range, {name.text()});
        return {};
      }
    return inlineCall(expr, *sibling, insideOf(scope.instance, scope), scope, nullptr);
  }
  auto found = scope.file->functions.find(name.symbol);
  if (found != scope.file->functions.end()) {
    if (scope.activation) scope.activation->asFunction.emplace(name.symbol, name.range);
    Scope inside;
    inside.masks = scope.masks;
    inside.file = found->second.scope;
    return inlineCall(expr, *found->second.function, inside, scope, nullptr);
  }
  NodeId node = builtin(expr, scope);
  return node == none ? Nodes{} : Nodes{node};
}

// layer(x), layer.step(x), layer.norm1(x)
Elaborator::Nodes Elaborator::instanceCall(const Expr *expr, const Env *entry, Scope &scope) {
  Instance *instance = entry->binding.instance;
  ast::Name last{sources.intern("apply"), expr->path.back().range};
  for (size_t k = 1; k < expr->path.size(); ++k) {
    const ast::Name &part = expr->path[k];
    auto sub = instance->single.find(part.symbol);
    if (sub != instance->single.end()) {
      instance = sub->second;
    } else if (k + 1 == expr->path.size()) {
      last = part;
    } else {
      error(Diag::NoSuchMember, part.range, {instance->block->name.text(), part.text()});
      return {};
    }
  }
  const ast::Function *function = findFunction(*instance, last.symbol);
  if (!function) {
    error(Diag::NoSuchMember, last.range, {instance->block->name.text(), last.text()});
    return {};
  }
  return inlineCall(expr, *function, insideOf(instance, scope), scope, instance);
}

Elaborator::Nodes Elaborator::inlineCall(const Expr *expr, const ast::Function &function, Scope inside, Scope &scope, const Instance *instance) {
  std::string name;
  for (const ast::Name &part : expr->path) name += (name.empty() ? "" : ".") + part.text();
  size_t wanted = function.indices.size(), got = expr->indices.size();
  if (wanted == 1 && got == 0) {
    error(Diag::IndicesMissing, expr->path.back().range, {name});
    return {};
  }
  if (wanted != got && !(wanted == 1 && got > 1)) {
    error(Diag::IndexCount, expr->range, {name, std::to_string(wanted), std::to_string(got)});
    diagnostics.note(Diag::DeclaredHere, visible(function.name.range), {name});
    return {};
  }
  if (function.values.size() != expr->args.size()) {
    error(Diag::ArgumentCount, expr->range, {name, std::to_string(function.values.size()), std::to_string(expr->args.size())});
    if (sources.name(function.name.range.file) != "<prelude>") diagnostics.note(Diag::DeclaredHere, function.name.range, {name});
    return {};
  }
  constexpr unsigned deepest = 200;
  if (now && now->depth >= deepest) {
    error(Diag::TooDeep, expr->range);
    return {};
  }
  Nodes args;
  bool ok = true;
  for (const Expr *arg : expr->args) {
    args.push_back(value(arg, scope));
    ok &= args.back() != none;
  }
  std::vector<IndexId> indices;
  ok &= findIndices(scope, expr->indices, indices);
  if (!ok) return {};

  // A block's axis that was given the same outer axis as a later one is a fresh index: arguments are renamed on the way in.
  if (instance)
    for (size_t k = 0; k < args.size(); ++k) {
      Builder::Substitution in;
      for (const ast::Name &axis : function.values[k].axes)
        for (size_t a = 0; a < instance->inner.size(); ++a)
          if (instance->block->axes[a].symbol == axis.symbol && instance->inner[a] != instance->outer[a])
            in.emplace_back(instance->outer[a], b.position(instance->inner[a]));
      if (!in.empty()) args[k] = b.read(args[k], std::move(in));
    }

  size_t firstLocal = b.function.indices.size();
  activations.push_back({&function, now, expr->range, now ? now->depth + 1 : 1, name, instance ? instance->path : now ? now->path : "", {}});
  Activation *activation = &activations.back();
  inside.activation = activation;
  for (size_t k = 0; k < wanted; ++k) {
    Binding binding;
    binding.declared = function.indices[k].range;
    if (wanted == 1 && got > 1) {
      binding.kind = Binding::Indices;
      binding.axes = indices;
    } else {
      binding.kind = Binding::Index;
      binding.id = indices[k];
    }
    bind(inside, function.indices[k].symbol, std::move(binding));
  }
  for (size_t k = 0; k < args.size(); ++k) {
    Binding binding;
    binding.kind = Binding::Value;
    binding.declared = function.values[k].name.range;
    binding.node = args[k];
    bind(inside, function.values[k].name.symbol, std::move(binding));
  }
  Activation *caller = now;
  now = activation;
  bool outerExtents = extents;
  extents = false;
  Nodes result = values(function.body, inside);
  extents = outerExtents;
  now = caller;

  if (instance)
    for (NodeId &node : result) {
      Builder::Substitution out;
      for (size_t a = 0; a < instance->inner.size(); ++a)
        if (instance->inner[a] != instance->outer[a] && b.isFree(node, instance->inner[a])) {
          if (b.isFree(node, instance->outer[a])) {
            error(Diag::BlockAxisTwice, expr->range, {name, indexName(instance->outer[a])});
            return {};
          }
          out.emplace_back(instance->inner[a], b.position(instance->outer[a]));
        }
      if (!out.empty()) node = b.read(node, std::move(out));
    }
  for (NodeId node : result)
    for (IndexId index : b.node(node).free)
      if (local.count(index) && (!caller || !caller->function || index >= firstLocal)) {
        error(Diag::LocalIndexEscapes, expr->range, {indexName(index), name});
        return {};
      }
  return result;
}

NodeId Elaborator::builtin(const Expr *expr, Scope &scope) {
  const ast::Name &name = expr->path[0];
  const Builtin *found = nullptr;
  bool known = false;
  for (const Builtin &candidate : builtins) {
    if (candidate.name != name.text()) continue;
    known = true;
    bool indices = candidate.kind == Builtin::Reduce || candidate.kind == Builtin::Mean || candidate.kind == Builtin::Concat ||
                   (candidate.kind == Builtin::Random && candidate.op == Op::Sample);
    if (indices == expr->hasIndices) found = &candidate;
  }
  if (!found || (found->kind == Builtin::Random && !inModel)) {
    if (!known)
      error(Diag::UnknownFunction, name.range, {name.text(), isKernel(scope, name.symbol) ? "; it is a kernel, and only functions are called" : suggestion(scope, name.symbol, true)});
    else if (found)
      error(Diag::RandomOutsideModel, name.range, {name.text()});
    else
      error(expr->hasIndices ? Diag::IndicesNotTaken : Diag::IndicesMissing, name.range, {name.text()});
    return none;
  }
  if (scope.activation) scope.activation->asFunction.emplace(name.symbol, name.range);
  auto arguments = [&](size_t count) {
    if (expr->args.size() == count) return true;
    error(Diag::ArgumentCount, expr->range, {name.text(), std::to_string(count), std::to_string(expr->args.size())});
    return false;
  };
  switch (found->kind) {
  case Builtin::Reduce: return reduction(expr, scope, found->op, false);
  case Builtin::Mean: return reduction(expr, scope, Op::Sum, true);
  case Builtin::Concat: return concat(expr, scope);
  case Builtin::Random: return random(expr, scope);
  case Builtin::Float: {
    NodeId a = arguments(1) ? number(expr->args[0], scope) : none;
    return a == none ? none : b.unary(found->op, b.toF32(a), Type::F32);
  }
  case Builtin::Keeping: {
    NodeId a = arguments(1) ? number(expr->args[0], scope) : none;
    return a == none ? none : b.unary(found->op, a, b.type(a));
  }
  case Builtin::Convert: {
    NodeId a = arguments(1) ? value(expr->args[0], scope) : none;
    return a == none ? none : found->op == Op::ToF32 ? b.toF32(a) : b.toI32(a);
  }
  case Builtin::Float2:
  case Builtin::Keeping2: {
    if (!arguments(2)) return none;
    NodeId x = number(expr->args[0], scope), y = number(expr->args[1], scope);
    if (x == none || y == none) return none;
    if (found->kind == Builtin::Float2) x = b.toF32(x), y = b.toF32(y);
    join(x, y);
    return b.binary(found->op, x, y);
  }
  case Builtin::Clamp: {
    if (!arguments(3)) return none;
    NodeId x = number(expr->args[0], scope), low = number(expr->args[1], scope), high = number(expr->args[2], scope);
    if (x == none || low == none || high == none) return none;
    if (b.type(x) == Type::F32 || b.type(low) == Type::F32 || b.type(high) == Type::F32) x = b.toF32(x), low = b.toF32(low), high = b.toF32(high);
    return b.binary(Op::Min, b.binary(Op::Max, x, low), high);
  }
  }
  return none;
}

// concat[c](f[m], r[m], ...): f along m, then r along m, as axis c.
NodeId Elaborator::concat(const Expr *expr, Scope &scope) {
  const ast::Name &name = expr->path[0];
  if (expr->indices.size() != 1) {
    error(Diag::IndexCount, expr->range, {name.text(), "1", std::to_string(expr->indices.size())});
    return none;
  }
  if (expr->args.empty()) {
    error(Diag::ConcatPart, expr->range);
    return none;
  }
  struct Part {
    NodeId node;
    IndexId axis;
  };
  std::vector<Part> parts;
  for (const Expr *arg : expr->args) {
    bool shaped = arg->kind == Expr::Index && !arg->grouped && arg->subscripts.size() == 1 && !arg->subscripts[0].axis &&
                  arg->subscripts[0].value->kind == Expr::Reference && arg->subscripts[0].value->path.size() == 1;
    if (!shaped) {
      error(Diag::ConcatPart, arg->range);
      return none;
    }
    NodeId node = value(arg->args[0], scope);
    const ast::Name &axisName = arg->subscripts[0].value->path[0];
    auto axis = findIndex(scope, axisName);
    if (node == none || !axis) return none;
    if (!b.isFree(node, *axis)) {
      error(Diag::NoSuchAxis, axisName.range, {sources.text(arg->args[0]->range).substr(0, 40), axisName.text()});
      return none;
    }
    parts.push_back({node, *axis});
  }
  NodeId total = b.extent(parts[0].axis);
  for (size_t k = 1; k < parts.size(); ++k) total = b.binary(Op::Add, total, b.extent(parts[k].axis));

  const ast::Name &axisName = expr->indices[0];
  IndexId c;
  const Env *entry = lookup(scope, axisName.symbol);
  if (entry) {
    auto index = findIndex(scope, axisName);
    if (!index) return none;
    c = *index;
    if (!knownExtent(c)) defineExtent(c, total, axisName.range, false);
  } else {
    // Elaborated again, the same concat brings the same index.
    auto [it, fresh] = introduced.try_emplace({expr, total}, static_cast<IndexId>(b.function.indices.size()));
    c = it->second;
    if (fresh) {
      Index index;
      index.name = axisName.text();
      index.place = sources.place(axisName.range);
      b.addIndex(std::move(index));
      given.resize(b.function.indices.size());
      defineExtent(c, total, axisName.range, false);
      if (now && now->function) local.insert(c);
    }
    Binding binding;
    binding.kind = Binding::Index;
    binding.declared = axisName.range;
    binding.id = c;
    bind(scope, axisName.symbol, std::move(binding));
  }

  // Part k where c lies before its end, read from its own start; the last one is 0 beyond its end by itself.
  NodeId result = none, position = b.position(c);
  std::vector<NodeId> starts{b.integer(0)};
  for (const Part &part : parts) starts.push_back(b.binary(Op::Add, starts.back(), b.extent(part.axis)));
  bool floats = std::any_of(parts.begin(), parts.end(), [&](const Part &part) { return b.type(part.node) == Type::F32; });
  for (size_t k = parts.size(); k-- > 0;) {
    if ((b.type(parts[k].node) == Type::Bool) != (b.type(parts[0].node) == Type::Bool)) {
      error(Diag::MixedTypes, expr->args[k]->range, {typeName(parts[0].node), typeName(parts[k].node)});
      return none;
    }
    NodeId node = keep(parts[k].node, b.node(parts[k].node).free, scope);
    NodeId part = b.read(floats ? b.toF32(node) : node, {{parts[k].axis, b.binary(Op::Sub, position, starts[k])}});
    result = result == none ? part : b.select(b.compare(Op::Lt, position, starts[k + 1]), part, result);
  }
  return result;
}

// sample[j](p), normal()
NodeId Elaborator::random(const Expr *expr, Scope &scope) {
  ++effects;
  if (expr->path[0].text() == "normal") {
    if (!expr->args.empty()) {
      error(Diag::ArgumentCount, expr->range, {"normal", "0", std::to_string(expr->args.size())});
      return none;
    }
    std::vector<IndexId> axes = context;
    return b.random(Op::Normal, axes, {}, Type::F32);
  }
  if (expr->args.size() != 1) {
    error(Diag::ArgumentCount, expr->range, {"sample", "1", std::to_string(expr->args.size())});
    return none;
  }
  NodeId weights = number(expr->args[0], scope);
  std::vector<IndexId> indices;
  if (!findIndices(scope, expr->indices, indices) || weights == none) return none;
  if (indices.size() != 1) {
    error(Diag::ArgOneIndex, expr->range, {"sample"});
    return none;
  }
  std::vector<NodeId> args{b.toF32(weights)};
  for (NodeId mask : masksFor(indices, weights, scope)) args.push_back(mask);
  return b.random(Op::Sample, indices, std::move(args), Type::I32);
}

}  // namespace fovea
