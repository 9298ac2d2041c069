// attn-tile-attend: attn.attend on buffers becomes loops around two Halide leaves, one for tiles that are kept whole and one that
// tests every point. One parallel loop runs over (batch, row block); inside, a loop over the key blocks that can be visited: the
// supports of the block's rows (Support.h) bound it, and tell full tiles from partial ones (rule M5). AttendTiler (attend/) makes them.
// Keys are packed once, transposed, in panels; values only where their rows do not fill whole panels. An op with several schedules becomes
// several versions, chosen at run time.
#include "dialect/Attn.h"
#include "lowering/GroupHeads.h"
#include "lowering/Passes.h"
#include "lowering/TileProduct.h"
#include "lowering/attend/Tiler.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;

namespace fovea {
namespace {

struct TileAttendPass : PassWrapper<TileAttendPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(TileAttendPass)
  StringRef getArgument() const final { return "attn-tile-attend"; }
  StringRef getDescription() const final { return "Turn attn.attend on buffers into loops around Halide leaves"; }
  void getDependentDialects(DialectRegistry &registry) const final {
    registry.insert<scf::SCFDialect, memref::MemRefDialect, func::FuncDialect, LLVM::LLVMDialect, math::MathDialect, vector::VectorDialect>();
  }
  void runOnOperation() final {
    SmallVector<attn::AttendOp> ops;
    getOperation().walk([&](attn::AttendOp op) { ops.push_back(op); });
    for (attn::AttendOp op : ops)
      if (failed(tile(op))) return signalPassFailure();
  }

  // Up to how many rows a version is taken.
  static int64_t mostRows(Attribute version) { return cast<IntegerAttr>(cast<DictionaryAttr>(version).get("rows")).getInt(); }

  // Whether all groups of heads are whole, and a group has as many queries.
  static Value mayBroadcast(attn::AttendOp op, int64_t from, std::optional<int64_t> to, OpBuilder &b) {
    Location loc = op.getLoc();
    auto index = [&](int64_t n) -> Value { return arith::ConstantIndexOp::create(b, loc, n); };
    auto extent = [&](unsigned d) -> Value { return memref::DimOp::create(b, loc, op.getQuery(), axisAlong(op.getMap(0), d)); };
    Value size = index(sharedHeads(op)), queries = arith::MulIOp::create(b, loc, extent(op.getDimension("row")), size);
    Value may = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, arith::RemUIOp::create(b, loc, extent(sharedHead(op)), size), index(0));
    may = arith::AndIOp::create(b, loc, may, arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sge, queries, index(from)));
    if (to) may = arith::AndIOp::create(b, loc, may, arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sle, queries, index(*to)));
    return may;
  }

  LogicalResult tile(attn::AttendOp op) {
    DictionaryAttr schedule = *op.getSchedule();
    for (StringRef entry : {"grouped", "few", "tiles"}) {
      auto other = dyn_cast_or_null<DictionaryAttr>(schedule.get(entry));
      if (!other || other.contains("offered")) continue;
      // Two versions: the number of rows chooses, or what the process may use.
      OpBuilder b(op);
      Location loc = op.getLoc();
      SmallVector<NamedAttribute> rest;
      for (NamedAttribute attribute : schedule)
        if (attribute.getName() != entry && !(attribute.getName() == "few" && entry == "grouped" && mostRows(attribute.getValue()) <= mostRows(other))) rest.push_back(attribute);
      int64_t row = op.getDimension("row");
      auto version = [&] {
        auto first = entry == "grouped" ? groupHeads(op, b) : cast<attn::AttendOp>(b.clone(*op));
        first.setScheduleAttr(other);
        return first;
      };
      auto atMost = [&](int64_t most) -> Value {
        Value rows = memref::DimOp::create(b, loc, op.getQuery(), axisAlong(op.getMap(0), row));
        return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sle, rows, arith::ConstantIndexOp::create(b, loc, most));
      };
      if (row < 0) {  // one query
        auto first = version();
        op.erase();
        return tile(first);
      }
      Value fits;
      if (entry == "tiles") {
        auto may = scf::IfOp::create(b, loc, b.getI1Type(), mayUseTiles(b, loc), /*withElse=*/true);
        OpBuilder inside = may.getThenBodyBuilder(), outside = may.getElseBodyBuilder();
        Value inRange = inTileRange(inside, loc, op.getValue());
        bool whole = tileParts(getElementTypeOrSelf(op.getQuery().getType())) == 1 && tileParts(getElementTypeOrSelf(op.getKey().getType())) == 1;
        if (!whole)
          for (Value operand : {op.getQuery(), op.getKey()}) inRange = arith::AndIOp::create(inside, loc, inRange, inTileRange(inside, loc, operand));
        scf::YieldOp::create(inside, loc, inRange);
        scf::YieldOp::create(outside, loc, Value(arith::ConstantOp::create(outside, loc, outside.getBoolAttr(false))));
        fits = may.getResult(0);
      } else {
        fits = atMost(mostRows(other));
      }
      auto choose = scf::IfOp::create(b, loc, fits, /*withElse=*/true);
      b.setInsertionPointToStart(choose.elseBlock());
      auto second = cast<attn::AttendOp>(b.clone(*op));
      second.setScheduleAttr(b.getDictionaryAttr(rest));
      b.setInsertionPointToStart(choose.thenBlock());
      auto inLayout = [&](attn::AttendOp packed, StringRef layout) {
        NamedAttrList changed(other);
        changed.set("key_layout", b.getStringAttr(layout));
        packed.setScheduleAttr(changed.getDictionary(b.getContext()));
        return tile(packed);
      };
      if (auto from = other.getAs<IntegerAttr>("broadcast")) {
        auto to = other.getAs<IntegerAttr>("broadcast_to");
        auto chooseAgain = scf::IfOp::create(b, loc, mayBroadcast(op, from.getInt(), to ? std::optional(to.getInt()) : std::nullopt, b), /*withElse=*/true);
        b.setInsertionPointToStart(chooseAgain.thenBlock());
        if (failed(inLayout(groupQueries(op, b), "lanes"))) return failure();
        b.setInsertionPointToStart(chooseAgain.elseBlock());
      }
      if (auto unpacked = other.getAs<IntegerAttr>("unpacked"); unpacked && unpacked.getInt() < mostRows(other)) {
        auto chooseAgain = scf::IfOp::create(b, loc, atMost(unpacked.getInt()), /*withElse=*/true);
        b.setInsertionPointToStart(chooseAgain.elseBlock());
        if (failed(inLayout(version(), "tile"))) return failure();
        b.setInsertionPointToStart(chooseAgain.thenBlock());
      }
      attn::AttendOp first = version();
      op.erase();
      return failed(tile(first)) ? failure() : tile(second);
    }
    if (failed(AttendTiler(op, getOperation()).run())) return failure();
    op.erase();
    return success();
  }
};

}  // namespace

std::unique_ptr<Pass> createTileAttendPass() { return std::make_unique<TileAttendPass>(); }

}  // namespace fovea
