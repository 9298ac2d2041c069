#include "lowering/SplitKeys.h"

#include "lowering/GroupHeads.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace fovea {
namespace {

int64_t number(DictionaryAttr schedule, StringRef name) { return cast<IntegerAttr>(schedule.get(name)).getInt(); }

// The extent of a dimension that an operand has as an axis; nothing if none has.
Value extentOf(attn::AttendOp op, int64_t dimension, OpBuilder &b) {
  for (unsigned n : {0u, 1u, 2u, op.firstOutput()})
    for (auto [axis, e] : llvm::enumerate(op.getMap(n).getResults()))
      if (e == getAffineDimExpr(unsigned(dimension), op.getContext())) return b.createOrFold<memref::DimOp>(op.getLoc(), op->getOperand(n), b.createOrFold<arith::ConstantIndexOp>(op.getLoc(), int64_t(axis)));
  return {};
}

// The attend of the parts' states, before `whole`.
attn::AttendOp statesOf(attn::AttendOp whole, bool grouped, DictionaryAttr schedule, OpBuilder &b) {
  Location loc = whole.getLoc();
  auto op = grouped ? groupHeads(whole, b) : cast<attn::AttendOp>(b.clone(*whole));
  b.setInsertionPoint(op);
  const int64_t rank = int64_t(op.getRoles().size()), along = op.getDimension("value");
  auto constant = [&](int64_t n) { return b.createOrFold<arith::ConstantIndexOp>(loc, n); };
  // Axes: batches and rows, parts, columns with the sum and the maximum.
  SmallVector<AffineExpr> axes;
  SmallVector<Value> extents;
  SmallVector<StringRef> roles;
  for (auto [d, role] : llvm::enumerate(op.getRoles().getAsValueRange<StringAttr>())) {
    roles.push_back(role);
    if (role != "batch" && role != "row") continue;
    axes.push_back(b.getAffineDimExpr(unsigned(d)));
    Value extent = extentOf(op, int64_t(d), b);
    extents.push_back(extent ? extent : constant(sharedHeads(whole)));   // of the heads that share their keys no operand has an axis
  }
  Value keys = extentOf(op, op.getDimension("key"), b), columns = extentOf(op, along, b);
  Value parts = b.createOrFold<arith::CeilDivSIOp>(loc, keys, constant(number(schedule, "part")));
  parts = b.createOrFold<arith::MinSIOp>(loc, parts, constant(number(schedule, "parts")));
  axes.append({b.getAffineDimExpr(unsigned(rank)), b.getAffineDimExpr(unsigned(along))});
  extents.append({parts, b.createOrFold<arith::AddIOp>(loc, columns, constant(2))});
  SmallVector<int64_t> shape(extents.size(), ShapedType::kDynamic);
  Value state = memref::AllocOp::create(b, loc, MemRefType::get(shape, b.getF32Type()), extents);

  SmallVector<AffineMap> maps;
  for (unsigned k = 0; k < op->getNumOperands(); k++) maps.push_back(AffineMap::get(unsigned(rank + 1), 0, k == op.firstOutput() ? axes : SmallVector<AffineExpr>(op.getMap(k).getResults()), b.getContext()));
  roles.push_back("batch");
  op.setIndexingMapsAttr(b.getAffineMapArrayAttr(maps));
  op.setRolesAttr(b.getStrArrayAttr(roles));
  op.getInitsMutable().assign(state);
  op.setScheduleAttr(schedule);
  op->setAttr("part", b.getI64IntegerAttr(rank));
  return op;
}

}  // namespace

void chooseKeyParts(attn::AttendOp op, llvm::function_ref<void(attn::AttendOp)> plain, llvm::function_ref<void(KeyParts)> parts) {
  DictionaryAttr schedule = *op.getSchedule();
  for (StringRef entry : {"grouped", "split"}) {
    auto version = dyn_cast_or_null<DictionaryAttr>(schedule.get(entry));
    if (!version) continue;
    OpBuilder b(op);
    Location loc = op.getLoc();
    NamedAttrList rest(schedule);
    rest.erase(entry);
    auto compare = [&](arith::CmpIPredicate predicate, Value v, StringRef most) {
      return b.createOrFold<arith::CmpIOp>(loc, predicate, v, b.createOrFold<arith::ConstantIndexOp>(loc, number(version, most)));
    };
    Value chosen = compare(arith::CmpIPredicate::sgt, extentOf(op, op.getDimension("key"), b), "part");
    if (int64_t row = op.getDimension("row"); row >= 0) chosen = b.createOrFold<arith::AndIOp>(loc, chosen, compare(arith::CmpIPredicate::sle, extentOf(op, row, b), "rows"));
    auto cut = [&](attn::AttendOp whole) {
      OpBuilder inside(whole);
      parts({whole, statesOf(whole, entry == "grouped", version, inside)});
    };
    APInt known;
    if (matchPattern(chosen, m_ConstantInt(&known))) {
      if (!known.isZero()) return cut(op);
      op.setScheduleAttr(rest.getDictionary(op.getContext()));
      continue;
    }
    auto choose = scf::IfOp::create(b, loc, chosen, /*withElse=*/true);
    b.setInsertionPointToStart(choose.elseBlock());
    auto other = cast<attn::AttendOp>(b.clone(*op));
    other.setScheduleAttr(rest.getDictionary(op.getContext()));
    op->moveBefore(choose.thenBlock(), choose.thenBlock()->begin());
    cut(op);
    return chooseKeyParts(other, plain, parts);
  }
  plain(op);
}

}  // namespace fovea
