// The parts of an attention put together, a thread for each element of the result: each part's sums are scaled to the maximum of all (exactly the
// sums of one part, up to rounding), in the parts' order.
#include "lowering/halide/DeviceSoftmax.h"
#include "lowering/halide/NestBody.h"

using namespace Halide;

namespace fovea::leaf {
namespace {

constexpr int threads = 128;   // of a block

}  // namespace

Module compileMerge(const NestBody &body, const Target &target) {
  const NestSpec::Merge &m = *body.spec.merge;
  const DeviceSoftmax softmax{body.spec.target == "cuda"};
  const Expr columns = body.extents[m.along];
  auto loopsAt = [&](const Expr &p) {
    std::vector<Expr> loops(body.spec.reduced.size());
    body.stand(loops, body.spec.axes, p);
    return loops;
  };
  auto state = [&](const Expr &p, const Expr &part, const Expr &column) {
    NestBody::Point point{body, loopsAt(p)};
    std::vector<Expr> at;
    for (int step : m.at) at.push_back(point.step(step));
    at.insert(at.end(), {part, column});
    return body.read(m.state, at);
  };

  Var p("p"), u("u");
  RDom part(0, body.extents[m.part], "part");
  Func top("top"), sums("sums"), out("out");
  const Expr column = loopsAt(p)[m.along];
  if (m.pointwise) {
    sums(p) = Tuple(Expr(0.f), Expr(0.f));
    sums(p) = Tuple(sums(p)[0] + state(p, part, column), sums(p)[1]);
  } else {
    top(p) = emptyMaximum;
    top(p) = softmax.larger(top(p), state(p, part, columns + 1));
    Expr weight = softmax.weight(state(p, part, columns + 1), top(p));
    sums(p) = Tuple(Expr(0.f), Expr(0.f));
    sums(p) = Tuple(sums(p)[0] + state(p, part, column) * weight, sums(p)[1] + state(p, part, columns) * weight);
  }
  RDom all(0, body.points, "all");
  Expr sum = sums(all.x)[0], total = sums(all.x)[1], stored = body.stored(0, m.pointwise ? sum : select(strictEqual(total, 0.f), 0.f, sum / total));
  out(u) = undef(stored.type());
  out(body.place(body.spec.outputs[0].buffer, body.axesAt(loopsAt(all.x)))) = stored;
  RVar block("block"), thread("thread");
  out.update().allow_race_conditions().split(all.x, block, thread, threads, TailStrategy::GuardWithIf).gpu_blocks(block).gpu_threads(thread);
  sums.compute_at(out, thread);
  if (!m.pointwise) top.compute_at(out, thread);
  return Pipeline(out).compile_to_module(body.arguments, body.spec.name, target, LinkageType::ExternalPlusArgv);
}

}  // namespace fovea::leaf
