// Attention as one GPU kernel: a block of threads for each block of rows and value columns of a batch entry. Keys and values go through shared
// memory, block after block; a thread holds its part of the scores and of the accumulator in registers. Of each block of keys, softmax is local,
// and an exact merge adds it to what came before (Dao et al., "FlashAttention", 2022).
#include "lowering/halide/DeviceSoftmax.h"
#include "lowering/halide/NestBody.h"
#include "lowering/halide/ThreadRegisters.h"

#include <limits>
#include <optional>

using namespace Halide;
using namespace Halide::Internal;

namespace fovea::leaf {
namespace {

// A pipeline under construction.
struct Blocks {
  const NestBody &body;
  const NestSpec::Attend &a;
  const DeviceSoftmax softmax;
  Expr rows, keys, depth, columns;               // extents
  Expr rowBlocks, columnBlocks, keyBlocks;
  int down, across, acrossKeys;                  // elements of a thread: rows, columns, keys
  bool shuffles;                                 // whether the threads of a row are neighbours in a warp, and exchange registers
  Var block{"block"}, keyBlock{"key_block"}, i{"i"}, j{"j"}, c{"c"}, e{"e"}, chunk{"chunk"};
  Var tx{"tx"}, ty{"ty"}, x{"x"}, y{"y"};        // a thread, and its own elements

  explicit Blocks(const NestBody &body)
      : body(body), a(*body.spec.attend), softmax{body.spec.target == "cuda"}, down(a.queries / a.threadsDown), across(a.columns / a.threadsAcross), acrossKeys(a.keys / a.threadsAcross) {
    rows = a.row < 0 ? Expr(1) : body.extents[a.row], keys = body.extents[a.key], depth = body.extents[a.contracted], columns = body.extents[a.along];
    shuffles = softmax.cuda && 32 % a.threadsAcross == 0;
    rowBlocks = (rows + (a.queries - 1)) / a.queries, columnBlocks = (columns + (a.columns - 1)) / a.columns, keyBlocks = (keys + (a.keys - 1)) / a.keys;
  }

  Expr firstRow(Expr block) const { return (block / columnBlocks) % rowBlocks * a.queries; }
  Expr firstColumn(Expr block) const { return block % columnBlocks * a.columns; }

  // Where the loops over batches stand.
  std::vector<Expr> loopsAt(Expr block) const {
    std::vector<Expr> loops(body.spec.reduced.size());
    Expr rest = block / (columnBlocks * rowBlocks);
    for (size_t n = loops.size(); n-- > 0;) {
      if (body.spec.reduced[n] || int(n) == a.row || int(n) == a.along) continue;
      Expr extent = max(body.extents[n], 1);
      loops[n] = rest % extent;
      rest = rest / extent;
    }
    return loops;
  }

  NestBody::Point at(Expr block, Expr row, Expr key, Expr contracted, Expr along) const {
    NestBody::Point point{body, loopsAt(block)};
    if (a.row >= 0) point.loops[a.row] = row;
    point.loops[a.key] = key, point.loops[a.contracted] = contracted, point.loops[a.along] = along;
    return point;
  }

  // ---- which keys a block's rows may visit: the bounds that the mask's conjunction puts on the key

  bool depends(int step, int loop) const {
    const NestSpec::Step &s = body.spec.steps[step];
    if (s.op == "loop" && s.integer == loop) return true;
    if (s.op == "dot") return true;
    for (int n : s.args)
      if (depends(n, loop)) return true;
    return false;
  }

  // A step in 64 bits at a row, if it is a sum of the row and what does not depend on it: then it lies between its values at the first and last row.
  std::optional<Expr> straight(int step, const NestBody::Point &point) const {
    const NestSpec::Step &s = body.spec.steps[step];
    if (!depends(step, a.row < 0 ? -2 : a.row)) {
      Expr value = point.step(step);
      if (!value.type().is_int()) return std::nullopt;
      return cast<int64_t>(value);
    }
    if (s.op == "loop") return cast<int64_t>(point.loops[s.integer]);
    if (s.op != "addi" && s.op != "subi") return std::nullopt;
    auto l = straight(s.args[0], point), r = straight(s.args[1], point);
    if (!l || !r) return std::nullopt;
    return s.op == "addi" ? *l + *r : *l - *r;
  }

