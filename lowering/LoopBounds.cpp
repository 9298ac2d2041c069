#include "lowering/LoopBounds.h"

#include "dialect/Attn.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace fovea {
namespace {

class Bounds {
 public:
  Bounds(LoopBody &body, OpBuilder &b, Location loc, unsigned dim, Value extent)
      : body(body), b(b), loc(loc), dim(dim), low(arith::ConstantIndexOp::create(b, loc, 0)), high(extent) {}

  LoopRange run() {
    Value support;
    for (Operation &inner : *body.block())
      if (auto s = dyn_cast<attn::SupportOp>(inner)) support = s.getKeep();
    if (!support) return {low, high};
    condition(support);
    return {low, arith::MaxSIOp::create(b, loc, low, high)};
  }

 private:
  enum Side { AtMost, AtLeast };
  static Side other(Side side) { return side == AtMost ? AtLeast : AtMost; }

  void condition(Value keep) {
    Operation *def = keep.getDefiningOp();
    if (auto both = dyn_cast_or_null<arith::AndIOp>(def)) {
      condition(both.getLhs());
      condition(both.getRhs());
    } else if (auto compare = dyn_cast_or_null<arith::CmpIOp>(def)) {
      if (compare.getLhs().getType().isInteger(32)) integers(compare);
    } else if (auto compare = dyn_cast_or_null<arith::CmpFOp>(def)) {
      if (compare.getLhs().getType().isF32()) reals(compare);
    }
  }

  // ---- comparisons of integers, in 64 bits

  void integers(arith::CmpIOp compare) {
    using P = arith::CmpIPredicate;
    Value l = compare.getLhs(), r = compare.getRhs();
    bool inLeft = body.dependsOn(l, dim), inRight = body.dependsOn(r, dim);
    if (inLeft == inRight) {
      if (inLeft) difference(compare);
      return;
    }
    P p = compare.getPredicate();
    if (inRight) {
      std::swap(l, r);
      p = p == P::slt ? P::sgt : p == P::sle ? P::sge : p == P::sgt ? P::slt : p == P::sge ? P::sle : p;
    }
    Value bound = body.outside(r);
    if (!bound) return;
    bound = wide(bound);
    switch (p) {
      case P::slt: solve(l, AtMost, plus(bound, -1)); break;
      case P::sle: solve(l, AtMost, bound); break;
      case P::sgt: solve(l, AtLeast, plus(bound, 1)); break;
      case P::sge: solve(l, AtLeast, bound); break;
      case P::eq: solve(l, AtMost, bound); solve(l, AtLeast, bound); break;
      default: break;
    }
  }

  // v, which depends on the position, is at most (at least) `bound`: what follows for the position.
  void solve(Value v, Side side, Value bound) {
    Operation *def = v.getDefiningOp();
    if (!def) return;
    if (isPosition(v)) return apply(side, bound);
    if (auto cast = dyn_cast<arith::IndexCastOp>(def)) return solve(cast.getIn(), side, bound);
    auto one = [&](Value &depends, Value &free) {  // splits the operands; false when both depend, or the free one is not known yet
      depends = def->getOperand(0), free = def->getOperand(1);
      if (!body.dependsOn(depends, dim)) std::swap(depends, free);
      if (body.dependsOn(free, dim)) return false;
      free = body.outside(free);
      return bool(free);
    };
    Value depends, free;
    APInt factor;
    if (isa<arith::AddIOp>(def)) {
      if (one(depends, free)) solve(depends, side, arith::SubIOp::create(b, loc, bound, wide(free)));
    } else if (isa<arith::SubIOp>(def)) {
      if (!one(depends, free)) return;
      if (depends == def->getOperand(0)) solve(depends, side, arith::AddIOp::create(b, loc, bound, wide(free)));
      else solve(depends, other(side), arith::SubIOp::create(b, loc, wide(free), bound));
    } else if (isa<arith::MulIOp>(def)) {
      if (!matchPattern(def->getOperand(1), m_ConstantInt(&factor)) || factor.isZero() || factor.isMinSignedValue()) return;
      int64_t k = factor.getSExtValue();
      if (k < 0) {
        side = other(side), k = -k;
        bound = arith::SubIOp::create(b, loc, integer(0), bound);
      }
      solve(def->getOperand(0), side, side == AtMost ? Value(arith::FloorDivSIOp::create(b, loc, bound, integer(k))) : Value(arith::CeilDivSIOp::create(b, loc, bound, integer(k))));
    } else if (isa<arith::FloorDivSIOp>(def)) {
      if (!matchPattern(def->getOperand(1), m_ConstantInt(&factor)) || !factor.isStrictlyPositive()) return;
      int64_t k = factor.getSExtValue();
      Value scaled = arith::MulIOp::create(b, loc, bound, integer(k));
      solve(def->getOperand(0), side, side == AtMost ? plus(scaled, k - 1) : scaled);
    } else if (isa<arith::MaxSIOp, arith::MinSIOp>(def)) {  // abs(x) is max(x, 0 - x)
      if (isa<arith::MaxSIOp>(def) != (side == AtMost)) return;
      for (Value operand : def->getOperands())
        if (body.dependsOn(operand, dim)) solve(operand, side, bound);
    }
  }

