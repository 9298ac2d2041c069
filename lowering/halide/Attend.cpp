// One step over a tile of queries x keys, and the rows' state before it. Of textbook online softmax (maximum, sum, accumulator):
//
//   score[i,j]  = score(q[i] . k[j]), masked: a large negative number
//   m'[i]       = max(m[i], score[i,:])             shrink[i] = exp(m[i] - m'[i])
//   weight[i,j] = exp(score[i,j] - m'[i])           s'[i] = s[i] shrink[i] + sum_j weight[i,j]
//   acc'[i,:]   = acc[i,:] shrink[i] + sum_j weight[i,j] v[j,:]
//
// Pointwise, the weight is the score itself, masked: 0, and nothing shrinks.
//
// Both products run in micro-tiles whose accumulators stay in registers. A partial leaf skips a key for a group of rows
// when all their weights are 0, so a value that nobody visits is never touched, and a causal tile costs what it keeps.
#include "lowering/halide/Builder.h"
#include "lowering/halide/Math.h"

using namespace Halide;

namespace fovea::leaf {

// dot(k, i) = sum over 0 <= n < head of term(n, k, i), where keys lie as rows: vectors along the head, a few keys at a time. `paired`: pairs of bf16 are
// multiplied at once. For few queries, where reading the keys is the cost and packing them would double it. Returns the micro-tile of keys and queries.
static MicroTile dotOfRows(Func dot, Var k, Var i, const std::function<Expr(Expr)> &term, Expr head, bool paired, int queries, int keys, int V) {
  Var l("dot_lane"), ko("dot_ko"), kr("dot_kr"), io("dot_io"), ir("dot_ir");
  int rows = 6;
  while (queries % rows != 0) rows--;
  const int columns = rows <= 3 && keys % 8 == 0 ? 8 : 4, each = paired ? 2 * V : V;
  RDom rest(0, head % each, "dot_rest");
  Func lanes("dot_lanes");
  lanes(l, i, k) = 0.f;
  // Key after key: memory is fast only for what is read line after line.
  if (paired)
    accumulatePairs(lanes, {l, i, k}, 2, head / each, [&](Expr n, Expr element) { return term(n * each + 2 * l + element); }, V);
  else
    accumulate(lanes, {l, i, k}, 2, head / each, [&](Expr n) { return term(n * each + l); }, V);
  for (int n = 0; n < lanes.num_update_definitions(); n++) lanes.update(n).unroll(k);
  dot(k, i) = foldLanes(lanes, V, {i, k}, dot, kr, [](Expr x, Expr y) { return x + y; })(i, k);
  dot(k, i) += term(head / each * each + rest);
  dot.compute_root().bound_storage(k, keys).bound_storage(i, queries);
  // Rounded up: reads beyond the last key or row are clamped, where a tile shifted inwards would begin before the first.
  dot.split(k, ko, kr, columns, TailStrategy::RoundUp).split(i, io, ir, rows, TailStrategy::RoundUp).reorder(kr, ir, io, ko).unroll(kr).unroll(ir);
  dot.update().reorder(rest, k, i);
  lanes.compute_at(dot, io).bound_extent(l, V).bound_extent(k, columns).bound_extent(i, rows).vectorize(l, V).unroll(k).unroll(i);
  return {rows, columns};
}

// How many keys' values are read before the next panel of their columns.
constexpr int rowsTogether = 16;

// Memory works meanwhile: beside the products with keys, the values of the same keys are asked for; beside those with values, the keys of the tile to come. In
// the order in which they lie, for the processor's own fetching, which follows lines that are asked for one after the other, is what makes it fast.
static void fetchRows(const AttendStep &a, bool paired, const MicroTile &scored, const MicroTile &weighed, Built &built) {
  if (a.keys == scored.columns || a.keys == rowsTogether) return;
  auto number = [](const std::string &loop) { return Internal::Variable::make(Int(32), loop); };
  const int keyLine = lineBytes / storageType(a.key).bytes(), valueLine = lineBytes / storageType(a.value).bytes(), steps = 4;
  if (const int turns = a.queries / scored.rows; scored.columns % turns == 0)
    for (int k = 0; k < scored.columns / turns; k++) {
      Fetch values{std::string("dot_lanes.s1.dot_lanes_body$") + (paired ? "z" : "y"), "v"};
      Expr row = number("dot.s0.k.dot_ko") * scored.columns + k;
      if (turns > 1) row += number("dot.s0.i.dot_io") * (scored.columns / turns);
      values.first = {row * number("v_stride")}, values.offset = number(values.loop) * (steps * valueLine), values.lines = steps, values.which = k;
      built.fetches.push_back(values);
    }
  auto fetchKeys = [&](int rowsEach, int columnsEach, int which) {
    const int turns = a.queries / rowsEach, keys = steps / turns;
    Fetch next{"gathered.s1.gathered_body$y", "k"};
    next.lines = columnsEach / keyLine, next.which = which, next.offset = number("acc.s1.d.chunk_xo") * columnsEach;
    if (steps % turns != 0 || next.lines == 0) return;
    Expr row = a.keys + number("acc.s1.rc$x") * rowsTogether + number(next.loop) * keys;
    if (turns > 1) row += number("acc.s1.i.chunk_io") * (rowsTogether / turns);
    for (int k = 0; k < keys; k++) next.first.push_back((row + k) * number("k_stride"));
    built.fetches.push_back(next);
  };
  const bool pairsOfPanels = weighed.rows % 2 == 0;
  if (pairsOfPanels) fetchKeys(weighed.rows / 2, 2 * weighed.columns, 0);
  fetchKeys(weighed.rows, weighed.columns, pairsOfPanels);
}

Expr maskedScore(const AttendStep &step, const Point &point, Expr column, Expr keys) {
  Expr s = evaluate(step.score, point);
  if (!step.pointwise) s = s * float(1.4426950408889634);  // in units of log 2: a constant factor folds
  if (!step.partial) return s;
  Expr keep = std::move(column) < keys;
  if (step.keep) keep = keep && evaluate(*step.keep, point);
  return select(keep, s, step.pointwise ? 0.f : emptyMaximum);
}

AttendState::AttendState(const AttendStep &step, Expr width, Built &built) : step(step), width(width), built(built) {
  if (!step.pointwise) {
    built.inPlace["maximum_before"] = "maximum";
    built.overwrites = {{"weight", "score"}};
    maximum.dim(0).set_min(0);
    built.arguments.push_back(maximum);
  }
  sum.dim(0).set_min(0);
  built.arguments.push_back(sum);
  acc = matrix("acc_before", Type::F32, width, built.arguments);
  built.inPlace["sum_before"] = "sum", built.inPlace["acc_before"] = "acc";
  built.rowStrides = {{"acc_before", width}, {"acc", width}};
}

void AttendState::become(Func newAcc, Func newMaximum, Func newSum) const {
  newAcc.output_buffer().dim(0).set_min(0).dim(1).set_min(0).set_stride(width);
  built.outputs = {newAcc, newSum};
  if (!step.pointwise) built.outputs.insert(built.outputs.begin() + 1, newMaximum);
  for (size_t n = 1; n < built.outputs.size(); n++) built.outputs[n].output_buffer().dim(0).set_min(0);
}

void dotOfPairs(Func dot, Var x, Var y, Expr head, const std::function<Expr(Expr, Expr)> &product, int lanes, int steps) {
  dot(x, y) = 0.f;
  accumulatePairs(dot, {x, y}, 2, head / 2, product, lanes, steps);
  RDom odd(0, head % 2, "dot_odd");
  dot(x, y) += product(head / 2 + odd, 0);
  dot.update(dot.num_update_definitions() - 1).reorder(x, y, odd).vectorize(x, lanes).unroll(x).unroll(y);
}

OnlineSoftmax::OnlineSoftmax(Func score, RDom vectors, ImageParam before, Var k, Var l, Var i, int lanes) {
  partialMax(l, i) = emptyMaximum;
  partialMax(l, i) = max(partialMax(l, i), score(vectors * lanes + l, i));
  Func rowMax = foldLanes(partialMax, lanes, {i}, newMax, i, [](Expr x, Expr y) { return max(x, y); });
  newMax(i) = max(before(i), rowMax(i));
  base(i) = max(newMax(i), lowestScore);
  shrink(i) = weightExp2(before(i), newMax(i));
  weight(k, i) = weightExp2(score(k, i), base(i));
}

Built buildAttendStep(const LeafSpec &spec, const TargetInfo &target) {
  const AttendStep &a = spec.attend;
  const int BQ = a.queries, BK = a.keys, V = target.lanes;
  const MicroTile micro = microTile(BQ, a.panel, target);
  const int MQ = micro.rows, NK = micro.columns;
  // A partial tile computes scores in narrower micro-tiles, two vectors wide, which is enough to hide the latency of a product: fewer
  // of its columns are computed for nothing.
  const MicroTile scored = a.partial && !a.keyRows && BK % (2 * V) == 0 ? MicroTile{MQ, std::min(NK, 2 * V)} : micro;
  Built built;
  auto &args = built.arguments;

  Expr head = integer("head", args), panels = integer("panels", args), i0 = integer("i0", args), j0 = integer("j0", args);
  Expr rows = a.partial ? integer("rows", args) : Expr(BQ), keys = a.partial ? integer("keys", args) : Expr(BK);
  Expr qStride = integer("q_stride", args), vStride = integer("v_stride", args), width = panels * a.panel;
  ImageParam q = matrix("q", a.query, qStride, args);
  // Keys: rows, or panels [keys / lanes][head][lanes]. Values: rows at any stride, panels of columns at any distance.
  ImageParam key = matrix("k", a.key, a.keyRows ? integer("k_stride", args) : Expr(a.keyPairs ? 2 * V : V), args);
  ImageParam v = matrix("v", a.value, vStride, args);
  Expr vPanelStride = integer("v_panel_stride", args);
  const AttendState state(a, width, built);
  const ImageParam &max0 = state.maximum, &sum0 = state.sum, &acc0 = state.acc;
  Values values(spec, args);
  // Whole groups of rows and whole panels of keys are computed; what lies beyond is masked.
  Expr groupedRows = a.partial ? (rows + (MQ - 1)) / MQ * MQ : Expr(BQ), paneledKeys = a.partial ? (keys + (scored.columns - 1)) / scored.columns * scored.columns : Expr(BK);
  if (a.partial) values.stage(keys, rows, BK, BQ, V);

  Var k("k"), l("l"), i("i"), d("d"), r("r"), g("g");
  RDom rk(0, paneledKeys / V, "rk"), rv(0, keys, "rv");
  Func dot("dot"), score("score"), partialSum("partial_sum"), used("used"), gathered("gathered");
  Func maximum("maximum"), sum("sum"), acc("acc");

  Expr row = a.partial ? min(i, rows - 1) : Expr(i);
  const bool paired = a.keyRows && target.dots && a.query == Type::BF16 && a.key == Type::BF16;
  MicroTile rowsOfKeys{};
  if (a.keyRows) {
    rowsOfKeys = dotOfRows(dot, k, i, [&](Expr n) { return asFloat(q(n, row)) * asFloat(key(n, a.partial ? min(k, keys - 1) : Expr(k))); }, head, paired, BQ, BK, V);
  } else if (a.keyPairs) {
    const Expr lines = (head + 2 * V - 1) / (2 * V) * V;
    auto product = [&](Expr n, Expr element) { return asFloat(q(2 * n + element, row)) * asFloat(key(2 * (k % V) + element, k / V * lines + n)); };
    dotOfPairs(dot, k, i, head, product, V);
  } else {
    dot(k, i) = 0.f;
    accumulate(dot, {k, i}, 2, head, [&](Expr n) { return asFloat(q(n, row)) * asFloat(key(k % V, k / V * head + n)); }, V);
  }
  const Point point{values, dot(k, i), i0 + row, j0 + k, row, k, a.partial ? keys : Expr()};
  score(k, i) = maskedScore(a, point, k, keys);
  Func partialMax, newMax, base, shrink, weight = score;
  if (!a.pointwise) {
    const OnlineSoftmax softmax(score, rk, max0, k, l, i, V);
    partialMax = softmax.partialMax, newMax = softmax.newMax, base = softmax.base, shrink = softmax.shrink, weight = softmax.weight;
  }
  partialSum(l, i) = 0.f;
  partialSum(l, i) += weight(rk * V + l, i);
  Func rowSum = foldLanes(partialSum, V, {i}, sum, i, [](Expr x, Expr y) { return x + y; });
  const Expr gatheredRow = g * MQ + r;
  auto before = [&](Expr d, Expr i) { return a.pointwise ? acc0(d, i) : acc0(d, i) * shrink(i); };
  auto weigh = [&](Expr n, Expr i) { return weight(n, i) * asFloat(v(d / a.panel * vPanelStride + d % a.panel, n)); };
  auto gather = [&](Expr n) { return weigh(n, gatheredRow); };
  // Values that are read once come from memory, which is fast only for what reads line after line: a few keys' whole rows at a time.
  const int chunk = a.keyRows && !a.partial && BK % rowsTogether == 0 ? rowsTogether : 0;
  Var c("c");
  RDom rc(0, chunk ? BK / chunk : 1, "rc");
  if (chunk)
    gathered(d, r, c) = 0.f;
  else
    gathered(d, r, g) = before(d, gatheredRow);
  if (chunk) {
    accumulate(gathered, {d, r, c}, 2, chunk, [&](Expr n) { return weigh(c * chunk + n, r); }, V);
  } else if (a.partial) {
    auto some = [&](int n) { return a.pointwise ? select(weight(k, g * MQ + n) != 0.f, 1.f, 0.f) : weight(k, g * MQ + n); };
    Expr any = some(0);
    for (int n = 1; n < MQ; n++) any = max(any, some(n));
    used(k, g) = any;
    rv.where(used(rv, g) > 0.f);
    gathered(d, r, g) += gather(rv);
    gathered.update().reorder(d, r, rv, g).vectorize(d, V).unroll(d).unroll(r);
  } else {
    accumulate(gathered, {d, r, g}, 2, BK, gather, V);
  }
  if (chunk) {
    acc(d, i) = before(d, i);
    acc(d, i) += gathered(d, i, rc);
  } else {
    acc(d, i) = gathered(d, i % MQ, i / MQ);
  }
  if (a.pointwise) {
    sum(i) = sum0(i) + rowSum(i);
  } else {
    maximum(i) = max(newMax(i), emptyMaximum);  // not a mere copy, which would become a call of memcpy
    sum(i) = sum0(i) * shrink(i) + rowSum(i);
  }

  Var io("io"), ir("ir"), xo("xo"), xr("xr");
  const bool unroll = cost(a.score) + (a.keep ? cost(*a.keep) : 0) + costOfLets(spec) <= 8;
  acc.bound(d, 0, width).bound(i, 0, groupedRows);
  sum.bound(i, 0, groupedRows);
  if (!a.pointwise) maximum.bound(i, 0, groupedRows);

  score.compute_root().bound_storage(k, BK).bound_storage(i, BQ);
  score.split(i, io, ir, scored.rows, TailStrategy::RoundUp).split(k, xo, xr, scored.columns, TailStrategy::RoundUp).reorder(xr, ir, io, xo).vectorize(xr, V);
  if (unroll) score.unroll(xr).unroll(ir);
  if (!a.keyRows) dot.compute_at(score, io).bound_extent(k, scored.columns).bound_extent(i, scored.rows).vectorize(k, V).unroll(k).unroll(i);

  auto alongLanes = [&](Func partial, Func at) {
    partial.compute_at(at, i).bound_extent(l, V).vectorize(l, V);
    partial.update().reorder(l, rk).vectorize(l, V);
  };
  if (!a.pointwise) {
    for (Func f : {newMax, shrink, base}) f.compute_root().bound_storage(i, BQ);
    for (Func f : {shrink, base, maximum}) {
      if (BQ % V == 0)
        f.vectorize(i, V, TailStrategy::RoundUp);
      else
        f.unroll(i, MQ, TailStrategy::RoundUp);
    }
    weight.compute_root().bound_storage(k, BK).bound_storage(i, BQ).split(k, xo, xr, scored.columns, TailStrategy::RoundUp).vectorize(xr, V).unroll(xr);
    alongLanes(partialMax, newMax);
  }
  alongLanes(partialSum, sum);
  if (a.partial) used.compute_root().bound_storage(k, BK).bound_storage(g, BQ / MQ).vectorize(k, V, TailStrategy::RoundUp);
  acc.split(i, io, ir, MQ).split(d, xo, xr, NK).reorder(xr, ir, io, xo).vectorize(xr, V).unroll(xr).unroll(ir);
  if (chunk) {
    // Where two panels are side by side, so that a row of values is read at once, half the rows keep as many accumulators.
    Var cio("chunk_io"), cir("chunk_ir"), cxo("chunk_xo"), cxr("chunk_xr");
    auto inTiles = [&](Stage update, int rowsEach, int columnsEach) {
      update.split(i, cio, cir, rowsEach).split(d, cxo, cxr, columnsEach).reorder(cxr, cir, cio, cxo, rc).vectorize(cxr, V).unroll(cxr).unroll(cir);
    };
    if (MQ % 2 == 0) inTiles(acc.update().specialize(panels % 2 == 0), MQ / 2, 2 * NK);
    inTiles(acc.update(), MQ, NK);
    gathered.compute_at(acc, cio).vectorize(d, V).unroll(d).unroll(r);
    fetchRows(a, paired, rowsOfKeys, micro, built);
  } else {
    gathered.compute_at(acc, io).bound_extent(d, NK).bound_extent(r, MQ).vectorize(d, V).unroll(d).unroll(r);
  }

  state.become(acc, maximum, sum);
  return built;
}

}  // namespace fovea::leaf
