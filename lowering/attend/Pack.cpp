// Keys and values as leaves read them.
#include "lowering/attend/Tiler.h"

#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace fovea {

void AttendTiler::packKeys() {
  Value k = op.getKey();
  keyAxes = otherAxes(1, {key, contracted});
  Value keyPanels = arith::AddIOp::create(b, loc, arith::CeilDivSIOp::create(b, loc, extents[key], constant64(lanes)), constant64(panel / lanes - 1));
  packedKeys = emptyPanels(product(k, keyAxes), keyPanels);
  overBlocks(k, keyAxes, keyPanels, [&](SmallVector<Value> at, Value whole, Value number) {
    packPanel(at, arith::MulIOp::create(b, loc, number, constant64(lanes)), whole, number);
  });
}

Value AttendTiler::emptyPanels(Value others, Value count) {
  auto type = MemRefType::get({ShapedType::kDynamic, ShapedType::kDynamic, ShapedType::kDynamic, lanes}, b.getF32Type());
  return memref::AllocOp::create(b, loc, type, ValueRange{others, count, extents[contracted]});
}

void AttendTiler::packPanel(SmallVector<Value> at, Value first, Value whole, Value number) {
  Value k = op.getKey();
  int keyAxis = axisOf(1, key), depthAxis = axisOf(1, contracted);
  Value zero = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0)), none = constant64(0), all = constant64(lanes);
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
}

Value AttendTiler::packQueryLanes(Value rows) {
  Value q = op.getQuery(), none = constant64(0), all = constant64(lanes), each = constant64(dots ? 2 : 1);
  int depthAxis = axisOf(0, contracted);
  Value blocks = inners(), lines = arith::MulIOp::create(b, loc, arith::CeilDivSIOp::create(b, loc, extents[contracted], constant64(dots ? 2 * lanes : lanes)), all);
  Value packed = memref::AllocOp::create(b, loc, MemRefType::get({ShapedType::kDynamic, ShapedType::kDynamic, lanes}, dots ? b.getI32Type() : Type(b.getF32Type())), ValueRange{blocks, lines});
  loop(blocks, [&](Value block) {
    Value first = arith::MulIOp::create(b, loc, block, all);
    loop(none, lines, all, [&](Value line) {
      Value depth = arith::MulIOp::create(b, loc, line, each), left = arith::SubIOp::create(b, loc, extents[contracted], depth);
      SmallVector<Value> square;
      for (int64_t n = 0; n < lanes; n++) {
        Value position = arith::AddIOp::create(b, loc, first, constant64(n)), there = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, position, rows);
        positions[row] = arith::SelectOp::create(b, loc, there, position, none), positions[contracted] = depth;
        Value part = lineOf(q, placeOf(0), depthAxis, arith::SelectOp::create(b, loc, there, left, none), dots ? 2 * lanes : lanes);
        square.push_back(dots ? asPairs(part) : widened(part));
      }
      positions[row] = positions[contracted] = {};
      transpose(square);
      for (int64_t n = 0; n < lanes; n++) vector::StoreOp::create(b, loc, square[n], packed, ValueRange{block, arith::AddIOp::create(b, loc, line, constant64(n)), none});
    });
  });
  return packed;
}

void AttendTiler::fetchRows(Value buffer, SmallVector<Value> at, unsigned keyAxis, unsigned lineAxis, Value first, Value end) {
  if (!liesInRows(buffer, lineAxis)) return;
  Value line = constant64(64 / ((element(buffer).getIntOrFloatBitWidth() + 7) / 8)), last = arith::MinSIOp::create(b, loc, arith::AddIOp::create(b, loc, first, constant64(lanes)), end);
  loop(first, last, constant64(1), [&](Value row) {
    at[keyAxis] = row;
    loop(constant64(0), sizeOf(buffer, lineAxis), line, [&](Value place) {
      at[lineAxis] = place;
      memref::PrefetchOp::create(b, loc, buffer, at, /*isWrite=*/false, /*localityHint=*/2, /*isDataCache=*/true);
    });
  });
}

void AttendTiler::packTile(Value firstKey, Value present) {
  positions[key] = positions[contracted] = positions[value] = constant64(0);
  SmallVector<Value> at = placeOf(1), valueAt = placeOf(2);
  positions[key] = positions[contracted] = positions[value] = {};
  loop(arith::CeilDivSIOp::create(b, loc, present, constant64(lanes)), [&](Value number) {
    Value first = arith::AddIOp::create(b, loc, firstKey, arith::MulIOp::create(b, loc, number, constant64(lanes)));
    Value next = arith::AddIOp::create(b, loc, first, constant64(lanes));
    // Transposing and the leaf read lines far apart, which memory is slow at: line after line, they are asked for before.
    fetchRows(op.getKey(), at, axisOf(1, key), axisOf(1, contracted), next, extents[key]);
    fetchRows(op.getValue(), valueAt, axisOf(2, key), axisOf(2, value), first, extents[key]);
    if (dots) packPairPanel(at, first, constant64(0), number);
    else packPanel(at, first, constant64(0), number);
  });
}

void AttendTiler::transpose(SmallVector<Value> &lines) {
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

void AttendTiler::packValues() {
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

bool AttendTiler::liesInRows(Value buffer, int axis) {
  auto type = cast<MemRefType>(buffer.getType());
  return type.isLastDimUnitStride() && axis + 1 == type.getRank();
}

}  // namespace fovea
