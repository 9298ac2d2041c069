// The meaning of every attn op, as plain linalg that materialises each step. The oracle runs nothing else.
#include "dialect/Attn.h"
#include "dialect/Mark.h"

#include "mlir/Dialect/Utils/StructuredOpsUtils.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/PatternMatch.h"

using namespace mlir;

namespace fovea::attn {
namespace {

constexpr double lowest = -3.4e38;  // the prelude's stand-in for "no score yet" (rule F3)

struct Decomposer {
  RewriterBase &b;
  Location loc;
  Operation *from;

  Value real(Type type, double value) { return arith::ConstantOp::create(b, loc, FloatAttr::get(type, value)); }

  // An operand of a generic: read through its map, or, where linalg cannot invert the map, by tensor.extract in the body.
  struct Operand {
    Value tensor;
    AffineMap map;
  };

  // A generic over `dimensions` dimensions. `extents` gives every dimension's size; those not in `output` are reduced.
  // The body receives one scalar per operand, then the accumulator.
  Value generic(ArrayRef<Operand> operands, Value init, AffineMap output,
                function_ref<Value(OpBuilder &, ArrayRef<Value>, Value)> body) {
    SmallVector<Value> inputs;
    SmallVector<AffineMap> maps;
    for (const Operand &operand : operands)
      if (operand.map.isProjectedPermutation()) {
        inputs.push_back(operand.tensor);
        maps.push_back(operand.map);
      }
    maps.push_back(output);
    SmallVector<utils::IteratorType> iterators(output.getNumDims(), utils::IteratorType::reduction);
    for (AffineExpr result : output.getResults()) iterators[cast<AffineDimExpr>(result).getPosition()] = utils::IteratorType::parallel;
    auto made = linalg::GenericOp::create(b, loc, TypeRange{init.getType()}, inputs, ValueRange{init}, maps, iterators,
                                          [&](OpBuilder &builder, Location, ValueRange arguments) {
      SmallVector<Value> scalars;
      unsigned next = 0;
      for (const Operand &operand : operands) {
        if (operand.map.isProjectedPermutation()) {
          scalars.push_back(arguments[next++]);
          continue;
        }
        SmallVector<Value> dims, position;
        for (unsigned d = 0; d < output.getNumDims(); d++) dims.push_back(linalg::IndexOp::create(builder, loc, d));
        for (AffineExpr e : operand.map.getResults()) position.push_back(evaluate(builder, e, dims));
        scalars.push_back(tensor::ExtractOp::create(builder, loc, operand.tensor, position));
      }
      linalg::YieldOp::create(builder, loc, body(builder, scalars, arguments.back()));
    });
    if (output.getNumResults() < output.getNumDims()) copyMark(from, made);
    return made.getResult(0);
  }

  Value evaluate(OpBuilder &builder, AffineExpr e, ArrayRef<Value> dims) {
    if (auto d = dyn_cast<AffineDimExpr>(e)) return dims[d.getPosition()];
    if (auto c = dyn_cast<AffineConstantExpr>(e)) return arith::ConstantIndexOp::create(builder, loc, c.getValue());
    auto binary = cast<AffineBinaryOpExpr>(e);
    Value l = evaluate(builder, binary.getLHS(), dims), r = evaluate(builder, binary.getRHS(), dims);
    switch (binary.getKind()) {
      case AffineExprKind::Add: return arith::AddIOp::create(builder, loc, l, r);
      case AffineExprKind::Mul: return arith::MulIOp::create(builder, loc, l, r);
      case AffineExprKind::FloorDiv: return arith::FloorDivSIOp::create(builder, loc, l, r);
      case AffineExprKind::Mod: return arith::RemSIOp::create(builder, loc, l, r);
      default: return arith::CeilDivSIOp::create(builder, loc, l, r);
    }
  }

  Value filled(Value like, double value) {
    auto type = cast<RankedTensorType>(like.getType());
    return linalg::FillOp::create(b, loc, real(type.getElementType(), value), like).getResult(0);
  }

