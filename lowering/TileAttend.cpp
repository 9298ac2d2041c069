// attn-tile-attend: attn.attend on buffers becomes loops around two Halide leaves, one for tiles that are kept whole and one that
// tests every point. One parallel loop runs over (batch, row block); inside, a loop over the key blocks that can be visited: the
// supports of the block's rows (Support.h) bound it, and tell full tiles from partial ones (rule M5).
// Keys are packed once, transposed, in blocks; values only where their rows do not fill whole panels.
#include "dialect/Attn.h"
#include "lowering/Count.h"
#include "lowering/GroupHeads.h"
#include "lowering/LeafCall.h"
#include "lowering/LeafExpression.h"
#include "lowering/Passes.h"
#include "lowering/RuntimeCall.h"
#include "lowering/Slice.h"
#include "lowering/Support.h"
#include "lowering/TileProduct.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"

#include <functional>

using namespace mlir;

namespace fovea {
namespace {

class Tiler {
 public:
  Tiler(attn::AttendOp op, ModuleOp module)
      : op(op), module(module), b(op), loc(op.getLoc()), body(&op.getBody().front()), names(op), row(op.getDimension("row")), key(op.getDimension("key")),
        contracted(op.getDimension("contracted")), value(op.getDimension("value")) {
    DictionaryAttr schedule = *op.getSchedule();
    queries = number(schedule, "queries"), keys = number(schedule, "keys"), panel = number(schedule, "panel");
    target = cast<StringAttr>(schedule.get("target")).getValue().str();
    lanes = leaf::findTarget(target)->lanes;
    StringRef layout = cast<StringAttr>(schedule.get("key_layout")).getValue();
    keyRows = layout == "rows", tiles = layout == "pairs";
  }

  LogicalResult run() {
    positions.resize(op.getRoles().size());
    for (unsigned d = 0; d < positions.size(); d++) extents.push_back(extentOf(d));
    auto group = op->getAttrOfType<DenseI64ArrayAttr>("group");
    Value heads;
    if (group) {
      heads = memref::DimOp::create(b, loc, op.getQuery(), group[0]);
      inner = group[2];
      for (auto [d, role] : llvm::enumerate(op.getRoles()))
        if (cast<StringAttr>(role).getValue() == "batch" && op.getMap(0).getResult(group[0]).isFunctionOfDim(d)) groupDimension = d;
      extents[groupDimension] = arith::CeilDivSIOp::create(b, loc, heads, constant64(group[1]));
    }
    auto yield = cast<attn::YieldOp>(body->getTerminator());
    Attribute constant;
    bool unmasked = matchPattern(yield.getKeep(), m_Constant(&constant));
    if (counting = Counting::of(op); counting && unmasked && !counting->masked()) counting.reset();

    // Leaves.
    leaf::LeafSpec full = leafSpec(), partial = leafSpec();
    LeafExpression fullInputs(op), partialInputs(op);
    fullInputs.assumeInside();
    if (inner >= 0) llvm::erase_if(fullInputs.assumed, [&](Value condition) { return names.dependsOn(condition, inner); });  // a tile is full for all of them
    assumed = fullInputs.assumed;
    auto score = fullInputs.translate(yield.getValue()), partialScore = partialInputs.translate(yield.getValue());
    if (!score || !partialScore) return op.emitError("the score cannot be computed by a leaf");
    full.attend.score = *score;
    full.attend.partial = false;
    partial.attend.score = *partialScore;
    partial.attend.partial = true;
    if (!unmasked) {
      auto keep = partialInputs.translate(yield.getKeep());
      if (!keep) return op.emitError("the mask cannot be computed by a leaf");
      partial.attend.keep = *keep;
    }
    for (const auto &i : fullInputs.inputs) full.inputs.push_back(i.leaf);
    for (const auto &i : partialInputs.inputs) partial.inputs.push_back(i.leaf);
    full.lets = fullInputs.lets, partial.lets = partialInputs.lets;
    if (failed(declareLeaf(op, module, full)) || failed(declareLeaf(op, module, partial))) return failure();
    if (op.getWeights()) {
      wholeWeights = weightsSpec(fullInputs, full.attend.score, {}, false), edgeWeights = weightsSpec(partialInputs, partial.attend.score, partial.attend.keep, true);
      wholeInputs = &fullInputs, edgeInputs = &partialInputs;
      if (failed(declareLeaf(op, module, wholeWeights)) || failed(declareLeaf(op, module, edgeWeights))) return failure();
    }

    for (const auto &i : partialInputs.inputs)
      if (i.leaf.kind == leaf::Input::Table) checkSpan(*partialInputs.readOf(i.value));

    Value blockRows = constant64(queries);
    rowBlocks = row < 0 ? constant64(1) : Value(arith::CeilDivSIOp::create(b, loc, extents[row], blockRows));
    panels = arith::CeilDivSIOp::create(b, loc, extents[value], constant64(panel));
    if (tiles) {
      packKeyPairs(), packValuePairs();
    } else {
      if (!keyRows) packKeys();
      packValues();
    }

    // One parallel loop over batch and row block.
    SmallVector<unsigned> batch;
    for (auto [d, role] : llvm::enumerate(op.getRoles()))
      if (cast<StringAttr>(role).getValue() == "batch" && int64_t(d) != inner) batch.push_back(d);
    Value total = rowBlocks;
    for (unsigned d : batch) total = arith::MulIOp::create(b, loc, total, extents[d]);
    auto parallel = scf::ParallelOp::create(b, loc, ValueRange{constant64(0)}, ValueRange{total}, ValueRange{constant64(1)});
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(parallel.getBody());
    Value rest = parallel.getInductionVars()[0];
    // Long rows first would balance causal masks; the runtime hands out small pieces, which is enough.
    Value rowBlock = arith::RemUIOp::create(b, loc, rest, rowBlocks);
    rest = arith::DivUIOp::create(b, loc, rest, rowBlocks);
    for (unsigned k = batch.size(); k-- > 0;) {
      positions[batch[k]] = arith::RemUIOp::create(b, loc, rest, extents[batch[k]]);
      rest = arith::DivUIOp::create(b, loc, rest, extents[batch[k]]);
    }
    if (group) {  // the last group may have fewer heads
      Value before = arith::MulIOp::create(b, loc, positions[groupDimension], constant64(group[1]));
      extents[row] = arith::MinSIOp::create(b, loc, constant64(group[1]), arith::SubIOp::create(b, loc, heads, before));
    }
    Value firstRow = arith::MulIOp::create(b, loc, rowBlock, blockRows);
    Value rows = row < 0 ? constant64(1) : Value(arith::MinSIOp::create(b, loc, blockRows, arith::SubIOp::create(b, loc, extents[row], firstRow)));
    rowBlockBody(full, fullInputs, partial, partialInputs, yield.getKeep(), firstRow, rows);
    return success();
  }

 private:
  static int64_t number(DictionaryAttr dictionary, StringRef name) { return cast<IntegerAttr>(dictionary.get(name)).getInt(); }

  Value constant64(int64_t v) { return arith::ConstantIndexOp::create(b, loc, v); }
  Value toI32(Value v) { return arith::IndexCastOp::create(b, loc, b.getI32Type(), v); }
  Value toIndex(Value v) { return arith::IndexCastOp::create(b, loc, b.getIndexType(), v); }
  Type pointerType() { return LLVM::LLVMPointerType::get(b.getContext()); }

  static leaf::Type storage(Type type) { return type.isF16() ? leaf::Type::F16 : type.isBF16() ? leaf::Type::BF16 : leaf::Type::F32; }
  static Type element(Value v) { return cast<MemRefType>(v.getType()).getElementType(); }

  leaf::LeafSpec leafSpec() {
    leaf::LeafSpec spec;
    spec.kind = leaf::LeafSpec::AttendStepLeaf;
    spec.target = target;
    spec.attend.queries = queries;
    spec.attend.keys = keys;
    spec.attend.panel = panel;
    spec.attend.keyRows = keyRows;
    spec.attend.pointwise = op.getPointwise();
    spec.attend.split = tiles;
    if (tiles) return spec;
    spec.attend.query = storage(element(op.getQuery()));
    spec.attend.key = keyRows ? storage(element(op.getKey())) : leaf::Type::F32;
    spec.attend.value = storage(element(op.getValue()));
    return spec;
  }