  // The sum of such steps, each with its sign.
  std::optional<Expr> total64(const std::vector<std::pair<int, int>> &terms, const NestBody::Point &point) const {
    Expr sum = Internal::make_zero(Int(64));
    for (auto [sign, n] : terms) {
      auto value = straight(n, point);
      if (!value) return std::nullopt;
      sum = sign > 0 ? sum + *value : sum - *value;
    }
    return sum;
  }

  // The key as `sign` * key + other steps: nothing if a step is not of this form.
  struct Sum {
    bool key = false;
    std::vector<std::pair<int, int>> others;     // sign, step
  };
  std::optional<Sum> sumOf(int step) const {
    const NestSpec::Step &s = body.spec.steps[step];
    if (!depends(step, a.key)) return Sum{false, {{1, step}}};
    if (s.op == "loop") return Sum{true, {}};
    if (s.op != "addi" && s.op != "subi") return std::nullopt;
    auto l = sumOf(s.args[0]), r = sumOf(s.args[1]);
    if (!l || !r || (l->key && r->key) || (s.op == "subi" && r->key)) return std::nullopt;
    for (auto [sign, n] : r->others) l->others.emplace_back(s.op == "addi" ? sign : -sign, n);
    l->key |= r->key;
    return l;
  }

  struct Range {
    Expr from, to;
  };
  // Narrows a range of keys by a condition of the block's rows.
  void narrow(int step, Expr block, Range &range) const {
    const NestSpec::Step &s = body.spec.steps[step];
    if (s.op == "andi") {
      narrow(s.args[0], block, range);
      narrow(s.args[1], block, range);
      return;
    }
    if (s.op != "cmpi_slt" && s.op != "cmpi_sle" && s.op != "cmpi_sgt" && s.op != "cmpi_sge") return;
    auto l = sumOf(s.args[0]), r = sumOf(s.args[1]);
    if (!l || !r || l->key == r->key) return;
    const bool keyLeft = l->key, less = s.op == "cmpi_slt" || s.op == "cmpi_sle", equal = s.op == "cmpi_sle" || s.op == "cmpi_sge";
    if (!keyLeft) std::swap(l, r);
    // key + l < r: key < r - l, and so on. In 64 bits; what wraps in 32 bounds nothing.
    Expr low, high;
    Expr first = firstRow(block), last = min(first + a.queries, rows) - 1;
    for (const Expr &row : {first, last}) {
      NestBody::Point point = at(block, row, Expr(), Expr(), Expr());
      const std::optional<Expr> right = total64(r->others, point), left = total64(l->others, point);
      if (!right || !left) return;
      const Expr sum = *right, keyPart = *left;
      // Neither side may leave 32 bits for any key.
      Expr largest = Internal::make_const(Int(64), std::numeric_limits<int32_t>::max());
      Expr fits = sum <= largest && sum >= -largest && keyPart >= -largest && keyPart + cast<int64_t>(keys) <= largest;
      Expr bound = sum - keyPart, all = cast<int64_t>(keys), none = Internal::make_zero(Int(64));
      bool upper = less == keyLeft;
      if (upper) bound = equal ? bound + Internal::make_one(Int(64)) : bound;
      else bound = equal ? bound : bound + Internal::make_one(Int(64));
      bound = cast<int32_t>(clamp(select(fits, bound, upper ? all : none), none, all));
      low = low.defined() ? min(low, bound) : bound;
      high = high.defined() ? max(high, bound) : bound;
    }
    if (less == keyLeft) range.to = min(range.to, high);
    else range.from = max(range.from, low);
  }

  BlockRange visited() const {
    Range range{0, keys};
    narrow(a.keep, block, range);
    Expr from = range.from / a.keys, to = (range.to + (a.keys - 1)) / a.keys;
    if (a.part >= 0) {
      Expr each = (keyBlocks + (body.extents[a.part] - 1)) / max(body.extents[a.part], 1), first = loopsAt(block)[a.part] * each;
      from = max(from, first), to = min(to, first + each);
    }
    return {accumulator.name() + ".s1.", block.name(), from, to};
  }