  Value empty(ArrayRef<OpFoldResult> shape, Type element) { return tensor::EmptyOp::create(b, loc, shape, element); }

  SmallVector<OpFoldResult> shapeOf(Value tensor) { return tensor::getMixedSizes(b, loc, tensor); }

  // Storage type to the arithmetic's type.
  Value widen(OpBuilder &builder, Value v, Type type) {
    if (v.getType() == type) return v;
    return arith::ExtFOp::create(builder, loc, type, v);
  }

  // ---- score
  Value score(ValueRange inputs, ArrayRef<AffineMap> maps, Value init, Block &body, bool pointwise) {
    SmallVector<Operand> operands;
    for (auto [input, map] : llvm::zip(inputs, maps)) operands.push_back({input, map});
    Type type = cast<RankedTensorType>(init.getType()).getElementType();
    return generic(operands, init, maps.back(), [&](OpBuilder &builder, ArrayRef<Value> scalars, Value) {
      IRMapping mapping;
      for (auto [argument, scalar] : llvm::zip(body.getArguments(), scalars)) mapping.map(argument, scalar);
      for (Operation &op : body.without_terminator()) {
        if (auto index = dyn_cast<IndexOp>(op))
          mapping.map(index.getResult(), Value(linalg::IndexOp::create(builder, loc, index.getDimension())));
        else
          builder.clone(op, mapping);
      }
      auto yield = cast<YieldOp>(body.getTerminator());
      Value removed = arith::ConstantOp::create(builder, loc, FloatAttr::get(type, pointwise ? 0.0 : -std::numeric_limits<double>::infinity()));
      return Value(arith::SelectOp::create(builder, loc, mapping.lookupOrDefault(yield.getKeep()), mapping.lookupOrDefault(yield.getValue()), removed));
    });
  }

  // ---- normalise
  // `sinks`: read through maps from the dimensions that are left.
  Value normalise(Value score, Value init, Normaliser kind, ArrayRef<int64_t> dimensions, ArrayRef<Operand> sinks) {
    auto type = cast<RankedTensorType>(score.getType());
    Type element = type.getElementType();
    SmallVector<OpFoldResult> full = shapeOf(score), kept;
    SmallVector<AffineExpr> keptDims;
    for (int64_t d = 0; d < type.getRank(); d++)
      if (!llvm::is_contained(dimensions, d)) {
        kept.push_back(full[d]);
        keptDims.push_back(b.getAffineDimExpr(d));
      }
    AffineMap all = b.getMultiDimIdentityMap(type.getRank()), row = AffineMap::get(type.getRank(), 0, keptDims, b.getContext()), each = rowIdentity(row);
    auto sum = [&](Value of, Value into) {
      return generic({{of, all}}, into, row, [&](OpBuilder &builder, ArrayRef<Value> s, Value acc) -> Value { return arith::AddFOp::create(builder, loc, acc, s[0]); });
    };
    if (kind == Normaliser::Total) return sum(score, filled(init, 0));

    Value top = generic({{score, all}}, filled(empty(kept, element), -std::numeric_limits<double>::infinity()), row,
                        [&](OpBuilder &builder, ArrayRef<Value> s, Value acc) -> Value { return arith::MaximumFOp::create(builder, loc, acc, s[0]); });
    SmallVector<Operand> tops(sinks);
    tops.push_back({top, each});
    top = generic(tops, empty(kept, element), each, [&](OpBuilder &builder, ArrayRef<Value> s, Value) -> Value {
      Value m = real2(builder, element, lowest);
      for (Value v : s) m = arith::MaximumFOp::create(builder, loc, m, v);
      return m;
    });
    auto shifted = [&](OpBuilder &builder, Value s, Value m) -> Value { return math::ExpOp::create(builder, loc, arith::SubFOp::create(builder, loc, s, m)); };
    Value exponentials = generic({{score, all}, {top, row}}, kind == Normaliser::Softmax ? init : empty(full, element), all,
                                 [&](OpBuilder &builder, ArrayRef<Value> s, Value) { return shifted(builder, s[0], s[1]); });
    SmallVector<Operand> terms(sinks);
    terms.append({{sum(exponentials, filled(empty(kept, element), 0)), each}, {top, each}});
    Value total = generic(terms, empty(kept, element), each, [&](OpBuilder &builder, ArrayRef<Value> s, Value) -> Value {
      Value z = s[sinks.size()];
      for (size_t k = 0; k < sinks.size(); k++) z = arith::AddFOp::create(builder, loc, z, shifted(builder, s[k], s.back()));
      return z;
    });
    if (kind == Normaliser::LogSumExp)
      return generic({{top, each}, {total, each}}, init, each, [&](OpBuilder &builder, ArrayRef<Value> s, Value) -> Value {
        return arith::AddFOp::create(builder, loc, s[0], math::LogOp::create(builder, loc, s[1]));
      });
    return generic({{exponentials, all}, {total, row}}, init, all, [&](OpBuilder &builder, ArrayRef<Value> s, Value) -> Value {
      Value zero = real2(builder, element, 0);
      Value none = arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OEQ, s[1], zero);
      return arith::SelectOp::create(builder, loc, none, zero, arith::DivFOp::create(builder, loc, s[0], s[1]));
    });
  }

