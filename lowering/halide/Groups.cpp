// Reductions with few points as one GPU kernel: several threads fold a point together. Each takes every `threads`-th reduced step, in order, and what they
// have is folded in a fixed tree through shared memory: the result depends on the number of threads, which the nest says, and on nothing else. Steps
// beyond the last that change nothing (zeros of a sum) do not change it.
#include "lowering/halide/NestBody.h"
#include "lowering/halide/NestPlan.h"
#include "lowering/halide/ThreadRegisters.h"

#include <limits>
#include <memory>

using namespace Halide;
using namespace Halide::Internal;

namespace fovea::leaf {
namespace {

// What a fold begins with.
Expr neutral(Fold fold, Type type) {
  switch (fold) {
    case Fold::Sum: return type.is_float() ? Expr(-0.f) : make_zero(type);
    case Fold::Product: return make_one(type);
    case Fold::Maximum: return type.is_float() ? Expr(-std::numeric_limits<float>::infinity()) : type.min();
    case Fold::Minimum: return type.is_float() ? Expr(std::numeric_limits<float>::infinity()) : type.max();
    case Fold::All: return type.is_bool() ? const_true() : make_const(type, -1);
    default: return make_zero(type);           // any, visited
  }
}

struct Grouped {
  const NestBody &body;
  const NestSpec::Groups &g;
  std::vector<Folded> folds;                     // of each output
  std::vector<int> reduced;
  Expr depth, whole, rest;                       // reduced steps, rounds of all threads, and whether one more has some of them
  Var block{"block"}, tx{"tx"}, ty{"ty"}, few{"few"};
  Var thread, point;                             // tx and ty, or the reverse
  RDom rounds, last, r;
  Func fold{"fold"}, part{"part"}, middle{"middle"}, out{"out"};

  explicit Grouped(const NestBody &body) : body(body), g(*body.spec.groups), folds(*foldsOf(body.spec)), thread(g.together ? tx : ty), point(g.together ? ty : tx) {
    for (size_t n = 0; n < body.spec.reduced.size(); n++)
      if (body.spec.reduced[n]) reduced.push_back(int(n));
    depth = body.times(reduced), whole = quotient(depth, g.threads), rest = select(depth % g.threads == 0, 0, 1);
  }

  // At a point, the last one for those beyond, and a reduced step.
  NestBody::Point at(Expr b, Expr p, Expr step) const {
    NestBody::Point here{body, std::vector<Expr>(body.spec.reduced.size())};
    body.stand(here.loops, body.spec.axes, min(b * g.points + p, body.points - 1));
    if (step.defined()) body.stand(here.loops, reduced, step);
    return here;
  }

  static Expr element(const FuncRef &f, size_t n, size_t count) { return count == 1 ? Expr(f) : Expr(f[int(n)]); }
  Expr element(const FuncRef &f, size_t n) const { return element(f, n, folds.size()); }

  // Two results of a fold as one.
  Expr both(size_t n, Expr a, Expr b) const {
    if (folds[n].fold == Fold::Visited) return a || b;
    NestBody::Point values{body, std::vector<Expr>(body.spec.reduced.size())};
    values.known[folds[n].added] = std::move(b);
    values.before = [&](size_t) { return a; };
    return values.step(body.spec.outputs[n].value);
  }

