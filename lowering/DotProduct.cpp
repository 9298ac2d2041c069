#include "lowering/DotProduct.h"

#include "dialect/Attn.h"
#include "lowering/SharedFunction.h"
#include "lowering/halide/LeafSpec.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;

namespace fovea {
namespace {

// What both bodies are written with.
struct Writer {
  OpBuilder &b;
  Location loc;
  const DotShape &shape;
  int64_t lanes = shape.target.lanes;

  Value index(int64_t n) { return arith::ConstantIndexOp::create(b, loc, n); }
  Value i64(int64_t n) { return arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(n)); }
  Value i32(int64_t n) { return arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(n)); }
  Value f32(float v) { return arith::ConstantOp::create(b, loc, b.getF32FloatAttr(v)); }
  Value toI64(Value v) { return arith::IndexCastOp::create(b, loc, b.getI64Type(), v); }
  Value times(Value x, Value y) { return arith::MulIOp::create(b, loc, x, y); }
  Value at(Value pointer, Value bytes) { return LLVM::GEPOp::create(b, loc, pointer.getType(), b.getI8Type(), pointer, ArrayRef<LLVM::GEPArg>{bytes}); }
  Value load(Type type, Value pointer, unsigned alignment) { return LLVM::LoadOp::create(b, loc, type, pointer, alignment); }
  void store(Value v, Value pointer, unsigned alignment) { LLVM::StoreOp::create(b, loc, v, pointer, alignment); }
  VectorType vector(Type element, int64_t count) { return VectorType::get({count}, element); }
  VectorType ints() { return vector(b.getI32Type(), lanes); }
  VectorType floats() { return vector(b.getF32Type(), lanes); }
  Value all(Value scalar, int64_t count) { return vector::BroadcastOp::create(b, loc, vector(scalar.getType(), count), scalar); }
};

// ---- rows of codes

struct QuantiseRow : Writer {
  // f32 -> the code as i32; scalars and vectors alike.
  Value code(Value x, Value inverse, Value zero) {
    Value rounded = math::RoundEvenOp::create(b, loc, arith::MulFOp::create(b, loc, x, inverse));
    Value number = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::ORD, rounded, rounded);
    Value kept = arith::SelectOp::create(b, loc, number, rounded, zero);
    Type type = isa<VectorType>(x.getType()) ? Type(ints()) : Type(b.getI32Type());
    Value code = arith::FPToSIOp::create(b, loc, type, kept);
    if (shape.group == 2) return code;
    Value offset = i32(attn::codeOffset);
    return arith::AddIOp::create(b, loc, code, isa<VectorType>(type) ? all(offset, lanes) : offset);
  }

  Value magnitude(Value x) {
    Value mask = i32(0x7fffffff);
    bool vectors = isa<VectorType>(x.getType());
    Value bits = arith::BitcastOp::create(b, loc, vectors ? Type(ints()) : Type(b.getI32Type()), x);
    return arith::AndIOp::create(b, loc, bits, vectors ? all(mask, lanes) : mask);
  }

  void build(Value source, Value codes, Value scale, int64_t count, int64_t padded) {
    const int64_t whole = count / lanes * lanes, bytes = shape.group == 4 ? 1 : 2;
    Type element = b.getIntegerType(8 * bytes);
    // The largest magnitude by its bits, which order NaN above infinity.
    Value zeros = all(i32(0), lanes);
    auto overVectors = scf::ForOp::create(b, loc, index(0), index(whole), index(lanes), ValueRange{zeros}, [&](OpBuilder &inner, Location, Value k, ValueRange state) {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToEnd(inner.getInsertionBlock());
      Value x = load(floats(), at(source, times(toI64(k), i64(4))), 4);
      scf::YieldOp::create(b, loc, ValueRange{arith::MaxSIOp::create(b, loc, state[0], magnitude(x))});
    });
    Value largest = vector::ReductionOp::create(b, loc, vector::CombiningKind::MAXSI, overVectors.getResult(0));
    for (int64_t k = whole; k < count; k++) largest = arith::MaxSIOp::create(b, loc, largest, magnitude(load(b.getF32Type(), at(source, i64(4 * k)), 4)));
    Value most = arith::BitcastOp::create(b, loc, b.getF32Type(), largest), zero = f32(0);
    Value tiny = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OLT, most, f32(attn::leastQuantised));
    store(arith::SelectOp::create(b, loc, tiny, zero, arith::DivFOp::create(b, loc, most, f32(127))), scale, 4);
    Value inverse = arith::SelectOp::create(b, loc, tiny, zero, arith::DivFOp::create(b, loc, f32(127), most));
    Value inverses = all(inverse, lanes), floatZeros = all(zero, lanes);
    scf::ForOp::create(b, loc, index(0), index(whole), index(lanes), ValueRange{}, [&](OpBuilder &inner, Location, Value k, ValueRange) {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToEnd(inner.getInsertionBlock());
      Value place = toI64(k), x = load(floats(), at(source, times(place, i64(4))), 4);
      store(arith::TruncIOp::create(b, loc, vector(element, lanes), code(x, inverses, floatZeros)), at(codes, times(place, i64(bytes))), bytes);
      scf::YieldOp::create(b, loc);
    });
    for (int64_t k = whole; k < padded; k++) {
      Value v = k < count ? code(load(b.getF32Type(), at(source, i64(4 * k)), 4), inverse, zero) : i32(shape.group == 4 ? attn::codeOffset : 0);
      store(arith::TruncIOp::create(b, loc, element, v), at(codes, i64(bytes * k)), bytes);
    }
  }
};

