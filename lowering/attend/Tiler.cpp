// A block of rows: its state, the loop over the keys that one of its rows visits, its results; and where everything lies.
#include "lowering/attend/Tiler.h"
#include "lowering/LeafCall.h"
#include "lowering/RuntimeCall.h"
#include "lowering/Slice.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Matchers.h"

namespace fovea {

AttendTiler::AttendTiler(attn::AttendOp op, ModuleOp module)
    : op(op), module(module), b(op), loc(op.getLoc()), body(&op.getBody().front()), names(op), row(op.getDimension("row")), key(op.getDimension("key")),
      contracted(op.getDimension("contracted")), value(op.getDimension("value")) {
  DictionaryAttr schedule = *op.getSchedule();
  queries = number(schedule, "queries"), keys = number(schedule, "keys"), panel = number(schedule, "panel");
  target = cast<StringAttr>(schedule.get("target")).getValue().str();
  lanes = leaf::findTarget(target)->lanes;
  StringRef layout = cast<StringAttr>(schedule.get("key_layout")).getValue();
  queryLanes = layout == "lanes", keyRows = layout == "rows" || queryLanes, tiles = layout == "pairs", byTile = layout == "tile";
  if (queryLanes) queries = lanes;
  dots = (!keyRows || queryLanes) && !tiles && leaf::findTarget(target)->dots && element(op.getQuery()).isBF16() && element(op.getKey()).isBF16() && !op.getWeights();
}

LogicalResult AttendTiler::run() {
  positions.resize(op.getRoles().size());
  for (unsigned d = 0; d < positions.size(); d++) extents.push_back(extentOf(d));
  auto group = op->getAttrOfType<DenseI64ArrayAttr>("group");
  Value heads;
  if (group) {
    heads = memref::DimOp::create(b, loc, op.getQuery(), group[0]);
    if (!queryLanes) inner = group[2];
    for (auto [d, role] : llvm::enumerate(op.getRoles()))
      if (cast<StringAttr>(role).getValue() == "batch" && op.getMap(0).getResult(group[0]).isFunctionOfDim(d)) groupDimension = d;
    extents[groupDimension] = arith::CeilDivSIOp::create(b, loc, heads, constant64(group[1]));
    if (queryLanes) extents[row] = arith::MulIOp::create(b, loc, extents[group[2]], constant64(group[1]));
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
  rowBlocks = row < 0 || queryLanes ? constant64(1) : Value(arith::CeilDivSIOp::create(b, loc, extents[row], blockRows));
  panels = arith::CeilDivSIOp::create(b, loc, extents[value], constant64(panel));
  if (tiles) {
    packKeyPairs(), packValuePairs();
  } else {
    if (dots && !byTile && !keyRows) packKeyPairs();
    else if (!keyRows && !byTile) packKeys();
    packValues();
  }

  // One parallel loop over batch and row block.
  SmallVector<unsigned> batch;
  for (auto [d, role] : llvm::enumerate(op.getRoles()))
    if (cast<StringAttr>(role).getValue() == "batch" && int64_t(d) != (group ? group[2] : -1)) batch.push_back(d);
  Value total = rowBlocks;
  for (unsigned d : batch) total = arith::MulIOp::create(b, loc, total, extents[d]);
  auto inParallel = [&](Value count, llvm::function_ref<void(Value)> build) {
    auto parallel = scf::ParallelOp::create(b, loc, ValueRange{constant64(0)}, ValueRange{count}, ValueRange{constant64(1)});
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(parallel.getBody());
    hoisted.clear();
    build(parallel.getInductionVars()[0]);
  };
  // Takes up the positions of a block: its first row, and how many it has.
  auto enter = [&](Value rest) -> std::pair<Value, Value> {
    // Long rows first would balance causal masks; the runtime hands out small pieces, which is enough.
    Value rowBlock = arith::RemUIOp::create(b, loc, rest, rowBlocks);
    rest = arith::DivUIOp::create(b, loc, rest, rowBlocks);
    for (unsigned k = batch.size(); k-- > 0;) {
      positions[batch[k]] = arith::RemUIOp::create(b, loc, rest, extents[batch[k]]);
      rest = arith::DivUIOp::create(b, loc, rest, extents[batch[k]]);
    }
    if (group && !queryLanes) {  // the last group may have fewer heads
      Value before = arith::MulIOp::create(b, loc, positions[groupDimension], constant64(group[1]));
      extents[row] = arith::MinSIOp::create(b, loc, constant64(group[1]), arith::SubIOp::create(b, loc, heads, before));
    }
    Value firstRow = arith::MulIOp::create(b, loc, rowBlock, blockRows);
    if (queryLanes) return {firstRow, extents[row]};
    return {firstRow, row < 0 ? constant64(1) : Value(arith::MinSIOp::create(b, loc, blockRows, arith::SubIOp::create(b, loc, extents[row], firstRow)))};
  };
  auto visit = [&](Value firstRow, Value rows, const State &state, const Part &part) {
    return visitKeys(full, fullInputs, partial, partialInputs, yield.getKeep(), firstRow, rows, state, part);
  };
  // Not in a model's stage, where a line's result must not depend on the size of its batch.
  bool divisible = (keyRows || byTile) && !op.getWeights() && !counting && !op->getParentOfType<func::FuncOp>()->hasAttr("attn.exact_rows");
  Value whole = constant64(1), parts = divisible ? partsOfKeys(total) : whole;
  if (parts == whole) {
    inParallel(total, [&](Value n) {
      auto [firstRow, rows] = enter(n);
      State state = emptyState({});
      Visited keysSeen = visit(firstRow, rows, state, {});
      results(firstRow, rows, state);
      if (op.getWeights()) weights(firstRow, rows, state.maximum, state.sum, keysSeen);
    });
    return success();
  }
  State states = emptyState({total, parts});
  Value undivided = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, parts, whole);
  inParallel(arith::MulIOp::create(b, loc, total, parts), [&](Value n) {
    Value number = arith::RemUIOp::create(b, loc, n, parts), blockNumber = arith::DivUIOp::create(b, loc, n, parts);
    auto [firstRow, rows] = enter(blockNumber);
    State state = stateAt(states, {blockNumber, number});
    visit(firstRow, rows, state, {number, parts});
    auto alone = scf::IfOp::create(b, loc, undivided);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(alone.thenBlock());
    results(firstRow, rows, state);
  });
  inParallel(arith::SelectOp::create(b, loc, undivided, constant64(0), total), [&](Value n) {
    auto [firstRow, rows] = enter(n);
    State first = stateAt(states, {n, constant64(0)});
    loop(whole, parts, whole, [&](Value number) { merge(first, stateAt(states, {n, number}), rows); });
    results(firstRow, rows, first);
  });
  return success();
}

leaf::LeafSpec AttendTiler::leafSpec() {
  leaf::LeafSpec spec;
  spec.kind = leaf::LeafSpec::AttendStepLeaf;
  spec.target = target;
  spec.attend.queries = queries;
  spec.attend.keys = keys;
  spec.attend.panel = panel;
  spec.attend.keyRows = keyRows && !queryLanes, spec.attend.queryLanes = queryLanes;
  spec.attend.pointwise = op.getPointwise();
  spec.attend.split = tiles;
  if (tiles) return spec;
  spec.attend.query = queryLanes && !dots ? leaf::Type::F32 : storage(element(op.getQuery()));
  spec.attend.key = keyRows || dots ? storage(element(op.getKey())) : leaf::Type::F32;
  spec.attend.keyPairs = dots && !queryLanes;
  spec.attend.value = storage(element(op.getValue()));
  return spec;
}

Value AttendTiler::extentOf(unsigned d) {
  if (auto group = op->getAttrOfType<DenseI64ArrayAttr>("group")) {
    if (int64_t(d) == row) return constant64(group[1]);
    if (queryLanes && int64_t(d) == group[2]) return memref::DimOp::create(b, loc, op.getQuery(), group[3]);
  }
  for (auto [k, operand] : llvm::enumerate(op->getOperands())) {
    if (!isa<MemRefType>(operand.getType())) continue;
    for (auto [axis, e] : llvm::enumerate(op.getMap(k).getResults()))
      if (e == getAffineDimExpr(d, b.getContext())) return memref::DimOp::create(b, loc, operand, axis);
  }
  llvm_unreachable("a dimension without an operand");
}

Value AttendTiler::evaluate(AffineExpr e) {
  if (auto d = dyn_cast<AffineDimExpr>(e)) return positions[d.getPosition()];
  if (auto c = dyn_cast<AffineConstantExpr>(e)) return constant64(c.getValue());
  auto binary = cast<AffineBinaryOpExpr>(e);
  Value l = evaluate(binary.getLHS()), r = evaluate(binary.getRHS());
  switch (binary.getKind()) {
    case AffineExprKind::Add: return arith::AddIOp::create(b, loc, l, r);
    case AffineExprKind::Mul: return arith::MulIOp::create(b, loc, l, r);
    case AffineExprKind::Mod: return arith::RemUIOp::create(b, loc, l, r);
    default: return arith::FloorDivSIOp::create(b, loc, l, r);
  }
}

SmallVector<Value> AttendTiler::placeOf(unsigned operand) {
  SmallVector<Value> at;
  for (AffineExpr e : op.getMap(operand).getResults()) at.push_back(evaluate(e));
  return at;
}

AttendTiler::Metadata AttendTiler::metadata(Value buffer) {
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

Value AttendTiler::address(const Metadata &m, ArrayRef<Value> at) {
  Value element = m.offset;
  for (auto [stride, position] : llvm::zip(m.strides, at)) element = arith::AddIOp::create(b, loc, element, arith::MulIOp::create(b, loc, stride, position));
  return pointer(arith::AddIOp::create(b, loc, m.base, arith::MulIOp::create(b, loc, element, constant64(m.bytes))));
}

Value AttendTiler::pointer(Value bytes) {
  Value address = arith::IndexCastOp::create(b, loc, b.getI64Type(), bytes);
  return LLVM::IntToPtrOp::create(b, loc, pointerType(), address);
}

Value AttendTiler::addressOf(unsigned operand, const Metadata &m, ArrayRef<std::pair<int64_t, Value>> replaced) {
  SmallVector<Value> before(positions);
  for (auto [d, v] : replaced)
    if (d >= 0) positions[d] = v;
  Value result = address(m, placeOf(operand));
  positions = before;
  return result;
}

SmallVector<unsigned> AttendTiler::otherAxes(unsigned operand, ArrayRef<int64_t> but) {
  SmallVector<unsigned> axes;
  for (unsigned axis = 0; axis < op.getMap(operand).getNumResults(); axis++)
    if (llvm::none_of(but, [&](int64_t d) { return axisOf(operand, d) == int(axis); })) axes.push_back(axis);
  return axes;
}

Value AttendTiler::flattened(unsigned operand, ArrayRef<unsigned> axes) {
  Value n = constant64(0);
  for (unsigned axis : axes) {
    Value size = memref::DimOp::create(b, loc, op->getOperand(operand), axis);
    n = arith::AddIOp::create(b, loc, arith::MulIOp::create(b, loc, n, size), evaluate(op.getMap(operand).getResult(axis)));
  }
  return n;
}

Value AttendTiler::product(Value buffer, ArrayRef<unsigned> axes) {
  Value n = constant64(1);
  for (unsigned axis : axes) n = arith::MulIOp::create(b, loc, n, memref::DimOp::create(b, loc, buffer, axis));
  return n;
}

Value AttendTiler::widened(Value v) {
  if (getElementTypeOrSelf(v.getType()).isF32()) return v;
  auto vector = dyn_cast<VectorType>(v.getType());
  return arith::ExtFOp::create(b, loc, vector ? Type(vector.cloneWith({}, b.getF32Type())) : Type(b.getF32Type()), v);
}

Value AttendTiler::atRow(Value v) {
  return cloneBehind(b, v, body, [&](Value w) -> Value {
    if (isa<BlockArgument>(w)) return outside(w);
    auto index = w.getDefiningOp<attn::IndexOp>();
    return index && index->getBlock() == body ? positions[index.getDimension()] : Value();
  });
}

std::pair<Value, Value> AttendTiler::inverse(Value sum) {
  Value zero = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0)), one = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(1));
  Value none = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OEQ, sum, zero);
  return {none, arith::SelectOp::create(b, loc, none, zero, Value(arith::DivFOp::create(b, loc, one, sum)))};
}