  void threads() {
    const std::vector<Var> mine = {thread, point, block};
    rounds = RDom(0, whole, "rounds"), last = RDom(0, rest, "last");
    auto next = [&](Expr step) {
      NestBody::Point here = at(block, point, step);
      here.before = [&](size_t n) -> Expr { return element(fold(mine), n); };
      std::vector<Expr> values;
      for (const NestSpec::Output &o : body.spec.outputs) values.push_back(here.step(o.value));
      return values;
    };
    std::vector<Expr> begin, more;
    for (size_t n = 0; n < folds.size(); n++) begin.push_back(neutral(folds[n].fold, at(block, point, rounds.x).step(folds[n].added).type()));
    fold(mine) = Tuple(begin);
    fold(mine) = Tuple(next(rounds.x * g.threads + thread));
    Expr step = (whole + last.x) * g.threads + thread;
    std::vector<Expr> values = next(min(step, depth - 1));
    for (size_t n = 0; n < folds.size(); n++) more.push_back(choose(step < depth, values[n], element(fold(mine), n)));
    fold(mine) = Tuple(more);
    std::vector<Expr> own;
    for (size_t n = 0; n < folds.size(); n++) own.push_back(element(fold(mine), n));
    part(thread, point, block) = Tuple(own);
  }

  // Floats are not selected by Halide's own rules, which take them for reals.
  static Expr choose(Expr condition, Expr a, Expr b) {
    if (!a.type().is_float()) return select(condition, a, b);
    return reinterpret<float>(select(condition, reinterpret<uint32_t>(a), reinterpret<uint32_t>(b)));
  }

  // 32 parts become 4, and these one; up to 8 become one.
  static constexpr int step = 4;
  bool two() const { return g.threads > 8; }
  void tree() {
    std::vector<Expr> quarter;
    for (size_t n = 0; n < folds.size(); n++) {
      Expr value = element(part(few, point, block), n);
      for (int k = step; k < g.threads; k += step) value = both(n, value, element(part(few + k, point, block), n));
      quarter.push_back(value);
    }
    middle(few, point, block) = Tuple(quarter);
    r = RDom({{0, g.points}, {0, quotient(body.points, g.points) + select(body.points % g.points == 0, 0, 1)}}, "r");
    r.where(r.y * g.points + r.x < body.points);
    const std::vector<Expr> axes = body.axesAt(at(r.y, r.x, Expr()).loops);
    Func from = two() ? middle : part;
    Var u("u");
    std::vector<Expr> unwritten, stores;
    for (size_t n = 0; n < folds.size(); n++) {
      Expr value = body.initial(n, axes);
      for (int k = 0; k < (two() ? step : g.threads); k++) value = both(n, value, element(from(k, r.x, r.y), n));
      stores.push_back(body.stored(n, value));
      unwritten.push_back(undef(stores.back().type()));
    }
    Expr where = body.place(body.spec.outputs[0].buffer, axes);
    if (body.spec.axes.empty()) where = Halide::select(r.x >= 0, where, 0);  // always true: what does not name the domain would run once
    out(u) = Tuple(unwritten);
    out(where) = Tuple(stores);
  }

  Func build() {
    threads();
    tree();
    out.update().allow_race_conditions().gpu_threads(r.x).gpu_blocks(r.y);
    fold.compute_at(out, r.y).store_in(MemoryType::Register).bound(thread, 0, g.threads).bound(point, 0, g.points).bound_extent(block, 1).reorder(tx, ty).gpu_threads(tx, ty);
    fold.update(0).reorder(rounds.x, tx, ty).gpu_threads(tx, ty);
    fold.update(1).reorder(last.x, tx, ty).gpu_threads(tx, ty);
    part.compute_at(out, r.y).bound_extent(thread, g.threads).bound_extent(point, g.points).bound_extent(block, 1).reorder(tx, ty).gpu_threads(tx, ty);
    if (two()) middle.compute_at(out, r.y).bound_extent(few, step).bound_extent(point, g.points).bound_extent(block, 1).reorder(few, point).gpu_threads(few, point);
    return out;
  }
};

}  // namespace

Module compileGroups(const NestBody &body, const Target &target) {
  Grouped grouped(body);
  Pipeline pipeline(grouped.build());
  std::unique_ptr<IRMutator> own = threadRegisters({"fold"}, nullptr);
  pipeline.add_custom_lowering_pass(own.get(), [] {});
  return pipeline.compile_to_module(body.arguments, body.spec.name, target, LinkageType::ExternalPlusArgv);
}

}  // namespace fovea::leaf
