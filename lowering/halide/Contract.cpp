// C[rows, columns] = (accumulate ? C : 0) + A * B, then the epilogue. B is packed in panels, f32 accumulators in registers.
#include "lowering/halide/Builder.h"

using namespace Halide;

namespace fovea::leaf {

Built buildContract(const LeafSpec &spec, const TargetInfo &target) {
  const Contract &c = spec.contract;
  const MicroTile micro = microTile(c.rows, c.columns, target);
  const int V = target.lanes, panel = c.panel ? c.panel : c.columns;
  Built built;
  auto &args = built.arguments;

  Expr depth = integer("depth", args), i0 = integer("i0", args), j0 = integer("j0", args);
  Expr rows = c.edges ? integer("rows", args) : Expr(c.rows), columns = c.edges ? integer("columns", args) : Expr(c.columns);
  Expr aStride = integer("a_stride", args), cStride = integer("c_stride", args);
  ImageParam A = matrix("a", c.a, aStride, args), B = matrix("b", c.b, panel, args), before;
  Values values(spec, args);

  Var x("x"), i("i"), xo("xo"), xr("xr"), io("io"), ir("ir");
  Func product("product"), C("c");
  Expr row = c.edges ? min(i, rows - 1) : Expr(i);
  if (c.accumulate) {
    before = matrix("c_before", Type::F32, cStride, args);
    built.inPlace["c_before"] = "c";
    product(x, i) = c.edges ? before(min(x, columns - 1), row) : before(x, i);
  } else {
    product(x, i) = 0.f;
  }
  accumulate(product, {x, i}, 2, depth, [&](Expr k) { return asFloat(A(k, row)) * asFloat(B(x % panel, x / panel * depth + k)); }, V);
  Expr result = product(x, i);
  if (c.epilogue) result = evaluate(*c.epilogue, {values, result, i0 + i, j0 + x, i, x});
  C(x, i) = result;

  const TailStrategy tail = c.edges ? TailStrategy::GuardWithIf : TailStrategy::RoundUp;
  const bool unroll = !c.edges && (!c.epilogue || cost(*c.epilogue) + costOfLets(spec) <= 8);
  C.bound(x, 0, columns).bound(i, 0, rows);
  C.split(i, io, ir, micro.rows, tail).split(x, xo, xr, micro.columns, tail).reorder(xr, ir, io, xo).vectorize(xr, V, tail);
  if (unroll) C.unroll(xr).unroll(ir);
  // A last micro-tile of its own would know which of its rows are the same, and LLVM would sum those in another order: a row's result
  // would depend on how many rows there are.
  if (c.edges) C.never_partition(io);
  product.compute_at(C, io).bound_extent(x, micro.columns).bound_extent(i, micro.rows).vectorize(x, V).unroll(x).unroll(i);

  C.output_buffer().dim(0).set_min(0).dim(1).set_min(0).set_stride(cStride);
  built.outputs = {C};
  return built;
}

}  // namespace fovea::leaf
