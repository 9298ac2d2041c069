// attn-loops: linalg on buffers becomes scf loops. What attn.support says about a reduction becomes the bounds of its loops
// (rule M5); what cannot be bounded is tested per point. The outer parallel loops are flattened into blocks of enough work.
#include "dialect/Attn.h"
#include "lowering/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace fovea {
namespace {

constexpr int64_t pointsPerBlock = 16384;  // a block of a parallel loop has at least about so many points: some 10 us of work

// The loops of one linalg op.
class LoopNest {
 public:
  LoopNest(linalg::LinalgOp op) : op(op), b(op), loc(op.getLoc()), body(op.getBlock()) {}

  void run() {
    // An extent that any operand's type knows is a constant: loops of known length vectorise without a tail.
    for (auto [range, known] : llvm::zip(op.createLoopRanges(b, loc), op.getStaticLoopRanges()))
      extents.push_back(ShapedType::isDynamic(known) ? getValueOrCreateConstantIndexOp(b, loc, range.size) : constant(known));
    positions.resize(extents.size());
    for (auto [d, kind] : llvm::enumerate(op.getIteratorTypesArray()))
      (kind == utils::IteratorType::parallel ? parallel : reduced).push_back(d);
    inOrder = sumsInOrder();
    // A reduction whose values lie along the last parallel dimension runs that dimension innermost, and accumulates in memory.
    bool rowwise = !reduced.empty() && !parallel.empty() && op.getNumDpsInits() == 1 && liesAlong(parallel.back());
    unsigned inner = rowwise ? 1 : 0;
    if (parallel.size() > inner) parallelLoops(ArrayRef(parallel).drop_back(inner), rowwise);
    else nestBody(rowwise);
    op->erase();
  }

 private:
  Value constant(int64_t v) { return arith::ConstantIndexOp::create(b, loc, v); }

  // Whether every input that moves along `dim` lies along it in memory, and there is one. Inputs that do not move are constants of that loop.
  bool liesAlong(unsigned dim) {
    bool along = false;
    for (OpOperand *input : op.getDpsInputOperands()) {
      AffineMap map = op.getMatchingIndexingMap(input);
      if (!map.isFunctionOfDim(dim)) continue;
      if (map.getResults().back() != getAffineDimExpr(dim, op.getContext())) return false;
      along = true;
    }
    return along;
  }

  // One loop over blocks of the flattened dimensions; within a block, a loop over its points.
  void parallelLoops(ArrayRef<unsigned> dims, bool rowwise) {
    // The last parallel dimension stays a plain inner loop when there is no reduction inside it, so that it can be vectorised.
    bool innerLoop = reduced.empty();
    ArrayRef<unsigned> outer = innerLoop ? dims.drop_back() : dims;
    if (outer.empty()) return plainLoop(dims, rowwise);
    Value total = constant(1), inner = constant(1);
    for (unsigned d : outer) total = arith::MulIOp::create(b, loc, total, extents[d]);
    for (unsigned d = 0; d < extents.size(); d++)
      if (!llvm::is_contained(outer, d)) inner = arith::MulIOp::create(b, loc, inner, extents[d]);
    Value one = constant(1);
    Value perBlock = arith::MaxSIOp::create(b, loc, one, arith::DivSIOp::create(b, loc, constant(pointsPerBlock), arith::MaxSIOp::create(b, loc, inner, one)));
    Value blocks = arith::CeilDivSIOp::create(b, loc, total, perBlock);
    auto loop = scf::ParallelOp::create(b, loc, ValueRange{constant(0)}, ValueRange{blocks}, ValueRange{one});
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Value first = arith::MulIOp::create(b, loc, loop.getInductionVars()[0], perBlock);
    Value last = arith::MinSIOp::create(b, loc, arith::AddIOp::create(b, loc, first, perBlock), total);
    auto points = scf::ForOp::create(b, loc, first, last, one);
    b.setInsertionPointToStart(points.getBody());
    Value rest = points.getInductionVar();
    for (unsigned k = outer.size(); k-- > 1;) {
      positions[outer[k]] = arith::RemUIOp::create(b, loc, rest, extents[outer[k]]);
      rest = arith::DivUIOp::create(b, loc, rest, extents[outer[k]]);
    }
    positions[outer[0]] = rest;
    if (innerLoop) plainLoop(dims.back(), rowwise);
    else nestBody(rowwise);
  }

