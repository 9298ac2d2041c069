#include "lowering/GroupHeads.h"

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

attn::AttendOp groupHeads(attn::AttendOp op, OpBuilder &b) {
  Group group = *groupOf(op);
  unsigned rank = op.getRoles().size();
  AffineExpr head = b.getAffineDimExpr(group.head), row = b.getAffineDimExpr(rank);
  SmallVector<AffineMap> maps;
  for (unsigned k = 0; k < op->getNumOperands(); k++) {
    SmallVector<AffineExpr> results;
    for (AffineExpr e : op.getMap(k).getResults()) results.push_back(e == head ? head * group.size + row : e == head.floorDiv(group.size) ? head : e);
    maps.push_back(AffineMap::get(rank + 1, 0, results, b.getContext()));
  }
  SmallVector<StringRef> roles;
  for (Attribute role : op.getRoles()) roles.push_back(cast<StringAttr>(role).getValue() == "row" ? "batch" : cast<StringAttr>(role).getValue());
  roles.push_back("row");
  int64_t axis = llvm::find(op.getMap(0).getResults(), head) - op.getMap(0).getResults().begin();

  auto grouped = cast<attn::AttendOp>(b.clone(*op));
  grouped.setIndexingMapsAttr(b.getAffineMapArrayAttr(maps));
  grouped.setRolesAttr(b.getStrArrayAttr(roles));
  grouped->setAttr("group", b.getDenseI64ArrayAttr({axis, group.size, op.getDimension("row")}));
  // Where the body asks for the head: n * g + r, in i32 as the leaves compute.
  SmallVector<attn::IndexOp> indices;
  grouped.getBody().walk([&](attn::IndexOp index) {
    if (int64_t(index.getDimension()) == group.head) indices.push_back(index);
  });
  for (attn::IndexOp index : indices) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointAfter(index);
    Location loc = index.getLoc();
    auto asI32 = [&](Value v) -> Value { return arith::IndexCastOp::create(b, loc, b.getI32Type(), v); };
    Value g = asI32(index), r = asI32(attn::IndexOp::create(b, loc, b.getIndexType(), int64_t(rank))), n = arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(group.size));
    Value whole = arith::AddIOp::create(b, loc, arith::MulIOp::create(b, loc, g, n), r);
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
  return grouped;
}

}  // namespace fovea