  Value extentOf(unsigned d) {
    if (auto group = op->getAttrOfType<DenseI64ArrayAttr>("group"); group && int64_t(d) == row) return constant64(group[1]);
    for (auto [k, operand] : llvm::enumerate(op->getOperands())) {
      if (!isa<MemRefType>(operand.getType())) continue;
      for (auto [axis, e] : llvm::enumerate(op.getMap(k).getResults()))
        if (e == getAffineDimExpr(d, b.getContext())) return memref::DimOp::create(b, loc, operand, axis);
    }
    llvm_unreachable("a dimension without an operand");
  }

  Value evaluate(AffineExpr e) {
    if (auto d = dyn_cast<AffineDimExpr>(e)) return positions[d.getPosition()];
    if (auto c = dyn_cast<AffineConstantExpr>(e)) return constant64(c.getValue());
    auto binary = cast<AffineBinaryOpExpr>(e);
    Value l = evaluate(binary.getLHS()), r = evaluate(binary.getRHS());
    switch (binary.getKind()) {
      case AffineExprKind::Add: return arith::AddIOp::create(b, loc, l, r);
      case AffineExprKind::Mul: return arith::MulIOp::create(b, loc, l, r);
      default: return arith::FloorDivSIOp::create(b, loc, l, r);
    }
  }

  int axisOf(unsigned operand, int64_t d) { return d < 0 ? -1 : axisAlong(op.getMap(operand), d); }

  // ---- addresses

  struct Metadata {
    Value base, offset;  // bytes as i64 arithmetic is done from these
    SmallVector<Value> strides, sizes;
    int64_t bytes;
  };
  Metadata metadata(Value buffer) {
    auto type = cast<MemRefType>(buffer.getType());
    auto op = memref::ExtractStridedMetadataOp::create(b, loc, buffer);
    Metadata m;
    m.base = memref::ExtractAlignedPointerAsIndexOp::create(b, loc, buffer);
    m.offset = op.getOffset();
    m.strides.assign(op.getStrides().begin(), op.getStrides().end());
    m.sizes.assign(op.getSizes().begin(), op.getSizes().end());
    m.bytes = (type.getElementTypeBitWidth() + 7) / 8;
    return m;
  }

  Value address(const Metadata &m, ArrayRef<Value> at) {
    Value element = m.offset;
    for (auto [stride, position] : llvm::zip(m.strides, at)) element = arith::AddIOp::create(b, loc, element, arith::MulIOp::create(b, loc, stride, position));
    return pointer(arith::AddIOp::create(b, loc, m.base, arith::MulIOp::create(b, loc, element, constant64(m.bytes))));
  }
  Value pointer(Value bytes) {
    Value address = arith::IndexCastOp::create(b, loc, b.getI64Type(), bytes);
    return LLVM::IntToPtrOp::create(b, loc, pointerType(), address);
  }

  // An operand's address at the current positions, with some dimensions' positions replaced.
  Value addressOf(unsigned operand, const Metadata &m, ArrayRef<std::pair<int64_t, Value>> replaced) {
    SmallVector<Value> before(positions);
    for (auto [d, v] : replaced)
      if (d >= 0) positions[d] = v;
    SmallVector<Value> at;
    for (AffineExpr e : op.getMap(operand).getResults()) at.push_back(evaluate(e));
    Value result = address(m, at);
    positions = before;
    return result;
  }

  // ---- packing

  // Every axis of `operand` but the ones of `but`, as (axis, extent); and their flattened number at the current positions.
  SmallVector<unsigned> otherAxes(unsigned operand, ArrayRef<int64_t> but) {
    SmallVector<unsigned> axes;
    for (unsigned axis = 0; axis < op.getMap(operand).getNumResults(); axis++)
      if (llvm::none_of(but, [&](int64_t d) { return axisOf(operand, d) == int(axis); })) axes.push_back(axis);
    return axes;
  }

  Value flattened(unsigned operand, ArrayRef<unsigned> axes) {
    Value n = constant64(0);
    for (unsigned axis : axes) {
      Value size = memref::DimOp::create(b, loc, op->getOperand(operand), axis);
      n = arith::AddIOp::create(b, loc, arith::MulIOp::create(b, loc, n, size), evaluate(op.getMap(operand).getResult(axis)));
    }
    return n;
  }

  Value product(Value buffer, ArrayRef<unsigned> axes) {
    Value n = constant64(1);
    for (unsigned axis : axes) n = arith::MulIOp::create(b, loc, n, memref::DimOp::create(b, loc, buffer, axis));
    return n;
  }

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

  Value widened(Value v) {
    if (getElementTypeOrSelf(v.getType()).isF32()) return v;
    auto vector = dyn_cast<VectorType>(v.getType());
    return arith::ExtFOp::create(b, loc, vector ? Type(vector.cloneWith({}, b.getF32Type())) : Type(b.getF32Type()), v);
  }