  Value real2(OpBuilder &builder, Type type, double value) { return arith::ConstantOp::create(builder, loc, FloatAttr::get(type, value)); }

  AffineMap rowIdentity(AffineMap row) { return b.getMultiDimIdentityMap(row.getNumResults()); }

  // ---- aggregate
  Value aggregate(Value weights, Value values, Value init, ArrayRef<AffineMap> maps) {
    Type element = cast<RankedTensorType>(init.getType()).getElementType();
    return generic({{weights, maps[0]}, {values, maps[1]}}, filled(init, 0), maps[2], [&](OpBuilder &builder, ArrayRef<Value> s, Value acc) -> Value {
      Value zero = real2(builder, element, 0), w = widen(builder, s[0], element);
      Value product = arith::MulFOp::create(builder, loc, w, widen(builder, s[1], element));
      Value removed = arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OEQ, w, zero);
      return arith::AddFOp::create(builder, loc, acc, arith::SelectOp::create(builder, loc, removed, zero, product));
    });
  }

  // ---- attend
  // Scores live over the dimensions batch.., row, key in their order in `roles`; contracted and value dimensions are dropped.
  SmallVector<Value> attend(AttendOp op) {
    unsigned rank = op.getRoles().size();
    Type element = op.getBody().front().getArgument(0).getType();
    int64_t key = op.getDimension("key"), contracted = op.getDimension("contracted"), value = op.getDimension("value");
    SmallVector<Value> operands(op->getOperands());
    unsigned inputs = 3, outputs = op.firstOutput();

    auto sizeOf = [&](unsigned dimension) -> OpFoldResult {
      for (auto [k, operand] : llvm::enumerate(operands)) {
        auto type = dyn_cast<RankedTensorType>(operand.getType());
        if (!type) continue;
        for (auto [axis, e] : llvm::enumerate(op.getMap(k).getResults()))
          if (auto d = dyn_cast<AffineDimExpr>(e); d && d.getPosition() == dimension) return tensor::getMixedSize(b, loc, operand, axis);
      }
      llvm_unreachable("a dimension of attn.attend has no operand");
    };
    SmallVector<int64_t> position(rank, -1);  // of a dimension in the score
    SmallVector<OpFoldResult> scoreShape;
    SmallVector<AffineExpr> scoreDims;
    for (unsigned d = 0; d < rank; d++) {
      if (int64_t(d) == contracted || int64_t(d) == value) continue;
      position[d] = scoreShape.size();
      scoreShape.push_back(sizeOf(d));
      scoreDims.push_back(b.getAffineDimExpr(d));
    }
    AffineMap toScore = AffineMap::get(rank, 0, scoreDims, b.getContext());
    // Renumbers a map's dimensions from the op's to the score's.
    SmallVector<AffineExpr> renumber(rank, b.getAffineConstantExpr(0));
    for (unsigned d = 0; d < rank; d++)
      if (position[d] >= 0) renumber[d] = b.getAffineDimExpr(position[d]);
    auto overScore = [&](AffineMap map) { return AffineMap::get(scoreShape.size(), 0, map.replaceDimsAndSymbols(renumber, {}, scoreShape.size(), 0).getResults(), b.getContext()); };

    // Dimensions: the score's, then the contracted one.
    SmallVector<AffineExpr> withContracted(renumber);
    withContracted[contracted] = b.getAffineDimExpr(scoreShape.size());
    unsigned width = scoreShape.size() + 1;
    auto overDot = [&](AffineMap map) { return map.replaceDimsAndSymbols(withContracted, {}, width, 0); };
    SmallVector<AffineExpr> identity;
    for (unsigned d = 0; d < scoreShape.size(); d++) identity.push_back(b.getAffineDimExpr(d));
    Value dot = generic({{operands[0], overDot(op.getMap(0))}, {operands[1], overDot(op.getMap(1))}}, filled(empty(scoreShape, element), 0),
                        AffineMap::get(width, 0, identity, b.getContext()), [&](OpBuilder &builder, ArrayRef<Value> s, Value acc) -> Value {
      return arith::AddFOp::create(builder, loc, acc, arith::MulFOp::create(builder, loc, widen(builder, s[0], element), widen(builder, s[1], element)));
    });

    SmallVector<Value> scoreInputs{dot};
    SmallVector<AffineMap> scoreMaps{b.getMultiDimIdentityMap(scoreShape.size())};
    for (unsigned k = inputs; k < op.firstSink(); k++) {
      scoreInputs.push_back(operands[k]);
      scoreMaps.push_back(overScore(op.getMap(k)));
    }
    scoreMaps.push_back(b.getMultiDimIdentityMap(scoreShape.size()));
    Block &body = op.getBody().front();
    body.walk([&](IndexOp index) { index.setDimension(position[index.getDimension()]); });
    Value scores = score(scoreInputs, scoreMaps, empty(scoreShape, element), body, op.getPointwise());

    SmallVector<Value> results;
    int64_t along = position[key];
    // Over the score's dimensions without the key.
    SmallVector<AffineExpr> toRow(renumber);
    for (AffineExpr &e : toRow)
      if (auto d = dyn_cast<AffineDimExpr>(e); d && int64_t(d.getPosition()) > along) e = b.getAffineDimExpr(d.getPosition() - 1);
    SmallVector<Operand> sinks;
    for (unsigned k = op.firstSink(); k < outputs; k++) sinks.push_back({operands[k], op.getMap(k).replaceDimsAndSymbols(toRow, {}, scoreShape.size() - 1, 0)});
    Value weights = op.getPointwise() ? scores : normalise(scores, empty(scoreShape, element), Normaliser::Softmax, {along}, sinks);
    Value first = operands[outputs];
    auto storage = cast<RankedTensorType>(first.getType());
    // The aggregate's dimensions are the op's but the contracted one.
    SmallVector<AffineExpr> without;
    for (unsigned d = 0; d < rank; d++)
      without.push_back(int64_t(d) == contracted ? b.getAffineConstantExpr(0) : b.getAffineDimExpr(d - (int64_t(d) > contracted)));
    auto overAggregate = [&](AffineMap map) { return map.replaceDimsAndSymbols(without, {}, rank - 1, 0); };
    results.push_back(rounded(aggregate(weights, operands[2], empty(shapeOf(first), element), {overAggregate(toScore), overAggregate(op.getMap(2)), overAggregate(op.getMap(outputs))}),
                              first, storage));
    if (op.hasSecond()) {
      Value second = operands[outputs + 1];
      // The logsumexp lacks the key; its axes are the score's others in order, then permuted as the output's map says.
      SmallVector<OpFoldResult> rowShape(scoreShape);
      rowShape.erase(rowShape.begin() + along);
      Value lse = normalise(scores, empty(rowShape, element), op.getPointwise() ? Normaliser::Total : Normaliser::LogSumExp, {along}, sinks);
      SmallVector<AffineExpr> rowDims(scoreDims), order;
      rowDims.erase(rowDims.begin() + along);
      for (AffineExpr e : op.getMap(outputs + 1).getResults()) order.push_back(b.getAffineDimExpr(llvm::find(rowDims, e) - rowDims.begin()));
      AffineMap out = AffineMap::get(rowDims.size(), 0, order, b.getContext());
      Type stored = cast<RankedTensorType>(second.getType()).getElementType();
      results.push_back(generic({{lse, b.getMultiDimIdentityMap(rowDims.size())}}, second, out, [&](OpBuilder &builder, ArrayRef<Value> s, Value) { return narrow(builder, s[0], stored); }));
    }
    if (op.getWeights()) {
      SmallVector<AffineExpr> order;
      for (AffineExpr e : op.getMap(op->getNumOperands() - 1).getResults()) order.push_back(b.getAffineDimExpr(llvm::find(scoreDims, e) - scoreDims.begin()));
      results.push_back(generic({{weights, b.getMultiDimIdentityMap(scoreDims.size())}}, operands.back(), AffineMap::get(scoreDims.size(), 0, order, b.getContext()),
                                [&](OpBuilder &, ArrayRef<Value> s, Value) { return s[0]; }));
    }
    return results;
  }