Value AttendTiler::outside(Value v) {
  if (auto argument = dyn_cast<BlockArgument>(v)) {
    if (argument.getOwner() != body) return v;
    unsigned operand = 2 + argument.getArgNumber();
    return memref::LoadOp::create(b, loc, op->getOperand(operand), placeOf(operand));
  }
  Operation *def = v.getDefiningOp();
  if (def->getBlock() != body) return v;
  if (auto index = dyn_cast<attn::IndexOp>(def)) return positions[index.getDimension()];
  if (auto it = hoisted.find(v); it != hoisted.end()) return it->second;
  IRMapping mapping;
  for (Value operand : def->getOperands()) mapping.map(operand, outside(operand));
  return hoisted[v] = b.clone(*def, mapping)->getResult(0);
}

AttendTiler::State AttendTiler::emptyState(ArrayRef<Value> outer) {
  SmallVector<int64_t> shape(outer.size() + 1, ShapedType::kDynamic);
  SmallVector<Value> sizes(outer);
  shape.push_back(queries), sizes.push_back(inners());
  auto ofRows = MemRefType::get(shape, b.getF32Type());
  Value maximum = memref::AllocOp::create(b, loc, ofRows, sizes), sum = memref::AllocOp::create(b, loc, ofRows, sizes);
  shape.push_back(ShapedType::kDynamic), sizes.push_back(paddedWidth());
  return {maximum, sum, memref::AllocOp::create(b, loc, MemRefType::get(shape, b.getF32Type()), sizes)};
}

