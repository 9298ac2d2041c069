// A step over a tile of queries x keys as in Attend.cpp, with a query in each lane of a vector: for several queries that meet keys which nobody else reads, where
// transposing the keys would cost as much as their products. Each number of a key is broadcast to the queries, so keys are read where they lie; maxima and sums
// need no fold over lanes.
#include "lowering/halide/Builder.h"
#include "lowering/halide/Math.h"

using namespace Halide;

namespace fovea::leaf {

// The largest divisor of `n` up to `most`.
static int divisor(int n, int most) {
  while (n % most != 0) most--;
  return most;
}

Built buildAttendLanes(const LeafSpec &spec, const TargetInfo &target) {
  const AttendStep &a = spec.attend;
  const int BQ = a.queries, BK = a.keys, V = target.lanes, accumulators = target.rows * target.columns / V;
  const bool paired = target.dots && a.query == Type::BF16 && a.key == Type::BF16;
  // Keys at a time, and the micro-tile of the second product: many rows, so that a value is widened for all of them.
  const int KR = divisor(BK, std::max(1, accumulators * V / BQ));
  const int MQ = divisor(BQ, 8), NK = divisor(a.panel / V, std::max(1, accumulators / MQ)) * V;
  // Steps of the first product in one turn. Of pairs LLVM makes all broadcasts of a turn first, more than there are registers: as few steps as the fetches below allow.
  int steps = 4;
  while (paired && steps > 1 && KR % (32 / steps) == 0) steps /= 2;
  const int turnsOfLine = 16 / steps;
  Built built;
  auto &args = built.arguments;

  Expr head = integer("head", args), panels = integer("panels", args), i0 = integer("i0", args), j0 = integer("j0", args);
  Expr rows = a.partial ? integer("rows", args) : Expr(BQ), keys = a.partial ? integer("keys", args) : Expr(BK);
  Expr qStride = integer("q_stride", args), kStride = integer("k_stride", args), vStride = integer("v_stride", args), width = panels * a.panel;
  ImageParam q = matrix("q", a.query, qStride, args), key = matrix("k", a.key, kStride, args), v = matrix("v", a.value, vStride, args);
  Expr vPanelStride = integer("v_panel_stride", args);
  const AttendState state(a, width, built);
  const ImageParam &max0 = state.maximum, &sum0 = state.sum, &acc0 = state.acc;
  Values values(spec, args);

  Var k("k"), i("i"), d("d"), r("r"), g("g");
  RDom rk(0, keys, "rk"), rv(0, keys, "rv");
  Func dot("dot"), score("score"), tileMax("tile_max"), newMax("new_max"), base("base"), shrink("shrink"), weight = score, tileSum("tile_sum"), used("used"), gathered("gathered");
  Func maximum("maximum"), sum("sum"), acc("acc");

  // Beyond the last row and key the last one is read again.
  Expr row = a.partial ? min(i, rows - 1) : Expr(i), column = a.partial ? min(k, keys - 1) : Expr(k);
  if (paired) {
    dotOfPairs(dot, i, k, head, [&](Expr n, Expr element) { return asFloat(q(2 * i + element, n)) * asFloat(key(2 * n + element, column)); }, V, steps);
  } else {
    dot(i, k) = 0.f;
    accumulate(dot, {i, k}, 2, head, [&](Expr n) { return asFloat(q(i, n)) * asFloat(key(n, column)); }, V);
  }
  const Point point{values, dot(i, k), i0 + row, j0 + k, row, column, a.partial ? keys : Expr()};
  score(i, k) = maskedScore(a, point, k, keys);
  if (!a.pointwise) {
    tileMax(i) = emptyMaximum;
    tileMax(i) = max(tileMax(i), score(i, rk));
    newMax(i) = max(max0(i), tileMax(i));
    base(i) = max(newMax(i), lowestScore);
    shrink(i) = weightExp2(max0(i), newMax(i));
    weight = Func("weight");
    weight(i, k) = weightExp2(score(i, k), base(i));
  }
  tileSum(i) = 0.f;
  tileSum(i) += weight(i, rk);
  const Expr gatheredRow = g * MQ + r;
  auto before = [&](Expr d, Expr i) { return a.pointwise ? acc0(d, i) : acc0(d, i) * shrink(i); };
  auto gather = [&](Expr n) { return weight(gatheredRow, n) * asFloat(v(d / a.panel * vPanelStride + d % a.panel, n)); };
  gathered(d, r, g) = before(d, gatheredRow);
  if (a.partial) {
    auto some = [&](int n) { return a.pointwise ? select(weight(g * MQ + n, k) != 0.f, 1.f, 0.f) : weight(g * MQ + n, k); };
    Expr any = some(0);
    for (int n = 1; n < MQ; n++) any = max(any, some(n));
    used(k, g) = any;
    rv.where(used(rv, g) > 0.f);
    gathered(d, r, g) += gather(rv);
    gathered.update().reorder(d, r, rv, g).vectorize(d, V).unroll(d).unroll(r);
  } else {
    accumulate(gathered, {d, r, g}, 2, BK, gather, V);
  }
  acc(d, i) = gathered(d, i % MQ, i / MQ);
  if (a.pointwise) {
    sum(i) = sum0(i) + tileSum(i);
  } else {
    maximum(i) = max(newMax(i), emptyMaximum);  // not a mere copy, which would become a call of memcpy
    sum(i) = sum0(i) * shrink(i) + tileSum(i);
  }

  Var io("io"), ir("ir"), xo("xo"), xr("xr");
  const bool unroll = cost(a.score) + (a.keep ? cost(*a.keep) : 0) + costOfLets(spec) <= 8;
  Expr groupedRows = a.partial ? (rows + (MQ - 1)) / MQ * MQ : Expr(BQ);
  acc.bound(d, 0, width).bound(i, 0, groupedRows);
  sum.bound(i, 0, BQ);
  if (!a.pointwise) maximum.bound(i, 0, BQ);
  score.compute_root().bound_storage(i, BQ).bound_storage(k, BK).bound_extent(i, BQ).split(k, xo, xr, KR, TailStrategy::RoundUp).reorder(i, xr, xo).vectorize(i, V);
  if (unroll) score.unroll(i).unroll(xr);
  dot.compute_at(score, xo).bound_extent(i, BQ).bound_extent(k, KR).vectorize(i, V).unroll(i).unroll(k);
  auto overKeys = [&](Func f) {
    f.compute_root().bound_storage(i, BQ).bound_extent(i, BQ).vectorize(i, V).unroll(i);
    f.update().reorder(i, rk).vectorize(i, V).unroll(i);
  };
  if (!a.pointwise) {
    overKeys(tileMax);
    for (Func f : {newMax, shrink, base}) f.compute_root().bound_storage(i, BQ).bound_extent(i, BQ).vectorize(i, V);
    weight.compute_root().bound_storage(i, BQ).bound_storage(k, BK).bound_extent(i, BQ).split(k, xo, xr, KR, TailStrategy::RoundUp).reorder(i, xr, xo).vectorize(i, V).unroll(i).unroll(xr, 4);
    maximum.vectorize(i, V);
  }
  overKeys(tileSum);
  sum.vectorize(i, V);
  if (a.partial) used.compute_root().bound_storage(k, BK).bound_storage(g, BQ / MQ).vectorize(k, V, TailStrategy::RoundUp);
  acc.split(i, io, ir, MQ).split(d, xo, xr, NK).reorder(xr, ir, io, xo).vectorize(xr, V).unroll(xr).unroll(ir);
  gathered.compute_at(acc, io).bound_extent(d, NK).bound_extent(r, MQ).vectorize(d, V).unroll(d).unroll(r);

  // Memory works meanwhile: in the turns of the first product that go through a line of each of KR keys, a line of these keys' values is asked for, in one of
  // the second the next line of four keys (of two where they are half as long) of the tile to come.
  const int keyBytes = storageType(a.key).bytes(), valueBytes = storageType(a.value).bytes(), turns = BQ / MQ;
  if (!a.partial && KR % turnsOfLine == 0 && BK > KR && BK > 4) {
    auto number = [](const std::string &loop) { return Internal::Variable::make(Int(32), loop); };
    Fetch ofValues{std::string("dot.s1.dot_body$") + (paired ? "z" : "y"), "v"}, ofKeys{"gathered.s1.gathered_body$y", "k"};
    const Expr step = number(ofValues.loop), first = number("score.s0.k.xo") * KR, four = number(ofKeys.loop), panel = number("acc.s0.d.xo");
    for (int n = 0; n < KR / turnsOfLine; n++) ofValues.first.push_back((first + turnsOfLine * n + step % turnsOfLine) * vStride);
    ofValues.offset = step / turnsOfLine * (lineBytes / valueBytes);
    const int together = keyBytes, passes = 4 / together;
    const Expr turn = turns > 1 ? panel * turns + number("acc.s0.i.io") : panel;
    for (int n = 0; n < together; n++) ofKeys.first.push_back((BK + 4 * four + turn % passes * together + n) * kStride);
    ofKeys.offset = turn / passes * (lineBytes / keyBytes);
    built.fetches = {ofValues, ofKeys};
  }

  state.become(acc, maximum, sum);
  return built;
}

}  // namespace fovea::leaf
