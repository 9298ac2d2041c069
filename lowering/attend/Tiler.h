// The loops around leaves that one attn.attend becomes: what the pass attn-tile-attend (TileAttend.cpp) makes with it for each schedule.
#ifndef FOVEA_LOWERING_ATTEND_TILER_H
#define FOVEA_LOWERING_ATTEND_TILER_H

#include "dialect/Attn.h"
#include "lowering/Count.h"
#include "lowering/LeafExpression.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/BuiltinOps.h"

namespace fovea {

using namespace mlir;

class AttendTiler {
 public:
  AttendTiler(attn::AttendOp op, ModuleOp module);
  LogicalResult run();

 private:
  static int64_t number(DictionaryAttr dictionary, StringRef name) { return cast<IntegerAttr>(dictionary.get(name)).getInt(); }
  Value constant64(int64_t v) { return arith::ConstantIndexOp::create(b, loc, v); }
  Value toI32(Value v) { return arith::IndexCastOp::create(b, loc, b.getI32Type(), v); }
  Type pointerType() { return LLVM::LLVMPointerType::get(b.getContext()); }
  static leaf::Type storage(Type type) { return type.isF16() ? leaf::Type::F16 : type.isBF16() ? leaf::Type::BF16 : leaf::Type::F32; }
  static Type element(Value v) { return cast<MemRefType>(v.getType()).getElementType(); }
  leaf::LeafSpec leafSpec();
  Value extentOf(unsigned d);
  Value evaluate(AffineExpr e);
  // Where an operand is read or written at the current positions.
  SmallVector<Value> placeOf(unsigned operand);
  int axisOf(unsigned operand, int64_t d) { return d < 0 ? -1 : axisAlong(op.getMap(operand), d); }

  // ---- addresses

  struct Metadata {
    Value base, offset;  // bytes as i64 arithmetic is done from these
    SmallVector<Value> strides, sizes;
    int64_t bytes;
  };

  Metadata metadata(Value buffer);
  Value address(const Metadata &m, ArrayRef<Value> at);
  Value pointer(Value bytes);
  // An operand's address at the current positions, with some dimensions' positions replaced.
  Value addressOf(unsigned operand, const Metadata &m, ArrayRef<std::pair<int64_t, Value>> replaced);

  // ---- packing

  // Every axis of `operand` but the ones of `but`, as (axis, extent); and their flattened number at the current positions.
  SmallVector<unsigned> otherAxes(unsigned operand, ArrayRef<int64_t> but);
  Value flattened(unsigned operand, ArrayRef<unsigned> axes);
  Value product(Value buffer, ArrayRef<unsigned> axes);

  template <typename F>
  void loop(Value count, F build) {
    loop(constant64(0), count, constant64(1), build);
  }

  template <typename F>
  void loop(Value from, Value to, Value step, F build) {
    auto op = scf::ForOp::create(b, loc, from, to, step);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(op.getBody());
    build(op.getInductionVar());
  }

  // A loop over everything but two axes of `buffer`, flattened with the blocks of the key axis and run in parallel:
  // build(position of each axis (null for the two), number, block).
  template <typename F>
  void overBlocks(Value buffer, ArrayRef<unsigned> axes, Value blocks, F build) {
    Value total = arith::MulIOp::create(b, loc, product(buffer, axes), blocks);
    auto parallel = scf::ParallelOp::create(b, loc, ValueRange{constant64(0)}, ValueRange{total}, ValueRange{constant64(1)});
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(parallel.getBody());
    Value n = parallel.getInductionVars()[0];
    Value block = arith::RemUIOp::create(b, loc, n, blocks), rest = arith::DivUIOp::create(b, loc, n, blocks);
    SmallVector<Value> at(cast<MemRefType>(buffer.getType()).getRank());
    Value whole = rest;
    for (unsigned k = axes.size(); k-- > 0;) {
      Value size = memref::DimOp::create(b, loc, buffer, axes[k]);
      at[axes[k]] = arith::RemUIOp::create(b, loc, rest, size);
      rest = arith::DivUIOp::create(b, loc, rest, size);
    }
    build(at, whole, block);
  }

  Value widened(Value v);

  // [others, panels, contracted, lanes] of f32, zero beyond the last key: so far as a tile that begins at any panel may read.
  void packKeys();
  Value emptyPanels(Value others, Value count);
  // One panel of packedKeys, [whole, number], from key `first` on. `at`: where the keys' other axes stand.
  void packPanel(SmallVector<Value> at, Value first, Value whole, Value number);
  // Asks for the lines of `lanes` rows of keys or values.
  void fetchRows(Value buffer, SmallVector<Value> at, unsigned keyAxis, unsigned lineAxis, Value first, Value end);
  // The keys of one tile: packedKeys holds no more.
  void packTile(Value firstKey, Value present);
  // n vectors of n elements, n a power of two: to interleave the first half's with the second's, log2(n) times, is to transpose.
  void transpose(SmallVector<Value> &lines);
  // Values whose rows fill whole panels are read where they lie; others are copied to rows of whole panels, zero beyond.
  void packValues();

