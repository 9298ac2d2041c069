// Queries, keys and values as tile registers read them, and the two products: a pair of bf16 is an i32. What is stored with more digits
// goes in as several parts (TileProduct.h), one behind the other.
#include "lowering/attend/Tiler.h"
#include "lowering/TileProduct.h"

#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace fovea {

Value AttendTiler::pairs() {
  return arith::MulIOp::create(b, loc, arith::CeilDivSIOp::create(b, loc, extents[contracted], constant64(2 * lanes)), constant64(lanes));
}

Value AttendTiler::lineOf(Value buffer, SmallVector<Value> at, unsigned axis, Value present, int64_t count) {
  Type type = element(buffer);
  auto line = VectorType::get(count, type);
  Value zeros = arith::ConstantOp::create(b, loc, b.getZeroAttr(line));
  if (liesInRows(buffer, axis)) {
    Value mask = vector::CreateMaskOp::create(b, loc, VectorType::get(count, b.getI1Type()), present);
    return vector::MaskedLoadOp::create(b, loc, line, buffer, at, mask, zeros);
  }
  Value none = constant64(0), copy = memref::AllocOp::create(b, loc, MemRefType::get({count}, type)), first = at[axis];
  vector::StoreOp::create(b, loc, zeros, copy, none);
  loop(arith::MinSIOp::create(b, loc, present, constant64(count)), [&](Value e) {
    at[axis] = arith::AddIOp::create(b, loc, first, e);
    memref::StoreOp::create(b, loc, memref::LoadOp::create(b, loc, buffer, at), copy, e);
  });
  return vector::LoadOp::create(b, loc, line, copy, none);
}

SmallVector<Value> AttendTiler::partsOf(Value line) {
  int64_t count = tileParts(getElementTypeOrSelf(line.getType()));
  if (count == 1) return {line};
  SmallVector<Value> parts;
  Type halves = VectorType::get(cast<VectorType>(line.getType()).getShape(), b.getBF16Type());
  for (Value rest = widened(line);; rest = arith::SubFOp::create(b, loc, rest, widened(parts.back()))) {
    parts.push_back(arith::TruncFOp::create(b, loc, halves, rest));
    if (int64_t(parts.size()) == count) return parts;
  }
}

Value AttendTiler::asPairs(Value line) { return vector::BitCastOp::create(b, loc, VectorType::get(lanes, b.getI32Type()), line); }

void AttendTiler::packKeyPairs() {
  Value k = op.getKey();
  keyAxes = otherAxes(1, {key, contracted});
  Value blocks = arith::CeilDivSIOp::create(b, loc, extents[key], constant64(lanes));
  packedKeys = emptyPairPanels(product(k, keyAxes), arith::AddIOp::create(b, loc, blocks, constant64(panel / lanes - 1)));
  overBlocks(k, keyAxes, blocks, [&](SmallVector<Value> at, Value whole, Value number) {
    packPairPanel(at, arith::MulIOp::create(b, loc, number, constant64(lanes)), whole, number);
  });
}

Value AttendTiler::emptyPairPanels(Value others, Value count) {
  constexpr int64_t any = ShapedType::kDynamic;
  return memref::AllocOp::create(b, loc, MemRefType::get({any, any, tileParts(element(op.getKey())), any, lanes}, b.getI32Type()), ValueRange{others, count, pairs()});
}

void AttendTiler::packPairPanel(SmallVector<Value> at, Value first, Value whole, Value number) {
  Value k = op.getKey();
  int keyAxis = axisOf(1, key), depthAxis = axisOf(1, contracted);
  Value none = constant64(0), all = constant64(lanes), two = constant64(2);
  loop(none, sizeOf(packedKeys, 3), all, [&](Value pair) {
    Value depth = arith::MulIOp::create(b, loc, pair, two), left = arith::SubIOp::create(b, loc, extents[contracted], depth);
    SmallVector<SmallVector<Value>> squares(tileParts(element(k)));  // of pairs, to be transposed
    for (int64_t j = 0; j < lanes; j++) {
      Value position = arith::AddIOp::create(b, loc, first, constant64(j)), there = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, position, extents[key]);
      at[keyAxis] = arith::SelectOp::create(b, loc, there, position, none), at[depthAxis] = depth;
      for (auto [square, part] : llvm::zip(squares, partsOf(lineOf(k, at, depthAxis, arith::SelectOp::create(b, loc, there, left, none), 2 * lanes))))
        square.push_back(asPairs(part));
    }
    for (auto [n, square] : llvm::enumerate(squares)) {
      transpose(square);
      for (int64_t d = 0; d < lanes; d++)
        vector::StoreOp::create(b, loc, square[d], packedKeys, ValueRange{whole, number, constant64(n), arith::AddIOp::create(b, loc, pair, constant64(d)), none});
    }
  });
}

