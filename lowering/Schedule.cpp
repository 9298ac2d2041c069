// attn-schedule: puts a schedule on every attn.attend, chosen from the target's table. The schedule is data: printed by
// --emit=schedule, tested with FileCheck; attn-tile-attend reads it and decides nothing itself.
//
//   queries  rows of a tile        keys        columns of a tile
//   panel    micro-tile columns    key_layout  packed (transposed in panels, once per head), rows (as stored), or pairs (packed as pairs of bf16)
//   target   the leaf's row in lowering/halide/Targets.def
//   few      another schedule, used when there are at most `rows` rows
//   tiles    another one, used where the process may use AMX's tile registers: both products are computed in them (TileProduct.h); `offered`: only
//            where the program asks for it
//   columns, depth, threads   for a GPU: value columns of a block, what is contracted at a time, threads across and down,
//            whether steps of the contraction are unrolled, for OpenCL's compilers do so themselves (lowering/halide/Blocks.cpp)
//   split    another one for a GPU, used when there are at most `rows` rows and more than `part` keys: keys are cut into parts of so many, or larger ones
//            where there were more than `parts` (SplitKeys.h); `grouped` there has the same entries
//   grouped  another one, used when there are at most `rows` rows and heads share their keys: those heads are the rows (GroupHeads.h); from
//            `unpacked` + 1 rows on, the keys of a tile are packed where it is visited; `broadcast`: from so many queries of all these heads on, up to so
//            many if there are two numbers, they are lanes that keys are broadcast to, and nothing is packed
#include "dialect/Attn.h"
#include "lowering/GivenSchedule.h"
#include "lowering/GroupHeads.h"
#include "lowering/Passes.h"
#include "lowering/TileProduct.h"
#include "lowering/halide/DeviceTarget.h"
#include "lowering/halide/LeafSpec.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;

namespace fovea {
namespace {

struct SchedulePass : PassWrapper<SchedulePass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(SchedulePass)
  StringRef getArgument() const final { return "attn-schedule"; }
  StringRef getDescription() const final { return "Choose a schedule for every attn.attend from the target's table"; }
  void runOnOperation() final {
    auto name = getOperation()->getAttrOfType<StringAttr>("attn.target");
    if (const leaf::DeviceTarget *device = name ? leaf::findDevice(name.getValue()) : nullptr) {
      getOperation().walk([&](attn::AttendOp op) { scheduleBlocks(op, *device); });
      return;
    }
    const leaf::TargetInfo *target = leaf::findTarget(name ? name.getValue().str() : "x86-64-v2");
    if (!target) {
      getOperation().emitError("unknown leaf target ") << name;
      return signalPassFailure();
    }
    getOperation().walk([&](attn::AttendOp op) {
      if (op.getSchedule()) return;
      // Rows: several micro-tiles, so that a packed key block is used often while it is in the nearest cache; 48 x 128 is the best of
      // what lowering/halide/bench/leaf_bench.cpp measures. Few rows read keys where they lie: packing them would cost more than the
      // product.
      bool one = op.getDimension("row") < 0, contiguous = keysLieInRows(op);
      DictionaryAttr many = schedule(*target, one ? 1 : target->rows * (boundsBothSides(op) ? 4 : 8), "packed", {}), few = schedule(*target, one ? 1 : fewQueries, "rows", one ? 0 : fewQueries);
      if (op.getWeights()) return op.setScheduleAttr(many);  // a second pass over the packed keys
      SmallVector<NamedAttribute> entries(one && contiguous ? few.begin() : many.begin(), one && contiguous ? few.end() : many.end());
      auto add = [&](StringRef entry, DictionaryAttr other) { entries.push_back(NamedAttribute(StringAttr::get(&getContext(), entry), other)); };
      if (!one && contiguous) add("few", few);
      if (!one && fitsTiles(op, *target)) add("tiles", tiles(op, *target));
      if (int64_t heads = sharedHeads(op); heads > 1 && contiguous) {
        NamedAttrList grouped(schedule(*target, std::min<int64_t>(heads, target->rows * 8), "rows", groupedQueries));
        Builder b(&getContext());
        bool broadcast = queriesMayBeLanes(op, *target), pairs = getElementTypeOrSelf(op.getKey().getType()).isBF16();
        if (broadcast) grouped.set("broadcast", b.getI64IntegerAttr(target->lanes / 2 + 1));
        if (broadcast && pairs) grouped.set("broadcast_to", b.getI64IntegerAttr(2 * target->lanes));
        if (!broadcast || pairs) grouped.set("unpacked", b.getI64IntegerAttr(unpackedQueries));
        add("grouped", grouped.getDictionary(&getContext()));
      }
      op.setScheduleAttr(DictionaryAttr::get(&getContext(), entries));
    });
    if (failed(applyGivenSchedules(getOperation(), *target))) signalPassFailure();
  }

