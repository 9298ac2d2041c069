#include "frontend/emit/Scalar.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace fovea {

Type ScalarEmitter::typeOf(core::Type type) const {
  switch (type) {
    case core::Type::I32: case core::Type::I8: case core::Type::U8: return b.getI32Type();
    case core::Type::Bool: return b.getI1Type();
    default: return real;
  }
}

Type ScalarEmitter::storageType(OpBuilder &b, core::Type type) {
  switch (type) {
    case core::Type::F32: return b.getF32Type();
    case core::Type::F16: return b.getF16Type();
    case core::Type::BF16: return b.getBF16Type();
    case core::Type::I32: return b.getI32Type();
    default: return b.getI8Type();
  }
}

Value ScalarEmitter::realConstant(double value) { return arith::ConstantOp::create(b, loc, FloatAttr::get(real, value)); }
Value ScalarEmitter::integerConstant(int64_t value) { return arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(int32_t(value))); }
Value ScalarEmitter::boolConstant(bool value) { return arith::ConstantOp::create(b, loc, b.getBoolAttr(value)); }

Value ScalarEmitter::zero(core::Type type) {
  if (type == core::Type::Bool) return boolConstant(false);
  return typeOf(type) == real ? realConstant(0) : integerConstant(0);
}

Value ScalarEmitter::fromStorage(Value stored, core::Type type) {
  Type is = stored.getType();
  if (auto f = dyn_cast<FloatType>(is)) {
    if (f.getWidth() < cast<FloatType>(real).getWidth()) return arith::ExtFOp::create(b, loc, real, stored);
    return stored;
  }
  switch (type) {
    case core::Type::I8: return arith::ExtSIOp::create(b, loc, b.getI32Type(), stored);
    case core::Type::U8: return arith::ExtUIOp::create(b, loc, b.getI32Type(), stored);
    case core::Type::Bool:
      if (is.isInteger(1)) return stored;
      return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne, stored, arith::ConstantOp::create(b, loc, b.getIntegerAttr(is, 0)));
    default: return stored;
  }
}

Value ScalarEmitter::toStorage(Value value, core::Type type, Type element) {
  if (value.getType() == element) return value;
  if (isa<FloatType>(element)) return arith::TruncFOp::create(b, loc, element, value);
  if (type == core::Type::Bool) return arith::ExtUIOp::create(b, loc, element, value);
  int64_t low = type == core::Type::I8 ? -128 : 0, high = type == core::Type::I8 ? 127 : 255;
  value = arith::MaxSIOp::create(b, loc, arith::MinSIOp::create(b, loc, value, integerConstant(high)), integerConstant(low));
  return arith::TruncIOp::create(b, loc, element, value);
}

Value ScalarEmitter::select(Value condition, Value then, Value otherwise) { return arith::SelectOp::create(b, loc, condition, then, otherwise); }

Value ScalarEmitter::conjunction(ArrayRef<Value> conditions) {
  if (conditions.empty()) return boolConstant(true);
  Value all = conditions[0];
  for (Value c : conditions.drop_front()) all = arith::AndIOp::create(b, loc, all, c);
  return all;
}

// Floor division and its remainder, 0 for a zero divisor (rule E3); in 64 bits, where nothing overflows.
Value ScalarEmitter::floorDivide(Value x, Value y, bool remainder) {
  APInt constant;
  if (matchPattern(y, m_ConstantInt(&constant)) && constant.isStrictlyPositive()) {
    Value quotient = arith::FloorDivSIOp::create(b, loc, x, y);
    if (!remainder) return quotient;
    return arith::SubIOp::create(b, loc, x, arith::MulIOp::create(b, loc, quotient, y));
  }
  Type wide = b.getI64Type();
  auto wideConstant = [&](int64_t v) -> Value { return arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(v)); };
  Value dividend = arith::ExtSIOp::create(b, loc, wide, x), divisor = arith::ExtSIOp::create(b, loc, wide, y);
  Value none = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, divisor, wideConstant(0));
  Value safe = select(none, wideConstant(1), divisor);
  Value quotient = arith::FloorDivSIOp::create(b, loc, dividend, safe);
  Value result = remainder ? Value(arith::SubIOp::create(b, loc, dividend, arith::MulIOp::create(b, loc, quotient, safe))) : quotient;
  return arith::TruncIOp::create(b, loc, b.getI32Type(), select(none, wideConstant(0), result));
}