  // ---- packing for tile registers, and for dot products of pairs: a pair of bf16 is an i32

  // `count` elements along an axis from `at` on, 0 from the `present`-th on.
  Value lineOf(Value buffer, SmallVector<Value> at, unsigned axis, Value present, int64_t count);
  // A vector as the sum of vectors of bf16 (tileParts), the first the nearest to it.
  SmallVector<Value> partsOf(Value line);
  // 2 * lanes bf16, as pairs.
  Value asPairs(Value line);
  // Where a tile of packed keys may begin: at multiples of it.
  int64_t unit() { return tiles ? 2 * lanes : lanes; }
  // How many of a row of queries or keys: whole lines.
  Value pairs();
  // [others, panels, parts, pairs, lanes], zero beyond the last feature; beyond the last key, so far as a tile that begins at any panel may read, anything.
  void packKeyPairs();
  Value emptyPairPanels(Value others, Value count);
  void packPairPanel(SmallVector<Value> at, Value first, Value whole, Value number);
  bool liesInRows(Value buffer, int axis);
  // [others, panels of columns, parts, pairs of keys, lanes]: keys `lanes` apart in a group of twice as many make a pair, as in rows of weights
  // (halide/Weigh.cpp); zero beyond the last column, and beyond the last key.
  void packValuePairs();
  // [rows, parts, pairs]: the queries of a block, zero beyond the last row and the last feature.
  Value packQueryPairs(Value firstRow, Value rows);

  // ---- support

  // The mask as seen from one row.
  struct View;
  // A value of the body that depends on neither key nor dot product, at the current row.
  Value atRow(Value v);

  // What the rows of a block visit: `low` .. `high` is what some row does, `inner` .. `outer` what all do if the support is exact.
  struct Visited {
    Value low, high, inner, outer;
    bool exact;
  };

  Visited visited(Value keep, Value firstRow, Value rows);
  // Whether `count` keys make a full tile: all its rows and keys exist, every row visits all of the keys, and what is read at positions that grow
  // evenly (LeafExpression.h) is there.
  Value isFull(const Visited &keysSeen, Value firstRow, Value rows, Value firstKey, Value present, int64_t count);
  // Whether a row's sum is that of no key, and 1 / sum, which is 0 then.
  std::pair<Value, Value> inverse(Value sum);
  // A value of the body that does not vary over a tile, computed here.
  Value outside(Value v);

  // ---- the tiles of one row block

  // The queries of a group, one after the other, or its blocks of lanes: they share what is read of the keys.
  template <typename F>
  void overInner(F build) {
    if (inner < 0 && !queryLanes) return build(constant64(0));
    auto before = hoisted;
    loop(inners(), [&](Value n) {
      if (inner >= 0) positions[inner] = n;
      build(n);
      if (inner >= 0) positions[inner] = {};
    });
    hoisted = before;
  }
  Value inners() { return inner >= 0 ? extents[inner] : queryLanes ? Value(arith::CeilDivSIOp::create(b, loc, extents[row], constant64(queries))) : constant64(1); }
  // The first of the rows that the n-th inner step visits, and how many there are, of a block's.
  std::pair<Value, Value> innerRows(Value n, Value firstRow, Value rows) {
    if (!queryLanes) return {firstRow, rows};
    Value first = arith::MulIOp::create(b, loc, n, constant64(queries));
    return {first, arith::MinSIOp::create(b, loc, constant64(queries), arith::SubIOp::create(b, loc, rows, first))};
  }
  // [blocks, features, lanes] of f32, or of pairs [blocks, pairs, lanes]: the queries of all inner steps, zero beyond the last row and feature.
  Value packQueryLanes(Value rows);

  // What is known of a block's rows when some of their keys have been visited: maxima and sums [inner, queries], accumulators [inner, queries, width].
  struct State {
    Value maximum, sum, acc;
  };
  // Which of several parts of the keys, and how many there are; null: all keys.
  struct Part {
    Value number, count;
  };

