#include "lowering/Support.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/Matchers.h"

#include <cmath>
#include <limits>

using namespace mlir;

namespace fovea {

// How often a mask is looked into for one index. Its values are a graph: a value used twice by one that is used twice, and so on, has no end otherwise.
constexpr unsigned mostLooks = 2000;

bool Linear::add(MaskView &mask, Value v, int64_t factor) {
  if (++looks > mostLooks) return false;
  constexpr int64_t most = std::numeric_limits<int32_t>::max();
  if (!mask.dependsOn(v)) {
    terms.push_back({factor, v});
    return true;
  }
  if (mask.isPosition(v)) {
    coefficient += factor;
    return std::abs(coefficient) <= most;
  }
  Operation *def = v.getDefiningOp();
  if (!def) return false;
  if (auto cast = dyn_cast<arith::IndexCastOp>(def)) return add(mask, cast.getIn(), factor);
  if (isa<arith::AddIOp>(def)) return add(mask, def->getOperand(0), factor) && add(mask, def->getOperand(1), factor);
  if (isa<arith::SubIOp>(def)) return add(mask, def->getOperand(0), factor) && add(mask, def->getOperand(1), -factor);
  APInt by;
  if (!isa<arith::MulIOp>(def) || !matchPattern(def->getOperand(1), m_ConstantInt(&by)) || by.isZero() || by.getSignificantBits() > 32) return false;
  factor *= by.getSExtValue();
  return std::abs(factor) <= most && add(mask, def->getOperand(0), factor);
}

std::optional<Class> remainderOf(MaskView &mask, Value v) {
  auto remainder = v.getDefiningOp<arith::SubIOp>();
  auto whole = remainder ? remainder.getRhs().getDefiningOp<arith::MulIOp>() : nullptr;
  auto quotient = whole ? whole.getLhs().getDefiningOp<arith::FloorDivSIOp>() : nullptr;
  APInt by, again;
  if (!quotient || quotient.getLhs() != remainder.getLhs() || !matchPattern(quotient.getRhs(), m_ConstantInt(&by)) || !by.sgt(1) ||
      !matchPattern(whole.getRhs(), m_ConstantInt(&again)) || by != again)
    return {};
  Class found{Linear(), by.getSExtValue()};
  if (!found.form.add(mask, remainder.getLhs(), 1) || !found.form.coefficient) return {};
  return found;
}

std::optional<Class> classOf(MaskView &mask, arith::CmpIOp compare) {
  if (compare.getPredicate() != arith::CmpIPredicate::eq) return {};
  for (int side : {0, 1})
    if (!mask.dependsOn(compare->getOperand(1 - side)))
      if (auto found = remainderOf(mask, compare->getOperand(side))) return found;
  return {};
}

namespace {

class Bounds {
 public:
  Bounds(MaskView &mask, OpBuilder &b, Location loc, Value extent)
      : mask(mask), b(b), loc(loc), extent(extent), zero(arith::ConstantIndexOp::create(b, loc, 0)), low(zero), high(extent) {}

  Support run(Value keep) {
    bool exact = condition(keep, false);
    if (step > 1) {  // from the first position of the class on
      Value size = integer(step);
      Value beyond = arith::RemSIOp::create(b, loc, arith::SubIOp::create(b, loc, phase, wide(low)), size);
      Value negative = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, beyond, integer(0));
      beyond = arith::SelectOp::create(b, loc, negative, arith::AddIOp::create(b, loc, beyond, size), beyond);
      low = arith::AddIOp::create(b, loc, low, arith::IndexCastOp::create(b, loc, b.getIndexType(), beyond));
    }
    // Where nothing is left, within the extent as well: what a tile visits is made of all its rows' ranges.
    high = arith::MaxSIOp::create(b, loc, zero, high);
    if (low != zero) low = arith::MinSIOp::create(b, loc, low, high);
    return {low, high, exact, step, std::move(held)};
  }

  int64_t step = 1;
  bool steps = false;  // a step may be taken

 private:
  enum Side { AtMost, AtLeast };
  static Side other(Side side) { return side == AtMost ? AtLeast : AtMost; }

