// What the rows of a tile visit, and when a tile is full.
#include "lowering/attend/Tiler.h"
#include "lowering/Slice.h"
#include "lowering/Support.h"

namespace fovea {

// The mask as seen from one row.
struct AttendTiler::View final : MaskView {
  AttendTiler &t;
  explicit View(AttendTiler &t) : t(t) {}
  bool isPosition(Value v) override {
    auto cast = v.getDefiningOp<arith::IndexCastOp>();
    auto index = (cast ? cast.getIn() : v).getDefiningOp<attn::IndexOp>();
    return index && int64_t(index.getDimension()) == t.key;
  }
  bool dependsOn(Value v) override { return t.names.dependsOn(v, t.key); }
  Value outside(Value v) override { return t.atRow(v); }
  bool isSorted(Value v) override {
    auto argument = dyn_cast<BlockArgument>(v);
    if (!argument || argument.getOwner() != t.body || argument.getArgNumber() == 0) return false;
    unsigned operand = 2 + argument.getArgNumber();
    return isSortedAlong(t.op->getOperand(operand), t.op.getMap(operand), t.key);
  }
  bool isAvailable(Value) override { return true; }
  Value at(Value v, Value position) override {
    t.positions[t.key] = position;
    Value here = t.atRow(v);
    t.positions[t.key] = {};
    return here;
  }
  // Neighbouring rows are often of one segment.
  Operation *rows = nullptr;
  Value guess() override {
    if (!rows) return {};
    OpBuilder::InsertionGuard guard(t.b);
    t.b.setInsertionPoint(rows);
    Value place = memref::AllocOp::create(t.b, t.loc, MemRefType::get({}, t.b.getIndexType()));
    memref::StoreOp::create(t.b, t.loc, t.constant64(0), place, ValueRange{});
    return place;
  }
  void became(Value condition, const Became &what) override {
    if (t.counting) t.counting->note(condition.getLoc(), 0, what);
  }
};

AttendTiler::Visited AttendTiler::visited(Value keep, Value firstRow, Value rows) {
  View view(*this);
  bool byRow = row >= 0 && names.varies(keep), byInner = inner >= 0 && names.dependsOn(keep, inner);
  Value none = constant64(0);
  auto union_ = [&](ValueRange so, Visited s) -> SmallVector<Value> {
    // A row that visits nothing has its bounds anywhere: it must not widen those of the others.
    Value some = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, s.low, s.high);
    Value low = arith::SelectOp::create(b, loc, some, s.low, extents[key]), high = arith::SelectOp::create(b, loc, some, s.high, none);
    return {arith::MinSIOp::create(b, loc, so[0], low), arith::MaxSIOp::create(b, loc, so[1], high), arith::MaxSIOp::create(b, loc, so[2], s.inner),
            arith::MinSIOp::create(b, loc, so[3], s.outer)};
  };
  std::function<Visited(bool, bool)> over = [&](bool inners, bool rowsToo) -> Visited {
    if (!inners && !rowsToo) {
      Support s = supportOf(view, b, loc, keep, extents[key]);
      return {s.low, s.high, s.low, s.high, s.exact};
    }
    auto each = scf::ForOp::create(b, loc, none, inners ? extents[inner] : rows, constant64(1), ValueRange{extents[key], none, none, extents[key]});
    OpBuilder::InsertionGuard guard(b);
    Block *block = each.getBody();
    if (!block->empty()) block->back().erase();
    b.setInsertionPointToEnd(block);
    Value &position = positions[inners ? inner : row];
    position = inners ? each.getInductionVar() : Value(arith::AddIOp::create(b, loc, firstRow, each.getInductionVar()));
    if (!view.rows) view.rows = each;
    Visited s = over(false, inners && rowsToo);
    position = {};
    scf::YieldOp::create(b, loc, union_(each.getRegionIterArgs(), s));
    return {each.getResult(0), each.getResult(1), each.getResult(2), each.getResult(3), s.exact};
  };
  return over(byInner, byRow);
}

Value AttendTiler::isFull(const Visited &keysSeen, Value firstRow, Value rows, Value firstKey, Value present, int64_t count) {
  Value lastKey = arith::AddIOp::create(b, loc, firstKey, constant64(count - 1));
  Value there = arith::AndIOp::create(b, loc, arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, rows, constant64(queries)),
                                      arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, present, constant64(count)));
  Value within = arith::AndIOp::create(b, loc, arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sge, firstKey, keysSeen.inner),
                                       arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, lastKey, keysSeen.outer));
  Value full = arith::AndIOp::create(b, loc, there, within);
  if (assumed.empty()) return full;
  SmallVector<Value> cornerRows{firstRow};
  if (row >= 0 && queries > 1) cornerRows.push_back(arith::AddIOp::create(b, loc, firstRow, constant64(queries - 1)));
  for (Value cornerRow : cornerRows)
    for (Value cornerKey : {firstKey, lastKey})
      for (Value condition : assumed) {
        if (row >= 0) positions[row] = cornerRow;
        positions[key] = cornerKey;
        full = arith::AndIOp::create(b, loc, full, atRow(condition));
        if (row >= 0) positions[row] = {};
        positions[key] = {};
      }
  return full;
}

}  // namespace fovea