Value ScalarEmitter::sigmoid(Value x) {
  Value one = realConstant(1);
  return arith::DivFOp::create(b, loc, one, arith::AddFOp::create(b, loc, one, math::ExpOp::create(b, loc, arith::NegFOp::create(b, loc, x))));
}

Value ScalarEmitter::apply(core::Op op, core::Type type, core::Type argumentType, ArrayRef<Value> a) {
  using core::Op;
  bool floating = argumentType == core::Type::F32;
  auto compare = [&](arith::CmpFPredicate f, arith::CmpIPredicate i) -> Value {
    if (floating) return arith::CmpFOp::create(b, loc, f, a[0], a[1]);
    return arith::CmpIOp::create(b, loc, i, a[0], a[1]);
  };
  auto larger = [&](Value x, Value y) { return select(arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OGT, x, y), x, y); };
  auto smaller = [&](Value x, Value y) { return select(arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OLT, x, y), x, y); };
  switch (op) {
    case Op::Neg:
      if (floating) return arith::NegFOp::create(b, loc, a[0]);
      return arith::SubIOp::create(b, loc, integerConstant(0), a[0]);
    case Op::Add:
      if (floating) return arith::AddFOp::create(b, loc, a[0], a[1]);
      return arith::AddIOp::create(b, loc, a[0], a[1]);
    case Op::Sub:
      if (floating) return arith::SubFOp::create(b, loc, a[0], a[1]);
      return arith::SubIOp::create(b, loc, a[0], a[1]);
    case Op::Mul:
      if (floating) return arith::MulFOp::create(b, loc, a[0], a[1]);
      return arith::MulIOp::create(b, loc, a[0], a[1]);
    case Op::Div: {
      if (!floating) return floorDivide(a[0], a[1], false);
      Value quotient = arith::DivFOp::create(b, loc, a[0], a[1]);
      APFloat divisor(0.0);
      if (matchPattern(a[1], m_ConstantFloat(&divisor)) && !divisor.isZero()) return quotient;
      Value nought = realConstant(0);
      Value top = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OEQ, a[0], nought);
      Value bottom = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OEQ, a[1], nought);
      return select(arith::AndIOp::create(b, loc, top, bottom), nought, quotient);
    }
    case Op::Mod: {
      if (!floating) return floorDivide(a[0], a[1], true);
      Value quotient = apply(Op::Div, type, argumentType, a);
      return arith::SubFOp::create(b, loc, a[0], arith::MulFOp::create(b, loc, a[1], math::FloorOp::create(b, loc, quotient)));
    }
    case Op::Pow: return math::PowFOp::create(b, loc, a[0], a[1]);
    case Op::Min:
      if (floating) return smaller(a[0], a[1]);
      return arith::MinSIOp::create(b, loc, a[0], a[1]);
    case Op::Max:
      if (floating) return larger(a[0], a[1]);
      return arith::MaxSIOp::create(b, loc, a[0], a[1]);
    case Op::Abs:
      if (floating) return math::AbsFOp::create(b, loc, a[0]);
      return arith::MaxSIOp::create(b, loc, a[0], arith::SubIOp::create(b, loc, integerConstant(0), a[0]));
    case Op::Sign: {
      if (!floating) return arith::MaxSIOp::create(b, loc, integerConstant(-1), arith::MinSIOp::create(b, loc, integerConstant(1), a[0]));
      Value nought = realConstant(0);
      Value negative = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OLT, a[0], nought);
      Value positive = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OGT, a[0], nought);
      return select(positive, realConstant(1), select(negative, realConstant(-1), nought));
    }
    case Op::Relu:
      if (floating) return larger(a[0], realConstant(0));
      return arith::MaxSIOp::create(b, loc, a[0], integerConstant(0));
    case Op::Exp: return math::ExpOp::create(b, loc, a[0]);
    case Op::Log: return math::LogOp::create(b, loc, a[0]);
    case Op::Exp2: return math::Exp2Op::create(b, loc, a[0]);
    case Op::Tanh: return math::TanhOp::create(b, loc, a[0]);
    case Op::Sigmoid: return sigmoid(a[0]);
    case Op::LeakyRelu:
      return select(arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OGE, a[0], realConstant(0)), a[0], arith::MulFOp::create(b, loc, a[1], a[0]));
    case Op::Gelu: {
      Value erf = math::ErfOp::create(b, loc, arith::MulFOp::create(b, loc, a[0], realConstant(0.70710678118654752)));
      Value half = arith::MulFOp::create(b, loc, realConstant(0.5), a[0]);
      return arith::MulFOp::create(b, loc, half, arith::AddFOp::create(b, loc, realConstant(1), erf));
    }
    case Op::Silu: return arith::MulFOp::create(b, loc, a[0], sigmoid(a[0]));
    case Op::Softplus: {
      Value small = math::ExpOp::create(b, loc, arith::NegFOp::create(b, loc, math::AbsFOp::create(b, loc, a[0])));
      return arith::AddFOp::create(b, loc, larger(a[0], realConstant(0)), math::Log1pOp::create(b, loc, small));
    }
    case Op::Erf: return math::ErfOp::create(b, loc, a[0]);
    case Op::Sqrt: return math::SqrtOp::create(b, loc, a[0]);
    case Op::Rsqrt: return arith::DivFOp::create(b, loc, realConstant(1), math::SqrtOp::create(b, loc, a[0]));
    case Op::Floor: return math::FloorOp::create(b, loc, a[0]);
    case Op::Ceil: return math::CeilOp::create(b, loc, a[0]);
    case Op::Round: return math::RoundEvenOp::create(b, loc, a[0]);
    case Op::Sin: return math::SinOp::create(b, loc, a[0]);
    case Op::Cos: return math::CosOp::create(b, loc, a[0]);
    case Op::Lt: return compare(arith::CmpFPredicate::OLT, arith::CmpIPredicate::slt);
    case Op::Le: return compare(arith::CmpFPredicate::OLE, arith::CmpIPredicate::sle);
    case Op::Gt: return compare(arith::CmpFPredicate::OGT, arith::CmpIPredicate::sgt);
    case Op::Ge: return compare(arith::CmpFPredicate::OGE, arith::CmpIPredicate::sge);
    case Op::Eq: return compare(arith::CmpFPredicate::OEQ, arith::CmpIPredicate::eq);
    case Op::Ne: return compare(arith::CmpFPredicate::UNE, arith::CmpIPredicate::ne);
    case Op::Not: return arith::XOrIOp::create(b, loc, a[0], boolConstant(true));
    case Op::And: return arith::AndIOp::create(b, loc, a[0], a[1]);
    case Op::Or: return arith::OrIOp::create(b, loc, a[0], a[1]);
    case Op::Select: return select(a[0], a[1], a[2]);
    case Op::ToF32:
      if (floating) return a[0];
      if (argumentType == core::Type::Bool) return arith::UIToFPOp::create(b, loc, real, a[0]);
      return arith::SIToFPOp::create(b, loc, real, a[0]);
    case Op::ToI32: {
      if (argumentType == core::Type::Bool) return arith::ExtUIOp::create(b, loc, b.getI32Type(), a[0]);
      if (!floating) return a[0];
      // fptosi is undefined outside the range, so only what is inside is given to it.
      Value high = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OGE, a[0], realConstant(2147483648.0));
      Value low = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OLT, a[0], realConstant(-2147483648.0));
      Value nan = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::UNO, a[0], a[0]);
      Value outside = arith::OrIOp::create(b, loc, arith::OrIOp::create(b, loc, high, low), nan);
      Value inside = arith::FPToSIOp::create(b, loc, b.getI32Type(), select(outside, realConstant(0), a[0]));
      return select(high, integerConstant(2147483647), select(low, integerConstant(-2147483648LL), inside));
    }
    default: llvm_unreachable("not a scalar operation");
  }
}

}  // namespace fovea