  void plainLoop(ArrayRef<unsigned> dims, bool rowwise) {
    if (dims.empty()) return nestBody(rowwise);
    auto loop = scf::ForOp::create(b, loc, constant(0), extents[dims[0]], constant(1));
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    positions[dims[0]] = loop.getInductionVar();
    plainLoop(dims.drop_front(), rowwise);
  }

  void nestBody(bool rowwise) {
    if (reduced.empty()) {
      storeAll(clone(loadOutputs()));
    } else if (rowwise) {
      boundedLoops(0, {}, [&](ValueRange) -> SmallVector<Value> {
        auto loop = scf::ForOp::create(b, loc, constant(0), extents[parallel.back()], constant(1));
        OpBuilder::InsertionGuard guard(b);
        b.setInsertionPointToStart(loop.getBody());
        positions[parallel.back()] = loop.getInductionVar();
        storeAll(clone(loadOutputs()));
        positions[parallel.back()] = {};
        return {};
      });
    } else {
      storeAll(boundedLoops(0, loadOutputs(), [&](ValueRange accumulators) { return clone(accumulators); }));
    }
  }

  SmallVector<Value> boundedLoops(unsigned k, ValueRange accumulators, function_ref<SmallVector<Value>(ValueRange)> innermost) {
    if (k == reduced.size()) return innermost(accumulators);
    auto [low, high] = bounds(reduced[k]);
    auto loop = scf::ForOp::create(b, loc, low, high, constant(1), accumulators);
    OpBuilder::InsertionGuard guard(b);
    Block *block = loop.getBody();
    if (!block->empty()) block->back().erase();
    b.setInsertionPointToEnd(block);
    positions[reduced[k]] = loop.getInductionVar();
    SmallVector<Value> results = boundedLoops(k + 1, loop.getRegionIterArgs(), innermost);
    scf::YieldOp::create(b, loc, results);
    positions[reduced[k]] = {};
    return SmallVector<Value>(loop.getResults());
  }

  // ---- support

  std::pair<Value, Value> bounds(unsigned dim) {
    Value low = constant(0), high = extents[dim];
    Value support;
    for (Operation &inner : *body)
      if (auto s = dyn_cast<attn::SupportOp>(inner)) support = s.getKeep();
    if (!support) return {low, high};
    SmallVector<Value> conditions{support};
    while (!conditions.empty()) {
      Value condition = conditions.pop_back_val();
      if (auto both = condition.getDefiningOp<arith::AndIOp>()) {
        conditions.append({both.getLhs(), both.getRhs()});
        continue;
      }
      auto compare = condition.getDefiningOp<arith::CmpIOp>();
      if (!compare || !compare.getLhs().getType().isInteger(32)) continue;
      bound(compare, dim, low, high);
    }
    return {low, arith::MaxSIOp::create(b, loc, low, high)};
  }

  // An I32 value as coefficient * position(dim) + sum of signed terms that do not depend on the position.
  struct Linear {
    int64_t coefficient = 0;
    SmallVector<std::pair<int64_t, Value>> terms;
  };

  bool dependsOn(Value v, unsigned dim) {
    if (auto argument = dyn_cast<BlockArgument>(v)) {
      if (argument.getOwner() != body) return false;
      return op.getMatchingIndexingMap(&op->getOpOperand(argument.getArgNumber())).isFunctionOfDim(dim) || argument.getArgNumber() >= op.getNumDpsInputs();
    }
    Operation *def = v.getDefiningOp();
    if (def->getBlock() != body) return false;
    if (auto index = dyn_cast<linalg::IndexOp>(def)) return index.getDim() == dim;
    return llvm::any_of(def->getOperands(), [&](Value operand) { return dependsOn(operand, dim); });
  }