  // A block of 256 threads, each with 4 rows and 4 columns in registers, in less than 48 KB of shared memory. What one kernel cannot carry is
  // decomposed: results beside the aggregate.
  void scheduleBlocks(attn::AttendOp op, const leaf::DeviceTarget &target) {
    if (op.getSchedule() || op.getWeights() || op.hasSecond()) return;
    Builder b(&getContext());
    auto number = [&](StringRef name, int64_t value) { return b.getNamedAttr(name, b.getI64IntegerAttr(value)); };
    auto block = [&](int64_t queries, int64_t keys) {
      return NamedAttrList({number("columns", 64), number("depth", 16), number("keys", keys), number("queries", queries), b.getNamedAttr("target", b.getStringAttr(target.name)),
                            b.getNamedAttr("threads", b.getDenseI64ArrayAttr({16, 16})), b.getNamedAttr("unroll", b.getBoolAttr(target.unroll))});
    };
    auto split = [&](int64_t rows) {
      NamedAttrList entries = block(splitQueries, 64);
      for (NamedAttribute entry : {number("part", 256), number("parts", 64), number("rows", rows)}) entries.append(entry);
      return entries.getDictionary(&getContext());
    };
    NamedAttrList entries = block(op.getDimension("row") < 0 ? splitQueries : 64, 32);
    // In a model's stage a line's result may not depend on how far others pad its keys.
    const bool mayCut = !op->getParentOfType<func::FuncOp>()->hasAttr("attn.exact_rows");
    if (mayCut) entries.append("split", split(splitQueries));
    // Where heads share their keys, a block has those heads as its rows, and a query of each: worth it while queries are fewer than heads.
    if (int64_t heads = sharedHeads(op); mayCut && heads > 1) entries.append("grouped", split(std::min(heads, splitQueries)));
    op.setScheduleAttr(entries.getDictionary(&getContext()));
  }

  // Measured on Zen 4, four heads that share 4,096 keys of 128 features: of f32, broadcasting keys takes 2.8 ms for 4 queries and 10.7 for 16, heads as rows 4.1
  // and, keys of a tile packed, 12.3; of bf16, 2.4 and 9.7 against 3.1 and 8.8.
  static constexpr int64_t fewQueries = 8, groupedQueries = 16, unpackedQueries = 4, splitQueries = 16, keys = 128;

  DictionaryAttr schedule(const leaf::TargetInfo &target, int64_t queries, StringRef layout, int64_t rows) {
    Builder b(&getContext());
    int64_t panel = layout == "pairs" ? tileBlock : target.columns;
    SmallVector<NamedAttribute> entries{b.getNamedAttr("key_layout", b.getStringAttr(layout)), b.getNamedAttr("keys", b.getI64IntegerAttr(keys)),
                                        b.getNamedAttr("panel", b.getI64IntegerAttr(panel)), b.getNamedAttr("queries", b.getI64IntegerAttr(queries)),
                                        b.getNamedAttr("target", b.getStringAttr(target.name))};
    if (rows) entries.push_back(b.getNamedAttr("rows", b.getI64IntegerAttr(rows)));
    return b.getDictionaryAttr(entries);
  }

  // Whether the mask may hold keys from both sides (a window, a document): rows that are close visit much the same keys, so fewer of them
  // waste less at the ends. Measured over 16,384 keys: a window of 256 takes 21.6 ms with 24 rows, 23.0 with 48; without a mask 24 rows
  // take 8 % longer than 48, since keys come from further away.
  static bool boundsBothSides(attn::AttendOp op) {
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

  // Weights in two parts of bf16 are as exact as a softmax's sum needs them, but not as weights for their own sake.
  static bool fitsTiles(attn::AttendOp op, const leaf::TargetInfo &target) { return StringRef(target.needs).contains("amx_bf16") && !op.getPointwise(); }

  // Keys and values of f32 are three parts each: measured over 4,096 keys, 1.3 to 1.4 times as fast as without tile registers, but hardly faster over
  // a window of 256 (looking the numbers up and packing them takes longer), and a fifth as exact. Only there 64 rows are better than 32.
  DictionaryAttr tiles(attn::AttendOp op, const leaf::TargetInfo &target) {
    auto isLong = [](Value v) { return getElementTypeOrSelf(v.getType()).isF32(); };
    bool offered = isLong(op.getKey()) || isLong(op.getValue());
    NamedAttrList entries(schedule(target, offered && !boundsBothSides(op) ? 2 * tileBlock : tileBlock, "pairs", {}));
    if (offered) entries.set("offered", UnitAttr::get(&getContext()));
    return entries.getDictionary(&getContext());
  }

  // Whether the contracted dimension is the keys' innermost axis.
  static bool keysLieInRows(attn::AttendOp op) {
    return op.getMap(1).getResults().back() == getAffineDimExpr(op.getDimension("contracted"), op.getContext());
  }
};

}  // namespace

std::unique_ptr<Pass> createSchedulePass() { return std::make_unique<SchedulePass>(); }

}  // namespace fovea