  // Whether there is a mask at all.
  bool masks() const {
    const NestSpec::Step &keep = body.spec.steps[a.keep];
    return keep.op != "bool" || !keep.integer;
  }

  // ---- the pipeline

  // Tiles in shared memory; 0 beyond the tensors, where nothing is read.
  Func queries{"queries"}, keyTile{"keys"}, values{"values"};
  // Thread (tx, ty) has keys tx * acrossKeys + x, columns tx * across + x and rows ty * down + y of a block, and after its columns the sum and the maximum of each row.
  Func dot{"dot"}, score{"score"}, weight{"weight"}, sums{"sums"}, accumulator{"accumulator"};
  // Of a block of keys: all weights; and whether a key has one in any row, first folded by each thread.
  Func weights{"weights"}, wanted{"wanted"}, wantedAtAll{"wanted_at_all"};
  // A value of each row, folded from its keys: by each thread from its own, and then, unless threads have shuffled, through shared memory.
  struct Fold {
    Func own, listed, whole;
    explicit Fold(const std::string &name) : own(name), listed(name + "_listed"), whole(name + "_whole") {}
  };
  Fold top{"top"}, total{"total"};
  Func results{"results"}, rowState{"row_state"}, out{"out"};
  Var t{"t"};                                    // who folded
  RDom k, blocks, r;                             // contracted steps; what a thread has of a row, and blocks of keys; the points of all blocks
  RDom ownRows, ownKeys, allDown, allAcross, lanes, keysOf;

  void scores() {
    Expr row = firstRow(block) + i, key = keyBlock * a.keys + j, contracted = chunk * a.depth + c;
    Expr rowIn = min(row, rows - 1), keyIn = min(key, keys - 1), contractedIn = min(contracted, depth - 1);
    queries(c, i, chunk, block) = select(contracted < depth && row < rows, at(block, rowIn, Expr(), contractedIn, Expr()).step(a.queryElement), 0.f);
    keyTile(c, j, chunk, keyBlock, block) = select(contracted < depth && key < keys, at(block, Expr(), keyIn, contractedIn, Expr()).step(a.keyElement), 0.f);
    k = RDom({{0, a.depth}, {0, (depth + (a.depth - 1)) / a.depth}}, "k");
    const std::vector<Var> mine = {x, y, tx, ty, keyBlock, block};
    dot(mine) = 0.f;
    dot(mine) += queries(k.x, ty * down + y, k.y, block) * keyTile(k.x, tx * acrossKeys + x, k.y, keyBlock, block);
    Expr myKey = keyBlock * a.keys + tx * acrossKeys + x;
    NestBody::Point point = at(block, min(myRow(), rows - 1), min(myKey, keys - 1), Expr(), Expr());
    point.dot = dot(mine);
    Expr keep = point.step(a.keep) && myRow() < rows && myKey < keys, value = point.step(a.score);
    if (a.pointwise) score(mine) = select(keep, value, 0.f);
    else score(mine) = select(keep, value * softmax.unit(), emptyMaximum);
  }

  Expr myRow() const { return firstRow(block) + ty * down + y; }
  Expr masked(const Expr &s) const { return a.pointwise ? strictEqual(s, 0.f) : softmax.removes(s); }

  // What the thread `distance` lanes away has, either way.
  static Expr fromLane(Expr value, Expr distance) {
    return Call::make(Float(32), "llvm.nvvm.shfl.sync.bfly.f32", {Expr(-1), std::move(value), std::move(distance), Expr(31)}, Call::PureExtern);
  }

  template <typename Join>
  void fold(Fold &f, const Func &values, float none, Join join) {
    const std::vector<Expr> own = {y, tx, ty, keyBlock, block}, row = {i, keyBlock, block};
    f.own(y, tx, ty, keyBlock, block) = none;
    f.own(own) = join(f.own(own), values(ownKeys, y, tx, ty, keyBlock, block));
    if (shuffles) {
      f.own(own) = join(f.own(own), fromLane(f.own(own), 1 << lanes));
      return;
    }
    f.listed(t, i, keyBlock, block) = f.own(i % down, t, i / down, keyBlock, block);
    f.whole(i, keyBlock, block) = none;
    f.whole(row) = join(f.whole(row), f.listed(allAcross, i, keyBlock, block));
  }
  // A row's value, as a thread finds it.
  Expr folded(const Fold &f, Expr keyBlock) const { return shuffles ? f.own(y, tx, ty, keyBlock, block) : f.whole(ty * down + y, keyBlock, block); }