  // ---- quantised rows
  // The flat number of some dimensions, the last one fastest.
  AffineExpr flat(unsigned first, ArrayRef<int64_t> extents) {
    AffineExpr number = b.getAffineConstantExpr(0);
    for (auto [k, extent] : llvm::enumerate(extents)) number = number * extent + b.getAffineDimExpr(first + k);
    return number;
  }

  // A row that is 0 for its tiny numbers or has a NaN or an infinity has no codes but 0.
  SmallVector<Value> quantise(QuantiseOp op) {
    auto source = cast<RankedTensorType>(op.getSource().getType());
    unsigned rank = source.getRank(), others = rank - op.getAxes();
    AffineMap all = b.getMultiDimIdentityMap(rank), row = AffineMap::get(rank, 0, all.getResults().take_front(others), b.getContext());
    // The largest |x| by its bits, which order NaN above infinity.
    SmallVector<OpFoldResult> rows(ArrayRef(shapeOf(op.getSource())).take_front(others));
    auto integer = [&](OpBuilder &builder, int64_t v) -> Value { return arith::ConstantOp::create(builder, loc, builder.getI32IntegerAttr(v)); };
    Value bits = linalg::FillOp::create(b, loc, integer(b, 0), empty(rows, b.getI32Type())).getResult(0);
    bits = generic({{op.getSource(), all}}, bits, row, [&](OpBuilder &builder, ArrayRef<Value> s, Value acc) -> Value {
      Value magnitude = arith::AndIOp::create(builder, loc, arith::BitcastOp::create(builder, loc, builder.getI32Type(), s[0]), integer(builder, 0x7fffffff));
      return arith::MaxSIOp::create(builder, loc, acc, magnitude);
    });
    AffineMap each = rowIdentity(row);
    auto scale = [&](OpBuilder &builder, Value bits, bool inverse) -> Value {
      Value largest = arith::BitcastOp::create(builder, loc, builder.getF32Type(), bits), all127 = real2(builder, builder.getF32Type(), 127);
      Value quotient = inverse ? arith::DivFOp::create(builder, loc, all127, largest) : arith::DivFOp::create(builder, loc, largest, all127);
      Value tiny = arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OLT, largest, real2(builder, builder.getF32Type(), leastQuantised));
      return arith::SelectOp::create(builder, loc, tiny, real2(builder, builder.getF32Type(), 0), quotient);
    };
    Value scales = generic({{bits, each}}, op.getScales(), each, [&](OpBuilder &builder, ArrayRef<Value> s, Value) { return scale(builder, s[0], false); });