  // [others, panels, contracted, lanes] of f32, zero beyond the last key: so far as a tile that begins at any panel may read.
  void packKeys() {
    Value k = op.getKey();
    keyAxes = otherAxes(1, {key, contracted});
    int keyAxis = axisOf(1, key), depthAxis = axisOf(1, contracted);
    Value keyPanels = arith::AddIOp::create(b, loc, arith::CeilDivSIOp::create(b, loc, extents[key], constant64(lanes)), constant64(panel / lanes - 1));
    auto type = MemRefType::get({ShapedType::kDynamic, ShapedType::kDynamic, ShapedType::kDynamic, lanes}, b.getF32Type());
    packedKeys = memref::AllocOp::create(b, loc, type, ValueRange{product(k, keyAxes), keyPanels, extents[contracted]});
    overBlocks(k, keyAxes, keyPanels, [&](SmallVector<Value> at, Value whole, Value number) {
      Value zero = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0)), none = constant64(0), all = constant64(lanes);
      Value first = arith::MulIOp::create(b, loc, number, all);
      Value present = arith::MaxSIOp::create(b, loc, none, arith::MinSIOp::create(b, loc, all, arith::SubIOp::create(b, loc, extents[key], first)));
      Value squares = none;  // what is transposed in squares of lanes x lanes
      if (liesInRows(k, depthAxis)) {
        Value complete = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, present, all);
        Value most = arith::MulIOp::create(b, loc, arith::DivUIOp::create(b, loc, extents[contracted], all), all);
        squares = arith::SelectOp::create(b, loc, complete, most, none);
        loop(none, squares, all, [&](Value depth) {
          SmallVector<Value> lines;
          at[depthAxis] = depth;
          for (int64_t j = 0; j < lanes; j++) {
            at[keyAxis] = arith::AddIOp::create(b, loc, first, constant64(j));
            lines.push_back(widened(vector::LoadOp::create(b, loc, VectorType::get(lanes, element(k)), k, at)));
          }
          transpose(lines);
          for (int64_t d = 0; d < lanes; d++)
            vector::StoreOp::create(b, loc, lines[d], packedKeys, ValueRange{whole, number, arith::AddIOp::create(b, loc, depth, constant64(d)), none});
        });
      }
      loop(squares, extents[contracted], constant64(1), [&](Value depth) {
        at[depthAxis] = depth;
        loop(present, [&](Value j) {
          at[keyAxis] = arith::AddIOp::create(b, loc, first, j);
          memref::StoreOp::create(b, loc, widened(memref::LoadOp::create(b, loc, k, at)), packedKeys, ValueRange{whole, number, depth, j});
        });
        loop(present, all, constant64(1), [&](Value j) { memref::StoreOp::create(b, loc, zero, packedKeys, ValueRange{whole, number, depth, j}); });
      });
    });
  }

  // n vectors of n elements, n a power of two: to interleave the first half's with the second's, log2(n) times, is to transpose.
  void transpose(SmallVector<Value> &lines) {
    int64_t n = lines.size();
    SmallVector<int64_t> low, high;
    for (int64_t e = 0; e < n; e++) low.push_back(e / 2 + e % 2 * n), high.push_back(n / 2 + e / 2 + e % 2 * n);
    for (int64_t round = n; round > 1; round /= 2) {
      SmallVector<Value> next;
      for (int64_t line = 0; line < n / 2; line++)
        for (ArrayRef<int64_t> mask : {ArrayRef(low), ArrayRef(high)}) next.push_back(vector::ShuffleOp::create(b, loc, lines[line], lines[line + n / 2], mask));
      lines = next;
    }
  }

  // Values whose rows fill whole panels are read where they lie; others are copied to rows of whole panels, zero beyond.
  void packValues() {
    Value v = op.getValue();
    valueAxes = otherAxes(2, {key, value});
    int keyAxis = axisOf(2, key), valueAxis = axisOf(2, value);
    Value width = arith::MulIOp::create(b, loc, panels, constant64(panel)), block = constant64(keys);
    inPlace = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, width, extents[value]);
    auto type = MemRefType::get({ShapedType::kDynamic, ShapedType::kDynamic, ShapedType::kDynamic}, element(v));
    Value none = constant64(0);
    auto sized = [&](Value n) -> Value { return arith::SelectOp::create(b, loc, inPlace, none, n); };
    packedValues = memref::AllocOp::create(b, loc, type, ValueRange{sized(product(v, valueAxes)), extents[key], width});
    overBlocks(v, valueAxes, sized(arith::CeilDivSIOp::create(b, loc, extents[key], block)), [&](SmallVector<Value> at, Value whole, Value number) {
      Value first = arith::MulIOp::create(b, loc, number, block);
      Value present = arith::MinSIOp::create(b, loc, block, arith::SubIOp::create(b, loc, extents[key], first));
      Value zero = arith::ConstantOp::create(b, loc, b.getZeroAttr(element(v)));
      loop(present, [&](Value j) {
        Value line = arith::AddIOp::create(b, loc, first, j);
        at[keyAxis] = line;
        loop(extents[value], [&](Value e) {
          at[valueAxis] = e;
          memref::StoreOp::create(b, loc, memref::LoadOp::create(b, loc, v, at), packedValues, ValueRange{whole, line, e});
        });
        loop(extents[value], width, constant64(1), [&](Value e) { memref::StoreOp::create(b, loc, zero, packedValues, ValueRange{whole, line, e}); });
      });
    });
  }

  // ---- packing for tile registers: a pair of bf16 is an i32

  // The bf16 at `at`, two along an axis, as a pair; 0 beyond its end.
  Value pairAt(Value buffer, SmallVector<Value> at, unsigned axis, Value size) {
    Value zero = arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(0)), one = constant64(1), pair;
    for (int64_t half = 0; half < 2; half++) {
      if (half) at[axis] = arith::AddIOp::create(b, loc, at[axis], one);
      Value there = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, at[axis], size);
      SmallVector<Value> inside(at);
      inside[axis] = arith::SelectOp::create(b, loc, there, at[axis], constant64(0));  // only asked for where there is something
      Value bits = arith::SelectOp::create(b, loc, there, wideBits(memref::LoadOp::create(b, loc, buffer, inside)), zero);
      pair = half ? Value(arith::OrIOp::create(b, loc, pair, arith::ShLIOp::create(b, loc, bits, arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(16))))) : bits;
    }
    return pair;
  }

  // The bits of a bf16, or of a vector of them, each in an i32.
  Value wideBits(Value v) {
    auto vector = dyn_cast<VectorType>(v.getType());
    auto of = [&](Type type) -> Type { return vector ? Type(VectorType::get(vector.getShape(), type)) : type; };
    return arith::ExtUIOp::create(b, loc, of(b.getI32Type()), arith::BitcastOp::create(b, loc, of(b.getI16Type()), v));
  }

  // Where a tile of packed keys may begin: at multiples of it.
  int64_t unit() { return tiles ? 2 * lanes : lanes; }

  Value pairs() {  // of a row of queries or keys: whole lines
    return arith::MulIOp::create(b, loc, arith::CeilDivSIOp::create(b, loc, extents[contracted], constant64(2 * lanes)), constant64(lanes));
  }

  // [others, panels, pairs, lanes], zero beyond the last feature; beyond the last key, so far as a tile that begins at any panel may read, anything.
  void packKeyPairs() {
    Value k = op.getKey();
    keyAxes = otherAxes(1, {key, contracted});
    int keyAxis = axisOf(1, key), depthAxis = axisOf(1, contracted);
    Value blocks = arith::CeilDivSIOp::create(b, loc, extents[key], constant64(lanes));
    Value keyPanels = arith::AddIOp::create(b, loc, blocks, constant64(panel / lanes - 1)), depths = pairs();
    auto type = MemRefType::get({ShapedType::kDynamic, ShapedType::kDynamic, ShapedType::kDynamic, lanes}, b.getI32Type());
    packedKeys = memref::AllocOp::create(b, loc, type, ValueRange{product(k, keyAxes), keyPanels, depths});
    overBlocks(k, keyAxes, blocks, [&](SmallVector<Value> at, Value whole, Value number) {
      Value none = constant64(0), all = constant64(lanes), one = constant64(1), two = constant64(2);
      Value first = arith::MulIOp::create(b, loc, number, all), present = arith::MinSIOp::create(b, loc, all, arith::SubIOp::create(b, loc, extents[key], first));
      Value squares = none;
      if (liesInRows(k, depthAxis)) {
        Value most = arith::MulIOp::create(b, loc, arith::DivUIOp::create(b, loc, extents[contracted], constant64(2 * lanes)), all);
        squares = arith::SelectOp::create(b, loc, arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, present, all), most, none);
        loop(none, squares, all, [&](Value pair) {
          SmallVector<Value> lines;
          at[depthAxis] = arith::MulIOp::create(b, loc, pair, two);
          for (int64_t j = 0; j < lanes; j++) {
            at[keyAxis] = arith::AddIOp::create(b, loc, first, constant64(j));
            lines.push_back(linePairs(k, at));
          }
          transpose(lines);
          for (int64_t d = 0; d < lanes; d++)
            vector::StoreOp::create(b, loc, lines[d], packedKeys, ValueRange{whole, number, arith::AddIOp::create(b, loc, pair, constant64(d)), none});
        });
      }
      loop(squares, depths, one, [&](Value pair) {
        at[depthAxis] = arith::MulIOp::create(b, loc, pair, two);
        loop(present, [&](Value j) {
          at[keyAxis] = arith::AddIOp::create(b, loc, first, j);
          memref::StoreOp::create(b, loc, pairAt(k, at, depthAxis, extents[contracted]), packedKeys, ValueRange{whole, number, pair, j});
        });
      });
    });
  }

  bool liesInRows(Value buffer, int axis) {
    auto type = cast<MemRefType>(buffer.getType());
    return type.isLastDimUnitStride() && axis + 1 == type.getRank();
  }

  // 2 * lanes bf16 side by side, as pairs.
  Value linePairs(Value buffer, ValueRange at) {
    Value line = vector::LoadOp::create(b, loc, VectorType::get(2 * lanes, b.getBF16Type()), buffer, at);
    return vector::BitCastOp::create(b, loc, VectorType::get(lanes, b.getI32Type()), line);
  }

  // [others, panels of columns, pairs of keys, lanes]: keys `lanes` apart in a group of twice as many make a pair, as in rows of weights (halide/Weigh.cpp);
  // zero beyond the last column, and beyond the last key.
  void packValuePairs() {
    Value v = op.getValue(), none = constant64(0), all = constant64(lanes), group = constant64(2 * lanes);
    valueAxes = otherAxes(2, {key, value});
    int keyAxis = axisOf(2, key), valueAxis = axisOf(2, value);
    Value groups = arith::CeilDivSIOp::create(b, loc, extents[key], group);
    Value columns = arith::MulIOp::create(b, loc, panels, constant64(panel / lanes));
    auto type = MemRefType::get({ShapedType::kDynamic, ShapedType::kDynamic, ShapedType::kDynamic, lanes}, b.getI32Type());
    packedValues = memref::AllocOp::create(b, loc, type, ValueRange{product(v, valueAxes), columns, arith::MulIOp::create(b, loc, groups, all)});
    overBlocks(v, valueAxes, groups, [&](SmallVector<Value> at, Value whole, Value number) {
      auto words = VectorType::get(lanes, b.getI32Type());
      Value half = arith::ConstantOp::create(b, loc, DenseElementsAttr::get(words, b.getI32IntegerAttr(16)));
      Value first = arith::MulIOp::create(b, loc, number, group), firstPair = arith::MulIOp::create(b, loc, number, all);
      loop(columns, [&](Value column) {
        at[valueAxis] = arith::MulIOp::create(b, loc, column, all);
        loop(all, [&](Value pair) {
          Value former = arith::AddIOp::create(b, loc, first, pair), latter = arith::AddIOp::create(b, loc, former, all);
          Value low = lineOfValues(at, keyAxis, former, valueAxis), high = lineOfValues(at, keyAxis, latter, valueAxis);
          Value word = arith::OrIOp::create(b, loc, low, arith::ShLIOp::create(b, loc, high, half));
          vector::StoreOp::create(b, loc, word, packedValues, ValueRange{whole, column, arith::AddIOp::create(b, loc, firstPair, pair), none});
        });
      });
    });
  }

  // The bits of `lanes` values of a key from `at` on, 0 where there is no such column or key.
  Value lineOfValues(SmallVector<Value> at, int keyAxis, Value position, int valueAxis) {
    Value v = op.getValue(), none = constant64(0);
    Value there = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, position, extents[key]);
    Value left = arith::MaxSIOp::create(b, loc, none, arith::SubIOp::create(b, loc, extents[value], at[valueAxis]));
    Value present = arith::SelectOp::create(b, loc, there, left, none);
    at[keyAxis] = arith::SelectOp::create(b, loc, there, position, none);
    auto words = VectorType::get(lanes, b.getI32Type()), values = VectorType::get(lanes, b.getBF16Type());
    if (liesInRows(v, valueAxis)) {
      Value mask = vector::CreateMaskOp::create(b, loc, VectorType::get(lanes, b.getI1Type()), present);
      return wideBits(vector::MaskedLoadOp::create(b, loc, values, v, at, mask, arith::ConstantOp::create(b, loc, b.getZeroAttr(values))));
    }
    Value line = memref::AllocOp::create(b, loc, MemRefType::get({lanes}, b.getI32Type()));
    vector::StoreOp::create(b, loc, arith::ConstantOp::create(b, loc, b.getZeroAttr(words)), line, none);
    Value first = at[valueAxis];
    loop(arith::MinSIOp::create(b, loc, present, constant64(lanes)), [&](Value e) {
      at[valueAxis] = arith::AddIOp::create(b, loc, first, e);
      memref::StoreOp::create(b, loc, wideBits(memref::LoadOp::create(b, loc, v, at)), line, e);
    });
    return vector::LoadOp::create(b, loc, words, line, none);
  }

  // The queries of a block, zero beyond the last row and the last feature.
  Value packQueryPairs(Value firstRow, Value rows) {
    Value q = op.getQuery(), none = constant64(0), one = constant64(1), two = constant64(2), all = constant64(lanes), depths = pairs();
    int depthAxis = axisOf(0, contracted);
    Value packed = memref::AllocOp::create(b, loc, MemRefType::get({queries, ShapedType::kDynamic}, b.getI32Type()), depths);
    auto at = [&](Value depth) {
      positions[contracted] = depth;
      SmallVector<Value> list;
      for (AffineExpr e : op.getMap(0).getResults()) list.push_back(evaluate(e));
      positions[contracted] = {};
      return list;
    };
    loop(rows, [&](Value i) {
      positions[row] = arith::AddIOp::create(b, loc, firstRow, i);
      Value whole = none;
      if (liesInRows(q, depthAxis)) {
        whole = arith::MulIOp::create(b, loc, arith::DivUIOp::create(b, loc, extents[contracted], constant64(2 * lanes)), all);
        loop(none, whole, all, [&](Value pair) { vector::StoreOp::create(b, loc, linePairs(q, at(arith::MulIOp::create(b, loc, pair, two))), packed, ValueRange{i, pair}); });
      }
      loop(whole, depths, one, [&](Value pair) {
        memref::StoreOp::create(b, loc, pairAt(q, at(arith::MulIOp::create(b, loc, pair, two)), depthAxis, extents[contracted]), packed, ValueRange{i, pair});
      });
      positions[row] = {};
    });
    Value zeros = arith::ConstantOp::create(b, loc, b.getZeroAttr(VectorType::get(lanes, b.getI32Type())));
    loop(rows, constant64(queries), one, [&](Value i) { loop(none, depths, all, [&](Value pair) { vector::StoreOp::create(b, loc, zeros, packed, ValueRange{i, pair}); }); });
    return packed;
  }

  // ---- support

  // The mask as seen from one row.
  struct View final : MaskView {
    Tiler &t;
    explicit View(Tiler &t) : t(t) {}
    bool isPosition(Value v) override {
      auto cast = v.getDefiningOp<arith::IndexCastOp>();
      auto index = (cast ? cast.getIn() : v).getDefiningOp<attn::IndexOp>();
      return index && int64_t(index.getDimension()) == t.key;
    }
    bool dependsOn(Value v) override { return t.names.dependsOn(v, t.key); }
    Value outside(Value v) override { return t.atRow(v); }
    bool isSorted(Value v) override {
      auto argument = dyn_cast<BlockArgument>(v);
      if (!argument || argument.getOwner() != t.body || argument.getArgNumber() == 0) return false;
      unsigned operand = 2 + argument.getArgNumber();
      return isSortedAlong(t.op->getOperand(operand), t.op.getMap(operand), t.key);
    }
    bool isAvailable(Value) override { return true; }
    Value at(Value v, Value position) override {
      t.positions[t.key] = position;
      Value here = t.atRow(v);
      t.positions[t.key] = {};
      return here;
    }
    // Neighbouring rows are often of one segment.
    Operation *rows = nullptr;
    Value guess() override {
      if (!rows) return {};
      OpBuilder::InsertionGuard guard(t.b);
      t.b.setInsertionPoint(rows);
      Value place = memref::AllocOp::create(t.b, t.loc, MemRefType::get({}, t.b.getIndexType()));
      memref::StoreOp::create(t.b, t.loc, t.constant64(0), place, ValueRange{});
      return place;
    }
    void became(Value condition, const Became &what) override {
      if (t.counting) t.counting->note(condition.getLoc(), 0, what);
    }
  };

  // A value of the body that depends on neither key nor dot product, at the current row.
  Value atRow(Value v) {
    return cloneBehind(b, v, body, [&](Value w) -> Value {
      if (isa<BlockArgument>(w)) return outside(w);
      auto index = w.getDefiningOp<attn::IndexOp>();
      return index && index->getBlock() == body ? positions[index.getDimension()] : Value();
    });
  }

  // What the rows of a block visit: `low` .. `high` is what some row does, `inner` .. `outer` what all do if the support is exact.
  struct Visited {
    Value low, high, inner, outer;
    bool exact;
  };

  Visited visited(Value keep, Value firstRow, Value rows) {
    View view(*this);
    bool byRow = row >= 0 && names.varies(keep), byInner = inner >= 0 && names.dependsOn(keep, inner);
    Value none = constant64(0);
    auto union_ = [&](ValueRange so, Visited s) -> SmallVector<Value> {
      // A row that visits nothing has its bounds anywhere: it must not widen those of the others.
      Value some = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, s.low, s.high);
      Value low = arith::SelectOp::create(b, loc, some, s.low, extents[key]), high = arith::SelectOp::create(b, loc, some, s.high, none);
      return {arith::MinSIOp::create(b, loc, so[0], low), arith::MaxSIOp::create(b, loc, so[1], high), arith::MaxSIOp::create(b, loc, so[2], s.inner),
              arith::MinSIOp::create(b, loc, so[3], s.outer)};
    };
    std::function<Visited(bool, bool)> over = [&](bool inners, bool rowsToo) -> Visited {
      if (!inners && !rowsToo) {
        Support s = supportOf(view, b, loc, keep, extents[key]);
        return {s.low, s.high, s.low, s.high, s.exact};
      }
      auto each = scf::ForOp::create(b, loc, none, inners ? extents[inner] : rows, constant64(1), ValueRange{extents[key], none, none, extents[key]});
      OpBuilder::InsertionGuard guard(b);
      Block *block = each.getBody();
      if (!block->empty()) block->back().erase();
      b.setInsertionPointToEnd(block);
      Value &position = positions[inners ? inner : row];
      position = inners ? each.getInductionVar() : Value(arith::AddIOp::create(b, loc, firstRow, each.getInductionVar()));
      if (!view.rows) view.rows = each;
      Visited s = over(false, inners && rowsToo);
      position = {};
      scf::YieldOp::create(b, loc, union_(each.getRegionIterArgs(), s));
      return {each.getResult(0), each.getResult(1), each.getResult(2), each.getResult(3), s.exact};
    };
    return over(byInner, byRow);
  }

  // Whether `count` keys make a full tile: all its rows and keys exist, every row visits all of the keys, and what is read at positions that grow
  // evenly is there.
  Value isFull(const Visited &keysSeen, Value firstRow, Value rows, Value firstKey, Value present, int64_t count) {
    Value lastKey = arith::AddIOp::create(b, loc, firstKey, constant64(count - 1));
    Value there = arith::AndIOp::create(b, loc, arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, rows, constant64(queries)),
                                        arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, present, constant64(count)));
    Value within = arith::AndIOp::create(b, loc, arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sge, firstKey, keysSeen.inner),
                                         arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, lastKey, keysSeen.outer));
    Value full = arith::AndIOp::create(b, loc, there, within);
    if (assumed.empty()) return full;
    SmallVector<Value> cornerRows{firstRow};
    if (row >= 0 && queries > 1) cornerRows.push_back(arith::AddIOp::create(b, loc, firstRow, constant64(queries - 1)));
    for (Value cornerRow : cornerRows)
      for (Value cornerKey : {firstKey, lastKey})
        for (Value condition : assumed) {
          if (row >= 0) positions[row] = cornerRow;
          positions[key] = cornerKey;
          full = arith::AndIOp::create(b, loc, full, atRow(condition));
          if (row >= 0) positions[row] = {};
          positions[key] = {};
        }
    return full;
  }

  // Whether a row's sum is that of no key, and 1 / sum, which is 0 then.
  std::pair<Value, Value> inverse(Value sum) {
    Value zero = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0)), one = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(1));
    Value none = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OEQ, sum, zero);
    return {none, arith::SelectOp::create(b, loc, none, zero, Value(arith::DivFOp::create(b, loc, one, sum)))};
  }

  // A value of the body that does not vary over a tile, computed here.
  Value outside(Value v) {
    if (auto argument = dyn_cast<BlockArgument>(v)) {
      if (argument.getOwner() != body) return v;
      unsigned operand = 2 + argument.getArgNumber();
      Value buffer = op->getOperand(operand);
      SmallVector<Value> at;
      for (AffineExpr e : op.getMap(operand).getResults()) at.push_back(evaluate(e));
      return memref::LoadOp::create(b, loc, buffer, at);
    }
    Operation *def = v.getDefiningOp();
    if (def->getBlock() != body) return v;
    if (auto index = dyn_cast<attn::IndexOp>(def)) return positions[index.getDimension()];
    if (auto it = hoisted.find(v); it != hoisted.end()) return it->second;
    IRMapping mapping;
    for (Value operand : def->getOperands()) mapping.map(operand, outside(operand));
    return hoisted[v] = b.clone(*def, mapping)->getResult(0);
  }

  // ---- the tiles of one row block

  // The queries of a group, one after the other: they share what is read of the keys.
  template <typename F>
  void overInner(F build) {
    if (inner < 0) return build(constant64(0));
    auto before = hoisted;
    loop(extents[inner], [&](Value n) {
      positions[inner] = n;
      build(n);
      positions[inner] = {};
    });
    hoisted = before;
  }

  void rowBlockBody(const leaf::LeafSpec &full, LeafExpression &fullInputs, const leaf::LeafSpec &partial, LeafExpression &partialInputs, Value keep, Value firstRow,
                    Value rows) {
    Value zeroF = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0));
    Value width = arith::MulIOp::create(b, loc, panels, constant64(panel)), inners = inner < 0 ? constant64(1) : extents[inner];
    constexpr int64_t any = ShapedType::kDynamic;
    Value maximum = memref::AllocOp::create(b, loc, MemRefType::get({any, queries}, b.getF32Type()), ValueRange{inners});
    Value sum = memref::AllocOp::create(b, loc, MemRefType::get({any, queries}, b.getF32Type()), ValueRange{inners});
    Value acc = memref::AllocOp::create(b, loc, MemRefType::get({any, queries, any}, b.getF32Type()), ValueRange{inners, width});
    Value lowest = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(leaf::emptyMaximum));
    overInner([&](Value n) {
      loop(constant64(queries), [&](Value i) {
        memref::StoreOp::create(b, loc, lowest, maximum, ValueRange{n, i});
        memref::StoreOp::create(b, loc, zeroF, sum, ValueRange{n, i});
        loop(width, [&](Value e) { memref::StoreOp::create(b, loc, zeroF, acc, ValueRange{n, i, e}); });
      });
      if (!op.getSinks().empty())
        loop(rows, [&](Value i) {
          if (row >= 0) positions[row] = arith::AddIOp::create(b, loc, firstRow, i);
          auto [top, total] = sinksAtRow(lowest);
          memref::StoreOp::create(b, loc, top, maximum, ValueRange{n, i});
          memref::StoreOp::create(b, loc, total, sum, ValueRange{n, i});
          if (row >= 0) positions[row] = {};
        });
    });

    Visited keysSeen = visited(keep, firstRow, rows);
    Value block = constant64(keys);
    if (counting) {
      count(Count::Rows, arith::MulIOp::create(b, loc, rows, inners));
      count(Count::Tiles, arith::MulIOp::create(b, loc, inners, arith::CeilDivSIOp::create(b, loc, extents[key], block)));
    }
    // The first tile begins with the first key, or with the packed panel that it is in: less is visited than if tiles began at multiples of their size.
    Value begin = keysSeen.low;
    if (!keyRows) begin = arith::MulIOp::create(b, loc, arith::DivUIOp::create(b, loc, begin, constant64(unit())), constant64(unit()));
    auto overKeys = scf::ForOp::create(b, loc, begin, keysSeen.high, block);
    b.setInsertionPoint(overKeys);
    Metadata q = metadata(op.getQuery()), v = metadata(op.getValue()), pk = metadata(keyRows ? op.getKey() : packedKeys), pv = metadata(packedValues), m = metadata(maximum),
             s = metadata(sum), a = metadata(acc);
    Value rowZero = constant64(0);
    Value queryStride = row < 0 ? constant64(0) : q.strides[axisOf(0, row)];
    Value keyNumber = keyRows ? Value() : flattened(1, keyAxes), valueNumber = flattened(2, valueAxes);
    // Scalars of the score and mask, once where they do not change.
    auto hoistScalars = [&] {
      for (LeafExpression *inputs : {&fullInputs, &partialInputs})
        for (auto &i : inputs->inputs)
          if (i.leaf.kind == leaf::Input::Scalar && !inputs->readOf(i.value)) outside(i.value);
    };
    auto queryAndState = [&](Value n, Tile &tile) {
      tile.query = addressOf(0, q, {{row, firstRow}, {contracted, rowZero}});
      tile.maximum = address(m, {n, rowZero}), tile.sum = address(s, {n, rowZero}), tile.acc = address(a, {n, rowZero, rowZero});
    };
    Tile tile{};
    tile.queryStride = queryStride, tile.firstRow = firstRow, tile.rows = rows;
    if (tiles) tile.queryPairs = packQueryPairs(firstRow, rows), tile.weights = memref::AllocOp::create(b, loc, MemRefType::get({queries, keys}, b.getI32Type()));
    if (inner < 0) {
      hoistScalars();
      queryAndState(rowZero, tile);
    }
    {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(overKeys.getBody());
      Value firstKey = overKeys.getInductionVar();
      Value present = arith::MinSIOp::create(b, loc, block, arith::SubIOp::create(b, loc, keysSeen.high, firstKey));
      tile.firstKey = firstKey, tile.keys = present;
      tile.key = keyRows ? addressOf(1, pk, {{key, firstKey}, {contracted, rowZero}}) : address(pk, {keyNumber, arith::DivUIOp::create(b, loc, firstKey, constant64(lanes)), rowZero, rowZero});
      tile.keyStride = keyRows ? pk.strides[axisOf(1, key)] : rowZero;
      if (tiles) {
        tile.value = address(pv, {valueNumber, rowZero, arith::DivUIOp::create(b, loc, firstKey, constant64(2)), rowZero});
      } else {
        Value valueThere = addressOf(2, v, {{key, firstKey}, {value, rowZero}}), valuePacked = address(pv, {valueNumber, firstKey, rowZero});
        tile.value = arith::SelectOp::create(b, loc, inPlace, valueThere, valuePacked);
        tile.valueStride = arith::SelectOp::create(b, loc, inPlace, v.strides[axisOf(2, key)], width);
      }
      Value whole = isFull(keysSeen, firstRow, rows, firstKey, present, keys);
      overInner([&](Value n) {
        if (inner >= 0) {
          hoistScalars();
          queryAndState(n, tile);
        }
        if (counting) count(Count::Points, arith::MulIOp::create(b, loc, tile.rows, present));
        if (!keysSeen.exact) {
          count(Count::Partial, constant64(1));
          return call(partial, partialInputs, tile);
        }
        auto choose = scf::IfOp::create(b, loc, whole, /*withElse=*/true);
        OpBuilder::InsertionGuard guard(b);
        b.setInsertionPointToStart(choose.thenBlock());
        count(Count::Full, constant64(1));
        call(full, fullInputs, tile);
        b.setInsertionPointToStart(choose.elseBlock());
        count(Count::Partial, constant64(1));
        call(partial, partialInputs, tile);
      });
    }

    // The results: acc / sum, 0 for an empty row; maximum + log(sum), -inf for an empty row. Pointwise: acc, sum.
    b.setInsertionPointAfter(overKeys);
    overInner([&](Value n) {
      loop(rows, [&](Value i) {
        Value total = memref::LoadOp::create(b, loc, sum, ValueRange{n, i});
        auto [none, scale] = inverse(total);
        if (row >= 0) positions[row] = arith::AddIOp::create(b, loc, firstRow, i);
        loop(extents[value], [&](Value e) {
          positions[value] = e;
          Value aggregate = memref::LoadOp::create(b, loc, acc, ValueRange{n, i, e});
          if (!op.getPointwise()) aggregate = arith::SelectOp::create(b, loc, none, zeroF, Value(arith::MulFOp::create(b, loc, aggregate, scale)));
          store(aggregate, 0);
          positions[value] = {};
        });
        if (op.hasSecond() && op.getPointwise()) {
          store(total, 1);
        } else if (op.hasSecond()) {
          Value top = memref::LoadOp::create(b, loc, maximum, ValueRange{n, i});
          Value minus = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(-std::numeric_limits<float>::infinity()));
          // The leaf keeps maxima in units of log 2.
          Value ln2 = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0.693147180559945f));
          Value lse = arith::AddFOp::create(b, loc, arith::MulFOp::create(b, loc, top, ln2), math::LogOp::create(b, loc, total));
          store(arith::SelectOp::create(b, loc, none, minus, lse), 1);
        }
        if (row >= 0) positions[row] = {};
      });
    });
    if (op.getWeights()) weights(firstRow, rows, maximum, sum, keysSeen);
  }

  // The weights of a row block, when its maxima and sums are known: exp2(score * log2 e - maximum) / sum, once more over the packed keys;
  // 0 in blocks that no row visits, and in rows that visit nothing.
  void weights(Value firstRow, Value rows, Value maximum, Value sum, const Visited &keysSeen) {
    Value zeroF = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0)), none = constant64(0);
    Value scale = memref::AllocOp::create(b, loc, MemRefType::get({queries}, b.getF32Type()));
    loop(rows, [&](Value i) {
      memref::StoreOp::create(b, loc, inverse(memref::LoadOp::create(b, loc, sum, ValueRange{none, i})).second, scale, ValueRange{i});
    });
    unsigned output = op->getNumOperands() - 1;
    Metadata q = metadata(op.getQuery()), pk = metadata(packedKeys), out = metadata(op->getOperand(output)), m = metadata(maximum), s = metadata(scale);
    Value queryStride = row < 0 ? none : q.strides[axisOf(0, row)], outStride = row < 0 ? none : out.strides[axisOf(output, row)];
    Value number = flattened(1, keyAxes);
    Tile tile{};
    tile.query = addressOf(0, q, {{row, firstRow}, {contracted, none}}), tile.firstRow = firstRow;
    loop(arith::CeilDivSIOp::create(b, loc, extents[key], constant64(panel)), [&](Value block) {
      Value firstKey = arith::MulIOp::create(b, loc, block, constant64(panel));
      Value present = arith::MinSIOp::create(b, loc, constant64(panel), arith::SubIOp::create(b, loc, extents[key], firstKey));
      Value end = arith::AddIOp::create(b, loc, firstKey, present);
      Value visited = arith::AndIOp::create(b, loc, arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sgt, end, keysSeen.low), arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, firstKey, keysSeen.high));
      auto choose = scf::IfOp::create(b, loc, visited, /*withElse=*/true);
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(choose.elseBlock());
      loop(rows, [&](Value i) {
        if (row >= 0) positions[row] = arith::AddIOp::create(b, loc, firstRow, i);
        loop(present, [&](Value j) {
          positions[key] = arith::AddIOp::create(b, loc, firstKey, j);
          store(zeroF, op.getInits().size() - 1);
          positions[key] = {};
        });
        if (row >= 0) positions[row] = {};
      });
      b.setInsertionPointToStart(choose.thenBlock());
      tile.firstKey = firstKey;
      llvm::StringMap<Value> named;
      named["a"] = tile.query, named["a_stride"] = toI32(queryStride), named["depth"] = toI32(extents[contracted]);
      named["b"] = address(pk, {number, arith::MulIOp::create(b, loc, block, constant64(panel / lanes)), none, none}), named["rows"] = toI32(rows), named["columns"] = toI32(present);
      named["i0"] = toI32(firstRow), named["j0"] = toI32(firstKey), named["c_stride"] = toI32(outStride);
      named["c"] = addressOf(output, out, {{row, firstRow}, {key, firstKey}});
      auto call = [&](const leaf::LeafSpec &spec, LeafExpression &inputs) {
        passInputs(inputs, tile, named);
        auto perRow = [&](size_t input, Value values) {
          named["input" + std::to_string(input)] = values, named["input" + std::to_string(input) + "_row_stride"] = toI32(constant64(1));
        };
        perRow(inputs.inputs.size(), address(m, {none, none}));
        perRow(inputs.inputs.size() + 1, address(s, {none}));
        callLeaf(b, loc, spec, named);
      };
      if (!keysSeen.exact) return call(edgeWeights, *edgeInputs);
      auto which = scf::IfOp::create(b, loc, isFull(keysSeen, firstRow, rows, firstKey, present, panel), /*withElse=*/true);
      b.setInsertionPointToStart(which.thenBlock());
      call(wholeWeights, *wholeInputs);
      b.setInsertionPointToStart(which.elseBlock());
      call(edgeWeights, *edgeInputs);
    });
  }

  // The leaf of one panel's weights: a product whose epilogue makes weights of scores. Its last inputs are the row's maximum and 1 / sum.
  leaf::LeafSpec weightsSpec(const LeafExpression &inputs, leaf::Expression score, std::optional<leaf::Expression> keep, bool edges) {
    using leaf::Expression;
    leaf::LeafSpec spec;
    spec.kind = leaf::LeafSpec::ContractLeaf;
    spec.target = target;
    spec.contract.rows = queries, spec.contract.columns = panel, spec.contract.panel = lanes, spec.contract.edges = edges;
    spec.contract.a = storage(element(op.getQuery()));
    for (const auto &i : inputs.inputs) spec.inputs.push_back(i.leaf);
    int64_t maximum = spec.inputs.size(), scale = maximum + 1;
    spec.inputs.insert(spec.inputs.end(), 2, {leaf::Input::Row, leaf::Type::F32, false});
    spec.lets = inputs.lets;
    std::function<void(Expression &)> ofProduct = [&](Expression &e) {
      if (e.op == "dot") e.op = "acc";
      llvm::for_each(e.args, ofProduct);
    };
    Expression scaled{"mul", 0, 0, {std::move(score), Expression{"f32", 1.4426950408889634}}};
    Expression shifted{"sub", 0, 0, {std::move(scaled), Expression{"input", 0, maximum}}};
    Expression weight{"mul", 0, 0, {Expression{"exp2", 0, 0, {std::move(shifted)}}, Expression{"input", 0, scale}}};
    if (keep) weight = Expression{"select", 0, 0, {std::move(*keep), std::move(weight), Expression{"f32"}}};
    ofProduct(weight);
    llvm::for_each(spec.lets, ofProduct);
    spec.contract.epilogue = std::move(weight);
    return spec;
  }

  // The state that the sinks leave: their maximum, in units of log 2, and their exponentials' sum. Sinks of -infinity are none.
  std::pair<Value, Value> sinksAtRow(Value lowest) {
    Value zeroF = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0)), toLog2 = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(1.44269504088896f)), top = lowest, total = zeroF;
    SmallVector<Value> values;
    for (unsigned k = op.firstSink(); k < op.firstOutput(); k++) {
      SmallVector<Value> at;
      for (AffineExpr e : op.getMap(k).getResults()) at.push_back(evaluate(e));
      values.push_back(arith::MulFOp::create(b, loc, widened(memref::LoadOp::create(b, loc, op->getOperand(k), at)), toLog2));
      top = arith::MaximumFOp::create(b, loc, top, values.back());
    }
    for (Value v : values) total = arith::AddFOp::create(b, loc, total, math::Exp2Op::create(b, loc, arith::SubFOp::create(b, loc, v, top)));
    Value least = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(leaf::lowestScore));
    Value none = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OLE, top, least);
    return {arith::SelectOp::create(b, loc, none, lowest, top), arith::SelectOp::create(b, loc, none, zeroF, total)};
  }

  void store(Value v, unsigned output) {
    Value buffer = op.getInits()[output];
    if (Type type = element(buffer); !type.isF32()) v = arith::TruncFOp::create(b, loc, type, v);
    SmallVector<Value> at;
    for (AffineExpr e : op.getMap(op.firstOutput() + output).getResults()) at.push_back(evaluate(e));
    memref::StoreOp::create(b, loc, v, buffer, at);
  }

  void count(Count what, Value amount) {
    if (counting) counting->add(b, loc, what, amount);
  }

  struct Tile {
    Value query, queryStride, key, keyStride, value, valueStride, firstRow, firstKey, rows, keys, maximum, sum, acc;
    Value queryPairs, weights;  // for tile registers
  };

  void call(const leaf::LeafSpec &spec, LeafExpression &inputs, const Tile &t) {
    llvm::StringMap<Value> named;
    if (tiles) {
      scoreProduct(t);
      named["weights"] = address(metadata(t.weights), {constant64(0), constant64(0)});
    } else {
      named["q"] = t.query, named["q_stride"] = toI32(t.queryStride), named["head"] = toI32(extents[contracted]);
      named["k"] = t.key, named["v"] = t.value, named["k_stride"] = toI32(t.keyStride), named["v_stride"] = toI32(t.valueStride);
      named["v_panel_stride"] = toI32(constant64(panel));
    }
    named["panels"] = toI32(panels);
    named["i0"] = toI32(t.firstRow), named["j0"] = toI32(t.firstKey), named["rows"] = toI32(t.rows), named["keys"] = toI32(t.keys);
    named["maximum"] = t.maximum, named["sum"] = t.sum, named["acc"] = t.acc;
    passInputs(inputs, t, named);
    callLeaf(b, loc, spec, named);
    if (tiles) valueProduct(t);
  }

  Value bytes(Value n, int64_t each) { return arith::IndexCastOp::create(b, loc, b.getI64Type(), arith::MulIOp::create(b, loc, n, constant64(each))); }
  Value sizeOf(Value buffer, unsigned axis) { return memref::DimOp::create(b, loc, buffer, axis); }

  // What tile registers take the place of in a leaf. The dot products of all keys that are present, to a multiple of a block:
  void scoreProduct(const Tile &t) {
    Value none = constant64(0), block = constant64(tileBlock), depths = sizeOf(packedKeys, 2);
    Value columns = arith::MulIOp::create(b, loc, arith::CeilDivSIOp::create(b, loc, t.keys, block), block);
    callTileProduct(b, loc, {address(metadata(t.queryPairs), {none, none}), bytes(depths, 4), {}, t.key, bytes(depths, 4 * lanes), address(metadata(t.weights), {none, none}),
                             bytes(constant64(keys), 4), constant64(queries), columns, arith::DivUIOp::create(b, loc, depths, constant64(lanes))});
  }

  // The sum of weighted values. All of them are finite (allFinite below), so those without weight add nothing.
  void valueProduct(const Tile &t) {
    Value none = constant64(0), width = arith::MulIOp::create(b, loc, panels, constant64(panel)), lines = sizeOf(packedValues, 2);
    callTileProduct(b, loc, {address(metadata(t.weights), {none, none}), bytes(constant64(keys), 4), bytes(constant64(keys), 2), t.value, bytes(lines, 4 * lanes), t.acc,
                             bytes(width, 4), constant64(queries), width, arith::CeilDivSIOp::create(b, loc, t.keys, constant64(2 * lanes))});
  }

  void passInputs(LeafExpression &inputs, const Tile &t, llvm::StringMap<Value> &named) {
    for (auto [k, i] : llvm::enumerate(inputs.inputs)) {
      std::string name = "input" + std::to_string(k);
      if (auto read = inputs.readOf(i.value)) {
        if (i.leaf.kind == leaf::Input::Table) named[name] = tableOf(*read);
        else named[name] = toI32(metadata(read->from).strides[i.axis]);
        continue;
      }
      if (i.leaf.kind == leaf::Input::Scalar) {
        Value v = outside(i.value);
        named[name] = v.getType().isInteger(1) ? Value(arith::ExtUIOp::create(b, loc, b.getI32Type(), v)) : v.getType().isIndex() ? toI32(v) : v;
        continue;
      }
      unsigned operand = 2 + cast<BlockArgument>(i.value).getArgNumber();
      Metadata m = metadata(op->getOperand(operand));
      named[name] = addressOf(operand, m, {{row, t.firstRow}, {key, t.firstKey}});
      if (int axis = row < 0 ? -1 : axisOf(operand, row); axis >= 0) named[name + "_row_stride"] = toI32(m.strides[axis]);
      if (int axis = axisOf(operand, key); axis >= 0) named[name + "_column_stride"] = toI32(m.strides[axis]);
    }
  }

  // A leaf counts a table's elements in 32 bits: a larger one ends the kernel.
  void checkSpan(const LeafExpression::Read &read) {
    if (ArrayRef<unsigned>{unsigned(read.at.size() - 1)} == ArrayRef(read.along)) return;  // a position is as small
    Metadata m = metadata(read.from);
    Value span = constant64(0);
    for (unsigned axis : read.along) span = arith::AddIOp::create(b, loc, span, arith::MulIOp::create(b, loc, m.sizes[axis], m.strides[axis]));
    auto of = [&](int64_t v) -> Value { return arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(v)); };
    Value large = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sgt, span, constant64(std::numeric_limits<int32_t>::max()));
    callRuntime(b, loc, "fovea_check_size", {}, Value(arith::SelectOp::create(b, loc, large, of(std::numeric_limits<int64_t>::max()), of(0))));
  }

  // Where a table begins: at its first position, and where it stands along the axes on which the position does not vary. What lies outside of
  // one of these is nowhere used, and of an empty tensor the first place may be read.
  Value tableOf(const LeafExpression::Read &read) {
    Metadata m = metadata(read.from);
    SmallVector<Value> at;
    Value zero = constant64(0), some;
    for (Value size : m.sizes) {
      Value here = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne, size, zero);
      some = some ? Value(arith::AndIOp::create(b, loc, some, here)) : here;
    }
    for (auto [axis, index] : llvm::enumerate(read.at)) {
      if (llvm::is_contained(read.along, axis)) {
        at.push_back(zero);
        continue;
      }
      Value position = outside(index), inside = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, position, m.sizes[axis]);
      at.push_back(arith::SelectOp::create(b, loc, arith::AndIOp::create(b, loc, some, inside), position, zero));
    }
    return address(m, at);
  }

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
};

