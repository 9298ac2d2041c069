// attn-loops: linalg on buffers becomes scf loops. What attn.support says about a reduction becomes the bounds of its loops
// (rule M5); what cannot be bounded is tested per point. One dimension becomes vectors where the body allows it; the outer parallel
// loops are flattened into blocks of enough work.
#include "dialect/Attn.h"
#include "lowering/Count.h"
#include "lowering/LoopBody.h"
#include "lowering/Passes.h"
#include "lowering/Support.h"
#include "lowering/halide/LeafSpec.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

#include <functional>

using namespace mlir;

namespace fovea {
namespace {

constexpr int64_t pointsPerBlock = 16384;  // a block of a parallel loop has at least about so many points: some 10 us of work
constexpr int64_t mostAccumulators = 4;    // vectors that one loop adds to side by side: enough to hide the latency of an addition
constexpr int64_t leastLanes = 4;          // shorter dimensions stay scalar
constexpr int64_t lanesToGather = 8;       // machines of narrower vectors have no gathers
constexpr int64_t exactLanes = 16;         // of a quantised model's stages, on every machine: sums over lanes are then the same on all of them
constexpr int64_t fewPoints = 16;          // bounds of shorter loops spare less than vectors do

bool inExactRows(Operation *op) {
  auto function = op->getParentOfType<func::FuncOp>();
  return function && function->hasAttr("attn.exact_rows");
}

// Of a model's stage, a line's result must not depend on its neighbours in the batch: a sum over an axis that is padded to the longest
// line is taken in order, or the padding would decide how it is split over lanes.
bool sumsInOrder(linalg::LinalgOp op) {
  if (!inExactRows(op)) return false;
  SmallVector<int64_t> ranges = op.getStaticLoopRanges();
  for (auto [d, kind] : llvm::enumerate(op.getIteratorTypesArray()))
    if (kind == utils::IteratorType::reduction && ShapedType::isDynamic(ranges[d])) return true;
  return false;
}

// The loops of one linalg op.
class LoopNest {
 public:
  // `tileRows`, `tileVectors`: of a product, what the registers hold.
  LoopNest(linalg::LinalgOp op, int64_t machineLanes, int64_t tileRows, int64_t tileVectors)
      : op(op), b(op), loc(op.getLoc()), body(op, b, inExactRows(op), sumsInOrder(op)), ranges(op.getStaticLoopRanges()), machineLanes(machineLanes), tileRows(tileRows),
        tileVectors(tileVectors) {}

  void run() {
    // An extent that any operand's type knows is a constant: loops of known length need no tail.
    for (auto [range, known] : llvm::zip(op.createLoopRanges(b, loc), ranges))
      extents.push_back(ShapedType::isDynamic(known) ? getValueOrCreateConstantIndexOp(b, loc, range.size) : constant(known));
    for (auto [d, kind] : llvm::enumerate(op.getIteratorTypesArray()))
      (kind == utils::IteratorType::parallel ? parallel : reduced).push_back(d);
    if (auto marked = Counting::of(op); marked && (marked->masked() || keep())) counting = marked;
    if (op->hasAttr("attn.window") && window()) return op->erase();
    chooseVectors();
    SmallVector<unsigned> outer(parallel);
    if (inner) outer.erase(llvm::find(outer, *inner));
    chooseTile(outer);
    // A plain inner loop when there is nothing else inside, so that its addresses are simple.
    bool plain = !inner && reduced.empty() && !outer.empty();
    if (plain) inner = outer.pop_back_val();
    if (outer.empty()) innerLoops();
    else blocks(outer);
    op->erase();
  }

 private:
  Value constant(int64_t v) { return arith::ConstantIndexOp::create(b, loc, v); }

  // ---- which dimension becomes vectors