    auto codesType = cast<RankedTensorType>(op.getCodes().getType());
    SmallVector<int64_t> extents(source.getShape().drop_front(others));
    int64_t count = ShapedType::getNumElements(extents);
    AffineMap out = b.getMultiDimIdentityMap(others + 1), ofRow = AffineMap::get(others + 1, 0, out.getResults().take_front(others), b.getContext());
    // Element k of the row; beyond the last, any of it.
    SmallVector<AffineExpr> place(out.getResults().take_front(others));
    AffineExpr k = b.getAffineDimExpr(others) % count;
    int64_t below = count;
    for (int64_t extent : extents) {
      below /= extent;
      place.push_back(k.floorDiv(below) % extent);
    }
    Value codes = generic({{op.getSource(), AffineMap::get(others + 1, 0, place, b.getContext())}, {bits, ofRow}}, op.getCodes(), out,
                          [&](OpBuilder &builder, ArrayRef<Value> s, Value) -> Value {
      Value rounded = math::RoundEvenOp::create(builder, loc, arith::MulFOp::create(builder, loc, s[0], scale(builder, s[1], true)));
      Value number = arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::ORD, rounded, rounded);
      Value inside = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, linalg::IndexOp::create(builder, loc, others), arith::ConstantIndexOp::create(builder, loc, count));
      Value kept = arith::SelectOp::create(builder, loc, arith::AndIOp::create(builder, loc, number, inside), rounded, real2(builder, builder.getF32Type(), 0));
      Value code = arith::FPToSIOp::create(builder, loc, builder.getI32Type(), kept);
      if (codesPerGroup(codesType) == 4) code = arith::AddIOp::create(builder, loc, code, integer(builder, codeOffset));
      return arith::TruncIOp::create(builder, loc, codesType.getElementType(), code);
    });
    return {codes, scales};
  }

  Value quantisedProduct(QuantisedProductOp op) {
    auto out = cast<RankedTensorType>(op.getInit().getType()), codesType = cast<RankedTensorType>(op.getCodes().getType());
    unsigned rank = out.getRank(), rows = codesType.getRank() - 1;
    int64_t group = codesPerGroup(codesType), columns = cast<RankedTensorType>(op.getPanels().getType()).getDimSize(2) / group;
    AffineExpr n = flat(rows, out.getShape().drop_front(rows)), k = b.getAffineDimExpr(rank);
    auto over = [&](unsigned dims, ArrayRef<AffineExpr> results) { return AffineMap::get(dims, 0, results, b.getContext()); };
    SmallVector<AffineExpr> row, place;
    for (unsigned d = 0; d < rows; d++) row.push_back(b.getAffineDimExpr(d));
    place = row, place.push_back(k);
    AffineMap each = b.getMultiDimIdentityMap(rank), all = over(rank + 1, each.getResults());
    auto integer = [&](OpBuilder &builder, int64_t v) -> Value { return arith::ConstantOp::create(builder, loc, builder.getI32IntegerAttr(v)); };
    Value zero = linalg::FillOp::create(b, loc, integer(b, 0), empty(shapeOf(op.getInit()), b.getI32Type())).getResult(0);
    Value sums = generic({{op.getCodes(), over(rank + 1, place)}, {op.getPanels(), over(rank + 1, {n.floorDiv(columns), k.floorDiv(group), n % columns * group + k % group})}}, zero, all,
                         [&](OpBuilder &builder, ArrayRef<Value> s, Value acc) -> Value {
      Value code = group == 4 ? Value(arith::ExtUIOp::create(builder, loc, builder.getI32Type(), s[0])) : Value(arith::ExtSIOp::create(builder, loc, builder.getI32Type(), s[0]));
      return arith::AddIOp::create(builder, loc, acc, arith::MulIOp::create(builder, loc, code, arith::ExtSIOp::create(builder, loc, builder.getI32Type(), s[1])));
    });
    SmallVector<Operand> operands{{sums, each}, {op.getScales(), over(rank, row)}, {op.getWeightScales(), over(rank, {n.floorDiv(columns), n % columns})}};
    if (op.getSums()) operands.push_back({op.getSums(), operands[2].map});
    return generic(operands, op.getInit(), each, [&](OpBuilder &builder, ArrayRef<Value> s, Value) -> Value {
      Value sum = s[0];
      if (op.getSums()) sum = arith::SubIOp::create(builder, loc, sum, arith::MulIOp::create(builder, loc, s[3], integer(builder, codeOffset)));
      return arith::MulFOp::create(builder, loc, arith::SIToFPOp::create(builder, loc, builder.getF32Type(), sum), arith::MulFOp::create(builder, loc, s[1], s[2]));
    });
  }

  Value narrow(OpBuilder &builder, Value v, Type type) {
    if (v.getType() == type) return v;
    return arith::TruncFOp::create(builder, loc, type, v);
  }

  Value rounded(Value tensor, Value init, RankedTensorType type) {
    if (tensor.getType() == type) return tensor;
    AffineMap all = b.getMultiDimIdentityMap(type.getRank());
    return generic({{tensor, all}}, init, all, [&](OpBuilder &builder, ArrayRef<Value> s, Value) { return narrow(builder, s[0], type.getElementType()); });
  }
};

