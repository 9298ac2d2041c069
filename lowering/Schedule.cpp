// attn-schedule: puts a schedule on every attn.attend, the cheapest by the cost model (Cost.h) of the target's table. The schedule is data: printed by
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
//            `unpacked` + 1 rows on, the keys of a tile are packed where it is visited; `broadcast`: from so many queries of all these heads on, up to
//            `broadcast_to`, they are lanes that keys are broadcast to, and nothing is packed
#include "dialect/Attn.h"
#include "lowering/CostOf.h"
#include "lowering/GivenSchedule.h"
#include "lowering/GroupHeads.h"
#include "lowering/Passes.h"
#include "lowering/TileProduct.h"
#include "lowering/halide/DeviceTarget.h"
#include "lowering/halide/LeafSpec.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
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
      const cost::Choice choice = cost::choose(*target, askedOf(op, *target));
      NamedAttrList entries(schedule(*target, choice.many, {}));
      const bool one = op.getDimension("row") < 0;
      if (choice.few && !one) entries.set("few", schedule(*target, choice.few->tile, choice.few->rows));
      if (!one && !op.getWeights() && fitsTiles(op, *target)) entries.set("tiles", tiles(op, *target));
      if (choice.grouped) {
        Builder b(&getContext());
        NamedAttrList grouped(schedule(*target, choice.grouped->tile, one ? 1 : choice.grouped->rows));
        for (auto [name, number] : {std::pair{"unpacked", choice.unpacked}, {"broadcast", choice.broadcast}, {"broadcast_to", choice.broadcastTo}})
          if (number) grouped.set(name, b.getI64IntegerAttr(*number));
        entries.set("grouped", grouped.getDictionary(&getContext()));
      }
      op.setScheduleAttr(entries.getDictionary(&getContext()));
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

  static constexpr int64_t splitQueries = 16, tileKeys = 128;

  DictionaryAttr schedule(const leaf::TargetInfo &target, const cost::Candidate &tile, std::optional<int64_t> rows) {
    return dictionary(target, tile.layout == cost::Layout::Packed ? "packed" : "rows", tile.queries, tile.keys, tile.panel, rows);
  }

  DictionaryAttr dictionary(const leaf::TargetInfo &target, StringRef layout, int64_t queries, int64_t keys, int64_t panel, std::optional<int64_t> rows) {
    Builder b(&getContext());
    auto number = [&](int64_t n) { return b.getI64IntegerAttr(n); };
    SmallVector<NamedAttribute> entries{b.getNamedAttr("key_layout", b.getStringAttr(layout)), b.getNamedAttr("keys", number(keys)), b.getNamedAttr("panel", number(panel)),
                                        b.getNamedAttr("queries", number(queries)), b.getNamedAttr("target", b.getStringAttr(target.name))};
    if (rows) entries.push_back(b.getNamedAttr("rows", number(*rows)));
    return b.getDictionaryAttr(entries);
  }

  // Weights in two parts of bf16 are as exact as a softmax's sum needs them, but not as weights for their own sake.
  static bool fitsTiles(attn::AttendOp op, const leaf::TargetInfo &target) { return StringRef(target.needs).contains("amx_bf16") && !op.getPointwise(); }

  // Keys and values of f32 are three parts each: measured over 4,096 keys, 1.3 to 1.4 times as fast as without tile registers, but hardly faster over
  // a window of 256 (looking the numbers up and packing them takes longer), and a fifth as exact. Only there 64 rows are better than 32.
  DictionaryAttr tiles(attn::AttendOp op, const leaf::TargetInfo &target) {
    auto isLong = [](Value v) { return getElementTypeOrSelf(v.getType()).isF32(); };
    bool offered = isLong(op.getKey()) || isLong(op.getValue());
    NamedAttrList entries(dictionary(target, "pairs", offered && !boundsBothSides(op) ? 2 * tileBlock : tileBlock, tileKeys, tileBlock, {}));
    if (offered) entries.set("offered", UnitAttr::get(&getContext()));
    return entries.getDictionary(&getContext());
  }
};

}  // namespace

std::unique_ptr<Pass> createSchedulePass() { return std::make_unique<SchedulePass>(); }

}  // namespace fovea