  void chooseVectors() {
    if (!machineLanes) return;
    const bool bounds = !parallel.empty() && losesBounds(parallel.back());
    if ((!bounds && alongParallel()) || alongOneReduced()) return;
    // Lanes visit more than steps save, unless these are longer.
    if (bounds && llvm::none_of(reduced, [&](unsigned d) { return stepAlong(d) >= machineLanes; })) alongParallel();
  }

  bool alongParallel() {
    if (parallel.empty() || !fits(parallel.back())) return false;
    inner = parallel.back();
    lanes = lanesFor(*inner);
    return true;
  }

  bool alongOneReduced() {
    for (unsigned d : llvm::reverse(reduced))
      if (stepAlong(d) < leastLanes && fits(d)) {
        reduced.erase(llvm::find(reduced, d));
        reduced.push_back(d);  // innermost
        alongReduced = true;
        lanes = lanesFor(d);
        return true;
      }
    return false;
  }

  // Of a product inside a parallel loop, several positions of a second parallel dimension, whose vectors are the same, are summed side by side.
  void chooseTile(SmallVector<unsigned> &outer) {
    if (!inner || !lanes || reduced.empty() || op.getNumDpsInits() != 1 || counting || !op->getParentOfType<scf::ParallelOp>()) return;
    auto ofProduct = [](Operation &o) {
      return isa<arith::MulFOp, arith::AddFOp, arith::ExtFOp, arith::SelectOp, attn::SupportOp, arith::AndIOp, arith::CmpIOp, arith::IndexCastOp, arith::ConstantOp, linalg::IndexOp>(o);
    };
    if (!llvm::all_of(op.getBlock()->without_terminator(), ofProduct) || llvm::range_size(op.getBlock()->getOps<arith::AddFOp>()) != 1) return;
    for (unsigned d : llvm::reverse(outer)) {
      if (keep() && body.dependsOn(keep(), d)) continue;
      bool shares = llvm::any_of(op.getDpsInputOperands(), [&](OpOperand *input) {
        AffineMap map = op.getMatchingIndexingMap(input);
        return map.isFunctionOfDim(*inner) && !map.isFunctionOfDim(d) && !body.block()->getArgument(input->getOperandNumber()).use_empty();
      });
      if (!shares) continue;
      tiled = d;
      outer.erase(llvm::find(outer, d));
      return;
    }
  }

  // Whether vectors along a dimension lose the bounds of a long loop: conditions that vary over both of them.
  bool losesBounds(unsigned d) {
    std::function<bool(Value)> ties = [&](Value condition) {
      if (auto both = condition.getDefiningOp<arith::AndIOp>()) return ties(both.getLhs()) || ties(both.getRhs());
      return body.dependsOn(condition, d) &&
             llvm::any_of(reduced, [&](unsigned r) { return (ShapedType::isDynamic(ranges[r]) || ranges[r] > fewPoints) && body.dependsOn(condition, r); });
    };
    return keep() && ties(keep());
  }

  bool fits(unsigned d) { return (ShapedType::isDynamic(ranges[d]) || ranges[d] >= leastLanes) && body.vectorises(d, machineLanes >= lanesToGather); }

  int64_t lanesFor(unsigned d) {
    int64_t count = machineLanes;
    while (!ShapedType::isDynamic(ranges[d]) && count > leastLanes && count / 2 >= ranges[d]) count /= 2;
    return count;
  }

  // ---- loops over parallel dimensions

