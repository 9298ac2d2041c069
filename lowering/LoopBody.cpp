#include "lowering/LoopBody.h"

#include "dialect/Attn.h"
#include "lowering/Slice.h"
#include "lowering/Support.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;

namespace fovea {

LoopBody::LoopBody(linalg::LinalgOp op, OpBuilder &b, bool exactRows, bool inOrder)
    : positions(op.getNumLoops()), op(op), b(b), loc(op.getLoc()), body(op.getBlock()), exactRows(exactRows), inOrder(inOrder) {}

Value LoopBody::constant(int64_t v) { return arith::ConstantIndexOp::create(b, loc, v); }

// ---- operands

SmallVector<Value> LoopBody::subscripts(AffineMap map) {
  return llvm::map_to_vector(map.getResults(), [&](AffineExpr e) { return evaluate(e); });
}

Value LoopBody::evaluate(AffineExpr e) {
  if (auto d = dyn_cast<AffineDimExpr>(e)) return positions[d.getPosition()];
  if (auto c = dyn_cast<AffineConstantExpr>(e)) return constant(c.getValue());
  auto binary = cast<AffineBinaryOpExpr>(e);
  Value l = evaluate(binary.getLHS()), r = evaluate(binary.getRHS());
  switch (binary.getKind()) {
    case AffineExprKind::Add: return arith::AddIOp::create(b, loc, l, r);
    case AffineExprKind::Mul: return arith::MulIOp::create(b, loc, l, r);
    case AffineExprKind::FloorDiv: return arith::FloorDivSIOp::create(b, loc, l, r);
    case AffineExprKind::Mod: return arith::RemSIOp::create(b, loc, l, r);
    default: return arith::CeilDivSIOp::create(b, loc, l, r);
  }
}

Value LoopBody::load(OpOperand &operand) {
  auto type = dyn_cast<MemRefType>(operand.get().getType());
  if (!type) return operand.get();
  if (Value known = loaded.lookup(&operand)) return known;
  SmallVector<Value> at = subscripts(op.getMatchingIndexingMap(&operand));
  if (!moves(operand)) return memref::LoadOp::create(b, loc, operand.get(), at);
  return load(operand.get(), at);
}

Value LoopBody::load(Value memref, ValueRange at, Value guard) {
  auto vector = VectorType::get(lanes, cast<MemRefType>(memref.getType()).getElementType());
  Value where = guarded(mask, guard);
  if (!where) return vector::LoadOp::create(b, loc, vector, memref, at);
  Value none = arith::ConstantOp::create(b, loc, b.getZeroAttr(vector));
  return vector::MaskedLoadOp::create(b, loc, vector, memref, at, where, none);
}

// The lanes of `where` for which the guard holds as well; null is all lanes.
Value LoopBody::guarded(Value where, Value guard) {
  if (!guard) return where;
  guard = spread(guard);
  return where ? Value(arith::AndIOp::create(b, loc, where, guard)) : guard;
}

// A read whose positions differ from lane to lane; where the conditions under which they are positions do not hold, nothing is read.
Value LoopBody::gather(memref::LoadOp read, IRMapping &mapping) {
  Value memref = mapping.lookupOrDefault(read.getMemRef()), from, where = mask;
  auto strides = memref::ExtractStridedMetadataOp::create(b, loc, memref).getStrides();
  SmallVector<Value> first;
  for (auto [k, index] : llvm::enumerate(read.getIndices())) {
    Value at = mapping.lookupOrDefault(index);
    bool differs = isa<VectorType>(at.getType());
    first.push_back(differs ? constant(0) : at);
    if (auto select = index.getDefiningOp<arith::SelectOp>(); select && matchPattern(select.getFalseValue(), m_Zero())) {
      where = guarded(where, mapping.lookupOrDefault(select.getCondition()));
    }
    if (!differs) continue;
    if (k + 1 < read.getIndices().size()) at = arith::MulIOp::create(b, loc, at, spread(strides[k]));
    from = from ? Value(arith::AddIOp::create(b, loc, from, at)) : at;
  }
  auto type = VectorType::get(lanes, read.getType());
  if (!where) where = spread(arith::ConstantOp::create(b, loc, b.getBoolAttr(true)));
  return vector::GatherOp::create(b, loc, type, memref, first, from, where, arith::ConstantOp::create(b, loc, b.getZeroAttr(type)));
}

void LoopBody::preload() {
  for (OpOperand *input : op.getDpsInputOperands()) {
    AffineMap map = op.getMatchingIndexingMap(input);
    bool here = isa<MemRefType>(input->get().getType()) && !body->getArgument(input->getOperandNumber()).use_empty();
    for (unsigned d = 0; d < positions.size(); d++) here &= positions[d] || !map.isFunctionOfDim(d);
    if (here) loaded[input] = memref::LoadOp::create(b, loc, input->get(), subscripts(map));
  }
}

SmallVector<Value> LoopBody::loadOutputs() {
  bool reduces = op.getNumReductionLoops() > 0;
  return llvm::map_to_vector(op.getDpsInitsMutable(), [&](OpOperand &init) -> Value {
    return reduces || op.payloadUsesValueFromOperand(&init) ? load(init) : Value();
  });
}

void LoopBody::store(ArrayRef<Value> values) {
  for (auto [init, value] : llvm::zip(op.getDpsInitsMutable(), values)) {
    if (!isa<MemRefType>(init.get().getType())) continue;
    SmallVector<Value> at = subscripts(op.getMatchingIndexingMap(&init));
    if (!moves(init)) memref::StoreOp::create(b, loc, value, init.get(), at);
    else if (mask) vector::MaskedStoreOp::create(b, loc, init.get(), at, mask, spread(value));
    else vector::StoreOp::create(b, loc, spread(value), init.get(), at);
  }
}

// ---- the body

// Of a read outside a tensor every lane is 0 already.
bool LoopBody::isZeroOutside(arith::SelectOp select) {
  auto read = select.getTrueValue().getDefiningOp<memref::LoadOp>();
  if (!read || !lanes || read.getIndices().empty() || guards.lookup(read.getIndices().back()) != select.getCondition()) return false;
  return matchPattern(select.getFalseValue(), m_Zero()) || matchPattern(select.getFalseValue(), m_PosZeroFloat());
}

Value LoopBody::spread(Value scalar) {
  if (isa<VectorType>(scalar.getType())) return scalar;
  return vector::BroadcastOp::create(b, loc, VectorType::get(lanes, scalar.getType()), scalar);
}

SmallVector<Value> LoopBody::compute(ValueRange accumulators) {
  Block *block = b.getInsertionBlock();
  auto last = [&] { return b.getInsertionPoint() == block->begin() ? nullptr : &*std::prev(b.getInsertionPoint()); };
  Operation *before = last();
  IRMapping mapping;
  for (OpOperand *input : op.getDpsInputOperands()) {
    BlockArgument argument = body->getArgument(input->getOperandNumber());
    if (!argument.use_empty()) mapping.map(argument, load(*input));
  }
  for (auto [k, accumulator] : llvm::enumerate(accumulators))
    if (accumulator) mapping.map(body->getArgument(op.getNumDpsInputs() + k), accumulator);
  auto isTrue = [&](Value v) { return matchPattern(mapping.lookupOrDefault(v), m_One()); };
  Value yes;
  for (Operation &inner : body->without_terminator()) {
    if (auto index = dyn_cast<linalg::IndexOp>(inner)) {
      mapping.map(index.getResult(), positions[index.getDim()]);
      continue;
    }
    // What the loops' bounds say need not be tested.
    if (inner.getNumResults() == 1 && holds(inner.getResult(0))) {
      if (!yes) yes = arith::ConstantOp::create(b, loc, b.getBoolAttr(true));
      mapping.map(inner.getResult(0), yes);
      continue;
    }
    if (isa<arith::AndIOp>(inner) && (isTrue(inner.getOperand(0)) || isTrue(inner.getOperand(1)))) {
      mapping.map(inner.getResult(0), mapping.lookupOrDefault(inner.getOperand(isTrue(inner.getOperand(0)) ? 1 : 0)));
      continue;
    }
    if (auto select = dyn_cast<arith::SelectOp>(inner); select && (isTrue(select.getCondition()) || isZeroOutside(select))) {
      mapping.map(select.getResult(), mapping.lookupOrDefault(select.getTrueValue()));
      continue;
    }
    if (auto support = dyn_cast<attn::SupportOp>(inner)) {
      mapping.map(support.getResult(), mapping.lookupOrDefault(support.getKeep()));
      continue;
    }
    // A position becomes a vector where it is used as a number.
    if (auto cast = dyn_cast<arith::IndexCastOp>(inner); cast && lanes && runs.contains(cast.getIn())) {
      auto type = VectorType::get(lanes, cast.getType());
      SmallVector<Attribute> steps;
      for (int64_t k = 0; k < lanes; k++) steps.push_back(b.getIntegerAttr(cast.getType(), k));
      Value first = spread(arith::IndexCastOp::create(b, loc, cast.getType(), mapping.lookupOrDefault(cast.getIn())));
      mapping.map(cast.getResult(), arith::AddIOp::create(b, loc, first, arith::ConstantOp::create(b, loc, DenseElementsAttr::get(type, steps))));
      continue;
    }
    if (auto read = dyn_cast<memref::LoadOp>(inner); read && lanes && !read.getIndices().empty() && runs.contains(read.getIndices().back())) {
      Value guard = guards.lookup(read.getIndices().back());
      // No lane is read where the guard is false, so the position need not be chosen.
      SmallVector<Value> at = llvm::map_to_vector(read.getIndices(), [&](Value v) {
        auto select = v.getDefiningOp<arith::SelectOp>();
        return mapping.lookupOrDefault(guard && select && select.getCondition() == guard ? select.getTrueValue() : v);
      });
      mapping.map(read.getResult(), load(mapping.lookupOrDefault(read.getMemRef()), at, guard && !isTrue(guard) ? mapping.lookupOrDefault(guard) : Value()));
      continue;
    }
    bool vector = lanes && llvm::any_of(inner.getOperands(), [&](Value v) { return isa<VectorType>(mapping.lookupOrDefault(v).getType()); });
    if (auto read = dyn_cast<memref::LoadOp>(inner); read && vector) {
      mapping.map(read.getResult(), gather(read, mapping));
      continue;
    }
    if (!vector) {
      relax(b.clone(inner, mapping), inner);
      continue;
    }
    bool select = isa<arith::SelectOp>(inner);
    IRMapping spreaded;
    for (auto [k, operand] : llvm::enumerate(inner.getOperands())) {
      Value v = mapping.lookupOrDefault(operand);
      spreaded.map(operand, select && k == 0 ? v : spread(v));
    }
    Operation *copy = b.clone(inner, spreaded);
    for (auto [old, result] : llvm::zip(inner.getResults(), copy->getResults())) {
      result.setType(VectorType::get(lanes, old.getType()));
      mapping.map(old, result);
    }
    relax(copy, inner);
  }
  SmallVector<Value> results = llvm::map_to_vector(body->getTerminator()->getOperands(), [&](Value v) { return mapping.lookupOrDefault(v); });
  // Of a reduction along vectors, lanes that do not exist keep what they had.
  for (auto [k, result] : llvm::enumerate(results)) {
    if (!lanes || k >= accumulators.size() || !accumulators[k] || moves(op.getDpsInitsMutable()[k])) continue;
    result = spread(result);
    if (mask) result = arith::SelectOp::create(b, loc, mask, result, accumulators[k]);
  }
  // What only conditions that hold have read goes with them.
  if (!held.empty())
    for (Operation *made = last(); made != before;) {
      Operation *next = made->getPrevNode();
      bool result = llvm::any_of(results, [&](Value v) { return v.getDefiningOp() == made; });
      if (!result && isOpTriviallyDead(made)) made->erase();
      made = next;
    }
  return results;
}

// A sum may be taken in any order and products may be fused into it (rule F4); only so can a reduction be vectorised. Elsewhere arithmetic
// is as written (rule E3): in exp(a * b - m) a fused product would leave its rounding error where 0 is due.
void LoopBody::relax(Operation *copy, Operation &original) {
  auto add = dyn_cast<arith::AddFOp>(copy);
  bool accumulates = add && llvm::any_of(original.getOperands(), [&](Value v) {
    auto argument = dyn_cast<BlockArgument>(v);
    return argument && argument.getOwner() == body && argument.getArgNumber() >= op.getNumDpsInputs();
  });
  // In a stage the same element must round the same in a vector and in a loop's tail, whatever the batch: nothing is left to choice there.
  if (exactRows) return;
  auto flags = accumulates ? arith::FastMathFlags::reassoc | arith::FastMathFlags::contract : arith::FastMathFlags::contract;
  if (accumulates || isa<arith::MulFOp>(copy)) copy->setAttr("fastmath", arith::FastMathFlagsAttr::get(b.getContext(), flags));
}

Value LoopBody::outside(Value v) {
  if (!isAvailable(v, {})) return {};
  return cloneBehind(b, v, body, [&](Value w) -> Value {
    if (auto argument = dyn_cast<BlockArgument>(w)) return argument.getOwner() == body ? load(op->getOpOperand(argument.getArgNumber())) : w;
    auto index = w.getDefiningOp<linalg::IndexOp>();
    return index && index->getBlock() == body ? positions[index.getDim()] : Value();
  });
}

bool LoopBody::isAvailable(Value v, std::optional<unsigned> dim) {
  auto entered = [&](unsigned d) { return d == dim || (positions[d] && !(lanes && d == along)); };
  return !anyBehind(v, body, [&](Value w) {
    if (auto argument = dyn_cast<BlockArgument>(w)) {
      if (argument.getOwner() != body) return false;
      if (argument.getArgNumber() >= op.getNumDpsInputs()) return true;
      AffineMap map = op.getMatchingIndexingMap(&op->getOpOperand(argument.getArgNumber()));
      return llvm::any_of(llvm::seq<unsigned>(0, positions.size()), [&](unsigned d) { return map.isFunctionOfDim(d) && !entered(d); });
    }
    Operation *def = w.getDefiningOp();
    if (def->getBlock() != body) return false;
    if (auto index = dyn_cast<linalg::IndexOp>(def)) return !entered(index.getDim());
    return def->getNumRegions() != 0;
  });
}

Value LoopBody::at(Value v, unsigned dim, Value position) {
  Value before = std::exchange(positions[dim], position);
  int64_t count = along == dim ? std::exchange(lanes, 0) : lanes;
  Value here = outside(v);
  positions[dim] = before;
  lanes = count;
  return here;
}

bool LoopBody::isSorted(Value v, unsigned dim) {
  auto argument = dyn_cast<BlockArgument>(v);
  if (!argument || argument.getOwner() != body) return false;
  OpOperand &operand = op->getOpOperand(argument.getArgNumber());
  return isSortedAlong(operand.get(), op.getMatchingIndexingMap(&operand), dim);
}

bool LoopBody::dependsOn(Value v, unsigned dim) {
  return anyBehind(v, body, [&](Value w) {
    if (auto argument = dyn_cast<BlockArgument>(w)) {
      if (argument.getOwner() != body) return false;
      return op.getMatchingIndexingMap(&op->getOpOperand(argument.getArgNumber())).isFunctionOfDim(dim) || argument.getArgNumber() >= op.getNumDpsInputs();
    }
    auto index = w.getDefiningOp<linalg::IndexOp>();
    return index && index->getBlock() == body && index.getDim() == dim;
  });
}

// ---- vectors

void LoopBody::vectors(unsigned dim, int64_t count, Value valid) {
  along = dim;
  lanes = count;
  mask = {};
  if (valid) mask = vector::CreateMaskOp::create(b, loc, VectorType::get(count, b.getI1Type()), valid);
}

bool LoopBody::vectorises(unsigned dim, bool gathers) {
  const bool reduced = op.getIteratorTypesArray()[dim] == utils::IteratorType::reduction;
  AffineExpr position = getAffineDimExpr(dim, op.getContext());
  auto isLane = [](Type type) { return type.isIntOrFloat() && type.getIntOrFloatBitWidth() >= 8 && type.getIntOrFloatBitWidth() <= 64; };
  bool any = false;
  for (OpOperand &operand : op->getOpOperands()) {
    AffineMap map = op.getMatchingIndexingMap(&operand);
    if (!map.isFunctionOfDim(dim)) {
      if (!reduced && operand.getOperandNumber() >= op.getNumDpsInputs()) return false;
      continue;
    }
    auto type = dyn_cast<MemRefType>(operand.get().getType());
    if (!type || !isLane(type.getElementType()) || !type.isLastDimUnitStride() || map.getResults().back() != position) return false;
    for (AffineExpr e : map.getResults().drop_back())
      if (e.isFunctionOfDim(dim)) return false;
    any = true;
  }
  if (!any) return false;
  // What becomes a vector in the body.
  llvm::SmallPtrSet<Value, 32> vectors;
  runs.clear();
  guards.clear();
  for (OpOperand &operand : op->getOpOperands()) {
    bool output = operand.getOperandNumber() >= op.getNumDpsInputs();
    if ((output && reduced) || op.getMatchingIndexingMap(&operand).isFunctionOfDim(dim)) vectors.insert(body->getArgument(operand.getOperandNumber()));
  }
  for (Operation &inner : body->without_terminator()) {
    if (auto index = dyn_cast<linalg::IndexOp>(inner)) {
      if (index.getDim() == dim) runs.insert(index.getResult());
      continue;
    }
    if (llvm::any_of(inner.getOperands(), [&](Value v) { return runs.contains(v); })) {
      // What reads outside a tensor is guarded: the position there is 0, and the value not used.
      if (auto select = dyn_cast<arith::SelectOp>(inner); select && runs.contains(select.getTrueValue()) && !guards.count(select.getTrueValue()) &&
          !vectors.contains(select.getCondition()) && matchPattern(select.getFalseValue(), m_Zero())) {
        runs.insert(select.getResult());
        guards[select.getResult()] = select.getCondition();
        continue;
      }
      bool guarded = llvm::any_of(inner.getOperands(), [&](Value v) { return guards.count(v); });
      if (guarded && !isa<memref::LoadOp>(inner)) return false;
      if (auto cast = dyn_cast<arith::IndexCastOp>(inner); cast && cast.getType().isInteger(32)) {
        vectors.insert(cast.getResult());
        continue;
      }
      if (auto add = dyn_cast<arith::AddIOp>(inner); add && runs.contains(add.getLhs()) != runs.contains(add.getRhs())) {
        runs.insert(add.getResult());
        continue;
      }
      // A read that moves along its last axis, and nowhere else.
      auto read = dyn_cast<memref::LoadOp>(inner);
      if (!read || !isLane(read.getType()) || !read.getMemRefType().isLastDimUnitStride()) return false;
      for (auto [k, at] : llvm::enumerate(read.getIndices()))
        if (vectors.contains(at) || runs.contains(at) != (k + 1 == read.getIndices().size())) return false;
      vectors.insert(read.getResult());
      continue;
    }
    if (llvm::none_of(inner.getOperands(), [&](Value v) { return vectors.contains(v); })) continue;
    if (auto read = dyn_cast<memref::LoadOp>(inner)) {
      if (!gathers || !isLane(read.getType()) || read.getType().getIntOrFloatBitWidth() < 32 || !read.getMemRefType().isLastDimUnitStride()) return false;
    } else if (!isa<attn::SupportOp>(inner)) {
      if (!OpTrait::hasElementwiseMappableTraits(&inner)) return false;
      for (Value v : inner.getOperands())
        if (!v.getType().isIntOrIndexOrFloat()) return false;
      for (Value v : inner.getResults())
        if (!v.getType().isIntOrIndexOrFloat()) return false;
    }
    for (Value v : inner.getResults()) vectors.insert(v);
  }
  if (reduced)
    for (unsigned k = 0; k < unsigned(op.getNumDpsInits()); k++) {
      Operation *how = combiner(k);
      if (!how || (inOrder && isa<arith::AddFOp, arith::MulFOp>(how))) return false;
    }
  return true;
}

// How accumulator k takes one more value: an operation that may be done in any order, of the accumulator and a value that does not
// depend on it, perhaps under a condition; or a choice of the larger or smaller one.
Operation *LoopBody::combiner(unsigned k) {
  BlockArgument accumulator = body->getArgument(op.getNumDpsInputs() + k);
  auto reads = [&](Value v) {
    return anyBehind(v, body, [&](Value w) {
      auto argument = dyn_cast<BlockArgument>(w);
      return argument && argument.getOwner() == body && argument.getArgNumber() >= op.getNumDpsInputs();
    });
  };
  auto takes = [&](Value x, Value y) { return (x == accumulator && !reads(y)) || (y == accumulator && !reads(x)); };
  Operation *last = body->getTerminator()->getOperand(k).getDefiningOp();
  if (!last || last->getBlock() != body) return nullptr;
  if (auto select = dyn_cast<arith::SelectOp>(last)) {
    if (select.getFalseValue() == accumulator && !reads(select.getCondition())) {  // under a condition
      last = select.getTrueValue().getDefiningOp();
      if (!last || last->getBlock() != body) return nullptr;
    }
  }
  if (isa<arith::AddFOp, arith::MulFOp, arith::AddIOp, arith::MulIOp, arith::AndIOp, arith::OrIOp, arith::MaxSIOp, arith::MinSIOp, arith::MaximumFOp,
          arith::MinimumFOp>(last))
    return takes(last->getOperand(0), last->getOperand(1)) ? last : nullptr;
  if (auto select = dyn_cast<arith::SelectOp>(last)) {
    auto compare = select.getCondition().getDefiningOp<arith::CmpFOp>();
    if (!compare || compare.getLhs() != select.getTrueValue() || compare.getRhs() != select.getFalseValue()) return nullptr;
    if (compare.getPredicate() != arith::CmpFPredicate::OGT && compare.getPredicate() != arith::CmpFPredicate::OLT) return nullptr;
    return takes(select.getTrueValue(), select.getFalseValue()) ? last : nullptr;
  }
  return nullptr;
}

SmallVector<Value> LoopBody::identity(ArrayRef<Value> first) {
  SmallVector<Value> start;
  for (auto [k, value] : llvm::enumerate(first)) {
    Operation *how = combiner(k);
    // Of what may be taken twice the first value will do.
    Value one = value;
    if (isa<arith::AddFOp, arith::AddIOp>(how)) one = arith::ConstantOp::create(b, loc, b.getZeroAttr(value.getType()));
    else if (isa<arith::MulFOp>(how)) one = arith::ConstantOp::create(b, loc, b.getFloatAttr(value.getType(), 1));
    else if (isa<arith::MulIOp>(how)) one = arith::ConstantOp::create(b, loc, b.getIntegerAttr(value.getType(), 1));
    start.push_back(spread(one));
  }
  return start;
}

SmallVector<Value> LoopBody::combine(ArrayRef<Value> x, ArrayRef<Value> y) {
  SmallVector<Value> both;
  for (unsigned k = 0; k < x.size(); k++) {
    Operation *how = combiner(k);
    if (auto select = dyn_cast<arith::SelectOp>(how)) {
      auto predicate = select.getCondition().getDefiningOp<arith::CmpFOp>().getPredicate();
      both.push_back(arith::SelectOp::create(b, loc, arith::CmpFOp::create(b, loc, predicate, x[k], y[k]), x[k], y[k]));
      continue;
    }
    OperationState state(loc, how->getName());
    state.addOperands({x[k], y[k]});
    state.addTypes(x[k].getType());
    both.push_back(b.create(state)->getResult(0));
  }
  return both;
}

SmallVector<Value> LoopBody::fold(ArrayRef<Value> accumulators, ArrayRef<Value> first) {
  SmallVector<Value> folded(accumulators);
  for (int64_t width = lanes; width > 1; width /= 2) {
    SmallVector<Value> low, high;
    for (Value v : folded) {
      low.push_back(vector::ExtractStridedSliceOp::create(b, loc, v, ArrayRef<int64_t>{0}, ArrayRef<int64_t>{width / 2}, ArrayRef<int64_t>{1}));
      high.push_back(vector::ExtractStridedSliceOp::create(b, loc, v, ArrayRef<int64_t>{width / 2}, ArrayRef<int64_t>{width / 2}, ArrayRef<int64_t>{1}));
    }
    folded = combine(low, high);
  }
  for (Value &v : folded) v = vector::ExtractOp::create(b, loc, v, ArrayRef<int64_t>{0});
  return combine(first, folded);
}

}  // namespace fovea