  void weigh() {
    int steps = 0;                               // of a butterfly
    while (1 << steps < a.threadsAcross) steps++;
    lanes = RDom(0, steps, "lanes");
    ownRows = RDom(0, down, "own_rows"), ownKeys = RDom(0, acrossKeys, "own_keys");
    allDown = RDom(0, a.threadsDown, "all_down"), allAcross = RDom(0, a.threadsAcross, "all_across"), keysOf = RDom(0, a.keys, "keys_of");
    wanted(j, t, keyBlock, block) = 0;
    wanted(j, t, keyBlock, block) = wanted(j, t, keyBlock, block) | select(masked(score(j % acrossKeys, ownRows, j / acrossKeys, t, keyBlock, block)), 0, 1);
    wantedAtAll(j, keyBlock, block) = 0;
    wantedAtAll(j, keyBlock, block) = wantedAtAll(j, keyBlock, block) | wanted(j, allDown, keyBlock, block);
    // A key without weight in any row may have any value: it counts as 0.
    Expr key = keyBlock * a.keys + j, column = firstColumn(block) + e;
    Expr used = column < columns && key < keys && (masks() ? wantedAtAll(j, keyBlock, block) != 0 : const_true());
    values(e, j, keyBlock, block) = select(used, at(block, Expr(), min(key, keys - 1), Expr(), min(column, columns - 1)).step(a.valueElement), 0.f);

    Expr s = score(x, y, tx, ty, keyBlock, block);
    if (!a.pointwise) fold(top, score, emptyMaximum, [&](Expr a, Expr b) { return softmax.larger(a, b); });
    weight(x, y, tx, ty, keyBlock, block) = a.pointwise ? s : select(masked(s), 0.f, softmax.weight(s, folded(top, keyBlock)));
    if (!a.pointwise) fold(total, weight, 0.f, [](Expr a, Expr b) { return a + b; });
    weights(j, i, keyBlock, block) = weight(j % acrossKeys, i % down, j / acrossKeys, i / down, keyBlock, block);
    sums(x, y, tx, ty, keyBlock, block) = 0.f;
    sums(x, y, tx, ty, keyBlock, block) += weights(keysOf, ty * down + y, keyBlock, block) * values(tx * across + x, keysOf, keyBlock, block);
  }

  // What a thread keeps of a row: its columns of the accumulator, and the sum and the maximum, which are stored last and so read as they were.
  int kept() const { return a.pointwise ? across : across + 2; }

  void merge() {
    blocks = RDom({{0, kept()}, {0, keyBlocks}}, "blocks");
    RVar n = blocks.x, b = blocks.y;
    Expr added = sums(min(n, across - 1), y, tx, ty, b, block);
    if (a.pointwise) {
      accumulator(x, y, tx, ty, block) = 0.f;
      accumulator(n, y, tx, ty, block) += added;
      return;
    }
    NestBody::Point sink = at(block, min(myRow(), rows - 1), Expr(), Expr(), Expr());
    Expr maximum = emptyMaximum, sum = 0.f;     // with the sinks, in the first part
    for (int step : a.sinks) maximum = max(maximum, sink.step(step) * softmax.unit());
    for (int step : a.sinks) sum = sum + softmax.weight(sink.step(step) * softmax.unit(), maximum);
    if (a.part >= 0 && !a.sinks.empty()) {
      Expr first = loopsAt(block)[a.part] == 0;
      sum = select(first, sum, 0.f), maximum = select(first, maximum, emptyMaximum);
    }
    accumulator(x, y, tx, ty, block) = select(x < across, 0.f, x == across, sum, maximum);
    Expr before = accumulator(across + 1, y, tx, ty, block), blockTop = folded(top, b), now = softmax.larger(before, blockTop);
    Expr shrink = softmax.weight(before, now), grow = softmax.weight(blockTop, now);
    accumulator(n, y, tx, ty, block) = select(n > across, now, accumulator(n, y, tx, ty, block) * shrink + select(n < across, added, folded(total, b)) * grow);
  }