AttendTiler::State AttendTiler::stateAt(const State &states, ArrayRef<Value> at) {
  auto part = [&](Value buffer) -> Value {
    auto type = cast<MemRefType>(buffer.getType());
    SmallVector<OpFoldResult> offsets(at.begin(), at.end()), sizes(at.size(), b.getIndexAttr(1)), strides(type.getRank(), b.getIndexAttr(1));
    for (int64_t axis = at.size(); axis < type.getRank(); axis++) {
      offsets.push_back(b.getIndexAttr(0));
      sizes.push_back(type.isDynamicDim(axis) ? OpFoldResult(sizeOf(buffer, axis)) : b.getIndexAttr(type.getDimSize(axis)));
    }
    auto reduced = cast<MemRefType>(memref::SubViewOp::inferRankReducedResultType(type.getShape().drop_front(at.size()), type, offsets, sizes, strides));
    return memref::SubViewOp::create(b, loc, reduced, buffer, offsets, sizes, strides);
  };
  return {part(states.maximum), part(states.sum), part(states.acc)};
}

Value AttendTiler::partsOfKeys(Value total) {
  Value wanted = arith::CeilDivUIOp::create(b, loc, constant64(blocksWanted), arith::MaxUIOp::create(b, loc, total, constant64(1)));
  return arith::MaxUIOp::create(b, loc, constant64(1), arith::MinUIOp::create(b, loc, wanted, arith::DivUIOp::create(b, loc, extents[key], constant64(fewestKeys))));
}