struct TileAttendPass : PassWrapper<TileAttendPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(TileAttendPass)
  StringRef getArgument() const final { return "attn-tile-attend"; }
  StringRef getDescription() const final { return "Turn attn.attend on buffers into loops around Halide leaves"; }
  void getDependentDialects(DialectRegistry &registry) const final {
    registry.insert<scf::SCFDialect, memref::MemRefDialect, func::FuncDialect, LLVM::LLVMDialect, math::MathDialect, vector::VectorDialect>();
  }
  void runOnOperation() final {
    SmallVector<attn::AttendOp> ops;
    getOperation().walk([&](attn::AttendOp op) { ops.push_back(op); });
    for (attn::AttendOp op : ops)
      if (failed(tile(op))) return signalPassFailure();
  }

  // Whether no element of bf16 is infinite or no number. Weights in two parts would make an infinite value no number; and what no row visits
  // may be anything, but takes part in the products of tile registers.
  static Value allFinite(OpBuilder &b, Location loc, Value buffer) {
    auto type = cast<MemRefType>(buffer.getType());
    int64_t last = type.getRank() - 1, lanes = type.isLastDimUnitStride() ? 2 * tileBlock : 1;
    auto index = [&](int64_t n) -> Value { return arith::ConstantIndexOp::create(b, loc, n); };
    auto words = VectorType::get(lanes, b.getI16Type()), halves = VectorType::get(lanes, b.getBF16Type());
    auto each = [&](int64_t n) -> Value { return arith::ConstantOp::create(b, loc, DenseElementsAttr::get(words, b.getI16IntegerAttr(n))); };
    Value zero = index(0), one = index(1), rows = one, odd = memref::AllocOp::create(b, loc, MemRefType::get({}, b.getI1Type()));
    memref::StoreOp::create(b, loc, Value(arith::ConstantOp::create(b, loc, b.getBoolAttr(false))), odd, ValueRange{});
    SmallVector<Value> sizes;
    for (int64_t axis = 0; axis <= last; axis++) sizes.push_back(memref::DimOp::create(b, loc, buffer, axis));
    for (int64_t axis = 0; axis < last; axis++) rows = arith::MulIOp::create(b, loc, rows, sizes[axis]);
    auto parallel = scf::ParallelOp::create(b, loc, zero, rows, one);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(parallel.getBody());
    SmallVector<Value> at(last + 1);
    Value rest = parallel.getInductionVars()[0];
    for (int64_t axis = last; axis-- > 0;) at[axis] = arith::RemUIOp::create(b, loc, rest, sizes[axis]), rest = arith::DivUIOp::create(b, loc, rest, sizes[axis]);
    auto along = scf::ForOp::create(b, loc, zero, sizes[last], index(lanes), each(0));
    {
      OpBuilder::InsertionGuard inner(b);
      b.setInsertionPointToStart(along.getBody());
      at[last] = along.getInductionVar();
      Value left = arith::SubIOp::create(b, loc, sizes[last], at[last]), mask = vector::CreateMaskOp::create(b, loc, VectorType::get(lanes, b.getI1Type()), left);
      Value line = vector::MaskedLoadOp::create(b, loc, halves, buffer, at, mask, arith::ConstantOp::create(b, loc, b.getZeroAttr(halves)));
      Value exponent = arith::AndIOp::create(b, loc, arith::BitcastOp::create(b, loc, words, line), each(0x7f80));
      scf::YieldOp::create(b, loc, Value(arith::MaxUIOp::create(b, loc, along.getRegionIterArg(0), exponent)));
    }
    Value most = vector::ReductionOp::create(b, loc, vector::CombiningKind::MAXUI, along.getResult(0));
    Value is = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, most, arith::ConstantOp::create(b, loc, b.getI16IntegerAttr(0x7f80)));
    auto found = scf::IfOp::create(b, loc, is, /*withElse=*/false);
    b.setInsertionPointToStart(found.thenBlock());
    memref::StoreOp::create(b, loc, Value(arith::ConstantOp::create(b, loc, b.getBoolAttr(true))), odd, ValueRange{});
    b.setInsertionPointAfter(parallel);
    Value any = memref::LoadOp::create(b, loc, odd, ValueRange{});
    return arith::XOrIOp::create(b, loc, any, Value(arith::ConstantOp::create(b, loc, b.getBoolAttr(true))));
  }

  LogicalResult tile(attn::AttendOp op) {
    DictionaryAttr schedule = *op.getSchedule();
    for (StringRef entry : {"grouped", "few", "tiles"}) {
      auto other = dyn_cast_or_null<DictionaryAttr>(schedule.get(entry));
      if (!other) continue;
      // Two versions; the number of rows chooses.
      OpBuilder b(op);
      Location loc = op.getLoc();
      SmallVector<NamedAttribute> rest;
      for (NamedAttribute attribute : schedule)
        if (attribute.getName() != entry) rest.push_back(attribute);
      int64_t row = op.getDimension("row");
      auto version = [&] {
        auto first = entry == "grouped" ? groupHeads(op, b) : cast<attn::AttendOp>(b.clone(*op));
        first.setScheduleAttr(other);
        return first;
      };
      if (row < 0) {  // one query
        auto first = version();
        op.erase();
        return tile(first);
      }
      Value fits;
      if (entry == "tiles") {
        auto may = scf::IfOp::create(b, loc, b.getI1Type(), mayUseTiles(b, loc), /*withElse=*/true);
        OpBuilder inside = may.getThenBodyBuilder(), outside = may.getElseBodyBuilder();
        scf::YieldOp::create(inside, loc, allFinite(inside, loc, op.getValue()));
        scf::YieldOp::create(outside, loc, Value(arith::ConstantOp::create(outside, loc, outside.getBoolAttr(false))));
        fits = may.getResult(0);
      } else {
        Value rows = memref::DimOp::create(b, loc, op.getQuery(), axisAlong(op.getMap(0), row));
        Value most = arith::ConstantIndexOp::create(b, loc, cast<IntegerAttr>(other.get("rows")).getInt());
        fits = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sle, rows, most);
      }
      auto choose = scf::IfOp::create(b, loc, fits, /*withElse=*/true);
      b.setInsertionPointToStart(choose.thenBlock());
      attn::AttendOp first = version();
      b.setInsertionPointToStart(choose.elseBlock());
      auto second = cast<attn::AttendOp>(b.clone(*op));
      second.setScheduleAttr(b.getDictionaryAttr(rest));
      op.erase();
      return failed(tile(first)) ? failure() : tile(second);
    }
    if (failed(Tiler(op, getOperation()).run())) return failure();
    op.erase();
    return success();
  }
};

}  // namespace

std::unique_ptr<Pass> createTileAttendPass() { return std::make_unique<TileAttendPass>(); }

}  // namespace fovea
