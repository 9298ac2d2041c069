#include "lowering/Support.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace fovea {
namespace {

class Bounds {
 public:
  Bounds(MaskView &mask, OpBuilder &b, Location loc, Value extent)
      : mask(mask), b(b), loc(loc), low(arith::ConstantIndexOp::create(b, loc, 0)), high(extent) {}

  Support run(Value keep) {
    condition(keep);
    return {low, arith::MaxSIOp::create(b, loc, low, high), exact};
  }

 private:
  enum Side { AtMost, AtLeast };
  static Side other(Side side) { return side == AtMost ? AtLeast : AtMost; }

  void condition(Value keep) {
    if (matchPattern(keep, m_One())) return;
    Operation *def = keep.getDefiningOp();
    if (auto both = dyn_cast_or_null<arith::AndIOp>(def)) {
      condition(both.getLhs());
      condition(both.getRhs());
      return;
    }
    if (!mask.dependsOn(keep)) {  // all or nothing
      Value here = mask.outside(keep);
      if (here) high = arith::SelectOp::create(b, loc, here, high, arith::ConstantIndexOp::create(b, loc, 0));
      else exact = false;
      return;
    }
    bool solved = false;
    if (auto compare = dyn_cast_or_null<arith::CmpIOp>(def); compare && compare.getLhs().getType().isInteger(32)) solved = integers(compare);
    else if (auto compare = dyn_cast_or_null<arith::CmpFOp>(def); compare && compare.getLhs().getType().isF32()) reals(compare);
    exact &= solved;
  }

  // ---- comparisons of integers, in 64 bits

  // These give whether what they say is all that the condition says.
  bool integers(arith::CmpIOp compare) {
    using P = arith::CmpIPredicate;
    Value l = compare.getLhs(), r = compare.getRhs();
    bool inLeft = mask.dependsOn(l), inRight = mask.dependsOn(r);
    if (inLeft == inRight) return inLeft && difference(compare);
    P p = compare.getPredicate();
    if (inRight) {
      std::swap(l, r);
      p = p == P::slt ? P::sgt : p == P::sle ? P::sge : p == P::sgt ? P::slt : p == P::sge ? P::sle : p;
    }
    Value bound = mask.outside(r);
    if (!bound) return false;
    bound = wide(bound);
    switch (p) {
      case P::slt: return solve(l, AtMost, plus(bound, -1));
      case P::sle: return solve(l, AtMost, bound);
      case P::sgt: return solve(l, AtLeast, plus(bound, 1));
      case P::sge: return solve(l, AtLeast, bound);
      case P::eq: {
        bool most = solve(l, AtMost, bound), least = solve(l, AtLeast, bound);
        return most && least;
      }
      default: return false;
    }
  }

  // v, which depends on the position, is at most (at least) `bound`: what follows for the position.
  bool solve(Value v, Side side, Value bound) {
    if (mask.isPosition(v)) return apply(side, bound), true;
    Operation *def = v.getDefiningOp();
    if (!def) return false;
    if (auto cast = dyn_cast<arith::IndexCastOp>(def)) return solve(cast.getIn(), side, bound);
    Value depends, free;
    auto split = [&] {  // the operands; false when both depend, or the free one is not known yet
      depends = def->getOperand(0), free = def->getOperand(1);
      if (!mask.dependsOn(depends)) std::swap(depends, free);
      if (mask.dependsOn(free)) return false;
      free = mask.outside(free);
      return bool(free);
    };
    APInt factor;
    if (isa<arith::AddIOp>(def)) return split() && solve(depends, side, arith::SubIOp::create(b, loc, bound, wide(free)));
    if (isa<arith::SubIOp>(def)) {
      if (!split()) return false;
      if (depends == def->getOperand(0)) return solve(depends, side, arith::AddIOp::create(b, loc, bound, wide(free)));
      return solve(depends, other(side), arith::SubIOp::create(b, loc, wide(free), bound));
    }
    if (isa<arith::MulIOp>(def)) {
      if (!matchPattern(def->getOperand(1), m_ConstantInt(&factor)) || factor.isZero() || factor.isMinSignedValue()) return false;
      int64_t k = factor.getSExtValue();
      if (k < 0) {
        side = other(side), k = -k;
        bound = arith::SubIOp::create(b, loc, integer(0), bound);
      }
      return solve(def->getOperand(0), side, side == AtMost ? Value(arith::FloorDivSIOp::create(b, loc, bound, integer(k))) : Value(arith::CeilDivSIOp::create(b, loc, bound, integer(k))));
    }
    if (isa<arith::FloorDivSIOp>(def)) {
      if (!matchPattern(def->getOperand(1), m_ConstantInt(&factor)) || !factor.isStrictlyPositive()) return false;
      int64_t k = factor.getSExtValue();
      Value scaled = arith::MulIOp::create(b, loc, bound, integer(k));
      return solve(def->getOperand(0), side, side == AtMost ? plus(scaled, k - 1) : scaled);
    }
    if (isa<arith::MaxSIOp, arith::MinSIOp>(def)) {  // abs(x) is max(x, 0 - x)
      if (isa<arith::MaxSIOp>(def) != (side == AtMost)) return false;
      bool all = true;
      for (Value operand : def->getOperands()) all &= mask.dependsOn(operand) && solve(operand, side, bound);
      return all;
    }
    return false;
  }

