// attn-arena: temporaries come from the thread's arena. A size that overflows ends the kernel with an error before any memory is
// touched. What a loop's body allocates is given back each time round: a value that a loop carries lies in a buffer from before the
// loop (one-shot bufferization sees to it), so nothing allocated in a body outlives it.
#include "lowering/Passes.h"

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
    bool used = false;
    module.walk([&](scf::ForOp loop) {
      bool allocates = false;
      loop.getBody()->walk<WalkOrder::PreOrder>([&](Operation *op) {
        if (isa<scf::ForOp, scf::ParallelOp>(op)) return WalkResult::skip();
        allocates |= isa<memref::AllocOp>(op);
        return WalkResult::advance();
      });
      if (!allocates) return;
      used = true;
      b.setInsertionPointToStart(loop.getBody());
      Value mark = func::CallOp::create(b, loop.getLoc(), "fovea_arena_mark", TypeRange{i64}, ValueRange{}).getResult(0);
      b.setInsertionPoint(loop.getBody()->getTerminator());
      func::CallOp::create(b, loop.getLoc(), "fovea_arena_release", TypeRange{}, ValueRange{mark});
    });
    if (used) {
      declare(module, "fovea_arena_mark", {}, {i64});
      declare(module, "fovea_arena_release", {i64}, {});
    }
    // The size of an allocation with unknown extents, multiplied without wrapping, is checked by the runtime first.
    bool checked = false;
    module.walk([&](memref::AllocOp alloc) {
      MemRefType type = alloc.getType();
      if (type.hasStaticShape()) return;
      checked = true;
      OpBuilder at(alloc);
      Location loc = alloc.getLoc();
      int64_t fixed = std::max<int64_t>(1, type.getElementTypeBitWidth() / 8);
      for (int64_t extent : type.getShape())
        if (!ShapedType::isDynamic(extent)) fixed *= extent;
      Value bytes = arith::ConstantOp::create(at, loc, at.getI64IntegerAttr(fixed));
      for (Value extent : alloc.getDynamicSizes()) {
        Value wide = arith::IndexCastOp::create(at, loc, i64, extent);
        bytes = func::CallOp::create(at, loc, "fovea_mul", TypeRange{i64}, ValueRange{bytes, wide}).getResult(0);
      }
      func::CallOp::create(at, loc, "fovea_check_size", TypeRange{}, ValueRange{bytes});
    });
    if (checked) {
      declare(module, "fovea_mul", {i64, i64}, {i64});
      declare(module, "fovea_check_size", {i64}, {});
    }
  }
  void declare(ModuleOp module, StringRef name, TypeRange inputs, TypeRange results) {
    if (module.lookupSymbol(name)) return;
    OpBuilder b(module.getBodyRegion());
    auto f = func::FuncOp::create(b, module.getLoc(), name, b.getFunctionType(inputs, results));
    f.setPrivate();
  }
};

}  // namespace

std::unique_ptr<Pass> createArenaPass() { return std::make_unique<ArenaPass>(); }

}  // namespace fovea