  // Whether what was found is all that the condition, or its contrary, says.
  bool condition(Value keep, bool contrary) {
    // Told are the conditions that the mask is the conjunction of; not their parts.
    bool told = telling && !keep.getDefiningOp<arith::AndIOp>();
    if (told) telling = false;
    Value lowBefore = low, highBefore = high;
    int64_t stepBefore = step;
    bool all = part(keep, contrary);
    if (all && !contrary) held.push_back(keep);
    if (told) {
      telling = true;
      bool stepped = step != stepBefore;
      mask.became(keep, {!stepped && low != lowBefore, !stepped && high != highBefore, std::exchange(searched, false), stepped ? step : 1, !all});
    }
    return all;
  }

  bool part(Value keep, bool contrary) {
    if (++looks > mostLooks) return false;
    if (matchPattern(keep, contrary ? m_Zero() : m_One()) || (!contrary && mask.holds(keep))) return true;
    Operation *def = keep.getDefiningOp();
    if (contrary ? isa_and_nonnull<arith::OrIOp>(def) : isa_and_nonnull<arith::AndIOp>(def)) {
      bool left = condition(def->getOperand(0), contrary), right = condition(def->getOperand(1), contrary);
      return left && right;
    }
    if (!mask.dependsOn(keep)) {  // all or nothing
      Value here = mask.outside(keep);
      if (!here) return false;
      allIf(contrary ? Value(arith::XOrIOp::create(b, loc, here, arith::ConstantOp::create(b, loc, b.getBoolAttr(true)))) : here);
      return true;
    }
    if (!def) return false;
    if (isa<arith::AndIOp, arith::OrIOp>(def)) return either(def, contrary);
    if (isa<arith::XOrIOp>(def) && matchPattern(def->getOperand(1), m_One())) return condition(def->getOperand(0), !contrary);
    if (auto compare = dyn_cast<arith::CmpIOp>(def); compare && (compare.getLhs().getType().isInteger(32) || compare.getLhs().getType().isIndex()))
      return integers(compare, contrary);
    if (auto compare = dyn_cast<arith::CmpFOp>(def); compare && compare.getLhs().getType().isF32()) reals(compare, contrary);
    return false;
  }

  void allIf(Value here) { high = arith::SelectOp::create(b, loc, here, high, arith::ConstantIndexOp::create(b, loc, 0)); }