  // One loop over blocks of the flattened dimensions; within a block, a loop over its points. Where the mask bounds one of them, the block is a
  // loop over rows of that dimension, each within its bounds, and those after it are loops of their own.
  void blocks(ArrayRef<unsigned> dims) {
    size_t flat = dims.size();
    while (flat && conditionsOn(dims[flat - 1]).empty()) flat--;
    std::optional<unsigned> bounded;
    if (flat) bounded = dims[flat - 1];
    ArrayRef<unsigned> others = dims.drop_front(flat ? flat : dims.size());
    dims = dims.drop_back(others.size());
    Value one = constant(1), total = one, within = one;
    for (unsigned d : dims) total = arith::MulIOp::create(b, loc, total, extents[d]);
    for (unsigned d = 0; d < extents.size(); d++)
      if (!llvm::is_contained(dims, d)) within = arith::MulIOp::create(b, loc, within, extents[d]);
    OpBuilder::InsertionGuard guard(b);
    Value first = constant(0), last = total;
    if (!op->getParentOfType<scf::ParallelOp>()) {
      Value perBlock = arith::MaxSIOp::create(b, loc, one, arith::DivSIOp::create(b, loc, constant(pointsPerBlock), arith::MaxSIOp::create(b, loc, within, one)));
      Value count = arith::CeilDivSIOp::create(b, loc, total, perBlock);
      auto loop = scf::ParallelOp::create(b, loc, ValueRange{first}, ValueRange{count}, ValueRange{one});
      b.setInsertionPointToStart(loop.getBody());
      first = arith::MulIOp::create(b, loc, loop.getInductionVars()[0], perBlock);
      last = arith::MinSIOp::create(b, loc, arith::AddIOp::create(b, loc, first, perBlock), total);
    }
    if (bounded) return rows(dims, others, first, last);
    auto points = scf::ForOp::create(b, loc, first, last, one);
    b.setInsertionPointToStart(points.getBody());
    place(dims, points.getInductionVar());
    innerLoops();
  }

  // The positions of flattened dimensions.
  void place(ArrayRef<unsigned> dims, Value rest) {
    for (unsigned k = dims.size(); k-- > 1;) {
      body.positions[dims[k]] = arith::RemUIOp::create(b, loc, rest, extents[dims[k]]);
      rest = arith::DivUIOp::create(b, loc, rest, extents[dims[k]]);
    }
    if (!dims.empty()) body.positions[dims[0]] = rest;
  }

  // The points first .. last of the flattened dimensions, of the last of them only those that its conditions leave.
  void rows(ArrayRef<unsigned> dims, ArrayRef<unsigned> others, Value first, Value last) {
    unsigned dim = dims.back();
    Value size = arith::MaxSIOp::create(b, loc, extents[dim], constant(1));
    loop(arith::DivUIOp::create(b, loc, first, size), arith::CeilDivUIOp::create(b, loc, last, size), 1, [&](Value row) {
      place(dims.drop_back(), row);
      Value begin = arith::MulIOp::create(b, loc, row, size);
      Value from = arith::MaxSIOp::create(b, loc, constant(0), arith::SubIOp::create(b, loc, first, begin));
      Value end = arith::MinSIOp::create(b, loc, arith::SubIOp::create(b, loc, last, begin), size);
      SmallVector<unsigned> inside(others);
      if (inner) inside.push_back(*inner);
      countRows(arith::SubIOp::create(b, loc, end, from), inside);
      Support range = supportAlong(dim, /*steps=*/false);
      Value low = arith::MaxSIOp::create(b, loc, from, range.low), high = arith::MinSIOp::create(b, loc, end, range.high);
      body.hold(range.held);
      loop(low, high, 1, [&](Value at) {
        body.positions[dim] = at;
        whereKept(dim, [&] { otherLoops(others); });
      });
      body.release(range.held.size());
    });
  }

  // What bounds leave of the conditions on a dimension is tested at each of its positions.
  void whereKept(unsigned dim, function_ref<void()> inside) {
    Value kept;
    SmallVector<Value> tested;
    for (Value condition : conditionsOn(dim)) {
      Value here = body.holds(condition) ? Value() : body.outside(condition);
      if (!here) continue;
      kept = kept ? Value(arith::AndIOp::create(b, loc, kept, here)) : here;
      tested.push_back(condition);
    }
    if (!kept) return inside();
    auto test = scf::IfOp::create(b, loc, kept, /*withElseRegion=*/false);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(test.thenBlock());
    body.hold(tested);
    inside();
    body.release(tested.size());
  }

