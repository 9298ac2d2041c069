#include "lowering/GroupHeads.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;

namespace fovea {
namespace {

struct Group {
  unsigned head;
  int64_t size;
};

// `e` as `d floordiv n`.
std::optional<Group> quotient(AffineExpr e) {
  auto division = dyn_cast<AffineBinaryOpExpr>(e);
  if (!division || division.getKind() != AffineExprKind::FloorDiv) return {};
  auto d = dyn_cast<AffineDimExpr>(division.getLHS());
  auto n = dyn_cast<AffineConstantExpr>(division.getRHS());
  if (!d || !n || n.getValue() < 2) return {};
  return Group{d.getPosition(), n.getValue()};
}

std::optional<Group> groupOf(attn::AttendOp op) {
  std::optional<Group> group;
  for (AffineExpr e : op.getMap(1).getResults())
    if (auto found = quotient(e)) {
      if (group) return {};
      group = found;
    }
  if (!group || cast<StringAttr>(op.getRoles()[group->head]).getValue() != "batch") return {};
  // Every operand reads it as it is, or all heads of a group alike.
  AffineExpr head = getAffineDimExpr(group->head, op.getContext()), shared = head.floorDiv(group->size);
  for (unsigned k = 0; k < op->getNumOperands(); k++)
    for (AffineExpr e : op.getMap(k).getResults())
      if (e.isFunctionOfDim(group->head) && e != shared && (e != head || k == 1 || k == 2)) return {};
  return llvm::is_contained(op.getMap(0).getResults(), head) ? group : std::nullopt;
}

}  // namespace

int64_t sharedHeads(attn::AttendOp op) {
  auto group = groupOf(op);
  return group ? group->size : 1;
}

unsigned sharedHead(attn::AttendOp op) { return groupOf(op)->head; }

bool mayGroupQueries(attn::AttendOp op) {
  auto group = groupOf(op);
  int64_t row = op.getDimension("row");
  if (!group || row < 0 || op.getWeights() || !llvm::is_contained(op.getMap(0).getResults(), getAffineDimExpr(row, op.getContext()))) return false;
  AffineExpr head = getAffineDimExpr(group->head, op.getContext());
  for (unsigned k = 1; k < op.firstSink(); k++)
    if (op.getMap(k).isFunctionOfDim(row) || llvm::is_contained(op.getMap(k).getResults(), head)) return false;
  return true;
}

bool queriesMayBeLanes(attn::AttendOp op, const leaf::TargetInfo &target) {
  auto type = [](Value v) { return getElementTypeOrSelf(v.getType()); };
  bool fits = type(op.getKey()).isF32() || (target.dots && type(op.getKey()).isBF16() && type(op.getQuery()).isBF16());
  return fits && mayGroupQueries(op) && !op->getParentOfType<func::FuncOp>()->hasAttr("attn.exact_rows");
}

namespace {

attn::AttendOp grouped(attn::AttendOp op, OpBuilder &b, bool queriesToo) {
  Group group = *groupOf(op);
  unsigned rank = op.getRoles().size();
  int64_t oldRow = op.getDimension("row");
  AffineExpr head = b.getAffineDimExpr(group.head), row = b.getAffineDimExpr(rank), query = oldRow < 0 ? AffineExpr() : b.getAffineDimExpr(oldRow);
  AffineExpr member = queriesToo ? row % group.size : row;
  SmallVector<AffineMap> maps;
  for (unsigned k = 0; k < op->getNumOperands(); k++) {
    SmallVector<AffineExpr> results;
    for (AffineExpr e : op.getMap(k).getResults())
      results.push_back(e == head ? head * group.size + member : e == head.floorDiv(group.size) ? head : queriesToo && e == query ? row.floorDiv(group.size) : e);
    maps.push_back(AffineMap::get(rank + 1, 0, results, b.getContext()));
  }
  SmallVector<StringRef> roles;
  for (Attribute role : op.getRoles()) roles.push_back(cast<StringAttr>(role).getValue() == "row" ? "batch" : cast<StringAttr>(role).getValue());
  roles.push_back("row");
  auto axisOf = [&](AffineExpr e) { return int64_t(llvm::find(op.getMap(0).getResults(), e) - op.getMap(0).getResults().begin()); };

  auto result = cast<attn::AttendOp>(b.clone(*op));
  result.setIndexingMapsAttr(b.getAffineMapArrayAttr(maps));
  result.setRolesAttr(b.getStrArrayAttr(roles));
  SmallVector<int64_t> attribute{axisOf(head), group.size, oldRow};
  if (queriesToo) attribute.push_back(axisOf(query));
  result->setAttr("group", b.getDenseI64ArrayAttr(attribute));
  // Where the body asks for the head or the query: in i32, as the leaves compute.
  SmallVector<attn::IndexOp> indices;
  result.getBody().walk([&](attn::IndexOp index) {
    if (int64_t(index.getDimension()) == group.head || (queriesToo && int64_t(index.getDimension()) == oldRow)) indices.push_back(index);
  });
  for (attn::IndexOp index : indices) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointAfter(index);
    Location loc = index.getLoc();
    auto asI32 = [&](Value v) -> Value { return arith::IndexCastOp::create(b, loc, b.getI32Type(), v); };
    Value r = asI32(attn::IndexOp::create(b, loc, b.getIndexType(), int64_t(rank))), n = arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(group.size)), whole, g;
    Value quotient = queriesToo ? Value(arith::FloorDivSIOp::create(b, loc, r, n)) : Value();
    if (int64_t(index.getDimension()) == group.head) {
      if (queriesToo) r = arith::SubIOp::create(b, loc, r, arith::MulIOp::create(b, loc, quotient, n));
      g = asI32(index);
      whole = arith::AddIOp::create(b, loc, arith::MulIOp::create(b, loc, g, n), r);
    } else {
      whole = quotient;
    }
    Value position = arith::IndexCastOp::create(b, loc, b.getIndexType(), whole);
    for (Operation *user : llvm::make_early_inc_range(index->getUsers())) {
      auto cast = dyn_cast<arith::IndexCastOp>(user);
      if (cast && cast.getResult() == g) continue;
      if (!cast) {  // where something is read
        user->replaceUsesOfWith(index, position);
        continue;
      }
      cast.getResult().replaceAllUsesWith(whole);
      cast.erase();
    }
  }
  return result;
}

}  // namespace

attn::AttendOp groupHeads(attn::AttendOp op, OpBuilder &b) { return grouped(op, b, false); }
attn::AttendOp groupQueries(attn::AttendOp op, OpBuilder &b) { return grouped(op, b, true); }

}  // namespace fovea