SmallVector<AffineMap> mapsOf(ArrayAttr attribute) {
  return llvm::map_to_vector(attribute, [](Attribute a) { return cast<AffineMapAttr>(a).getValue(); });
}

}  // namespace

LogicalResult decompose(RewriterBase &rewriter, Operation *op) {
  rewriter.setInsertionPoint(op);
  Decomposer d{rewriter, op->getLoc(), op};
  if (auto score = dyn_cast<ScoreOp>(op)) {
    rewriter.replaceOp(op, d.score(score.getInputs(), mapsOf(score.getIndexingMaps()), score.getInit(), score.getBody().front(), score.getPointwise()));
  } else if (auto normalise = dyn_cast<NormaliseOp>(op)) {
    SmallVector<Decomposer::Operand> sinks;
    for (auto [sink, map] : llvm::zip(normalise.getSinks(), mapsOf(normalise.getSinkMaps().value_or(ArrayAttr::get(op->getContext(), {}))))) sinks.push_back({sink, map});
    rewriter.replaceOp(op, d.normalise(normalise.getScore(), normalise.getInit(), normalise.getKind(), normalise.getDimensions(), sinks));
  } else if (auto aggregate = dyn_cast<AggregateOp>(op)) {
    rewriter.replaceOp(op, d.aggregate(aggregate.getWeights(), aggregate.getValues(), aggregate.getInit(), mapsOf(aggregate.getIndexingMaps())));
  } else if (auto attend = dyn_cast<AttendOp>(op); attend && attend.getNumResults()) {
    rewriter.replaceOp(op, d.attend(attend));
  } else if (auto quantise = dyn_cast<QuantiseOp>(op); quantise && quantise.getNumResults()) {
    rewriter.replaceOp(op, d.quantise(quantise));
  } else if (auto product = dyn_cast<QuantisedProductOp>(op); product && product.getNumResults()) {
    rewriter.replaceOp(op, d.quantisedProduct(product));
  } else if (auto support = dyn_cast<SupportOp>(op)) {
    rewriter.replaceOp(op, support.getKeep());
  } else {
    return failure();
  }
  return success();
}

}  // namespace fovea::attn
