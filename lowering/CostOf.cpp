#include "lowering/CostOf.h"

#include "lowering/GroupHeads.h"
#include "lowering/LeafExpression.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace fovea {

bool boundsBothSides(attn::AttendOp op) {
  Value keep = cast<attn::YieldOp>(op.getBody().front().getTerminator()).getKeep();
  bool both = false;
  SmallVector<Value> work{keep};
  while (!work.empty()) {
    Operation *def = work.pop_back_val().getDefiningOp();
    if (!def || def->getBlock() != &op.getBody().front()) continue;
    both |= isa<arith::AndIOp, arith::MaxSIOp, math::AbsFOp>(def) || (isa<arith::CmpIOp>(def) && cast<arith::CmpIOp>(def).getPredicate() == arith::CmpIPredicate::eq);
    if (isa<arith::AndIOp, arith::CmpIOp, arith::CmpFOp>(def)) work.append(def->operand_begin(), def->operand_end());
  }
  return both;
}

namespace {

// Whether the contracted dimension is the keys' innermost axis.
bool keysLieInRows(attn::AttendOp op) {
  return op.getMap(1).getResults().back() == getAffineDimExpr(op.getDimension("contracted"), op.getContext());
}

// Operations of a value of the body that a leaf computes at each point.
double workOf(attn::AttendOp op, Value value) {
  LeafExpression names(op);
  double work = 0;
  llvm::SmallPtrSet<Operation *, 16> seen;
  SmallVector<Value> left{value};
  while (!left.empty()) {
    Value v = left.pop_back_val();
    Operation *def = v.getDefiningOp();
    if (!def || def->getBlock() != &op.getBody().front() || !names.varies(v) || !seen.insert(def).second) continue;
    left.append(def->operand_begin(), def->operand_end());
    if (isa<attn::IndexOp, arith::IndexCastOp>(def)) continue;
    work += isa<arith::DivFOp, arith::DivSIOp, arith::RemSIOp, tensor::ExtractOp, memref::LoadOp>(def) || isa<math::MathDialect>(def->getDialect()) ? cost::transcendental : 1;
  }
  return work;
}

}  // namespace

cost::Asked askedOf(attn::AttendOp op, const leaf::TargetInfo &target) {
  auto type = [](Value v) {
    Type t = getElementTypeOrSelf(v.getType());
    return t.isF16() ? leaf::Type::F16 : t.isBF16() ? leaf::Type::BF16 : leaf::Type::F32;
  };
  auto extent = [&](unsigned operand, int64_t dimension) {
    int axis = axisAlong(op.getMap(operand), dimension);
    int64_t size = axis < 0 ? ShapedType::kDynamic : cast<ShapedType>(op->getOperand(operand).getType()).getDimSize(axis);
    return ShapedType::isDynamic(size) ? -1 : size;
  };
  auto yield = cast<attn::YieldOp>(op.getBody().front().getTerminator());
  cost::Asked asked;
  asked.features = extent(0, op.getDimension("contracted")), asked.columns = extent(2, op.getDimension("value"));
  if (asked.features < 0) asked.features = extent(1, op.getDimension("contracted"));
  asked.heads = sharedHeads(op);
  asked.query = type(op.getQuery()), asked.key = type(op.getKey()), asked.value = type(op.getValue());
  Attribute constant;
  asked.masked = !matchPattern(yield.getKeep(), m_Constant(&constant)), asked.bothSides = boundsBothSides(op);
  asked.scoreWork = workOf(op, yield.getValue()), asked.maskWork = asked.masked ? workOf(op, yield.getKeep()) : 0;
  asked.pointwise = op.getPointwise(), asked.contiguous = keysLieInRows(op), asked.oneRow = op.getDimension("row") < 0, asked.weights = bool(op.getWeights());
  asked.lanes = queriesMayBeLanes(op, target);
  return asked;
}

}  // namespace fovea