  // One loop nest over all blocks and threads, from results in shared memory: neighbouring threads store neighbouring columns. What lies beyond the
  // tensor is not written.
  void store() {
    auto last = [&](Expr n) { return accumulator(std::move(n), i % down, e / across, i / down, block); };
    const bool asItIs = a.pointwise || a.part >= 0;
    results(e, i, block) = asItIs ? Expr(last(e % across)) : select(strictEqual(last(across), 0.f), 0.f, last(e % across) / last(across));
    Expr allBlocks = rowBlocks * columnBlocks;
    for (size_t n = 0; n < body.spec.reduced.size(); n++)
      if (!body.spec.reduced[n] && int(n) != a.row && int(n) != a.along) allBlocks = allBlocks * body.extents[n];
    // Of a part, after its columns, the sum and the maximum: one more step of the first two threads of each row.
    const bool state = a.part >= 0 && !a.pointwise;
    if (state) rowState(tx, i, block) = select(tx == 0, accumulator(across, i % down, tx, i / down, block), accumulator(across + 1, i % down, tx, i / down, block));
    r = RDom({{0, across + state}, {0, down}, {0, a.threadsAcross}, {0, a.threadsDown}, {0, allBlocks}}, "r");
    Expr column = r[0] * a.threadsAcross + r[2], row = r[1] * a.threadsDown + r[3];
    Expr outRow = firstRow(r[4]) + row, outColumn = firstColumn(r[4]) + column;
    Expr value = results(column, row, r[4]), exists = outColumn < columns;
    if (state) {
      value = select(r[0] < across, results(min(column, a.columns - 1), row, r[4]), rowState(min(r[2], 1), row, r[4]));
      exists = select(r[0] < across, exists, r[2] < 2 && firstColumn(r[4]) == 0);
      outColumn = select(r[0] < across, outColumn, columns + r[2]);
    }
    r.where(outRow < rows && exists);
    Var u("u");
    Expr stored = body.stored(0, value);
    out(u) = undef(stored.type());
    out(body.place(body.spec.outputs[0].buffer, body.axesAt(at(r[4], outRow, Expr(), Expr(), outColumn).loops))) = stored;
  }

  // In registers: each thread its own elements.
  void perThread(Func f, int elements) {
    f.store_in(MemoryType::Register).bound(x, 0, elements).bound(y, 0, down).bound(tx, 0, a.threadsAcross).bound(ty, 0, a.threadsDown);
    f.unroll(x).unroll(y).gpu_threads(tx, ty);
  }
  // In shared memory, by all threads, neighbours side by side.
  void cooperative(Func f, Var first, int extent, Var second, int extent2) {
    Var fo("fo"), so("so");
    f.bound_extent(first, extent).bound_extent(second, extent2);
    f.split(first, fo, tx, a.threadsAcross, TailStrategy::GuardWithIf).split(second, so, ty, a.threadsDown, TailStrategy::GuardWithIf);
    f.reorder(fo, so, tx, ty).gpu_threads(tx, ty);
  }
  // In shared memory, by the threads that have the elements.
  void byOwner(Func f, Var first, int elements) {
    f.split(first, tx, x, elements).split(i, ty, y, down).reorder(x, y, tx, ty).unroll(x).unroll(y).gpu_threads(tx, ty);
  }