  void otherLoops(ArrayRef<unsigned> dims) {
    if (dims.empty()) return innerLoops();
    loop(constant(0), extents[dims[0]], 1, [&](Value at) {
      body.positions[dims[0]] = at;
      otherLoops(dims.drop_front());
    });
  }

  // The dimension kept apart, in vectors if it can be; then the reductions.
  void innerLoops() {
    body.preload();
    if (!inner) return alongReduced ? reduceVectors() : reducePoint();
    if (!lanes) return loop(constant(0), extents[*inner], 1, [&](Value at) { body.positions[*inner] = at, reducePoint(); });
    Support range = whole(*inner);
    if (!conditionsOn(*inner).empty()) {
      if (!rowsCounted) countRows(extents[*inner], {});
      range = supportAlong(*inner, /*steps=*/false);
    }
    body.hold(range.held);
    chunks(*inner, reduced.empty() ? 1 : tiled ? tileVectors : mostAccumulators, range.low, range.high, {}, [&](Value at, int64_t count, Value valid, ValueRange) {
      if (!tiled) return reduceChunks(at, count, valid), SmallVector<Value>();
      Value whole = arith::SubIOp::create(b, loc, extents[*tiled], arith::RemUIOp::create(b, loc, extents[*tiled], constant(tileRows)));
      loop(constant(0), whole, tileRows, [&](Value row) { reduceChunks(at, count, valid, row, tileRows); });
      loop(whole, extents[*tiled], 1, [&](Value row) { reduceChunks(at, count, valid, row, 1); });
      return SmallVector<Value>();
    });
    body.release(range.held.size());
    body.points();
  }

  void loop(Value low, Value high, int64_t step, function_ref<void(Value)> inside) {
    auto op = scf::ForOp::create(b, loc, low, high, constant(step));
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(op.getBody());
    inside(op.getInductionVar());
  }

  SmallVector<Value> loop(Value low, Value high, int64_t step, ValueRange carried, function_ref<SmallVector<Value>(Value, ValueRange)> inside) {
    auto op = scf::ForOp::create(b, loc, low, high, constant(step), carried);
    OpBuilder::InsertionGuard guard(b);
    Block *block = op.getBody();
    if (!block->empty()) block->back().erase();
    b.setInsertionPointToEnd(block);
    scf::YieldOp::create(b, loc, inside(op.getInductionVar(), op.getRegionIterArgs()));
    return SmallVector<Value>(op.getResults());
  }

  // Vectors over low .. high: `count` side by side in a main loop, then one at a time, the last with only `valid` lanes.
  using Chunk = function_ref<SmallVector<Value>(Value at, int64_t count, Value valid, ValueRange carried)>;
  SmallVector<Value> chunks(unsigned dim, int64_t count, Value low, Value high, ValueRange carried, Chunk inside) {
    std::optional<int64_t> first = getConstantIntValue(low), last = getConstantIntValue(high);
    SmallVector<Value> state(carried);
    Value from = low;
    if (first && last) {
      while (count > 1 && (*last - *first) % (count * lanes) != 0) count /= 2;
      int64_t whole = (*last - *first) / (count * lanes) * count * lanes;
      if (whole) state = loop(low, constant(*first + whole), count * lanes, state, [&](Value at, ValueRange c) { return inside(at, count, {}, c); });
      if (*first + whole == *last) return state;
      from = constant(*first + whole);
    } else {
      Value size = arith::SubIOp::create(b, loc, high, low), step = constant(count * lanes);
      Value whole = arith::SubIOp::create(b, loc, size, arith::RemUIOp::create(b, loc, size, step));
      Value end = arith::AddIOp::create(b, loc, low, whole);
      state = loop(low, end, count * lanes, state, [&](Value at, ValueRange c) { return inside(at, count, {}, c); });
      from = end;
    }
    return loop(from, high, lanes, state, [&](Value at, ValueRange c) { return inside(at, 1, arith::SubIOp::create(b, loc, high, at), c); });
  }