  bool linear(Value v, unsigned dim, int64_t sign, Linear &out) {
    if (!dependsOn(v, dim)) {
      out.terms.push_back({sign, v});
      return true;
    }
    if (auto cast = v.getDefiningOp<arith::IndexCastOp>()) {
      auto index = cast.getIn().getDefiningOp<linalg::IndexOp>();
      if (!index || index.getDim() != dim) return false;
      out.coefficient += sign;
      return true;
    }
    if (auto add = v.getDefiningOp<arith::AddIOp>()) return linear(add.getLhs(), dim, sign, out) && linear(add.getRhs(), dim, sign, out);
    if (auto sub = v.getDefiningOp<arith::SubIOp>()) return linear(sub.getLhs(), dim, sign, out) && linear(sub.getRhs(), dim, -sign, out);
    return false;
  }

  // left (predicate) right, as a bound on position(dim).
  void bound(arith::CmpIOp compare, unsigned dim, Value &low, Value &high) {
    using P = arith::CmpIPredicate;
    P p = compare.getPredicate();
    if (p != P::slt && p != P::sle && p != P::sgt && p != P::sge && p != P::eq) return;
    Linear form;  // left - right
    if (!linear(compare.getLhs(), dim, 1, form) || !linear(compare.getRhs(), dim, -1, form)) return;
    if (form.coefficient != 1 && form.coefficient != -1) return;
    // coefficient * x + rest (p) 0, in 64 bits.
    Value rest = arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(0));
    for (auto [sign, term] : form.terms) {
      Value outside = outsideOf(term);
      if (!outside) return;
      Value wide = arith::ExtSIOp::create(b, loc, b.getI64Type(), outside);
      rest = sign > 0 ? Value(arith::AddIOp::create(b, loc, rest, wide)) : Value(arith::SubIOp::create(b, loc, rest, wide));
    }
    rest = arith::IndexCastOp::create(b, loc, b.getIndexType(), rest);
    Value at = form.coefficient > 0 ? Value(arith::SubIOp::create(b, loc, constant(0), rest)) : rest;  // x (p') at
    if (form.coefficient < 0) p = p == P::slt ? P::sgt : p == P::sle ? P::sge : p == P::sgt ? P::slt : p == P::sge ? P::sle : p;
    auto raise = [&](Value v) { low = arith::MaxSIOp::create(b, loc, low, v); };
    auto lower = [&](Value v) { high = arith::MinSIOp::create(b, loc, high, v); };
    Value next = arith::AddIOp::create(b, loc, at, constant(1));
    switch (p) {
      case P::slt: lower(at); break;
      case P::sle: lower(next); break;
      case P::sgt: raise(next); break;
      case P::sge: raise(at); break;
      default: raise(at); lower(next); break;
    }
  }

  // A value of the body computed here, before the loops not yet entered; null if it depends on them.
  Value outsideOf(Value v) {
    if (auto argument = dyn_cast<BlockArgument>(v)) {
      if (argument.getOwner() != body) return v;
      if (argument.getArgNumber() >= op.getNumDpsInputs()) return {};
      OpOperand &operand = op->getOpOperand(argument.getArgNumber());
      AffineMap map = op.getMatchingIndexingMap(&operand);
      for (unsigned d = 0; d < positions.size(); d++)
        if (map.isFunctionOfDim(d) && !positions[d]) return {};
      return load(operand);
    }
    Operation *def = v.getDefiningOp();
    if (def->getBlock() != body) return v;
    if (auto index = dyn_cast<linalg::IndexOp>(def)) return positions[index.getDim()];
    if (def->getNumRegions()) return {};
    IRMapping mapping;
    for (Value operand : def->getOperands()) {
      Value outside = outsideOf(operand);
      if (!outside) return {};
      mapping.map(operand, outside);
    }
    return b.clone(*def, mapping)->getResult(cast<OpResult>(v).getResultNumber());
  }

  // ---- the body

  Value load(OpOperand &operand) {
    if (!isa<MemRefType>(operand.get().getType())) return operand.get();
    return memref::LoadOp::create(b, loc, operand.get(), subscripts(op.getMatchingIndexingMap(&operand)));
  }

  SmallVector<Value> subscripts(AffineMap map) {
    return llvm::map_to_vector(map.getResults(), [&](AffineExpr e) { return evaluate(e); });
  }