  void schedule() {
    out.update().allow_race_conditions().gpu_threads(r[2], r[3]).gpu_blocks(r[4]);
    results.compute_at(out, r[4]).bound_extent(e, a.columns).bound_extent(i, a.queries);
    byOwner(results, e, across);
    if (rowState.defined()) rowState.compute_at(out, r[4]).bound(tx, 0, 2).bound_extent(i, a.queries).split(i, ty, y, down).reorder(y, tx, ty).unroll(y).gpu_threads(tx, ty);
    accumulator.compute_at(out, r[4]);
    perThread(accumulator, kept());
    accumulator.update().reorder(blocks.x, y, tx, ty, blocks.y, block).unroll(blocks.x).unroll(y).gpu_threads(tx, ty);

    for (Func f : {sums, values, weights, weight, score, dot}) f.compute_at(accumulator, blocks.y);
    perThread(sums, across);
    sums.update().reorder(x, y, keysOf.x, tx, ty).unroll(x).unroll(y).gpu_threads(tx, ty);
    cooperative(values, e, a.columns, j, a.keys);
    weights.bound_extent(j, a.keys).bound_extent(i, a.queries);
    byOwner(weights, j, acrossKeys);
    perThread(weight, acrossKeys);
    if (!a.pointwise) {
      scheduleFold(top);
      scheduleFold(total);
    }
    if (masks()) scheduleWanted();

    perThread(score, acrossKeys);
    perThread(dot, acrossKeys);
    dot.update().reorder(x, y, k.x, tx, ty, k.y).unroll(x).unroll(y).gpu_threads(tx, ty);
    if (a.unroll) dot.update().unroll(k.x);
    queries.compute_at(dot, k.y);
    cooperative(queries, c, a.depth, i, a.queries);
    keyTile.compute_at(dot, k.y);
    cooperative(keyTile, c, a.depth, j, a.keys);
  }

  void scheduleFold(Fold &f) {
    f.own.compute_at(accumulator, blocks.y).store_in(MemoryType::Register).bound(y, 0, down).bound(tx, 0, a.threadsAcross).bound(ty, 0, a.threadsDown);
    f.own.unroll(y).gpu_threads(tx, ty);
    f.own.update().reorder(ownKeys.x, y, tx, ty).unroll(ownKeys.x).unroll(y).gpu_threads(tx, ty);
    if (shuffles) {
      f.own.update(1).reorder(y, lanes.x, tx, ty).unroll(lanes.x).unroll(y).gpu_threads(tx, ty);
      return;
    }
    f.listed.compute_at(accumulator, blocks.y).bound(t, 0, a.threadsAcross).bound_extent(i, a.queries);
    f.listed.split(i, ty, y, down).reorder(y, t, ty).unroll(y).gpu_threads(t, ty);
    Var io("io");
    const int wide = a.threadsAcross;          // rows side by side, so that no thread has more than its share
    f.whole.compute_at(accumulator, blocks.y).bound_extent(i, a.queries).split(i, io, i, wide, TailStrategy::GuardWithIf).gpu_threads(i, io);
    f.whole.update().split(i, io, i, wide, TailStrategy::GuardWithIf).reorder(allAcross.x, i, io).unroll(allAcross.x).gpu_threads(i, io);
  }

  void scheduleWanted() {
    wanted.compute_at(accumulator, blocks.y).bound_extent(j, a.keys).bound(t, 0, a.threadsDown);
    wanted.split(j, tx, x, acrossKeys).reorder(x, tx, t).unroll(x).gpu_threads(tx, t);
    wanted.update().split(j, tx, x, acrossKeys).reorder(ownRows.x, x, tx, t).unroll(x).unroll(ownRows.x).gpu_threads(tx, t);
    wantedAtAll.compute_at(accumulator, blocks.y).bound_extent(j, a.keys).split(j, tx, x, acrossKeys).reorder(x, tx).unroll(x).gpu_threads(tx);
    wantedAtAll.update().split(j, tx, x, acrossKeys).reorder(allDown.x, x, tx).unroll(x).gpu_threads(tx);
  }

  Func build() {
    scores();
    weigh();
    merge();
    store();
    schedule();
    return out;
  }
};

}  // namespace

Module compileBlocks(const NestBody &body, const Target &target) {
  Blocks blocks(body);
  Pipeline pipeline(blocks.build());
  const BlockRange range = blocks.visited();
  std::unique_ptr<IRMutator> own = threadRegisters({"dot", "score", "weight", "top", "total", "sums", "accumulator"}, blocks.masks() || body.spec.attend->part >= 0 ? &range : nullptr);
  pipeline.add_custom_lowering_pass(own.get(), [] {});
  return pipeline.compile_to_module(body.arguments, body.spec.name, target, LinkageType::ExternalPlusArgv);
}

}  // namespace fovea::leaf