  // ---- reductions

  // The first position that a mask leaves, and the one after the last, of one index; false if bounds alone do not tell.
  bool window() {
    Support range = supportAlong(reduced[0], /*steps=*/true);
    if (!range.exact) return false;
    Value some = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, range.low, range.high);
    Value last = arith::SubIOp::create(b, loc, range.high, constant(1));
    if (range.step > 1) {
      Value beyond = arith::RemUIOp::create(b, loc, arith::SubIOp::create(b, loc, last, range.low), constant(range.step));
      last = arith::SubIOp::create(b, loc, last, beyond);
    }
    SmallVector<Value> first = body.loadOutputs();
    auto here = [&](Value at, Value otherwise) -> Value {
      return arith::SelectOp::create(b, loc, some, Value(arith::IndexCastOp::create(b, loc, b.getI32Type(), at)), otherwise);
    };
    body.store({here(range.low, first[0]), here(arith::AddIOp::create(b, loc, last, constant(1)), first[1])});
    return true;
  }

  void reducePoint() {
    if (reduced.empty()) return body.store(body.compute(body.loadOutputs()));
    countPoint(constant(1));
    body.store(boundedLoops(0, reduced.size(), body.loadOutputs(), [&](ValueRange accumulators) { return body.compute(accumulators); }));
  }

  // At `count` vectors of the parallel dimension from `at` on, of a tile at as many `rows` from `row` on.
  void reduceChunks(Value at, int64_t count, Value valid, Value row = {}, int64_t rows = 1) {
    SmallVector<Value> places, accumulators;
    SmallVector<std::pair<Value, Value>> points;
    for (int64_t k = 0; k < count; k++) places.push_back(k ? Value(arith::AddIOp::create(b, loc, at, constant(k * lanes))) : at);
    for (int64_t k = 0; k < rows; k++) {
      Value here = k ? Value(arith::AddIOp::create(b, loc, row, constant(k))) : row;
      for (Value place : places) points.push_back({here, place});
    }
    auto moveTo = [&](std::pair<Value, Value> point) {
      if (tiled) body.positions[*tiled] = point.first;
      body.positions[*inner] = point.second;
    };
    body.vectors(*inner, lanes, valid);
    if (reduced.empty()) {
      body.positions[*inner] = at;
      return body.store(body.compute(body.loadOutputs()));
    }
    for (auto point : points) moveTo(point), accumulators.append(body.loadOutputs());
    size_t each = accumulators.size() / points.size();
    countPoint(valid ? Value(arith::MinSIOp::create(b, loc, valid, constant(lanes))) : constant(count * lanes));
    SmallVector<Value> results = boundedLoops(0, reduced.size(), accumulators, [&](ValueRange carried) {
      SmallVector<Value> next;
      for (auto [k, point] : llvm::enumerate(points)) moveTo(point), next.append(body.compute(carried.slice(k * each, each)));
      return next;
    });
    for (auto [k, point] : llvm::enumerate(points)) moveTo(point), body.store(ArrayRef(results).slice(k * each, each));
  }

