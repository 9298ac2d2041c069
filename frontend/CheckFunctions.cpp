// Functions by themselves, whether or not something calls them.
#include "frontend/Builtins.h"
#include "frontend/Check.h"
#include "frontend/NearMiss.h"

#include <algorithm>

namespace fovea {

using ast::Expr;
using ast::Statement;

namespace {

class FunctionChecker {
public:
  FunctionChecker(const FileScope &scope, SourceManager &sources, Diagnostics &diagnostics) : scope(scope), sources(sources), diagnostics(diagnostics) {}

  void function(const ast::Function &f) {
    names.clear();
    current = &f;
    for (const ast::Name &index : f.indices) parameter(index);
    for (const ast::Target &value : f.values) parameter(value.name);
    expression(f.body);
  }

  // A function that reaches itself through calls.
  void recursion() {
    std::set<const ast::Function *> reported;
    for (const ast::Function *f : scope.file->functions) {
      if (reported.count(f)) continue;
      std::set<const ast::Function *> seen;
      std::vector<const ast::Function *> stack{f};
      while (!stack.empty()) {
        const ast::Function *at = stack.back();
        stack.pop_back();
        for (const auto &[callee, range] : calls[at]) {
          if (callee == f) {
            diagnostics.error(Diag::RecursiveFunction, at == f ? range : f->name.range, {f->name.text()});
            reported.insert(seen.begin(), seen.end());
            stack.clear();
            break;
          }
          if (seen.insert(callee).second) stack.push_back(callee);
        }
      }
    }
  }

private:
  void parameter(const ast::Name &name) {
    if (!names.insert(name.symbol).second) diagnostics.error(Diag::ParameterTwice, name.range, {name.text()});
  }

  void name(const ast::Name &n, Diag otherwise) {
    if (names.count(n.symbol)) return;
    std::vector<std::string_view> candidates;
    for (Symbol known : names) candidates.push_back(*known);
    std::string hint = nearMiss(n.text(), candidates);
    if (otherwise == Diag::UnknownName && scope.functions.count(n.symbol)) {
      diagnostics.error(Diag::FunctionAsValue, n.range, {n.text()});
      return;
    }
    diagnostics.error(otherwise, n.range, {n.text(), hint});
    names.insert(n.symbol);
  }

  void statement(const Statement &s) {
    if (s.value) expression(s.value);
    for (const ast::Dim &d : s.dims) {
      expression(d.extent);
      names.insert(d.name.symbol);
    }
    for (const ast::Target &target : s.targets) {
      for (const ast::Name &axis : target.axes) name(axis, Diag::UnknownIndex);
      if (s.kind == Statement::Assign)
        diagnostics.error(Diag::UnknownResult, target.name.range, {target.name.text(), "; `let` defines a value"});
      else if (s.kind != Statement::Let)
        diagnostics.error(s.kind == Statement::For ? Diag::OnlyInModel : Diag::OnlyInStep, s.range,
                          {s.kind == Statement::For ? "for" : s.kind == Statement::Append ? "append" : "trace",
                           s.kind == Statement::For ? "; the loops of a kernel are `fold`, `scan` and `iterate`" : ""});
      names.insert(target.name.symbol);
    }
  }

  void expression(const Expr *e) {
    std::set<Symbol> outer;
    bool braces = e->kind == Expr::Block || e->kind == Expr::Iterate || e->kind == Expr::Fold || e->kind == Expr::Scan;
    if (braces) outer = names;
    switch (e->kind) {
    case Expr::Reference:
      if (e->path.size() == 1)
        name(e->path[0], Diag::UnknownName);
      else
        diagnostics.error(Diag::UnknownName, e->range, {sources.text(e->range), ""});
      return;
    case Expr::Extent: name(e->path[0], Diag::UnknownIndex); return;
    case Expr::Call: call(e); return;
    case Expr::Block:
      for (const Statement *s : e->statements) statement(*s);
      break;
    case Expr::Fold:
    case Expr::Scan: name(e->path[0], Diag::UnknownIndex); break;
    default: break;
    }
    bool loop = e->kind == Expr::Iterate || e->kind == Expr::Fold || e->kind == Expr::Scan;
    for (size_t k = 0; k < e->args.size(); ++k) {
      if (loop && k + 1 == e->args.size())
        for (const ast::Target &target : e->targets) names.insert(target.name.symbol);
      expression(e->args[k]);
    }
    for (const ast::Subscript &s : e->subscripts) {
      if (s.axis) name(*s.axis, Diag::UnknownIndex);
      expression(s.value);
    }
    if (braces) names = std::move(outer);
  }

  void call(const Expr *e) {
    const ast::Name &callee = e->path[0];
    for (const Expr *arg : e->args) expression(arg);
    bool concat = callee.text() == "concat" && !scope.functions.count(callee.symbol);
    for (const ast::Name &index : e->indices) {
      if (concat) names.insert(index.symbol);
      name(index, Diag::UnknownIndex);
    }
    auto found = scope.functions.find(callee.symbol);
    if (e->path.size() > 1 || names.count(callee.symbol)) {
      diagnostics.error(Diag::NotAFunction, callee.range, {callee.text(), "a parameter or value"});
    } else if (found != scope.functions.end()) {
      const ast::Function &f = *found->second.function;
      calls[current].emplace_back(&f, e->range);
      size_t wanted = f.indices.size(), got = e->indices.size();
      if (wanted == 1 && got == 0) {
        diagnostics.error(Diag::IndicesMissing, callee.range, {callee.text()});
      } else if (wanted != got && !(wanted == 1 && got > 1)) {
        diagnostics.error(Diag::IndexCount, e->range, {callee.text(), std::to_string(wanted), std::to_string(got)});
      } else if (f.values.size() != e->args.size()) {
        diagnostics.error(Diag::ArgumentCount, e->range, {callee.text(), std::to_string(f.values.size()), std::to_string(e->args.size())});
      }
    } else if (std::none_of(std::begin(builtins), std::end(builtins), [&](const Builtin &b) { return b.name == callee.text(); })) {
      std::vector<std::string_view> candidates;
      for (const auto &[symbol, entry] : scope.functions) candidates.push_back(*symbol);
      for (const Builtin &builtin : builtins) candidates.push_back(builtin.name);
      diagnostics.error(Diag::UnknownFunction, callee.range, {callee.text(), nearMiss(callee.text(), candidates)});
    }
  }

  const FileScope &scope;
  SourceManager &sources;
  Diagnostics &diagnostics;
  std::set<Symbol> names;
  const ast::Function *current = nullptr;
  std::map<const ast::Function *, std::vector<std::pair<const ast::Function *, SourceRange>>> calls;
};

}  // namespace

void checkFunctions(const FileScope &scope, SourceManager &sources, Diagnostics &diagnostics) {
  FunctionChecker checker(scope, sources, diagnostics);
  for (const ast::Function *f : scope.file->functions) checker.function(*f);
  checker.recursion();
}

}  // namespace fovea
