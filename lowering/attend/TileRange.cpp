// Whether numbers may go through tile registers, found at run time.
#include "lowering/attend/Tiler.h"
#include "lowering/TileProduct.h"

#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace fovea {
namespace {

// Without its sign, an element's bits as an integer: 0, or from `least` to `most`.
struct BitRange {
  int64_t least, most;
};

// f32: all parts are normal numbers, the last one's digits are those from 2^-24 on, and the first one, rounded up, is finite.
BitRange bitRange(Type type) {
  if (type.isF32()) return {int64_t(127 - 100) << 23, (int64_t(127 + 126) << 23) - 1};
  return {1, type.isF16() ? 0x7bff : 0x7f7f};
}

}  // namespace

Value inTileRange(OpBuilder &b, Location loc, Value buffer) {
  constexpr int64_t rowsAtOnce = 64;
  auto type = cast<MemRefType>(buffer.getType());
  Type element = type.getElementType(), bitsType = b.getIntegerType(element.getIntOrFloatBitWidth());
  int64_t last = type.getRank() - 1, lanes = type.isLastDimUnitStride() ? 2 * tileBlock : 1;
  auto index = [&](int64_t n) -> Value { return arith::ConstantIndexOp::create(b, loc, n); };
  auto words = VectorType::get(lanes, bitsType), line = VectorType::get(lanes, element);
  auto each = [&](int64_t n) -> Value { return arith::ConstantOp::create(b, loc, DenseElementsAttr::get(words, b.getIntegerAttr(bitsType, n))); };
  Value zero = index(0), one = index(1), odd = memref::AllocOp::create(b, loc, MemRefType::get({}, b.getI1Type()));
  memref::StoreOp::create(b, loc, Value(arith::ConstantOp::create(b, loc, b.getBoolAttr(false))), odd, ValueRange{});
  SmallVector<Value> sizes;
  for (int64_t axis = 0; axis <= last; axis++) sizes.push_back(memref::DimOp::create(b, loc, buffer, axis));
  Value blocks = arith::CeilDivSIOp::create(b, loc, sizes[last - 1], index(rowsAtOnce)), total = blocks;
  for (int64_t axis = 0; axis < last - 1; axis++) total = arith::MulIOp::create(b, loc, total, sizes[axis]);
  auto parallel = scf::ParallelOp::create(b, loc, zero, total, one);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(parallel.getBody());
  SmallVector<Value> at(last + 1);
  Value number = parallel.getInductionVars()[0], rest = arith::DivUIOp::create(b, loc, number, blocks);
  for (int64_t axis = last - 1; axis-- > 0;) at[axis] = arith::RemUIOp::create(b, loc, rest, sizes[axis]), rest = arith::DivUIOp::create(b, loc, rest, sizes[axis]);
  Value first = arith::MulIOp::create(b, loc, arith::RemUIOp::create(b, loc, number, blocks), index(rowsAtOnce));
  Value end = arith::MinSIOp::create(b, loc, sizes[last - 1], arith::AddIOp::create(b, loc, first, index(rowsAtOnce)));
  // The largest so far, and the least but 0, minus 1, which makes 0 the largest there is.
  SmallVector<Value> extremes{each(0), each(-1)};
  auto overRows = scf::ForOp::create(b, loc, first, end, one, extremes);
  {
    OpBuilder::InsertionGuard inRow(b);
    b.setInsertionPointToStart(overRows.getBody());
    at[last - 1] = overRows.getInductionVar();
    auto along = scf::ForOp::create(b, loc, zero, sizes[last], index(lanes), overRows.getRegionIterArgs());
    scf::YieldOp::create(b, loc, along.getResults());
    b.setInsertionPointToStart(along.getBody());
    at[last] = along.getInductionVar();
    Value left = arith::SubIOp::create(b, loc, sizes[last], at[last]), mask = vector::CreateMaskOp::create(b, loc, VectorType::get(lanes, b.getI1Type()), left);
    Value numbers = vector::MaskedLoadOp::create(b, loc, line, buffer, at, mask, arith::ConstantOp::create(b, loc, b.getZeroAttr(line)));
    Value size = arith::AndIOp::create(b, loc, arith::BitcastOp::create(b, loc, words, numbers), each((int64_t(1) << (bitsType.getIntOrFloatBitWidth() - 1)) - 1));
    scf::YieldOp::create(b, loc, ValueRange{arith::MaxUIOp::create(b, loc, along.getRegionIterArg(0), size),
                                            arith::MinUIOp::create(b, loc, along.getRegionIterArg(1), arith::SubIOp::create(b, loc, size, each(1)))});
  }
  auto beyond = [&](vector::CombiningKind kind, Value extreme, arith::CmpIPredicate predicate, int64_t bound) -> Value {
    return arith::CmpIOp::create(b, loc, predicate, vector::ReductionOp::create(b, loc, kind, extreme), arith::ConstantOp::create(b, loc, b.getIntegerAttr(bitsType, bound)));
  };
  BitRange range = bitRange(element);
  Value is = arith::OrIOp::create(b, loc, beyond(vector::CombiningKind::MAXUI, overRows.getResult(0), arith::CmpIPredicate::ugt, range.most),
                                  beyond(vector::CombiningKind::MINUI, overRows.getResult(1), arith::CmpIPredicate::ult, range.least - 1));
  auto found = scf::IfOp::create(b, loc, is, /*withElse=*/false);
  b.setInsertionPointToStart(found.thenBlock());
  memref::StoreOp::create(b, loc, Value(arith::ConstantOp::create(b, loc, b.getBoolAttr(true))), odd, ValueRange{});
  b.setInsertionPointAfter(parallel);
  Value any = memref::LoadOp::create(b, loc, odd, ValueRange{});
  return arith::XOrIOp::create(b, loc, any, Value(arith::ConstantOp::create(b, loc, b.getBoolAttr(true))));
}

}  // namespace fovea