void AttendTiler::merge(const State &into, const State &other, Value allRows) {
  auto f32 = [&](Value buffer, ValueRange at) -> Value { return memref::LoadOp::create(b, loc, buffer, at); };
  overInner([&](Value n) {
    loop(innerRows(n, constant64(0), allRows).second, [&](Value i) {
      Value sum = f32(into.sum, {n, i}), otherSum = f32(other.sum, {n, i}), scale, otherScale;
      if (!op.getPointwise()) {
        Value top = f32(into.maximum, {n, i}), otherTop = f32(other.maximum, {n, i}), most = arith::MaximumFOp::create(b, loc, top, otherTop);
        auto weigh = [&](Value maximum) -> Value { return math::Exp2Op::create(b, loc, arith::SubFOp::create(b, loc, maximum, most)); };
        scale = weigh(top), otherScale = weigh(otherTop);
        sum = arith::MulFOp::create(b, loc, sum, scale), otherSum = arith::MulFOp::create(b, loc, otherSum, otherScale);
        memref::StoreOp::create(b, loc, most, into.maximum, ValueRange{n, i});
      }
      memref::StoreOp::create(b, loc, arith::AddFOp::create(b, loc, sum, otherSum), into.sum, ValueRange{n, i});
      auto line = VectorType::get(lanes, b.getF32Type());
      auto scaled = [&](Value v, Value by) -> Value { return by ? Value(arith::MulFOp::create(b, loc, v, vector::BroadcastOp::create(b, loc, line, by))) : v; };
      loop(constant64(0), paddedWidth(), constant64(lanes), [&](Value e) {
        Value own = scaled(vector::LoadOp::create(b, loc, line, into.acc, ValueRange{n, i, e}), scale);
        Value others = scaled(vector::LoadOp::create(b, loc, line, other.acc, ValueRange{n, i, e}), otherScale);
        vector::StoreOp::create(b, loc, arith::AddFOp::create(b, loc, own, others), into.acc, ValueRange{n, i, e});
      });
    });
  });
}