  // One of two: from the first position of both to the last.
  bool either(Operation *def, bool contrary) {
    Value wholeLow = low, wholeHigh = high;
    size_t known = held.size();
    bool stepped = std::exchange(steps, false);
    condition(def->getOperand(0), contrary);
    Value l = std::exchange(low, wholeLow), h = std::exchange(high, wholeHigh);
    condition(def->getOperand(1), contrary);
    held.truncate(known);
    steps = stepped;
    if ((l == wholeLow && h == wholeHigh) || (low == wholeLow && high == wholeHigh)) {  // one is true anywhere
      low = wholeLow, high = wholeHigh;
      return false;
    }
    Value none = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sge, l, h), noOther = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sge, low, high);
    auto join = [&](Value one, Value other, Value joined) {
      return arith::SelectOp::create(b, loc, none, other, Value(arith::SelectOp::create(b, loc, noOther, one, joined)));
    };
    if (l != low) low = join(l, low, arith::MinSIOp::create(b, loc, l, low));
    if (h != high) high = join(h, high, arith::MaxSIOp::create(b, loc, h, high));
    return false;
  }

  // ---- comparisons of integers, in 64 bits

  // These give whether what they say is all that the condition says.
  bool integers(arith::CmpIOp compare, bool contrary) {
    using P = arith::CmpIPredicate;
    Value l = compare.getLhs(), r = compare.getRhs();
    P p = contrary ? arith::invertPredicate(compare.getPredicate()) : compare.getPredicate();
    bool inLeft = mask.dependsOn(l), inRight = mask.dependsOn(r);
    if (inLeft && inRight) return difference(l, r, p);
    if (inRight) {
      std::swap(l, r);
      p = p == P::slt ? P::sgt : p == P::sle ? P::sge : p == P::sgt ? P::slt : p == P::sge ? P::sle : p;
    }
    Value bound = mask.outside(r);
    if (!bound) return false;
    if (p == P::eq)
      if (auto c = classOf(mask, compare)) return residue(*c, wide(bound));
    if (p == P::ult && !r.getDefiningOp<memref::DimOp>() && !matchPattern(r, m_Constant())) return false;  // within an axis: the size is not negative
    bound = wide(bound);
    switch (p) {
      case P::slt: return solve(l, AtMost, plus(bound, -1));
      case P::sle: return solve(l, AtMost, bound);
      case P::sgt: return solve(l, AtLeast, plus(bound, 1));
      case P::sge: return solve(l, AtLeast, bound);
      case P::eq: case P::ult: {
        bool most = solve(l, AtMost, p == P::eq ? bound : plus(bound, -1)), least = solve(l, AtLeast, p == P::eq ? bound : integer(0));
        return most && least;
      }
      default: return false;
    }
  }

  // v, which depends on the position, is at most (at least) `bound`: what follows for the position.
  bool solve(Value v, Side side, Value bound) {
    if (++looks > mostLooks) return false;
    if (mask.isPosition(v)) return apply(side, bound), true;
    if (ascends(v)) return mask.isAvailable(v) && (search(v, side, bound), true);
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

  // ---- elements of a sorted tensor

  // Whether a value is such an element, widened perhaps; or 0 for all positions where the other subscripts lie outside.
  bool ascends(Value v) {
    if (!mask.dependsOn(v)) return false;
    if (mask.isSorted(v)) return true;
    Operation *def = v.getDefiningOp();
    if (!def) return false;
    if (isa<arith::ExtSIOp, arith::ExtUIOp>(def)) return ascends(def->getOperand(0));
    if (auto select = dyn_cast<arith::SelectOp>(def)) {
      for (Value way : {select.getTrueValue(), select.getFalseValue()})
        if (mask.dependsOn(way) && !ascends(way)) return false;
      return !mask.dependsOn(select.getCondition());
    }
    auto load = dyn_cast<memref::LoadOp>(def);
    if (!load || !isSorted(load.getMemRef())) return false;
    for (Value subscript : load.getIndices().drop_back())
      if (mask.dependsOn(subscript)) return false;
    Value last = load.getIndices().back();
    if (auto select = last.getDefiningOp<arith::SelectOp>(); select && !mask.dependsOn(select.getCondition()) && !mask.dependsOn(select.getFalseValue()))
      last = select.getTrueValue();
    return mask.isPosition(last);
  }

  // Binary search: elements up to the last that is at most `bound`, or from the first that is at least `bound`. It goes over all
  // positions, so that what it finds depends on the bound alone: rows of one segment find it where the row before did.
  void search(Value v, Side side, Value bound) {
    Value none = arith::ConstantIndexOp::create(b, loc, 0), one = arith::ConstantIndexOp::create(b, loc, 1), two = arith::ConstantIndexOp::create(b, loc, 2);
    searched = true;
    Value place = mask.guess();
    SmallVector<Value> range{none, extent};
    Value first;
    if (place) {  // the first that was found, and the one before it, are tried first
      first = arith::SubIOp::create(b, loc, memref::LoadOp::create(b, loc, place, ValueRange{}), one);
      range.push_back(first);
    }
    SmallVector<Type> types(range.size(), b.getIndexType());
    auto loop = scf::WhileOp::create(
        b, loc, types, range,
        [&](OpBuilder &, Location, ValueRange r) {
          scf::ConditionOp::create(b, loc, arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, r[0], r[1]), r);
        },
        [&](OpBuilder &, Location, ValueRange r) {
          Value at = arith::DivUIOp::create(b, loc, arith::AddIOp::create(b, loc, r[0], r[1]), two);
          if (place) {
            Value here = arith::AndIOp::create(b, loc, arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sle, r[0], r[2]),
                                               arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, r[2], r[1]));
            at = arith::SelectOp::create(b, loc, here, r[2], at);
          }
          Value past = arith::CmpIOp::create(b, loc, side == AtMost ? arith::CmpIPredicate::sgt : arith::CmpIPredicate::sge, wide(mask.at(v, at)), bound);
          Value next = arith::AddIOp::create(b, loc, at, one);
          SmallVector<Value> left{arith::SelectOp::create(b, loc, past, r[0], next), arith::SelectOp::create(b, loc, past, at, r[1])};
          if (place) {
            Value tried = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, r[2], first);
            left.push_back(arith::SelectOp::create(b, loc, tried, arith::AddIOp::create(b, loc, first, one), arith::ConstantIndexOp::create(b, loc, -1)));
          }
          scf::YieldOp::create(b, loc, left);
        });
    Value found = loop.getResult(0);
    if (place) memref::StoreOp::create(b, loc, found, place, ValueRange{});
    if (side == AtMost) high = arith::MinSIOp::create(b, loc, high, found);
    else low = arith::MaxSIOp::create(b, loc, low, found);
  }

  // ---- both sides, or a remainder, depend on the position

  // coefficient * position + the terms; null if a term is not known yet.
  Value rest(const Linear &form) {
    Value sum = integer(0);
    for (auto [factor, term] : form.terms) {
      Value outside = mask.outside(term);
      if (!outside) return {};
      Value v = wide(outside);
      if (factor != 1 && factor != -1) v = arith::MulIOp::create(b, loc, v, integer(std::abs(factor)));
      sum = factor > 0 ? Value(arith::AddIOp::create(b, loc, sum, v)) : Value(arith::SubIOp::create(b, loc, sum, v));
    }
    return sum;
  }

  bool difference(Value l, Value r, arith::CmpIPredicate p) {
    using P = arith::CmpIPredicate;
    Linear form;
    if (!form.add(mask, l, 1) || !form.add(mask, r, -1) || form.coefficient == 0) return false;
    Value terms = rest(form);
    if (!terms) return false;
    // coefficient * x + terms (p) 0
    bool rising = form.coefficient > 0;
    int64_t by = std::abs(form.coefficient);
    Value at = rising ? Value(arith::SubIOp::create(b, loc, integer(0), terms)) : terms;
    Side less = rising ? AtMost : AtLeast;
    auto apply = [&](Side side, Value bound) {
      if (by > 1) bound = side == AtMost ? Value(arith::FloorDivSIOp::create(b, loc, bound, integer(by))) : Value(arith::CeilDivSIOp::create(b, loc, bound, integer(by)));
      this->apply(side, bound);
      return true;
    };
    int64_t inward = rising ? -1 : 1;
    switch (p) {
      case P::slt: return apply(less, plus(at, inward));
      case P::sle: return apply(less, at);
      case P::sgt: return apply(other(less), plus(at, -inward));
      case P::sge: return apply(other(less), at);
      case P::eq: return apply(AtMost, at) && apply(AtLeast, at);
      default: return false;
    }
  }

  // form % by == bound
  bool residue(const Class &c, Value bound) {
    bool moves = c.form.coefficient % c.by != 0;
    if (moves && (!steps || step > 1 || std::abs(c.form.coefficient) != 1)) return false;
    Value terms = rest(c.form);
    if (!terms) return false;
    Value least = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sge, bound, integer(0));
    Value most = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, bound, integer(c.by));
    allIf(arith::AndIOp::create(b, loc, least, most));
    Value wanted = arith::SubIOp::create(b, loc, bound, terms);
    if (moves) {
      step = c.by;
      phase = c.form.coefficient > 0 ? wanted : Value(arith::SubIOp::create(b, loc, integer(0), wanted));
    } else {
      allIf(arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, arith::RemSIOp::create(b, loc, wanted, integer(c.by)), integer(0)));
    }
    return true;
  }

  // ---- comparisons of reals, in f64, generous by more than f32 arithmetic rounds

  void reals(arith::CmpFOp compare, bool contrary) {
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
    if (contrary) side = other(side);  // of a NaN, which both fail, nothing follows
    if (Value bound = mask.outside(r)) solveReal(l, side, inDouble(bound));
  }

  void solveReal(Value v, Side side, Value bound) {
    if (++looks > mostLooks) return;
    Operation *def = v.getDefiningOp();
    if (!def) return;
    if (auto convert = dyn_cast<arith::SIToFPOp>(def)) {
      // Whole numbers beyond 2^24 are rounded. What is beyond 2^60, and NaN, is held to what bounds nothing.
      Value slack = arith::AddFOp::create(b, loc, real(1e-6), arith::MulFOp::create(b, loc, math::AbsFOp::create(b, loc, bound), real(1e-6)));
      Value wider = side == AtMost ? Value(arith::AddFOp::create(b, loc, bound, slack)) : Value(arith::SubFOp::create(b, loc, bound, slack));
      Value least = real(-1152921504606846976.0), most = real(1152921504606846976.0), held = wider;
      auto hold = [&](arith::CmpFPredicate p, Value limit) { held = arith::SelectOp::create(b, loc, arith::CmpFOp::create(b, loc, p, held, limit), held, limit); };
      if (side == AtMost) hold(arith::CmpFPredicate::OLT, most), hold(arith::CmpFPredicate::OGT, least);
      else hold(arith::CmpFPredicate::OGT, least), hold(arith::CmpFPredicate::OLT, most);
      solve(convert.getIn(), side, arith::FPToSIOp::create(b, loc, b.getI64Type(), side == AtMost ? Value(math::FloorOp::create(b, loc, held)) : Value(math::CeilOp::create(b, loc, held))));
      return;
    }
    if (auto size = dyn_cast<math::AbsFOp>(def)) {
      if (side == AtMost) within(size.getOperand(), bound);
      return;
    }
    if (auto negative = dyn_cast<arith::NegFOp>(def)) return solveReal(negative.getOperand(), other(side), arith::NegFOp::create(b, loc, bound));
    if (auto choice = dyn_cast<arith::SelectOp>(def)) {  // the larger or the smaller one
      auto compare = choice.getCondition().getDefiningOp<arith::CmpFOp>();
      if (!compare || compare.getLhs() != choice.getTrueValue() || compare.getRhs() != choice.getFalseValue()) return;
      if (compare.getPredicate() != (side == AtMost ? arith::CmpFPredicate::OGT : arith::CmpFPredicate::OLT)) return;
      for (Value one : {compare.getLhs(), compare.getRhs()})
        if (mask.dependsOn(one)) solveReal(one, side, bound);
      return;
    }
    APFloat two(0.0f);
    if ((isa<arith::MulFOp>(def) && def->getOperand(0) == def->getOperand(1)) ||
        (isa<math::PowFOp>(def) && matchPattern(def->getOperand(1), m_ConstantFloat(&two)) && two.convertToDouble() == 2.0)) {
      if (side == AtMost) within(def->getOperand(0), math::SqrtOp::create(b, loc, loosened(arith::MaximumFOp::create(b, loc, bound, real(0)), AtMost)));
      return;
    }
    if (!isa<arith::AddFOp, arith::SubFOp, arith::MulFOp, arith::DivFOp>(def)) return;
    Value depends = def->getOperand(0), free = def->getOperand(1);
    bool second = !mask.dependsOn(depends);
    if (second) std::swap(depends, free);
    if (mask.dependsOn(free)) return;
    free = mask.outside(free);
    if (!free) return;
    free = inDouble(free);
    if (isa<arith::MulFOp, arith::DivFOp>(def)) {
      if (second && isa<arith::DivFOp>(def)) return;
      // A negative factor turns the side round; of one next to 0 nothing follows.
      Value scaled = isa<arith::MulFOp>(def) ? Value(arith::DivFOp::create(b, loc, bound, free)) : Value(arith::MulFOp::create(b, loc, bound, free));
      Value positive = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OGT, free, real(1e-30)), negative = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OLT, free, real(-1e-30));
      for (Side way : {side, other(side)}) {
        constexpr double infinity = std::numeric_limits<double>::infinity();
        Value limit = arith::SelectOp::create(b, loc, way == side ? positive : negative, loosened(scaled, way), real(way == AtMost ? infinity : -infinity));
        solveReal(depends, way, limit);
      }
      return;
    }
    // What the sum may have been rounded by.
    Value sizes = arith::AddFOp::create(b, loc, math::AbsFOp::create(b, loc, bound), math::AbsFOp::create(b, loc, free));
    Value slack = arith::MulFOp::create(b, loc, sizes, real(1e-6));
    if (isa<arith::AddFOp>(def)) bound = arith::SubFOp::create(b, loc, bound, free);
    else if (!second) bound = arith::AddFOp::create(b, loc, bound, free);
    else bound = arith::SubFOp::create(b, loc, free, bound), side = other(side);
    bound = side == AtMost ? Value(arith::AddFOp::create(b, loc, bound, slack)) : Value(arith::SubFOp::create(b, loc, bound, slack));
    solveReal(depends, side, bound);
  }

  void within(Value v, Value size) {
    solveReal(v, AtMost, size);
    solveReal(v, AtLeast, arith::NegFOp::create(b, loc, size));
  }

  // What a product or a root may have been rounded by.
  Value loosened(Value bound, Side side) {
    Value slack = arith::AddFOp::create(b, loc, real(1e-30), arith::MulFOp::create(b, loc, math::AbsFOp::create(b, loc, bound), real(1e-6)));
    return side == AtMost ? Value(arith::AddFOp::create(b, loc, bound, slack)) : Value(arith::SubFOp::create(b, loc, bound, slack));
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
  Value extent, zero, low, high, phase;  // phase: of a class, a position of it
  SmallVector<Value> held;
  unsigned looks = 0;
  bool telling = true;    // not within a condition
  bool searched = false;  // by the condition that is looked at
};

}  // namespace