  // The innermost reduced dimension in vectors: every lane takes its share, then the lanes are put together.
  void reduceVectors() {
    unsigned dim = reduced.back();
    SmallVector<Value> first = body.loadOutputs();
    body.vectors(dim, lanes);
    SmallVector<Value> start = body.identity(first), accumulators;
    const size_t each = start.size();
    for (int64_t k = 0; k < mostAccumulators; k++) accumulators.append(start);
    countPoint(constant(1));
    SmallVector<Value> results = boundedLoops(0, reduced.size() - 1, accumulators, [&](ValueRange carried) {
      Support range = supportAlong(dim, /*steps=*/false);
      countPoints(range);
      body.hold(range.held);
      SmallVector<Value> all = chunks(dim, mostAccumulators, range.low, range.high, carried, [&](Value at, int64_t count, Value valid, ValueRange c) {
        SmallVector<Value> next(c);
        body.vectors(dim, lanes, valid);
        for (int64_t k = 0; k < count; k++) {
          body.positions[dim] = k ? Value(arith::AddIOp::create(b, loc, at, constant(k * lanes))) : at;
          SmallVector<Value> added = body.compute(c.slice(k * each, each));
          std::copy(added.begin(), added.end(), next.begin() + k * each);
        }
        body.positions[dim] = {};
        return next;
      });
      body.release(range.held.size());
      return all;
    });
    body.vectors(dim, lanes);
    for (int64_t half = mostAccumulators / 2; half > 0; half /= 2) {
      SmallVector<Value> next;
      for (int64_t k = 0; k < half; k++) next.append(body.combine(ArrayRef(results).slice(k * each, each), ArrayRef(results).slice((k + half) * each, each)));
      results = next;
    }
    results = body.fold(results, first);
    body.points();
    body.store(results);
  }

  // Loops over reduced dimensions k .. end, within their bounds.
  SmallVector<Value> boundedLoops(unsigned k, unsigned end, ValueRange accumulators, function_ref<SmallVector<Value>(ValueRange)> innermost) {
    if (k == end) return innermost(accumulators);
    Support range = supportAlong(reduced[k], /*steps=*/true);
    if (k + 1 == end && !alongReduced) countPoints(range);
    body.hold(range.held);
    SmallVector<Value> results = loop(range.low, range.high, range.step, accumulators, [&](Value at, ValueRange carried) {
      body.positions[reduced[k]] = at;
      return boundedLoops(k + 1, end, carried, innermost);
    });
    body.positions[reduced[k]] = {};
    body.release(range.held.size());
    return results;
  }

  // ---- counters of target host-count

  void count(Count what, Value amount) {
    if (counting) counting->add(b, loc, what, amount);
  }
  // As many outer points, unless all of them are counted already.
  void countPoint(Value points) {
    width = points;
    if (!rowsCounted) count(Count::Rows, points);
  }
  // Of a dimension with bounds all points count, at all positions of those inside it.
  void countRows(Value points, ArrayRef<unsigned> inside) {
    rowsCounted = true;
    if (!counting) return;
    for (unsigned d : inside) points = arith::MulIOp::create(b, loc, points, extents[d]);
    count(Count::Rows, points);
  }
  // The points of the innermost loop, at as many rows as run side by side.
  void countPoints(const Support &range) {
    if (!counting) return;
    Value visited = arith::SubIOp::create(b, loc, range.high, range.low);
    if (range.step > 1) visited = arith::CeilDivUIOp::create(b, loc, visited, constant(range.step));
    count(Count::Points, arith::MulIOp::create(b, loc, width, visited));
  }

  // The body's mask as seen from the loops entered so far.
  struct View final : MaskView {
    LoopNest &nest;
    LoopBody &body;
    unsigned dim;
    View(LoopNest &nest, unsigned dim) : nest(nest), body(nest.body), dim(dim) {}
    bool isPosition(Value v) override {
      auto cast = v.getDefiningOp<arith::IndexCastOp>();
      auto index = (cast ? cast.getIn() : v).getDefiningOp<linalg::IndexOp>();
      return index && index.getDim() == dim;
    }
    bool dependsOn(Value v) override { return body.dependsOn(v, dim); }
    Value outside(Value v) override { return body.outside(v); }
    bool isSorted(Value v) override { return body.isSorted(v, dim); }
    bool isAvailable(Value v) override { return body.isAvailable(v, dim); }
    Value at(Value v, Value position) override { return body.at(v, dim, position); }
    bool holds(Value v) override { return body.holds(v); }
    void became(Value condition, const Became &what) override {
      if (!nest.counting || !llvm::is_contained(nest.reduced, dim)) return;
      SmallVector<utils::IteratorType> iterators = nest.op.getIteratorTypesArray();
      unsigned number = llvm::count(ArrayRef(iterators).take_front(dim), utils::IteratorType::reduction);
      nest.counting->note(condition.getLoc(), number, what);
    }
  };