AttendTiler::Visited AttendTiler::visitKeys(const leaf::LeafSpec &full, LeafExpression &fullInputs, const leaf::LeafSpec &partial, LeafExpression &partialInputs, Value keep,
                                            Value firstRow, Value rows, const State &state, const Part &part) {
  Value zeroF = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0));
  Value width = paddedWidth();
  auto [maximum, sum, acc] = state;
  Value lowest = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(leaf::emptyMaximum)), zeros = arith::ConstantOp::create(b, loc, b.getZeroAttr(VectorType::get(lanes, b.getF32Type())));
  overInner([&](Value n) {
    loop(constant64(queries), [&](Value i) {
      memref::StoreOp::create(b, loc, lowest, maximum, ValueRange{n, i});
      memref::StoreOp::create(b, loc, zeroF, sum, ValueRange{n, i});
      loop(constant64(0), width, constant64(lanes), [&](Value e) { vector::StoreOp::create(b, loc, zeros, acc, ValueRange{n, i, e}); });
    });
    // Of several parts, the first has the sinks.
    auto [first, own] = innerRows(n, firstRow, rows);
    Value from = first, sunk = !part.number ? own : Value(arith::SelectOp::create(b, loc, arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, part.number, constant64(0)), own, constant64(0)));
    if (!op.getSinks().empty())
      loop(sunk, [&](Value i) {
        if (row >= 0) positions[row] = arith::AddIOp::create(b, loc, from, i);
        auto [top, total] = sinksAtRow(lowest);
        memref::StoreOp::create(b, loc, top, maximum, ValueRange{n, i});
        memref::StoreOp::create(b, loc, total, sum, ValueRange{n, i});
        if (row >= 0) positions[row] = {};
      });
  });

  Visited keysSeen = visited(keep, firstRow, rows);
  Value block = constant64(keys);
  if (counting) {
    count(Count::Rows, queryLanes ? rows : Value(arith::MulIOp::create(b, loc, rows, inners())));
    count(Count::Tiles, arith::MulIOp::create(b, loc, inners(), arith::CeilDivSIOp::create(b, loc, extents[key], block)));
  }
  // The first tile begins with the first key, or with the packed panel that it is in: less is visited than if tiles began at multiples of their size.
  Value begin = keysSeen.low;
  if (!keyRows && !byTile) begin = arith::MulIOp::create(b, loc, arith::DivUIOp::create(b, loc, begin, constant64(unit())), constant64(unit()));
  Value end = keysSeen.high;
  if (part.number) {  // whole tiles
    Value visitedTiles = arith::CeilDivSIOp::create(b, loc, arith::MaxSIOp::create(b, loc, arith::SubIOp::create(b, loc, end, begin), constant64(0)), block);
    Value each = arith::MulIOp::create(b, loc, arith::CeilDivSIOp::create(b, loc, visitedTiles, part.count), block);
    begin = arith::AddIOp::create(b, loc, begin, arith::MulIOp::create(b, loc, part.number, each));
    end = arith::MinSIOp::create(b, loc, end, arith::AddIOp::create(b, loc, begin, each));
  }
  Value queryVectors = queryLanes ? packQueryLanes(rows) : Value();
  if (byTile) packedKeys = dots ? emptyPairPanels(constant64(1), constant64(keys / lanes)) : emptyPanels(constant64(1), constant64(keys / lanes));
  auto overKeys = scf::ForOp::create(b, loc, begin, end, block);
  b.setInsertionPoint(overKeys);
  Metadata q = metadata(op.getQuery()), v = metadata(op.getValue()), pk = metadata(keyRows ? op.getKey() : packedKeys), pv = metadata(packedValues), m = metadata(maximum),
           s = metadata(sum), a = metadata(acc), qv = queryLanes ? metadata(queryVectors) : q;
  Value rowZero = constant64(0);
  Value queryStride = row < 0 ? constant64(0) : queryLanes ? constant64(dots ? 2 * lanes : lanes) : q.strides[axisOf(0, row)];
  Value keyNumber = keyRows || byTile ? Value() : flattened(1, keyAxes), valueNumber = flattened(2, valueAxes);
  // Scalars of the score and mask, once where they do not change.
  auto hoistScalars = [&] {
    for (LeafExpression *inputs : {&fullInputs, &partialInputs})
      for (auto &i : inputs->inputs)
        if (i.leaf.kind == leaf::Input::Scalar && !inputs->readOf(i.value)) outside(i.value);
  };
  auto queryAndState = [&](Value n, Tile &tile) {
    std::tie(tile.firstRow, tile.rows) = innerRows(n, firstRow, rows);
    tile.query = queryLanes ? address(qv, {n, rowZero, rowZero}) : addressOf(0, q, {{row, firstRow}, {contracted, rowZero}});
    tile.maximum = address(m, {n, rowZero}), tile.sum = address(s, {n, rowZero}), tile.acc = address(a, {n, rowZero, rowZero});
  };
  Tile tile{};
  tile.queryStride = queryStride;
  if (tiles) tile.queryPairs = packQueryPairs(firstRow, rows), tile.weights = memref::AllocOp::create(b, loc, MemRefType::get({queries, keys}, b.getI32Type()));
  if (inner < 0) {
    hoistScalars();
    if (!queryLanes) queryAndState(rowZero, tile);
  }
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(overKeys.getBody());
    Value firstKey = overKeys.getInductionVar();
    Value present = arith::MinSIOp::create(b, loc, block, arith::SubIOp::create(b, loc, end, firstKey));
    tile.firstKey = firstKey, tile.keys = present;
    if (keyRows) {
      tile.key = addressOf(1, pk, {{key, firstKey}, {contracted, rowZero}});
    } else {
      SmallVector<Value> place(pk.sizes.size(), rowZero);
      if (byTile) packTile(firstKey, present);
      else place[0] = keyNumber, place[1] = arith::DivUIOp::create(b, loc, firstKey, constant64(lanes));
      tile.key = address(pk, place);
    }
    tile.keyStride = keyRows ? pk.strides[axisOf(1, key)] : rowZero;
    if (tiles) {
      tile.value = address(pv, {valueNumber, rowZero, rowZero, arith::DivUIOp::create(b, loc, firstKey, constant64(2)), rowZero});
    } else {
      Value valueThere = addressOf(2, v, {{key, firstKey}, {value, rowZero}}), valuePacked = address(pv, {valueNumber, firstKey, rowZero});
      tile.value = arith::SelectOp::create(b, loc, inPlace, valueThere, valuePacked);
      tile.valueStride = arith::SelectOp::create(b, loc, inPlace, v.strides[axisOf(2, key)], width);
    }
    Value whole = queryLanes ? Value() : isFull(keysSeen, firstRow, rows, firstKey, present, keys);
    overInner([&](Value n) {
      if (inner >= 0) hoistScalars();
      if (inner >= 0 || queryLanes) queryAndState(n, tile);
      if (queryLanes) whole = isFull(keysSeen, tile.firstRow, tile.rows, firstKey, present, keys);
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

  b.setInsertionPointAfter(overKeys);
  return keysSeen;
}

void AttendTiler::results(Value firstOfAll, Value allRows, const State &state) {
  auto [maximum, sum, acc] = state;
  overInner([&](Value n) {
    auto [first, rows] = innerRows(n, firstOfAll, allRows);
    Value firstRow = first;
    loop(rows, [&](Value i) {
      Value total = memref::LoadOp::create(b, loc, sum, ValueRange{n, i});
      auto [none, scale] = inverse(total);
      if (row >= 0) positions[row] = arith::AddIOp::create(b, loc, firstRow, i);
      aggregateRow(acc, {n, i}, none, scale);
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
}

void AttendTiler::aggregateRow(Value acc, SmallVector<Value> at, Value none, Value scale) {
  unsigned operand = op.firstOutput();
  Value out = op.getInits()[0];
  bool lines = liesInRows(out, axisOf(operand, value));
  auto line = VectorType::get(lanes, b.getF32Type());
  if (lines) scale = vector::BroadcastOp::create(b, loc, line, scale);
  at.push_back({});
  loop(constant64(0), extents[value], constant64(lines ? lanes : 1), [&](Value e) {
    at.back() = positions[value] = e;
    Value aggregate = lines ? Value(vector::LoadOp::create(b, loc, line, acc, at)) : Value(memref::LoadOp::create(b, loc, acc, at));
    if (!op.getPointwise()) {
      Value zero = arith::ConstantOp::create(b, loc, b.getZeroAttr(aggregate.getType()));
      aggregate = arith::SelectOp::create(b, loc, none, zero, Value(arith::MulFOp::create(b, loc, aggregate, scale)));
    }
    if (!lines) {
      store(aggregate, 0);
    } else {
      if (Type type = element(out); !type.isF32()) aggregate = arith::TruncFOp::create(b, loc, line.cloneWith({}, type), aggregate);
      Value mask = vector::CreateMaskOp::create(b, loc, VectorType::get(lanes, b.getI1Type()), Value(arith::SubIOp::create(b, loc, extents[value], e)));
      vector::MaskedStoreOp::create(b, loc, out, placeOf(operand), mask, aggregate);
    }
    positions[value] = {};
  });
}

std::pair<Value, Value> AttendTiler::sinksAtRow(Value lowest) {
  Value zeroF = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0)), toLog2 = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(1.44269504088896f)), top = lowest, total = zeroF;
  SmallVector<Value> values;
  for (unsigned k = op.firstSink(); k < op.firstOutput(); k++) {
    values.push_back(arith::MulFOp::create(b, loc, widened(memref::LoadOp::create(b, loc, op->getOperand(k), placeOf(k))), toLog2));
    top = arith::MaximumFOp::create(b, loc, top, values.back());
  }
  for (Value v : values) total = arith::AddFOp::create(b, loc, total, math::Exp2Op::create(b, loc, arith::SubFOp::create(b, loc, v, top)));
  Value least = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(leaf::lowestScore));
  Value none = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OLE, top, least);
  return {arith::SelectOp::create(b, loc, none, lowest, top), arith::SelectOp::create(b, loc, none, zeroF, total)};
}