bool isSorted(Value buffer) {
  while (Operation *def = buffer.getDefiningOp()) {
    if (auto view = dyn_cast<memref::SubViewOp>(def)) {
      // What was the last axis must still be there; a step along it leaves order as it is.
      if (view.getDroppedDims().test(view.getSourceType().getRank() - 1)) return false;
      if (int64_t step = view.getStaticStrides().back(); step < 0) return false;
      buffer = view.getSource();
    } else if (auto cast = dyn_cast<memref::CastOp>(def)) {
      buffer = cast.getSource();
    } else {
      return false;
    }
  }
  auto argument = cast<BlockArgument>(buffer);
  auto function = dyn_cast<func::FuncOp>(argument.getOwner()->getParentOp());
  return function && argument.getOwner()->isEntryBlock() && function.getArgAttr(argument.getArgNumber(), "attn.sorted");
}

bool isSortedAlong(Value operand, AffineMap map, unsigned dim) {
  return isa<MemRefType>(operand.getType()) && map.getNumResults() && map.getResults().back() == getAffineDimExpr(dim, map.getContext()) &&
         llvm::none_of(map.getResults().drop_back(), [&](AffineExpr e) { return e.isFunctionOfDim(dim); }) && isSorted(operand);
}

Support supportOf(MaskView &mask, OpBuilder &b, Location loc, Value keep, Value extent, bool steps) {
  Bounds bounds(mask, b, loc, extent);
  bounds.steps = steps;
  return bounds.run(keep);
}

int64_t stepOf(MaskView &mask, Value keep) {
  SmallVector<Value> conditions{keep};
  llvm::SmallPtrSet<Value, 8> seen;
  while (!conditions.empty()) {
    Value condition = conditions.pop_back_val();
    if (!seen.insert(condition).second) continue;
    if (auto both = condition.getDefiningOp<arith::AndIOp>()) {
      conditions.append({both.getRhs(), both.getLhs()});
      continue;
    }
    auto compare = condition.getDefiningOp<arith::CmpIOp>();
    auto c = compare ? classOf(mask, compare) : std::nullopt;
    if (c && std::abs(c->form.coefficient) == 1) return c->by;
  }
  return 1;
}

}  // namespace fovea
