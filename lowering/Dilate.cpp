// attn-dilate: an attend whose keys are every c-th one ((i - j) % c == 0) becomes a loop over the residue classes of its rows. What the
// rows of one class see is dense: a view of every c-th row and key, on which the rest of the mask is what is left (rule M5).
#include "dialect/Attn.h"
#include "lowering/Count.h"
#include "lowering/Passes.h"
#include "lowering/Slice.h"
#include "lowering/Support.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace fovea {
namespace {

// The mask as seen from one dimension, where nothing is computed yet.
struct View final : MaskView {
  attn::AttendOp op;
  Block *body;
  int64_t dim;
  View(attn::AttendOp op, int64_t dim) : op(op), body(&op.getBody().front()), dim(dim) {}
  bool isPosition(Value v) override {
    auto index = v.getDefiningOp<attn::IndexOp>();
    return index && int64_t(index.getDimension()) == dim;
  }
  bool dependsOn(Value v) override {
    return anyBehind(v, body, [&](Value w) {
      auto argument = dyn_cast<BlockArgument>(w);
      if (!argument) return isPosition(w);
      return argument.getOwner() == body && (argument.getArgNumber() == 0 || op.getMap(2 + argument.getArgNumber()).isFunctionOfDim(dim));
    });
  }
  Value outside(Value) override { return {}; }
  bool isSorted(Value) override { return false; }
  bool isAvailable(Value) override { return false; }
  Value at(Value, Value) override { return {}; }
};

class Dilation {
 public:
  explicit Dilation(attn::AttendOp op) : op(op), b(op), loc(op.getLoc()), body(&op.getBody().front()), row(op.getDimension("row")), key(op.getDimension("key")) {}