// ---- products

struct Product : Writer {
  void build(const DotProduct &p) {
    const int64_t most = shape.rows();
    Value whole = arith::DivUIOp::create(b, loc, p.rows, index(most));
    Value full = arith::MulIOp::create(b, loc, whole, index(most));
    auto blocks = scf::ForOp::create(b, loc, index(0), full, index(most));
    {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(blocks.getBody());
      microTile(p, blocks.getInductionVar(), most);
    }
    // What is left has a body for each number of rows, so that few rows cost no more than they are.
    Value left = arith::SubIOp::create(b, loc, p.rows, full);
    for (int64_t rows = 1; rows < most; rows++) {
      auto just = scf::IfOp::create(b, loc, arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, left, index(rows)), /*withElse=*/false);
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(just.thenBlock());
      microTile(p, full, rows);
    }
  }

 private:
  // The sums of `rows` rows and all columns of the panel stay in registers.
  void microTile(const DotProduct &p, Value firstRow, int64_t rows) {
    const int64_t vectors = shape.columns / lanes;
    Value row = toI64(firstRow), codes = at(p.codes, times(row, p.codesStride));
    SmallVector<Value> sums;
    for (int64_t v = 0; v < vectors; v++) {
      Value start = all(i32(0), lanes);
      if (p.sums) start = arith::MulIOp::create(b, loc, load(ints(), at(p.sums, i64(4 * lanes * v)), 4), all(i32(-attn::codeOffset), lanes));
      sums.append(rows, start);
    }
    auto loop = scf::ForOp::create(b, loc, index(0), p.groups, index(1), sums);
    {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(loop.getBody());
      Value g = toI64(loop.getInductionVar());
      Value weights = at(p.panel, times(g, i64(shape.columns * shape.group))), group = at(codes, times(g, i64(4)));
      SmallVector<Value> right, next(loop.getRegionIterArgs());
      for (int64_t v = 0; v < vectors; v++) right.push_back(weightsAt(at(weights, i64(lanes * shape.group * v))));
      for (int64_t r = 0; r < rows; r++) {
        Value left = codesAt(at(group, times(i64(r), p.codesStride)));
        for (int64_t v = 0; v < vectors; v++) next[v * rows + r] = add(next[v * rows + r], left, right[v]);
      }
      scf::YieldOp::create(b, loc, next);
    }
    Value whole = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, p.columns, index(shape.columns));
    auto which = scf::IfOp::create(b, loc, whole, /*withElse=*/true);
    for (bool masked : {false, true}) {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(masked ? which.elseBlock() : which.thenBlock());
      write(p, row, rows, vectors, loop.getResults(), masked);
    }
  }

  Value weightsAt(Value place) {
    Value stored = load(vector(b.getI8Type(), lanes * shape.group), place, 1);
    return shape.group == 4 ? stored : Value(arith::ExtSIOp::create(b, loc, vector(b.getI16Type(), lanes * 2), stored));
  }

  // A group of one row, in all lanes.
  Value codesAt(Value place) {
    Value group = all(load(b.getI32Type(), place, 1), lanes);
    return vector::BitCastOp::create(b, loc, shape.group == 4 ? vector(b.getI8Type(), lanes * 4) : vector(b.getI16Type(), lanes * 2), group);
  }

  Value add(Value sum, Value codes, Value weights) {
    auto call = [&](StringRef name, ValueRange arguments) { return LLVM::CallIntrinsicOp::create(b, loc, ints(), b.getStringAttr(name), arguments).getResult(0); };
    if (shape.group == 4) return call("llvm.x86.avx512.vpdpbusd.512", {sum, codes, weights});
    StringRef name = lanes == 16 ? "llvm.x86.avx512.pmaddw.d.512" : lanes == 8 ? "llvm.x86.avx2.pmadd.wd" : "llvm.x86.sse2.pmadd.wd";
    return arith::AddIOp::create(b, loc, sum, call(name, {codes, weights}));
  }

  void write(const DotProduct &p, Value row, int64_t rows, int64_t vectors, ValueRange sums, bool masked) {
    SmallVector<int32_t> numbers(lanes);
    for (int64_t k = 0; k < lanes; k++) numbers[k] = k;
    Value lane = arith::ConstantOp::create(b, loc, DenseIntElementsAttr::get(ints(), ArrayRef<int32_t>(numbers)));
    Value columns = arith::IndexCastOp::create(b, loc, b.getI32Type(), p.columns);
    for (int64_t v = 0; v < vectors; v++) {
      Value weightScales = load(floats(), at(p.weightScales, i64(4 * lanes * v)), 4), exists;
      if (masked) exists = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, lane, all(arith::SubIOp::create(b, loc, columns, i32(lanes * v)), lanes));
      for (int64_t r = 0; r < rows; r++) {
        Value here = arith::AddIOp::create(b, loc, row, i64(r));
        Value scale = load(b.getF32Type(), at(p.scales, times(here, i64(4))), 4);
        Value scales = arith::MulFOp::create(b, loc, all(scale, lanes), weightScales);
        Value result = arith::MulFOp::create(b, loc, arith::SIToFPOp::create(b, loc, floats(), sums[v * rows + r]), scales);
        Value place = at(at(p.c, times(here, p.cStride)), i64(4 * lanes * v));
        if (masked) LLVM::MaskedStoreOp::create(b, loc, result, place, exists, 4);
        else store(result, place, 4);
      }
    }
  }
};

}  // namespace

