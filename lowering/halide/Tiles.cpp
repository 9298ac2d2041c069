// A contraction as one GPU kernel: a block of threads for each tile of rows and columns of the result. What depends on one side of a tile goes through
// shared memory, some reduced steps at a time; a thread holds its part of the result in registers. Reduced steps are taken in order, whatever the tile.
#include "lowering/halide/NestBody.h"
#include "lowering/halide/NestPlan.h"
#include "lowering/halide/ThreadRegisters.h"

#include <memory>

using namespace Halide;
using namespace Halide::Internal;

namespace fovea::leaf {
namespace {

// A pipeline under construction.
struct Tiled {
  const NestBody &body;
  const NestSpec::Tiles &t;
  const TileParts parts;
  std::vector<int> batches, reduced;             // loops
  Expr rows, columns, depth;                     // extents
  Expr rowBlocks, columnBlocks, chunks;
  int down, across;                              // elements of a thread
  Var block{"block"}, i{"i"}, j{"j"}, c{"c"}, chunk{"chunk"};
  Var tx{"tx"}, ty{"ty"}, x{"x"}, y{"y"};        // a thread, and its own elements: rows ty * down + y, columns tx * across + x
  RDom k, r;                                     // reduced steps; the points of all blocks
  Func sum{"sum"}, results{"results"}, out{"out"};
  std::vector<Func> shared;                      // of parts that are reduced
  std::vector<Func> held;                        // and of others

  explicit Tiled(const NestBody &body)
      : body(body), t(*body.spec.tiles), parts(tileParts(body.spec)), down(t.rows / t.threadsDown), across(t.columns / t.threadsAcross) {
    for (size_t n = 0; n < body.spec.reduced.size(); n++) {
      auto along = [&](const std::vector<int> &side) { return std::count(side.begin(), side.end(), int(n)) != 0; };
      if (body.spec.reduced[n]) reduced.push_back(int(n));
      else if (!along(t.down) && !along(t.across)) batches.push_back(int(n));
    }
    rows = body.times(t.down), columns = body.times(t.across), depth = body.times(reduced);
    rowBlocks = up(rows, t.rows), columnBlocks = up(columns, t.columns), chunks = up(depth, t.depth);
  }

  static Expr up(const Expr &extent, int size) { return quotient(extent, size) + select(extent % size == 0, 0, 1); }

  Expr firstColumn(Expr b) const { return (b - quotient(b, columnBlocks) * columnBlocks) * t.columns; }
  Expr firstRow(Expr b) const {
    Expr bands = quotient(b, columnBlocks);
    return (bands - quotient(bands, rowBlocks) * rowBlocks) * t.rows;
  }
  Expr myRow() const { return min(firstRow(block) + ty * down + y, rows - 1); }
  Expr myColumn() const { return min(firstColumn(block) + tx * across + x, columns - 1); }

  NestBody::Point at(Expr b, Expr row, Expr column, Expr step) const {
    NestBody::Point point{body, std::vector<Expr>(body.spec.reduced.size())};
    body.stand(point.loops, batches, quotient(b, columnBlocks * rowBlocks));
    if (row.defined()) body.stand(point.loops, t.down, row);
    if (column.defined()) body.stand(point.loops, t.across, column);
    if (step.defined()) body.stand(point.loops, reduced, step);
    return point;
  }

  // A bool is a byte in memory.
  static Expr packed(Expr value) { return value.type().is_bool() ? cast<uint8_t>(value) : value; }
  static Expr unpacked(Expr value, Type type) { return type.is_bool() ? value != cast<uint8_t>(0) : value; }

  // Rows and columns beyond the last are the last; reduced steps beyond it are 0.
  Expr share(const TilePart &part) {
    Func f("shared");
    shared.push_back(f);
    Expr step = chunk * t.depth + c;
    NestBody::Point point = at(block, min(firstRow(block) + i, rows - 1), min(firstColumn(block) + j, columns - 1), min(step, depth - 1));
    Expr value = point.step(part.step), stored = select(step < depth, packed(value), make_zero(packed(value).type()));
    std::vector<Var> places = {c, chunk, block};
    std::vector<Expr> from = {k.x, k.y, block};
    if (part.down) places.insert(places.begin(), i), from.insert(from.begin(), ty * down + y);
    if (part.across) places.insert(places.begin(), j), from.insert(from.begin(), tx * across + x);
    f(places) = stored;
    return unpacked(f(from), value.type());
  }

  Expr hold(const TilePart &part) {
    Func f("held");
    held.push_back(f);
    Expr value = at(block, myRow(), myColumn(), Expr()).step(part.step);
    std::vector<Var> places = {tx, ty, block};
    if (part.down) places.insert(places.begin(), y);
    if (part.across) places.insert(places.begin(), x);
    f(places) = packed(value);
    return unpacked(f(std::vector<Expr>(places.begin(), places.end())), value.type());
  }