  // Both sides depend on the position: left - right as coefficient * position + terms that do not.
  struct Linear {
    int64_t coefficient = 0;
    SmallVector<std::pair<int64_t, Value>> terms;
  };

  bool linear(Value v, int64_t sign, Linear &out) {
    if (!mask.dependsOn(v)) {
      out.terms.push_back({sign, v});
      return true;
    }
    if (mask.isPosition(v)) {
      out.coefficient += sign;
      return true;
    }
    if (auto cast = v.getDefiningOp<arith::IndexCastOp>()) return linear(cast.getIn(), sign, out);
    if (auto add = v.getDefiningOp<arith::AddIOp>()) return linear(add.getLhs(), sign, out) && linear(add.getRhs(), sign, out);
    if (auto sub = v.getDefiningOp<arith::SubIOp>()) return linear(sub.getLhs(), sign, out) && linear(sub.getRhs(), -sign, out);
    return false;
  }

  bool difference(arith::CmpIOp compare) {
    using P = arith::CmpIPredicate;
    Linear form;
    if (!linear(compare.getLhs(), 1, form) || !linear(compare.getRhs(), -1, form)) return false;
    if (form.coefficient != 1 && form.coefficient != -1) return false;
    Value rest = integer(0);
    for (auto [sign, term] : form.terms) {
      Value outside = mask.outside(term);
      if (!outside) return false;
      rest = sign > 0 ? Value(arith::AddIOp::create(b, loc, rest, wide(outside))) : Value(arith::SubIOp::create(b, loc, rest, wide(outside)));
    }
    // coefficient * x + rest (p) 0
    Side less = form.coefficient > 0 ? AtMost : AtLeast;
    Value at = form.coefficient > 0 ? Value(arith::SubIOp::create(b, loc, integer(0), rest)) : rest;
    int64_t inward = form.coefficient > 0 ? -1 : 1;
    switch (compare.getPredicate()) {
      case P::slt: apply(less, plus(at, inward)); return true;
      case P::sle: apply(less, at); return true;
      case P::sgt: apply(other(less), plus(at, -inward)); return true;
      case P::sge: apply(other(less), at); return true;
      case P::eq: apply(AtMost, at), apply(AtLeast, at); return true;
      default: return false;
    }
  }

  // ---- comparisons of reals, in f64, generous by more than f32 arithmetic rounds

  void reals(arith::CmpFOp compare) {
    using P = arith::CmpFPredicate;
    Value l = compare.getLhs(), r = compare.getRhs();
    bool inLeft = mask.dependsOn(l), inRight = mask.dependsOn(r);
    if (inLeft == inRight) return;
    P p = compare.getPredicate();
    Side side;
    if (p == P::OLT || p == P::OLE) side = AtMost;
    else if (p == P::OGT || p == P::OGE) side = AtLeast;
    else return;
    if (inRight) std::swap(l, r), side = other(side);
    if (Value bound = mask.outside(r)) solveReal(l, side, inDouble(bound));
  }

