// Queries, keys and values as tile registers read them, and the two products: a pair of bf16 is an i32.
#include "lowering/attend/Tiler.h"
#include "lowering/TileProduct.h"

#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace fovea {

Value AttendTiler::pairAt(Value buffer, SmallVector<Value> at, unsigned axis, Value size) {
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

Value AttendTiler::wideBits(Value v) {
  auto vector = dyn_cast<VectorType>(v.getType());
  auto of = [&](Type type) -> Type { return vector ? Type(VectorType::get(vector.getShape(), type)) : type; };
  return arith::ExtUIOp::create(b, loc, of(b.getI32Type()), arith::BitcastOp::create(b, loc, of(b.getI16Type()), v));
}

Value AttendTiler::pairs() {
  return arith::MulIOp::create(b, loc, arith::CeilDivSIOp::create(b, loc, extents[contracted], constant64(2 * lanes)), constant64(lanes));
}

void AttendTiler::packKeyPairs() {
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

Value AttendTiler::linePairs(Value buffer, ValueRange at) {
  Value line = vector::LoadOp::create(b, loc, VectorType::get(2 * lanes, b.getBF16Type()), buffer, at);
  return vector::BitCastOp::create(b, loc, VectorType::get(lanes, b.getI32Type()), line);
}

void AttendTiler::packValuePairs() {
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

Value AttendTiler::lineOfValues(SmallVector<Value> at, int keyAxis, Value position, int valueAxis) {
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

Value AttendTiler::packQueryPairs(Value firstRow, Value rows) {
  Value q = op.getQuery(), none = constant64(0), one = constant64(1), two = constant64(2), all = constant64(lanes), depths = pairs();
  int depthAxis = axisOf(0, contracted);
  Value packed = memref::AllocOp::create(b, loc, MemRefType::get({queries, ShapedType::kDynamic}, b.getI32Type()), depths);
  auto at = [&](Value depth) {
    positions[contracted] = depth;
    SmallVector<Value> place = placeOf(0);
    positions[contracted] = {};
    return place;
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

void AttendTiler::scoreProduct(const Tile &t) {
  Value none = constant64(0), block = constant64(tileBlock), depths = sizeOf(packedKeys, 2);
  Value columns = arith::MulIOp::create(b, loc, arith::CeilDivSIOp::create(b, loc, t.keys, block), block);
  callTileProduct(b, loc, {address(metadata(t.queryPairs), {none, none}), bytes(depths, 4), {}, t.key, bytes(depths, 4 * lanes), address(metadata(t.weights), {none, none}),
                           bytes(constant64(keys), 4), constant64(queries), columns, arith::DivUIOp::create(b, loc, depths, constant64(lanes))});
}

void AttendTiler::valueProduct(const Tile &t) {
  Value none = constant64(0), width = arith::MulIOp::create(b, loc, panels, constant64(panel)), lines = sizeOf(packedValues, 2);
  callTileProduct(b, loc, {address(metadata(t.weights), {none, none}), bytes(constant64(keys), 4), bytes(constant64(keys), 2), t.value, bytes(lines, 4 * lanes), t.acc,
                           bytes(width, 4), constant64(queries), width, arith::CeilDivSIOp::create(b, loc, t.keys, constant64(2 * lanes))});
}

Value allFinite(OpBuilder &b, Location loc, Value buffer) {
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

}  // namespace fovea