  // Both sides depend on the position: left - right as coefficient * position + terms that do not.
  struct Linear {
    int64_t coefficient = 0;
    SmallVector<std::pair<int64_t, Value>> terms;
  };

  bool linear(Value v, int64_t sign, Linear &out) {
    if (!body.dependsOn(v, dim)) {
      out.terms.push_back({sign, v});
      return true;
    }
    if (isPosition(v)) {
      out.coefficient += sign;
      return true;
    }
    if (auto cast = v.getDefiningOp<arith::IndexCastOp>()) return linear(cast.getIn(), sign, out);
    if (auto add = v.getDefiningOp<arith::AddIOp>()) return linear(add.getLhs(), sign, out) && linear(add.getRhs(), sign, out);
    if (auto sub = v.getDefiningOp<arith::SubIOp>()) return linear(sub.getLhs(), sign, out) && linear(sub.getRhs(), -sign, out);
    return false;
  }

  void difference(arith::CmpIOp compare) {
    using P = arith::CmpIPredicate;
    Linear form;
    if (!linear(compare.getLhs(), 1, form) || !linear(compare.getRhs(), -1, form)) return;
    if (form.coefficient != 1 && form.coefficient != -1) return;
    Value rest = integer(0);
    for (auto [sign, term] : form.terms) {
      Value outside = body.outside(term);
      if (!outside) return;
      rest = sign > 0 ? Value(arith::AddIOp::create(b, loc, rest, wide(outside))) : Value(arith::SubIOp::create(b, loc, rest, wide(outside)));
    }
    // coefficient * x + rest (p) 0
    Side less = form.coefficient > 0 ? AtMost : AtLeast;
    Value at = form.coefficient > 0 ? Value(arith::SubIOp::create(b, loc, integer(0), rest)) : rest;
    int64_t inward = form.coefficient > 0 ? -1 : 1;
    switch (compare.getPredicate()) {
      case P::slt: apply(less, plus(at, inward)); break;
      case P::sle: apply(less, at); break;
      case P::sgt: apply(other(less), plus(at, -inward)); break;
      case P::sge: apply(other(less), at); break;
      case P::eq: apply(AtMost, at); apply(AtLeast, at); break;
      default: break;
    }
  }

  // ---- comparisons of reals, in f64, generous by more than f32 arithmetic rounds

  void reals(arith::CmpFOp compare) {
    using P = arith::CmpFPredicate;
    Value l = compare.getLhs(), r = compare.getRhs();
    bool inLeft = body.dependsOn(l, dim), inRight = body.dependsOn(r, dim);
    if (inLeft == inRight) return;
    P p = compare.getPredicate();
    Side side;
    if (p == P::OLT || p == P::OLE) side = AtMost;
    else if (p == P::OGT || p == P::OGE) side = AtLeast;
    else return;
    if (inRight) std::swap(l, r), side = other(side);
    if (Value bound = body.outside(r)) solveReal(l, side, exact(bound));
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
      return solve(convert.getIn(), side, arith::FPToSIOp::create(b, loc, b.getI64Type(), side == AtMost ? Value(math::FloorOp::create(b, loc, held)) : Value(math::CeilOp::create(b, loc, held))));
    }
    if (auto size = dyn_cast<math::AbsFOp>(def)) {
      if (side != AtMost) return;
      solveReal(size.getOperand(), AtMost, bound);
      return solveReal(size.getOperand(), AtLeast, arith::NegFOp::create(b, loc, bound));
    }
    if (!isa<arith::AddFOp, arith::SubFOp>(def)) return;
    Value depends = def->getOperand(0), free = def->getOperand(1);
    bool second = !body.dependsOn(depends, dim);
    if (second) std::swap(depends, free);
    if (body.dependsOn(free, dim)) return;
    free = body.outside(free);
    if (!free) return;
    free = exact(free);
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

  bool isPosition(Value v) {
    auto cast = v.getDefiningOp<arith::IndexCastOp>();
    auto index = (cast ? cast.getIn() : v).getDefiningOp<linalg::IndexOp>();
    return index && index.getDim() == dim;
  }

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
  Value exact(Value v) { return arith::ExtFOp::create(b, loc, b.getF64Type(), v); }

  LoopBody &body;
  OpBuilder &b;
  Location loc;
  unsigned dim;
  Value low, high;
};

}  // namespace

LoopRange supportRange(LoopBody &body, OpBuilder &b, Location loc, unsigned dim, Value extent) { return Bounds(body, b, loc, dim, extent).run(); }

}  // namespace fovea
