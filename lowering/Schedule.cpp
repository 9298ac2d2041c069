// attn-schedule: puts a schedule on every attn.attend, chosen from the target's table. The schedule is data: printed by
// --emit=schedule, tested with FileCheck; attn-tile-attend reads it and decides nothing itself.
//
//   queries  rows of a tile        keys    columns of a tile, and the unit in which blocks are skipped
//   panel    micro-tile columns    target  the leaf's row in lowering/halide/Targets.def
#include "dialect/Attn.h"
#include "lowering/Passes.h"
#include "lowering/halide/LeafSpec.h"

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
    const leaf::TargetInfo *target = leaf::findTarget(name ? name.getValue().str() : "x86-64-v2");
    if (!target) {
      getOperation().emitError("unknown leaf target ") << name;
      return signalPassFailure();
    }
    getOperation().walk([&](attn::AttendOp op) {
      if (op.getSchedule()) return;  // given by the user
      // Rows: several micro-tiles, so that a packed key block is used often while it is in the nearest cache.
      // Keys: large for throughput; measured in shared/prototypes (64: 92, 128: 94, 512: 97 GFLOP/s of 116), small where masks skip blocks.
      bool one = op.getDimension("row") < 0;
      int64_t queries = one ? 1 : target->rows * 8, keys = masked(op) ? 128 : 256;
      Builder b(&getContext());
      SmallVector<NamedAttribute> entries{b.getNamedAttr("keys", b.getI64IntegerAttr(keys)), b.getNamedAttr("panel", b.getI64IntegerAttr(target->columns)),
                                          b.getNamedAttr("queries", b.getI64IntegerAttr(queries)), b.getNamedAttr("target", b.getStringAttr(target->name))};
      op.setScheduleAttr(b.getDictionaryAttr(entries));
    });
  }

  static bool masked(attn::AttendOp op) {
    auto yield = cast<attn::YieldOp>(op.getBody().front().getTerminator());
    Attribute constant;
    return !matchPattern(yield.getKeep(), m_Constant(&constant));
  }
};

}  // namespace

std::unique_ptr<Pass> createSchedulePass() { return std::make_unique<SchedulePass>(); }

}  // namespace fovea
