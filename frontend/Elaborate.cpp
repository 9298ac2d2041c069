// Names, scopes and errors.
#include "frontend/Elaborate.h"
#include "frontend/Builtins.h"
#include "frontend/NearMiss.h"

#include <algorithm>

namespace fovea {

thread_local const char *Elaborator::stackEnd = nullptr;

bool Elaborator::stackLeft(SourceRange at) {
  char here;
  if (aborted) return false;
  constexpr uint64_t mostWork = 4'000'000;
  if (stackEnd && &here < stackEnd) {
    abort.emplace(Diag::TooDeep, now ? now->call : at);
    aborted = true;
  } else if (++work > mostWork || b.tooLarge() || b.tooDeep()) {
    const Activation *outer = now;
    while (outer && outer->caller && outer->caller->function) outer = outer->caller;
    bool inlined = outer && outer->function;
    abort.emplace(inlined || !b.tooDeep() ? Diag::TooLarge : Diag::TooDeep, inlined ? outer->call : at);
    aborted = true;
  }
  if (aborted) failed = true;
  return !aborted;
}

const Env *Elaborator::find(const Env *env, Symbol name) const {
  while (env && env->name != name) env = env->parent;
  return env;
}

void Elaborator::bind(Scope &scope, Symbol name, Binding binding) {
  envs.push_back({name, std::move(binding), scope.env});
  scope.env = &envs.back();
}

void Elaborator::poison(Scope &scope, Symbol name, SourceRange at) {
  Binding binding;
  binding.declared = at;
  bind(scope, name, std::move(binding));
}

// The prelude's text means nothing to the user: what goes wrong there is the call's fault.
SourceRange Elaborator::visible(SourceRange at) const {
  for (const Activation *call = now; call && call->function && sources.name(at.file) == "<prelude>"; call = call->caller) at = call->call;
  return at;
}

void Elaborator::error(Diag id, SourceRange at, DiagArgs args) {
  failed = true;
  const Activation *call = now;
  while (call && call->function && sources.name(at.file) == "<prelude>") at = call->call, call = call->caller;
  diagnostics.error(id, at, args);
  for (unsigned notes = 0; call && call->function && notes < 3; call = call->caller, ++notes)
    if (sources.name(call->call.file) != "<prelude>") diagnostics.note(Diag::InCall, call->call, {call->name});
}

std::string Elaborator::suggestion(const Scope &scope, Symbol name, bool function) const {
  std::vector<std::string_view> candidates;
  unsigned seen = 0;
  if (!function)
    for (const Env *env = scope.env; env && seen < 1000; env = env->parent, ++seen)
      if (env->binding.kind != Binding::Poison) candidates.push_back(*env->name);
  if (function) {
    for (const auto &[symbol, entry] : scope.file->functions) candidates.push_back(*symbol);
    for (const Builtin &builtin : builtins) candidates.push_back(builtin.name);
  }
  return nearMiss(*name, candidates);
}

const char *Elaborator::kindName(const Binding &binding) const {
  switch (binding.kind) {
  case Binding::Index:
  case Binding::Indices: return "an index";
  case Binding::Tensor: return "a tensor";
  case Binding::Scalar: return "a scalar";
  case Binding::Result: return "a result";
  case Binding::Instance:
  case Binding::Instances: return "a block";
  default: return "a value";
  }
}

bool Elaborator::isKernel(const Scope &scope, Symbol name) const {
  const auto &kernels = scope.file->file->kernels;
  return std::any_of(kernels.begin(), kernels.end(), [&](const ast::Kernel *k) { return k->name.symbol == name; });
}

std::optional<IndexId> Elaborator::findIndex(Scope &scope, const ast::Name &name, bool report, bool extent) {
  const Env *env = lookup(scope, name.symbol);
  if (env && env->binding.kind == Binding::Index) return env->binding.id;
  if (env && env->binding.kind == Binding::Poison) {
    failed = true;
    return std::nullopt;
  }
  if (!report) return std::nullopt;
  if (env && env->binding.kind == Binding::Indices)
    error(Diag::SeveralIndices, name.range, {name.text()});
  else if (env)
    error(Diag::NotAnIndex, name.range, {name.text(), kindName(env->binding), extent ? "; the absolute value is `abs(" + name.text() + ")`" : ""});
  else
    error(Diag::UnknownIndex, name.range, {name.text(), suggestion(scope, name.symbol, false)});
  if (env) diagnostics.note(Diag::DeclaredHere, visible(env->binding.declared), {name.text()});
  return std::nullopt;
}

// The indices of a reduction or call; an index parameter that was given several stands for all of them (rule F2).
bool Elaborator::findIndices(Scope &scope, const std::vector<ast::Name> &names, std::vector<IndexId> &indices) {
  for (const ast::Name &name : names) {
    std::vector<IndexId> found;
    const Env *env = find(scope.env, name.symbol);
    if (env && env->binding.kind == Binding::Indices) {
      found = env->binding.axes;
    } else {
      auto index = findIndex(scope, name);
      if (!index) return false;
      found = {*index};
    }
    for (IndexId index : found) {
      if (std::find(indices.begin(), indices.end(), index) != indices.end()) {
        error(Diag::RepeatedIndex, name.range, {name.text()});
        return false;
      }
      indices.push_back(index);
    }
  }
  return true;
}

// Within one kernel or function a name means one thing: a value may be defined again, all else is an error.
bool Elaborator::claim(Scope &scope, const ast::Name &name, bool value) {
  if (scope.activation) {
    auto used = scope.activation->asFunction.find(name.symbol);
    if (used != scope.activation->asFunction.end()) {
      error(Diag::NameIsFunction, name.range, {name.text()});
      diagnostics.note(Diag::UsedAsFunction, visible(used->second), {name.text()});
      return false;
    }
  }
  const Env *env = find(scope.env, name.symbol);
  if (!env || env->binding.kind == Binding::Poison) return true;
  const Binding &other = env->binding;
  bool valueLike = other.kind == Binding::Value || other.kind == Binding::Lazily || other.kind == Binding::Tensor || other.kind == Binding::Scalar;
  if (value && valueLike) return true;
  error(Diag::NameTaken, name.range, {name.text(), kindName(other)});
  diagnostics.note(Diag::DeclaredHere, visible(other.declared), {name.text()});
  return false;
}

std::string Elaborator::axesText(const std::string &name, const std::vector<IndexId> &axes) const {
  if (axes.empty()) return name;
  std::string text = name + "[";
  for (size_t k = 0; k < axes.size(); ++k) text += (k ? "," : "") + indexName(axes[k]);
  return text + "]";
}

}  // namespace fovea
