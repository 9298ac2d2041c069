// A nest as one GPU kernel: a thread for each point of the parallel loops, the reduced loops inside.
#include "lowering/halide/NestBody.h"

using namespace Halide;

namespace fovea::leaf {
namespace {

constexpr int threads = 256;   // of a block

Expr part(const NestBody &body, const FuncRef &all, size_t n) { return body.spec.outputs.size() == 1 ? Expr(all) : Expr(all[int(n)]); }

std::vector<Expr> values(const NestBody &body, const std::vector<Expr> &loops, std::function<Expr(size_t)> before) {
  NestBody::Point point{body, loops, std::move(before)};
  std::vector<Expr> results;
  for (const NestSpec::Output &o : body.spec.outputs) results.push_back(point.step(o.value));
  return results;
}

// Where the loops stand at point `p`, the innermost axis of the outputs first: neighbours in memory are neighbours on the device, whatever the
// extents.
std::vector<Expr> loopsAt(const NestBody &body, const Expr &p) {
  std::vector<Expr> loops(body.spec.reduced.size());
  body.stand(loops, body.spec.axes, p);
  return loops;
}

// The outputs, as a Func of the point and a slot. What several outputs are folded to goes from slot to slot in turns: Halide stores one after the
// other, and the second may read the first as it was.
struct Result {
  Func f{"result"};
  Var p{"p"}, slot{"slot"};
  Expr last = 0;

  explicit Result(const NestBody &body) {
    std::vector<Expr> loops = loopsAt(body, p);
    const std::vector<Expr> axes = body.axesAt(loops);
    auto initial = [&](size_t n) { return body.initial(n, axes); };
    if (axes.size() == loops.size()) {
      f(p, slot) = Tuple(values(body, loops, initial));
      return;
    }
    Region region;                              // innermost first
    for (size_t n = loops.size(); n-- > 0;)
      if (body.spec.reduced[n]) region.push_back({0, body.extents[n]});
    RDom r(region, "reduced");
    for (size_t n = loops.size(), k = 0; n-- > 0;)
      if (body.spec.reduced[n]) loops[n] = r[k++];
    std::vector<Expr> first;
    for (size_t n = 0; n < body.spec.outputs.size(); n++) first.push_back(initial(n));
    f(p, slot) = Tuple(first);
    Expr from = 0, to = 0;
    if (first.size() > 1) {
      Expr steps = 1, done = 0;
      for (int n = 0; n < r.dimensions(); n++) {
        done += r[n] * steps;
        steps *= region[n].extent;
      }
      from = done % 2, to = 1 - from, last = steps % 2;
      f.bound(slot, 0, 2);
    }
    std::vector<Expr> next = values(body, loops, [&](size_t n) -> Expr { return part(body, f(p, from), n); });
    next[0] = select(r[0] >= 0, next[0], part(body, f(p, from), 0));  // always true: what does not name the domain would run once
    f(p, to) = Tuple(next);
  }
};

}  // namespace

Module compilePoints(const NestBody &body, const Target &target) {
  Result result(body);
  RDom all(0, body.points, "all");
  Var u("u");
  RVar block("block"), thread("thread");
  Func out("out");
  std::vector<Expr> unwritten, stores;
  for (size_t n = 0; n < body.spec.outputs.size(); n++) {
    stores.push_back(body.stored(n, part(body, result.f(all.x, result.last), n)));
    unwritten.push_back(undef(stores.back().type()));
  }
  Expr where = body.place(body.spec.outputs[0].buffer, body.axesAt(loopsAt(body, all.x)));
  if (body.spec.axes.empty()) where = select(all.x >= 0, where, 0);  // always true, too
  out(u) = Tuple(unwritten);
  out(where) = Tuple(stores);
  out.update().allow_race_conditions().split(all.x, block, thread, threads, TailStrategy::GuardWithIf).never_partition_all().gpu_blocks(block).gpu_threads(thread);
  result.f.compute_at(out, thread);
  return Pipeline(out).compile_to_module(body.arguments, body.spec.name, target, LinkageType::ExternalPlusArgv);
}

}  // namespace fovea::leaf
