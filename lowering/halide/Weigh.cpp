// One step of online softmax whose products are computed elsewhere (attend.split): the dot products of a tile of queries x keys come
// in, and weights go out in their place. As in Attend.cpp,
//
//   score[i,j]  = score(dot[i,j]), masked: a large negative number
//   m'[i]       = max(m[i], score[i,:])             shrink[i] = exp(m[i] - m'[i])
//   weight[i,j] = exp(score[i,j] - m'[i])           s'[i] = s[i] shrink[i] + sum_j weight[i,j]
//   acc'[i,:]   = acc[i,:] shrink[i]
//
// Weights go out as two parts, the bf16 nearest to each and the bf16 nearest to the rest, together at least 16 binary digits: a product of
// both with values of bf16 is one of the weights. A row is the first parts, then the second; in each, a word of four bytes holds the parts
// of two keys, V apart in a group of 2 V, the former in its low half.
#include "lowering/halide/Builder.h"
#include "lowering/halide/Math.h"

using namespace Halide;

namespace fovea::leaf {

// Rounded to bf16, in the high half.
static Expr highPart(Expr x) { return (reinterpret<uint32_t>(std::move(x)) + Expr(uint32_t(0x8000))) & Expr(uint32_t(0xffff0000)); }

Built buildWeigh(const LeafSpec &spec, const TargetInfo &target) {
  const AttendStep &a = spec.attend;
  const int BQ = a.queries, BK = a.keys, V = target.lanes;
  Built built;
  auto &args = built.arguments;
  Expr panels = integer("panels", args), i0 = integer("i0", args), j0 = integer("j0", args), width = panels * a.panel;
  Expr rows = a.partial ? integer("rows", args) : Expr(BQ), keys = a.partial ? integer("keys", args) : Expr(BK);
  Values values(spec, args);
  ImageParam dot = matrix("weights_before", Type::F32, BK, args), acc0 = matrix("acc_before", Type::F32, width, args);
  ImageParam max0(Float(32), 1, "maximum_before"), sum0(Float(32), 1, "sum_before");
  for (ImageParam *p : {&max0, &sum0}) {
    p->dim(0).set_min(0);
    args.push_back(*p);
  }
  built.inPlace = {{"weights_before", "weights"}, {"maximum_before", "maximum"}, {"sum_before", "sum"}, {"acc_before", "acc"}};
  built.rowStrides = {{"acc_before", width}, {"acc", width}};
  // Whole groups of keys are computed; what lies beyond is masked.
  Expr groups = a.partial ? (keys + (2 * V - 1)) / (2 * V) : Expr(BK / (2 * V)), wholeKeys = groups * (2 * V);
  if (a.partial) values.stage(keys, rows, BK, BQ, V);

  Var k("k"), l("l"), i("i"), d("d"), g("g"), part("part");
  RDom rk(0, wholeKeys / V, "rk");
  Func score("score"), partialSum("partial_sum");
  Func weights("weights"), maximum("maximum"), sum("sum"), acc("acc");
  const Point point{values, dot(k, i), i0 + i, j0 + k, i, k, a.partial ? keys : Expr()};
  score(k, i) = maskedScore(a, point, k, keys);
  const OnlineSoftmax softmax(score, rk, max0, k, l, i, V);
  Func newMax = softmax.newMax, base = softmax.base, shrink = softmax.shrink, weight = softmax.weight;
  partialSum(l, i) = 0.f;
  partialSum(l, i) += weight(rk * V + l, i);
  Func rowSum = foldLanes(partialSum, V, {i}, sum, i, [](Expr x, Expr y) { return x + y; });
  // The low half is shifted down last, and from a masked value: Halide takes (x + 0x8000) >> 16 for a rounding shift, which costs eight operations.
  auto rest = [&](Expr key) { return highPart(weight(key, i) - reinterpret<float>(highPart(weight(key, i)))); };
  const Expr former = g * (2 * V) + l, latter = former + V;
  weights(l, g, part, i) = reinterpret<float>(mux(part, {highPart(weight(former, i)) >> 16 | highPart(weight(latter, i)), rest(former) >> 16 | rest(latter)}));
  maximum(i) = max(newMax(i), emptyMaximum);  // not a mere copy, which would become a call of memcpy
  sum(i) = sum0(i) * shrink(i) + rowSum(i);
  acc(d, i) = acc0(d, i) * shrink(i);

  // A score that costs next to nothing is computed again where it is read, and never stored.
  const bool cheap = !a.partial && cost(a.score) + costOfLets(spec) <= 2;
  if (!cheap) score.compute_root().bound_storage(k, BK).bound_storage(i, BQ).vectorize(k, V, TailStrategy::RoundUp);
  auto alongLanes = [&](Func partial, Func at) {
    partial.compute_at(at, i).bound_extent(l, V).vectorize(l, V);
    partial.update().reorder(l, rk).vectorize(l, V);
    if (!a.partial) partial.update().unroll(rk);
  };
  for (Func f : {newMax, shrink, base}) f.compute_root().bound_storage(i, BQ);
  for (Func f : {shrink, base}) f.vectorize(i, V, TailStrategy::RoundUp);
  weight.compute_root().bound_storage(k, BK).bound_storage(i, BQ).vectorize(k, V, TailStrategy::RoundUp);
  weight.unroll(k, 2, TailStrategy::RoundUp);
  if (!cheap) built.overwrites = {{"weight", "score"}};
  alongLanes(softmax.partialMax, newMax), alongLanes(partialSum, sum);
  weights.bound(l, 0, V).bound(g, 0, groups).bound(part, 0, 2).bound(i, 0, rows).reorder(l, part, g, i).vectorize(l).unroll(part);
  acc.bound(d, 0, width).bound(i, 0, rows).vectorize(d, V, TailStrategy::RoundUp);
  maximum.bound(i, 0, rows), sum.bound(i, 0, rows);
  const int strides[] = {1, V, BK / 2, BK};
  for (int axis = 0; axis < 4; axis++) weights.output_buffer().dim(axis).set_min(0).set_stride(strides[axis]);
  acc.output_buffer().dim(0).set_min(0).dim(1).set_min(0).set_stride(width);
  built.outputs = {weights, acc, maximum, sum};
  for (Func f : {maximum, sum}) f.output_buffer().dim(0).set_min(0);
  return built;
}

}  // namespace fovea::leaf