  // What the op's mask is; null if it has none.
  Value keep() {
    for (Operation &inner : *body.block())
      if (auto support = dyn_cast<attn::SupportOp>(inner)) return support.getKeep();
    return {};
  }

  // The conditions of the mask that say something of a parallel dimension, whatever is reduced. At points where one is false the op leaves what
  // it starts from.
  SmallVector<Value> conditionsOn(unsigned dim) {
    SmallVector<Value> conditions, left;
    if (Value mask = keep(); mask && !reduced.empty()) left.push_back(mask);
    while (!left.empty()) {
      Value condition = left.pop_back_val();
      if (auto both = condition.getDefiningOp<arith::AndIOp>()) left.append({both.getRhs(), both.getLhs()});
      else if (body.dependsOn(condition, dim) && llvm::none_of(reduced, [&](unsigned d) { return body.dependsOn(condition, d); })) conditions.push_back(condition);
    }
    return conditions;
  }

  Support whole(unsigned dim) { return {constant(0), extents[dim], true, 1, {}}; }

  Support supportAlong(unsigned dim, bool steps) {
    Value mask = keep();
    if (!mask) return whole(dim);
    View view(*this, dim);
    return supportOf(view, b, loc, mask, extents[dim], steps);
  }

  int64_t stepAlong(unsigned dim) {
    View view(*this, dim);
    return keep() ? stepOf(view, keep()) : 1;
  }

  linalg::LinalgOp op;
  OpBuilder b;
  Location loc;
  LoopBody body;
  SmallVector<int64_t> ranges;
  int64_t machineLanes;                // f32 lanes of the target's vectors; 0: unknown, no vectors
  int64_t tileRows, tileVectors;
  SmallVector<Value> extents;
  SmallVector<unsigned> parallel, reduced;
  std::optional<unsigned> inner;       // a parallel dimension that is looped over inside a block
  std::optional<unsigned> tiled;       // another one, inside that
  bool alongReduced = false;           // the last of `reduced` becomes vectors
  std::optional<Counting> counting;    // a reduction under a mask, for target host-count
  bool rowsCounted = false;            // before the loop over them
  Value width;                         // points of the parallel dimensions that are reduced side by side, where that is counted
  int64_t lanes = 0;                   // of the dimension that becomes vectors; 0: none does
};

struct LoopsPass : PassWrapper<LoopsPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(LoopsPass)
  StringRef getArgument() const final { return "attn-loops"; }
  StringRef getDescription() const final { return "Lower linalg on buffers to scf loops bounded by their support"; }
  void getDependentDialects(DialectRegistry &registry) const final {
    registry.insert<scf::SCFDialect, memref::MemRefDialect, arith::ArithDialect, math::MathDialect, vector::VectorDialect>();
  }
  void runOnOperation() final {
    auto name = getOperation()->getAttrOfType<StringAttr>("attn.target");
    const leaf::TargetInfo *target = name ? leaf::findTarget(name.getValue().str()) : nullptr;
    SmallVector<linalg::LinalgOp> ops;
    getOperation()->walk([&](linalg::LinalgOp op) { ops.push_back(op); });
    const int64_t lanes = !target ? 0 : getOperation()->hasAttr("attn.quantised") ? exactLanes : target->lanes;
    for (linalg::LinalgOp op : ops) LoopNest(op, lanes, target ? target->rows : 1, target ? std::max(1, target->columns / target->lanes) : 1).run();
  }
};

}  // namespace

std::unique_ptr<Pass> createLoopsPass() { return std::make_unique<LoopsPass>(); }

}  // namespace fovea