  void solveReal(Value v, Side side, Value bound) {
    Operation *def = v.getDefiningOp();
    if (!def) return;
    if (auto convert = dyn_cast<arith::SIToFPOp>(def)) {
      // Whole numbers up to 2^24 are exact. What is beyond 2^60, and NaN, is held to what bounds nothing.
      Value slack = arith::AddFOp::create(b, loc, real(1), arith::MulFOp::create(b, loc, math::AbsFOp::create(b, loc, bound), real(1e-6)));
      Value wider = side == AtMost ? Value(arith::AddFOp::create(b, loc, bound, slack)) : Value(arith::SubFOp::create(b, loc, bound, slack));
      Value least = real(-1152921504606846976.0), most = real(1152921504606846976.0), held = wider;
      auto hold = [&](arith::CmpFPredicate p, Value limit) { held = arith::SelectOp::create(b, loc, arith::CmpFOp::create(b, loc, p, held, limit), held, limit); };
      if (side == AtMost) hold(arith::CmpFPredicate::OLT, most), hold(arith::CmpFPredicate::OGT, least);
      else hold(arith::CmpFPredicate::OGT, least), hold(arith::CmpFPredicate::OLT, most);
      solve(convert.getIn(), side, arith::FPToSIOp::create(b, loc, b.getI64Type(), side == AtMost ? Value(math::FloorOp::create(b, loc, held)) : Value(math::CeilOp::create(b, loc, held))));
      return;
    }
    if (auto size = dyn_cast<math::AbsFOp>(def)) {
      if (side != AtMost) return;
      solveReal(size.getOperand(), AtMost, bound);
      return solveReal(size.getOperand(), AtLeast, arith::NegFOp::create(b, loc, bound));
    }
    if (!isa<arith::AddFOp, arith::SubFOp>(def)) return;
    Value depends = def->getOperand(0), free = def->getOperand(1);
    bool second = !mask.dependsOn(depends);
    if (second) std::swap(depends, free);
    if (mask.dependsOn(free)) return;
    free = mask.outside(free);
    if (!free) return;
    free = inDouble(free);
    // What the sum may have been rounded by.
    Value sizes = arith::AddFOp::create(b, loc, math::AbsFOp::create(b, loc, bound), math::AbsFOp::create(b, loc, free));
    Value slack = arith::MulFOp::create(b, loc, sizes, real(1e-6));
    if (isa<arith::AddFOp>(def)) bound = arith::SubFOp::create(b, loc, bound, free);
    else if (!second) bound = arith::AddFOp::create(b, loc, bound, free);
    else bound = arith::SubFOp::create(b, loc, free, bound), side = other(side);
    bound = side == AtMost ? Value(arith::AddFOp::create(b, loc, bound, slack)) : Value(arith::SubFOp::create(b, loc, bound, slack));
    solveReal(depends, side, bound);
  }

  // ---- values

  void apply(Side side, Value bound) {
    Value at = arith::IndexCastOp::create(b, loc, b.getIndexType(), side == AtMost ? plus(bound, 1) : bound);
    if (side == AtMost) high = arith::MinSIOp::create(b, loc, high, at);
    else low = arith::MaxSIOp::create(b, loc, low, at);
  }

  Value integer(int64_t v) { return arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(v)); }
  Value plus(Value v, int64_t by) { return by ? Value(arith::AddIOp::create(b, loc, v, integer(by))) : v; }
  Value wide(Value v) {
    if (v.getType().isIndex()) return arith::IndexCastOp::create(b, loc, b.getI64Type(), v);
    return arith::ExtSIOp::create(b, loc, b.getI64Type(), v);
  }
  Value real(double v) { return arith::ConstantOp::create(b, loc, b.getF64FloatAttr(v)); }
  Value inDouble(Value v) { return arith::ExtFOp::create(b, loc, b.getF64Type(), v); }

  MaskView &mask;
  OpBuilder &b;
  Location loc;
  Value low, high;
  bool exact = true;
};

}  // namespace

Support supportOf(MaskView &mask, OpBuilder &b, Location loc, Value keep, Value extent) { return Bounds(mask, b, loc, extent).run(keep); }

}  // namespace fovea