// The sums leave registers for the weights, a row's codes and a product.
int64_t DotShape::rows() const { return target.rows; }

void callDotProduct(OpBuilder &b, Location loc, const DotShape &shape, const DotProduct &p) {
  SmallVector<Value> arguments{p.codes, p.codesStride, p.scales, p.panel, p.weightScales, p.c, p.cStride, p.rows, p.groups, p.columns};
  if (p.sums) arguments.push_back(p.sums);
  std::string name = "fovea_dot_product_" + std::to_string(shape.group) + "_" + std::to_string(shape.columns);
  // One body for all products of the model.
  callShared(b, loc, name, arguments, [&](OpBuilder &body, ValueRange v) {
    Product{{body, loc, shape}}.build({v[0], v[1], v[2], v[3], v[4], p.sums ? v[10] : Value(), v[5], v[6], v[7], v[8], v[9]});
  });
}

void callQuantiseRow(OpBuilder &b, Location loc, const DotShape &shape, Value source, Value codes, Value scale, int64_t count, int64_t padded) {
  SmallVector<Value> arguments{source, codes, scale};
  std::string name = "fovea_quantise_row_" + std::to_string(shape.group) + "_" + std::to_string(count);
  callShared(b, loc, name, arguments, [&](OpBuilder &body, ValueRange v) { QuantiseRow{{body, loc, shape}}.build(v[0], v[1], v[2], count, padded); });
}

}  // namespace fovea