void AttendTiler::packValuePairs() {
  Value v = op.getValue(), none = constant64(0), all = constant64(lanes), group = constant64(2 * lanes);
  valueAxes = otherAxes(2, {key, value});
  int keyAxis = axisOf(2, key), valueAxis = axisOf(2, value);
  Value groups = arith::CeilDivSIOp::create(b, loc, extents[key], group);
  Value columns = arith::MulIOp::create(b, loc, panels, constant64(panel / lanes));
  constexpr int64_t any = ShapedType::kDynamic;
  auto type = MemRefType::get({any, any, tileParts(element(v)), any, lanes}, b.getI32Type());
  packedValues = memref::AllocOp::create(b, loc, type, ValueRange{product(v, valueAxes), columns, arith::MulIOp::create(b, loc, groups, all)});
  overBlocks(v, valueAxes, groups, [&](SmallVector<Value> at, Value whole, Value number) {
    auto words = VectorType::get(lanes, b.getI32Type());
    Value half = arith::ConstantOp::create(b, loc, DenseElementsAttr::get(words, b.getI32IntegerAttr(16)));
    Value first = arith::MulIOp::create(b, loc, number, group), firstPair = arith::MulIOp::create(b, loc, number, all);
    auto bits = [&](Value part) -> Value { return arith::ExtUIOp::create(b, loc, words, arith::BitcastOp::create(b, loc, VectorType::get(lanes, b.getI16Type()), part)); };
    loop(columns, [&](Value column) {
      Value firstColumn = arith::MulIOp::create(b, loc, column, all);
      Value left = arith::MaxSIOp::create(b, loc, none, arith::SubIOp::create(b, loc, extents[value], firstColumn));
      loop(all, [&](Value pair) {
        auto partsAt = [&](Value position) {
          Value there = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, position, extents[key]);
          at[keyAxis] = arith::SelectOp::create(b, loc, there, position, none), at[valueAxis] = firstColumn;
          return partsOf(lineOf(v, at, valueAxis, arith::SelectOp::create(b, loc, there, left, none), lanes));
        };
        Value former = arith::AddIOp::create(b, loc, first, pair), latter = arith::AddIOp::create(b, loc, former, all);
        for (auto [n, low, high] : llvm::enumerate(partsAt(former), partsAt(latter))) {
          Value word = arith::OrIOp::create(b, loc, bits(low), arith::ShLIOp::create(b, loc, bits(high), half));
          vector::StoreOp::create(b, loc, word, packedValues, ValueRange{whole, column, constant64(n), arith::AddIOp::create(b, loc, firstPair, pair), none});
        }
      });
    });
  });
}

Value AttendTiler::packQueryPairs(Value firstRow, Value rows) {
  Value q = op.getQuery(), none = constant64(0), all = constant64(lanes), depths = pairs();
  int64_t parts = tileParts(element(q));
  Value packed = memref::AllocOp::create(b, loc, MemRefType::get({queries, parts, ShapedType::kDynamic}, b.getI32Type()), depths);
  loop(rows, [&](Value i) {
    positions[row] = arith::AddIOp::create(b, loc, firstRow, i);
    loop(none, depths, all, [&](Value pair) {
      positions[contracted] = arith::MulIOp::create(b, loc, pair, constant64(2));
      Value left = arith::SubIOp::create(b, loc, extents[contracted], positions[contracted]);
      for (auto [n, part] : llvm::enumerate(partsOf(lineOf(q, placeOf(0), axisOf(0, contracted), left, 2 * lanes))))
        vector::StoreOp::create(b, loc, asPairs(part), packed, ValueRange{i, constant64(n), pair});
      positions[contracted] = {};
    });
    positions[row] = {};
  });
  Value zeros = arith::ConstantOp::create(b, loc, b.getZeroAttr(VectorType::get(lanes, b.getI32Type())));
  loop(rows, constant64(queries), constant64(1), [&](Value i) {
    for (int64_t n = 0; n < parts; n++) loop(none, depths, all, [&](Value pair) { vector::StoreOp::create(b, loc, zeros, packed, ValueRange{i, constant64(n), pair}); });
  });
  return packed;
}

Value AttendTiler::blocksOf(Value count) {
  Value block = constant64(tileBlock);
  return arith::MulIOp::create(b, loc, arith::CeilDivSIOp::create(b, loc, count, block), block);
}

void AttendTiler::scoreProduct(const Tile &t) {
  Value none = constant64(0), depths = sizeOf(packedKeys, 3);
  int64_t queryParts = tileParts(element(op.getQuery())), keyParts = tileParts(element(op.getKey()));
  TileProduct p;
  p.aParts = queryParts, p.bParts = keyParts;
  p.a = address(metadata(t.queryPairs), {none, none, none}), p.aStride = bytes(depths, 4 * queryParts), p.aPart = bytes(depths, 4);
  p.b = t.key, p.bPanel = bytes(depths, 4 * lanes * keyParts), p.bPart = bytes(depths, 4 * lanes);
  p.c = address(metadata(t.weights), {none, none}), p.cStride = bytes(constant64(keys), 4);
  p.rows = blocksOf(t.rows), p.columns = blocksOf(t.keys), p.steps = arith::DivUIOp::create(b, loc, depths, constant64(lanes));
  callTileProduct(b, loc, p);
}

void AttendTiler::valueProduct(const Tile &t) {
  Value none = constant64(0), width = arith::MulIOp::create(b, loc, panels, constant64(panel)), lines = sizeOf(packedValues, 3);
  int64_t parts = tileParts(element(op.getValue()));
  TileProduct p;
  p.aParts = 2, p.bParts = parts, p.add = true;
  p.a = address(metadata(t.weights), {none, none}), p.aStride = bytes(constant64(keys), 4), p.aPart = bytes(constant64(keys), 2);
  p.b = t.value, p.bPanel = bytes(lines, 4 * lanes * parts), p.bPart = bytes(lines, 4 * lanes);
  p.c = t.acc, p.cStride = bytes(width, 4);
  p.rows = blocksOf(t.rows), p.columns = width, p.steps = arith::CeilDivSIOp::create(b, loc, t.keys, constant64(2 * lanes));
  callTileProduct(b, loc, p);
}

}  // namespace fovea
