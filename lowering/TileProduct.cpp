#include "lowering/TileProduct.h"
#include "lowering/RuntimeCall.h"
#include "lowering/SharedFunction.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;

namespace fovea {
namespace {

// Builds the function's body: blocks of two by two tiles of sums, which stay in registers over all steps.
class Body {
 public:
  Body(OpBuilder &b, Location loc) : b(b), loc(loc) {
    Type i16 = b.getI16Type();
    lines = LLVM::ConstantOp::create(b, loc, i16, b.getI16IntegerAttr(16)), bytes = LLVM::ConstantOp::create(b, loc, i16, b.getI16IntegerAttr(64));
  }

  void build(const TileProduct &p) {
    Value zero = index(0), one = index(1), block = index(tileBlock), line = i64(64), tile = i64(16 * 64);
    auto overColumns = scf::ForOp::create(b, loc, zero, p.columns, block);
    b.setInsertionPointToStart(overColumns.getBody());
    Value column = toI64(overColumns.getInductionVar());
    Value panel = arith::DivUIOp::create(b, loc, column, i64(16)), nextB = p.bPanel, b0 = at(p.b, times(panel, p.bPanel));
    auto overRows = scf::ForOp::create(b, loc, zero, p.rows, block);
    b.setInsertionPointToStart(overRows.getBody());
    Value row = toI64(overRows.getInductionVar());
    Value a0 = at(p.a, times(row, p.aStride)), nextA = times(i64(16), p.aStride);
    Value c[4];
    c[0] = at(at(p.c, times(row, p.cStride)), times(column, i64(4)));
    c[1] = at(c[0], i64(16 * 4)), c[2] = at(c[0], times(i64(16), p.cStride)), c[3] = at(c[2], i64(16 * 4));
    SmallVector<Value> sums;
    for (Value place : c) sums.push_back(p.add ? load(place, p.cStride) : intrinsic("llvm.x86.tilezero.internal", {lines, bytes}, tileType()));
    auto overSteps = scf::ForOp::create(b, loc, zero, p.steps, one, sums);
    {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(overSteps.getBody());
      Value step = toI64(overSteps.getInductionVar());
      Value left0 = at(a0, times(step, line)), right0 = at(b0, times(step, tile));
      SmallVector<Value> s(overSteps.getRegionIterArgs());
      auto add = [&](Value &sum, Value l, Value r) { sum = intrinsic("llvm.x86.tdpbf16ps.internal", {lines, bytes, bytes, sum, l, r}, tileType()); };
      for (int64_t n = 0; n < p.bParts; n++) {
        Value place = part(right0, n, p.bPart), right = load(place, line), second = load(at(place, nextB), line);
        // A sum is added to again after three others, which hides the latency of a product.
        for (int64_t m = 0; m < p.aParts && m + n <= 2; m++)
          for (size_t half = 0; half < 2; half++) {
            Value upper = part(left0, m, p.aPart), left = load(half ? at(upper, nextA) : upper, p.aStride);
            add(s[2 * half], left, right), add(s[2 * half + 1], left, second);
          }
      }
      scf::YieldOp::create(b, loc, s);
    }
    for (auto [place, sum] : llvm::zip(c, overSteps.getResults())) intrinsic("llvm.x86.tilestored64.internal", {lines, bytes, place, p.cStride, sum}, {});
  }

 private:
  Type tileType() { return LLVM::LLVMX86AMXType::get(b.getContext()); }
  Value index(int64_t n) { return arith::ConstantIndexOp::create(b, loc, n); }
  Value i64(int64_t n) { return arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(n)); }
  Value toI64(Value v) { return arith::IndexCastOp::create(b, loc, b.getI64Type(), v); }
  Value times(Value x, Value y) { return arith::MulIOp::create(b, loc, x, y); }
  Value at(Value pointer, Value offset) { return LLVM::GEPOp::create(b, loc, pointer.getType(), b.getI8Type(), pointer, ArrayRef<LLVM::GEPArg>{offset}); }
  Value part(Value first, int64_t n, Value distance) { return n ? at(first, n == 1 ? distance : times(i64(n), distance)) : first; }
  Value load(Value pointer, Value stride) { return intrinsic("llvm.x86.tileloadd64.internal", {lines, bytes, pointer, stride}, tileType()); }
  Value intrinsic(StringRef name, ValueRange arguments, Type result) {
    StringAttr called = b.getStringAttr(name);
    if (result) return LLVM::CallIntrinsicOp::create(b, loc, result, called, arguments).getResult(0);
    LLVM::CallIntrinsicOp::create(b, loc, called, arguments);
    return {};
  }

  OpBuilder &b;
  Location loc;
  Value lines, bytes;  // the shape of every tile
};

}  // namespace

void callTileProduct(OpBuilder &b, Location loc, const TileProduct &p) {
  std::string name = "fovea_tile_product_" + std::to_string(p.aParts) + "_" + std::to_string(p.bParts) + (p.add ? "_add" : "");
  SmallVector<Value> arguments{p.a, p.aStride, p.aPart, p.b, p.bPanel, p.bPart, p.c, p.cStride, p.rows, p.columns, p.steps};
  // Inlined, the tiles would be configured anew after every call of the function around it.
  callShared(b, loc, name, arguments, [&](OpBuilder &body, ValueRange v) {
    Body(body, loc).build({v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10], p.aParts, p.bParts, p.add});
  });
}

Value mayUseTiles(OpBuilder &b, Location loc) {
  Value may = callRuntime(b, loc, "fovea_may_use_tiles", b.getI32Type(), {});
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne, may, arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(0)));
}

}  // namespace fovea