void AttendTiler::store(Value v, unsigned output) {
  Value buffer = op.getInits()[output];
  if (Type type = element(buffer); !type.isF32()) v = arith::TruncFOp::create(b, loc, type, v);
  memref::StoreOp::create(b, loc, v, buffer, placeOf(op.firstOutput() + output));
}

void AttendTiler::count(Count what, Value amount) {
  if (counting) counting->add(b, loc, what, amount);
}

void AttendTiler::call(const leaf::LeafSpec &spec, LeafExpression &inputs, const Tile &t) {
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

void AttendTiler::passInputs(LeafExpression &inputs, const Tile &t, llvm::StringMap<Value> &named) {
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

void AttendTiler::checkSpan(const LeafExpression::Read &read) {
  if (ArrayRef<unsigned>{unsigned(read.at.size() - 1)} == ArrayRef(read.along)) return;  // a position is as small
  Metadata m = metadata(read.from);
  Value span = constant64(0);
  for (unsigned axis : read.along) span = arith::AddIOp::create(b, loc, span, arith::MulIOp::create(b, loc, m.sizes[axis], m.strides[axis]));
  auto of = [&](int64_t v) -> Value { return arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(v)); };
  Value large = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sgt, span, constant64(std::numeric_limits<int32_t>::max()));
  callRuntime(b, loc, "fovea_check_size", {}, Value(arith::SelectOp::create(b, loc, large, of(std::numeric_limits<int64_t>::max()), of(0))));
}

Value AttendTiler::tableOf(const LeafExpression::Read &read) {
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

}  // namespace fovea