  // Room for states, [outer..., ...]; and one of them.
  State emptyState(ArrayRef<Value> outer);
  State stateAt(const State &states, ArrayRef<Value> at);
  // In how many parts the keys of a block are visited side by side where there are few blocks. It depends on extents alone, never on the threads, so results
  // are the same on any number of them.
  Value partsOfKeys(Value total);
  static constexpr int64_t blocksWanted = 32, fewestKeys = 1024;
  // Adds to a state what another part of the keys gave.
  void merge(const State &into, const State &other, Value rows);
  // Fills a state: the rows' beginning, then all tiles of the part.
  Visited visitKeys(const leaf::LeafSpec &full, LeafExpression &fullInputs, const leaf::LeafSpec &partial, LeafExpression &partialInputs, Value keep, Value firstRow, Value rows,
                    const State &state, const Part &part);
  // acc / sum, 0 for an empty row; maximum + log(sum), -inf for an empty row. Pointwise: acc, sum.
  void results(Value firstRow, Value rows, const State &state);
  Value paddedWidth() { return arith::MulIOp::create(b, loc, panels, constant64(panel)); }
  // The aggregate of the row at the current positions: its accumulator times `scale`, or 0 where it has visited nothing. Pointwise: the accumulator.
  void aggregateRow(Value acc, SmallVector<Value> at, Value none, Value scale);
  // The weights of a row block, when its maxima and sums are known: exp2(score * log2 e - maximum) / sum, once more over the packed keys;
  // 0 in blocks that no row visits, and in rows that visit nothing.
  void weights(Value firstRow, Value rows, Value maximum, Value sum, const Visited &keysSeen);
  // The leaf of one panel's weights: a product whose epilogue makes weights of scores. Its last inputs are the row's maximum and 1 / sum.
  leaf::LeafSpec weightsSpec(const LeafExpression &inputs, leaf::Expression score, std::optional<leaf::Expression> keep, bool edges);
  // The state that the sinks leave: their maximum, in units of log 2, and their exponentials' sum. Sinks of -infinity are none.
  std::pair<Value, Value> sinksAtRow(Value lowest);
  void store(Value v, unsigned output);
  void count(Count what, Value amount);

  struct Tile {
    Value query, queryStride, key, keyStride, value, valueStride, firstRow, firstKey, rows, keys, maximum, sum, acc;
    Value queryPairs, weights;  // for tile registers
  };

  void call(const leaf::LeafSpec &spec, LeafExpression &inputs, const Tile &t);
  Value bytes(Value n, int64_t each) { return arith::IndexCastOp::create(b, loc, b.getI64Type(), arith::MulIOp::create(b, loc, n, constant64(each))); }
  Value sizeOf(Value buffer, unsigned axis) { return memref::DimOp::create(b, loc, buffer, axis); }
  // Rounded up to whole blocks of a product in tile registers.
  Value blocksOf(Value count);
  // What tile registers take the place of in a leaf. The dot products of all keys that are present, to a multiple of a block:
  void scoreProduct(const Tile &t);
  // The sum of weighted values. All of them are finite (inTileRange below), so those without weight add nothing.
  void valueProduct(const Tile &t);
  void passInputs(LeafExpression &inputs, const Tile &t, llvm::StringMap<Value> &named);
  // A leaf counts a table's elements in 32 bits: a larger one ends the kernel.
  void checkSpan(const LeafExpression::Read &read);
  // Where a table begins: at its first position, and where it stands along the axes on which the position does not vary. What lies outside of
  // one of these is nowhere used, and of an empty tensor the first place may be read.
  Value tableOf(const LeafExpression::Read &read);

  attn::AttendOp op;
  ModuleOp module;
  OpBuilder b;
  Location loc;
  Block *body;
  LeafExpression names;
  int64_t row, key, contracted, value, inner = -1, queries, keys, panel, lanes;
  std::string target;
  std::optional<Counting> counting;  // under a mask, for target host-count
  SmallVector<Value> extents, positions;
  SmallVector<unsigned> keyAxes, valueAxes;
  SmallVector<Value> assumed;  // of full tiles (LeafExpression.h)
  llvm::DenseMap<Value, Value> hoisted;
  leaf::LeafSpec wholeWeights, edgeWeights;  // where the weights are an output
  LeafExpression *wholeInputs = nullptr, *edgeInputs = nullptr;
  Value rowBlocks, panels, packedKeys, packedValues, inPlace;
  unsigned groupDimension = 0;
  bool keyRows = false, tiles = false;  // tiles: products are computed in AMX's tile registers
  bool queryLanes = false;              // keys lie in rows, and queries are lanes
  bool byTile = false;                  // keys are packed tile by tile, where one is visited
  bool dots = false;                    // packed keys are pairs of bf16, for dot products of pairs
};

// Whether every element of a buffer, at run time, is the sum of its parts in tile registers: finite, and of f32 0 or from 2^-100 to 2^126 in size.
// Of values it is always wanted: weights in two parts would make an infinite one no number, and what no row visits may be anything, but takes part
// in their products. Of queries and keys it is wanted where one of them has several parts.
Value inTileRange(OpBuilder &b, Location loc, Value buffer);

}  // namespace fovea

#endif  // FOVEA_LOWERING_ATTEND_TILER_H