  bool run() {
    Value keep = cast<attn::YieldOp>(body->getTerminator()).getKeep();
    if (!find(keep) || !isStrided(key) || (rowFactor && !isStrided(row))) return false;
    if (auto counting = Counting::of(op)) counting->note(condition, 0, {.step = by});
    Value size = constant(by), terms = constant(0);
    for (auto [factor, term] : rest) {
      Value v = arith::ExtSIOp::create(b, loc, b.getI64Type(), outside(term));
      terms = arith::AddIOp::create(b, loc, terms, arith::MulIOp::create(b, loc, v, constant(factor)));
    }
    Value wanted = equals ? Value(arith::ExtSIOp::create(b, loc, b.getI64Type(), outside(equals))) : constant(0);
    Value possible = arith::AndIOp::create(b, loc, arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sge, wanted, constant(0)),
                                           arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, wanted, size));
    wanted = arith::SubIOp::create(b, loc, wanted, terms);
    Value none = arith::ConstantIndexOp::create(b, loc, 0), one = arith::ConstantIndexOp::create(b, loc, 1);
    Value classes = rowFactor ? arith::MinSIOp::create(b, loc, arith::ConstantIndexOp::create(b, loc, by), extent(row)) : one;
    auto loop = scf::ForOp::create(b, loc, none, classes, one);
    b.setInsertionPointToStart(loop.getBody());
    Value first = loop.getInductionVar(), first64 = arith::IndexCastOp::create(b, loc, b.getI64Type(), first);
    // keyFactor * j = wanted - rowFactor * i, modulo c; a factor of 1 or -1 is its own inverse.
    Value of = arith::SubIOp::create(b, loc, wanted, arith::MulIOp::create(b, loc, first64, constant(rowFactor)));
    of = arith::RemSIOp::create(b, loc, arith::MulIOp::create(b, loc, of, constant(keyFactor)), size);
    Value negative = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, of, constant(0));
    of = arith::SelectOp::create(b, loc, negative, Value(arith::AddIOp::create(b, loc, of, size)), of);
    Value keys = extent(key), firstKey = arith::MinSIOp::create(b, loc, arith::IndexCastOp::create(b, loc, b.getIndexType(), of), keys);
    auto count = [&](Value from, Value end) { return arith::CeilDivUIOp::create(b, loc, arith::SubIOp::create(b, loc, end, from), arith::ConstantIndexOp::create(b, loc, by)); };
    Value keyCount = arith::SelectOp::create(b, loc, possible, Value(count(firstKey, keys)), none);
    Value rowCount = rowFactor ? Value(count(first, extent(row))) : Value();

    SmallVector<Value> views(op->getOperands());
    for (auto [k, operand] : llvm::enumerate(op->getOperands())) {
      AffineMap map = op.getMap(k);
      if (!isa<MemRefType>(operand.getType()) || !(map.isFunctionOfDim(key) || (rowFactor && map.isFunctionOfDim(row)))) continue;
      SmallVector<OpFoldResult> offsets, sizes, strides;
      for (auto [axis, e] : llvm::enumerate(map.getResults())) {
        bool isKey = e == getAffineDimExpr(key, b.getContext()), isRow = rowFactor && e == getAffineDimExpr(row, b.getContext());
        offsets.push_back(isKey ? OpFoldResult(firstKey) : isRow ? OpFoldResult(first) : OpFoldResult(b.getIndexAttr(0)));
        sizes.push_back(isKey ? OpFoldResult(keyCount) : isRow ? OpFoldResult(rowCount) : memref::getMixedSize(b, loc, operand, axis));
        strides.push_back(b.getIndexAttr(isKey || isRow ? by : 1));
      }
      views[k] = memref::SubViewOp::create(b, loc, operand, offsets, sizes, strides);
    }
    auto part = cast<attn::AttendOp>(b.clone(*op));
    part->setOperands(views);
    // Positions of the views are positions of the whole; the condition holds at all of them.
    for (Operation &inner : llvm::make_early_inc_range(part.getBody().front())) {
      auto index = dyn_cast<attn::IndexOp>(inner);
      if (!index || !(int64_t(index.getDimension()) == key || (rowFactor && int64_t(index.getDimension()) == row))) continue;
      Value start = int64_t(index.getDimension()) == key ? firstKey : first;
      Value start32 = arith::IndexCastOp::create(b, loc, b.getI32Type(), start);
      start32.getDefiningOp()->moveBefore(part);
      for (Operation *user : llvm::make_early_inc_range(index->getUsers())) {
        OpBuilder::InsertionGuard guard(b);
        if (!isa<arith::IndexCastOp>(user)) {  // where something is read
          b.setInsertionPoint(user);
          Value scaled = arith::MulIOp::create(b, loc, index, arith::ConstantIndexOp::create(b, loc, by));
          user->replaceUsesOfWith(index, arith::AddIOp::create(b, loc, scaled, start));
          continue;
        }
        b.setInsertionPointAfter(user);
        Value scaled = arith::MulIOp::create(b, loc, user->getResult(0), arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(int32_t(by))));
        Value whole = arith::AddIOp::create(b, loc, scaled, start32);
        user->getResult(0).replaceAllUsesExcept(whole, scaled.getDefiningOp());
      }
    }
    auto yield = cast<attn::YieldOp>(part.getBody().front().getTerminator());
    b.setInsertionPoint(yield);
    yield.getKeepMutable().assign(without(yield.getKeep()));
    op.erase();
    return true;
  }

 private:
  Value constant(int64_t v) { return arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(v)); }

  // The condition among those of the mask; its place in it, from left to right, finds it again in the copy.
  bool find(Value keep) {
    if (auto both = keep.getDefiningOp<arith::AndIOp>()) {
      if (find(both.getLhs())) return true;
      return find(both.getRhs());
    }
    place++;
    condition = keep.getLoc();
    auto compare = keep.getDefiningOp<arith::CmpIOp>();
    return compare && understand(compare);
  }

  bool understand(arith::CmpIOp compare) {
    View overKey(op, key);
    auto c = classOf(overKey, compare);
    if (!c || std::abs(c->form.coefficient) != 1) return false;
    Value other = remainderOf(overKey, compare.getLhs()) ? compare.getRhs() : compare.getLhs();
    by = c->by, keyFactor = c->form.coefficient, rowFactor = 0, equals = {};
    rest.clear();
    Linear rows;
    View overRow(op, row);
    auto add = [&](Value v, int64_t factor) { return row < 0 ? (rest.push_back({factor, v}), true) : rows.add(overRow, v, factor); };
    for (auto [factor, term] : c->form.terms)
      if (!add(term, factor)) return false;
    if (row >= 0 && overRow.dependsOn(other)) {  // j % c == i % c
      auto same = remainderOf(overRow, other);
      if (!same || same->by != by) return false;
      rows.coefficient -= same->form.coefficient;
      for (auto [factor, term] : same->form.terms) rows.terms.push_back({-factor, term});
    } else {
      equals = other;
    }
    rowFactor = rows.coefficient;
    rest.append(rows.terms);
    if (std::abs(rowFactor) > 1 || (equals && !isUniform(equals))) return false;
    return llvm::all_of(rest, [&](const auto &term) { return isUniform(term.second); });
  }

  // What does not vary over the whole op.
  bool isUniform(Value v) {
    return !anyBehind(v, body, [&](Value w) {
      if (!w.getType().isInteger(32)) return true;
      if (auto argument = dyn_cast<BlockArgument>(w))
        return argument.getOwner() == body && (argument.getArgNumber() == 0 || isa<MemRefType>(op->getOperand(2 + argument.getArgNumber()).getType()));
      return w.getDefiningOp()->getBlock() == body && isa<attn::IndexOp>(w.getDefiningOp());
    });
  }

  Value outside(Value v) {
    return cloneBehind(b, v, body, [&](Value w) -> Value {
      auto argument = dyn_cast<BlockArgument>(w);
      return argument && argument.getOwner() == body ? op->getOperand(2 + argument.getArgNumber()) : Value();
    });
  }

  // Whether every operand reads the dimension as an axis of its own.
  bool isStrided(int64_t d) {
    for (unsigned k = 0; k < op->getNumOperands(); k++)
      for (AffineExpr e : op.getMap(k).getResults())
        if (e.isFunctionOfDim(d) && e != getAffineDimExpr(d, b.getContext())) return false;
    return true;
  }

  Value extent(int64_t d) {
    for (auto [k, operand] : llvm::enumerate(op->getOperands()))
      if (isa<MemRefType>(operand.getType()))
        for (auto [axis, e] : llvm::enumerate(op.getMap(k).getResults()))
          if (e == getAffineDimExpr(d, b.getContext())) return memref::DimOp::create(b, loc, operand, axis);
    llvm_unreachable("a dimension without an operand");
  }

  // The mask but for the condition found.
  Value without(Value keep) {
    if (auto both = keep.getDefiningOp<arith::AndIOp>()) {
      Value left = without(both.getLhs()), right = without(both.getRhs());
      if (matchPattern(left, m_One())) return right;
      return matchPattern(right, m_One()) ? left : Value(arith::AndIOp::create(b, loc, left, right));
    }
    if (--place) return keep;
    return arith::ConstantOp::create(b, loc, b.getBoolAttr(true));
  }

  attn::AttendOp op;
  OpBuilder b;
  Location loc, condition = loc;
  Block *body;
  int64_t row, key, by = 0, keyFactor = 0, rowFactor = 0, place = 0;
  SmallVector<std::pair<int64_t, Value>> rest;
  Value equals;  // null: 0
};

struct DilatePass : PassWrapper<DilatePass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(DilatePass)
  StringRef getArgument() const final { return "attn-dilate"; }
  StringRef getDescription() const final { return "Turn an attend over every c-th key into one for each class of rows"; }
  void getDependentDialects(DialectRegistry &registry) const final { registry.insert<scf::SCFDialect, memref::MemRefDialect, arith::ArithDialect>(); }
  void runOnOperation() final {
    SmallVector<attn::AttendOp> ops;
    getOperation().walk([&](attn::AttendOp op) { ops.push_back(op); });
    for (attn::AttendOp op : ops)
      if (!op.getWeights()) Dilation(op).run();  // one class would not write the weights of the others' positions, which are 0
  }
};

}  // namespace

std::unique_ptr<Pass> createDilatePass() { return std::make_unique<DilatePass>(); }

}  // namespace fovea