  Value evaluate(AffineExpr e) {
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

  SmallVector<Value> loadOutputs() {
    return llvm::map_to_vector(op.getDpsInitsMutable(), [&](OpOperand &init) -> Value {
      return !reduced.empty() || op.payloadUsesValueFromOperand(&init) ? load(init) : Value();
    });
  }

  void storeAll(ArrayRef<Value> values) {
    for (auto [init, value] : llvm::zip(op.getDpsInitsMutable(), values))
      if (isa<MemRefType>(init.get().getType()))
        memref::StoreOp::create(b, loc, value, init.get(), subscripts(op.getMatchingIndexingMap(&init)));
  }

  // The body at the current positions; gives what it yields.
  SmallVector<Value> clone(ValueRange accumulators) {
    IRMapping mapping;
    for (OpOperand *input : op.getDpsInputOperands()) {
      BlockArgument argument = body->getArgument(input->getOperandNumber());
      if (!argument.use_empty()) mapping.map(argument, load(*input));
    }
    for (auto [k, accumulator] : llvm::enumerate(accumulators))
      if (accumulator) mapping.map(body->getArgument(op.getNumDpsInputs() + k), accumulator);
    for (Operation &inner : body->without_terminator()) {
      if (auto index = dyn_cast<linalg::IndexOp>(inner)) mapping.map(index.getResult(), positions[index.getDim()]);
      else if (auto support = dyn_cast<attn::SupportOp>(inner)) mapping.map(support.getResult(), mapping.lookupOrDefault(support.getKeep()));
      else relax(b.clone(inner, mapping), inner);
    }
    return llvm::map_to_vector(body->getTerminator()->getOperands(), [&](Value v) { return mapping.lookupOrDefault(v); });
  }

  // Of a model's stage, a line's result must not depend on its neighbours in the batch: a sum over an axis that is padded to the longest
  // line is taken in order, or the padding would decide how it is split over lanes.
  bool sumsInOrder() {
    auto function = op->getParentOfType<func::FuncOp>();
    exactRows = function && function->hasAttr("attn.exact_rows");
    if (!exactRows) return false;
    SmallVector<int64_t> ranges = op.getStaticLoopRanges();
    return llvm::any_of(reduced, [&](unsigned d) { return ShapedType::isDynamic(ranges[d]); });
  }

  // A sum may be taken in any order and products may be fused into it (rule F4); only so can a reduction be vectorised.
  void relax(Operation *copy, Operation &original) {
    auto add = dyn_cast<arith::AddFOp>(copy);
    bool accumulates = add && llvm::any_of(original.getOperands(), [&](Value v) {
      auto argument = dyn_cast<BlockArgument>(v);
      return argument && argument.getOwner() == body && argument.getArgNumber() >= op.getNumDpsInputs();
    });
    // In a stage the same element must round the same in a vector and in a loop's tail, whatever the batch: nothing is left to choice there.
    if (exactRows && (!accumulates || inOrder)) return;
    auto flags = accumulates ? arith::FastMathFlags::reassoc | arith::FastMathFlags::contract : arith::FastMathFlags::contract;
    if (isa<arith::AddFOp, arith::MulFOp, arith::SubFOp>(copy)) copy->setAttr("fastmath", arith::FastMathFlagsAttr::get(b.getContext(), flags));
  }

  linalg::LinalgOp op;
  OpBuilder b;
  Location loc;
  Block *body;
  SmallVector<Value> extents, positions;
  SmallVector<unsigned> parallel, reduced;
  bool exactRows = false, inOrder = false;
};

struct LoopsPass : PassWrapper<LoopsPass, OperationPass<>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(LoopsPass)
  StringRef getArgument() const final { return "attn-loops"; }
  StringRef getDescription() const final { return "Lower linalg on buffers to scf loops bounded by their support"; }
  void getDependentDialects(DialectRegistry &registry) const final { registry.insert<scf::SCFDialect, memref::MemRefDialect, arith::ArithDialect>(); }
  void runOnOperation() final {
    SmallVector<linalg::LinalgOp> ops;
    getOperation()->walk([&](linalg::LinalgOp op) { ops.push_back(op); });
    for (linalg::LinalgOp op : ops) LoopNest(op).run();
  }
};

}  // namespace

std::unique_ptr<Pass> createLoopsPass() { return std::make_unique<LoopsPass>(); }

}  // namespace fovea