  void contract() {
    k = RDom({{0, t.depth}, {0, chunks}}, "k");
    Expr step = k.y * t.depth + k.x;
    if (!parts.zeros) k.where(step < depth);
    const std::vector<Var> mine = {x, y, tx, ty, block};
    NestBody::Point point = at(block, myRow(), myColumn(), parts.zeros ? min(step, depth - 1) : step);
    for (const TilePart &part : parts.parts) point.known[part.step] = part.reduced ? share(part) : hold(part);
    sum(mine) = body.initial(0, body.axesAt(point.loops));
    point.before = [&](size_t) -> Expr { return sum(mine); };
    sum(mine) = point.step(body.spec.outputs[0].value);
  }

  // From shared memory: neighbouring threads store neighbouring columns. What lies beyond the tensor is not written.
  void store() {
    results(j, i, block) = sum(j % across, i % down, j / across, i / down, block);
    r = RDom({{0, across}, {0, down}, {0, t.threadsAcross}, {0, t.threadsDown}, {0, rowBlocks * columnBlocks * body.times(batches)}}, "r");
    Expr column = r[0] * t.threadsAcross + r[2], row = r[1] * t.threadsDown + r[3];
    Expr outRow = firstRow(r[4]) + row, outColumn = firstColumn(r[4]) + column;
    r.where(outRow < rows && outColumn < columns);
    Var u("u");
    Expr stored = body.stored(0, results(column, row, r[4]));
    out(u) = undef(stored.type());
    out(body.place(body.spec.outputs[0].buffer, body.axesAt(at(r[4], outRow, outColumn, Expr()).loops))) = stored;
  }

  // Whether neighbours in memory are neighbours along a side of the tile, not along the reduced steps.
  bool liesAlongSide(const TilePart &part) const {
    std::vector<int> work{part.step};
    while (!work.empty()) {
      const NestSpec::Step &s = body.spec.steps[work.back()];
      work.pop_back();
      if (s.op != "load") {
        work.insert(work.end(), s.args.rbegin(), s.args.rend());
        continue;
      }
      if (s.args.empty()) continue;
      const NestSpec::Step &last = body.spec.steps[s.args.back()];
      return last.op == "loop" && !body.spec.reduced[last.integer];
    }
    return false;
  }

  // In shared memory, by all threads, those side by side in memory side by side.
  void cooperative(Func f, const TilePart &part) {
    Var all("all"), own("own");
    f.compute_at(sum, k.y).bound_extent(c, t.depth);
    if (!part.down && !part.across) {
      f.split(c, own, tx, t.threadsAcross, TailStrategy::GuardWithIf).reorder(own, tx).gpu_threads(tx);
      return;
    }
    const bool alongSide = liesAlongSide(part);
    Var side = part.down ? i : j, first = alongSide ? side : c, second = alongSide ? c : side;
    const int extent = part.down ? t.rows : t.columns;
    // One after the other, whatever the sides: a guard around a loop would be one thread's, and PoCL 3.1 loses steps of such loops.
    f.bound_extent(side, extent).reorder(first, second).fuse(first, second, all);
    f.split(all, own, all, t.threadsAcross * t.threadsDown, TailStrategy::GuardWithIf).split(all, ty, tx, t.threadsAcross).reorder(own, tx, ty).gpu_threads(tx, ty);
    if (t.unroll) f.unroll(own);
    if (!alongSide) f.align_storage(side, extent + 4);  // neighbours along the reduced steps in different banks
  }

  void perThread(Func f, bool along, bool rowsOf) {
    f.store_in(MemoryType::Register).bound(tx, 0, t.threadsAcross).bound(ty, 0, t.threadsDown);
    if (along) f.bound(x, 0, across).unroll(x);
    if (rowsOf) f.bound(y, 0, down).unroll(y);
    f.gpu_threads(tx, ty);
  }

  Func build() {
    contract();
    store();
    out.update().allow_race_conditions().gpu_threads(r[2], r[3]).gpu_blocks(r[4]);
    results.compute_at(out, r[4]).bound_extent(j, t.columns).bound_extent(i, t.rows);
    results.split(j, tx, x, across).split(i, ty, y, down).reorder(x, y, tx, ty).unroll(x).unroll(y).gpu_threads(tx, ty);
    sum.compute_at(out, r[4]);
    perThread(sum, true, true);
    sum.update().reorder(x, y, k.x, tx, ty, k.y).unroll(x).unroll(y).gpu_threads(tx, ty);
    if (t.unroll) sum.update().unroll(k.x);
    size_t sharedParts = 0, heldParts = 0;
    for (const TilePart &part : parts.parts) {
      if (part.reduced) {
        cooperative(shared[sharedParts++], part);
      } else {
        Func &f = held[heldParts++];
        f.compute_at(out, r[4]);
        perThread(f, part.across, part.down);
      }
    }
    return out;
  }
};

}  // namespace

Module compileTiles(const NestBody &body, const Target &target) {
  Tiled tiled(body);
  Pipeline pipeline(tiled.build());
  std::unique_ptr<IRMutator> own = threadRegisters({"sum", "held"}, nullptr);
  pipeline.add_custom_lowering_pass(own.get(), [] {});
  return pipeline.compile_to_module(body.arguments, body.spec.name, target, LinkageType::ExternalPlusArgv);
}

}  // namespace fovea::leaf
