// attn-arena: temporaries come from the thread's arena. A size that overflows ends the kernel with an error before any memory is
// touched. What a loop's body allocates is given back each time round: a value that a loop carries lies in a buffer from before the
// loop (one-shot bufferization sees to it), so nothing allocated in a body outlives it.
#include "lowering/Passes.h"
#include "lowering/RuntimeCall.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;

namespace fovea {
namespace {

struct ArenaPass : PassWrapper<ArenaPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ArenaPass)
  StringRef getArgument() const final { return "attn-arena"; }
  StringRef getDescription() const final { return "Check the sizes of temporaries and release what a loop's body allocates each time round"; }
  void getDependentDialects(DialectRegistry &registry) const final { registry.insert<func::FuncDialect, arith::ArithDialect>(); }
  void runOnOperation() final {
    ModuleOp module = getOperation();
    OpBuilder b(module.getBodyRegion());
    Type i64 = b.getI64Type();
    module.walk([&](scf::ForOp loop) {
      bool allocates = false;
      loop.getBody()->walk<WalkOrder::PreOrder>([&](Operation *op) {
        if (isa<scf::ForOp, scf::ParallelOp>(op)) return WalkResult::skip();
        allocates |= isa<memref::AllocOp>(op);
        return WalkResult::advance();
      });
      if (!allocates) return;
      b.setInsertionPointToStart(loop.getBody());
      Value mark = callRuntime(b, loop.getLoc(), "fovea_arena_mark", i64, {});
      b.setInsertionPoint(loop.getBody()->getTerminator());
      callRuntime(b, loop.getLoc(), "fovea_arena_release", {}, mark);
    });
    // The size of an allocation with unknown extents, multiplied without wrapping, is checked by the runtime first.
    module.walk([&](memref::AllocOp alloc) {
      MemRefType type = alloc.getType();
      if (type.hasStaticShape()) return;
      OpBuilder at(alloc);
      Location loc = alloc.getLoc();
      int64_t fixed = std::max<int64_t>(1, type.getElementTypeBitWidth() / 8);
      for (int64_t extent : type.getShape())
        if (!ShapedType::isDynamic(extent)) fixed *= extent;
      Value bytes = arith::ConstantOp::create(at, loc, at.getI64IntegerAttr(fixed));
      for (Value extent : alloc.getDynamicSizes()) {
        Value wide = arith::IndexCastOp::create(at, loc, i64, extent);
        bytes = callRuntime(at, loc, "fovea_mul", i64, {bytes, wide});
      }
      callRuntime(at, loc, "fovea_check_size", {}, bytes);
    });
  }
};

}  // namespace

std::unique_ptr<Pass> createArenaPass() { return std::make_unique<ArenaPass>(); }

}  // namespace fovea
