// attn-reuse: a temporary of a function's outermost block is given back right after the last operation that uses it, so that a stage holds
// what is alive and not everything it ever made. Temporaries inside loops go with each round (Arena.cpp).
#include "lowering/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Interfaces/ViewLikeInterface.h"

using namespace mlir;

namespace fovea {
namespace {

struct ReusePass : PassWrapper<ReusePass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ReusePass)
  StringRef getArgument() const final { return "attn-reuse"; }
  StringRef getDescription() const final { return "Give temporaries back after their last use"; }
  void runOnOperation() final {
    getOperation().walk([&](func::FuncOp function) {
      if (function.isExternal()) return;
      Block &block = function.getBody().front();
      SmallVector<memref::AllocOp> allocations(block.getOps<memref::AllocOp>());
      for (memref::AllocOp allocation : allocations)
        if (Operation *last = lastUse(allocation, block)) {
          OpBuilder b(&getContext());
          b.setInsertionPointAfter(last);
          memref::DeallocOp::create(b, allocation.getLoc(), allocation);
        }
    });
  }

  // The last operation of `block` that uses the memory, itself or in its regions; null if the memory may live on unseen: what reaches
  // another value (a select, a loop's result, a raw address) is left alone.
  static Operation *lastUse(memref::AllocOp allocation, Block &block) {
    SmallVector<Value> views{allocation.getResult()};
    Operation *last = allocation;
    while (!views.empty()) {
      Value view = views.pop_back_val();
      for (Operation *user : view.getUsers()) {
        Operation *outer = block.findAncestorOpInBlock(*user);
        if (!outer || outer->hasTrait<OpTrait::IsTerminator>()) return nullptr;
        if (last->isBeforeInBlock(outer)) last = outer;
        if (isa<ViewLikeOpInterface>(user)) {
          views.append(user->result_begin(), user->result_end());
          continue;
        }
        if (isa<memref::ExtractStridedMetadataOp, memref::ExtractAlignedPointerAsIndexOp>(user)) {
          if (outer == user) return nullptr;  // the address is used further on
          continue;
        }
        bool carriesOn = llvm::any_of(user->getResultTypes(), [](Type t) { return isa<BaseMemRefType>(t); });
        if (carriesOn || user->hasTrait<OpTrait::IsTerminator>()) return nullptr;
      }
    }
    return last;
  }
};

}  // namespace

std::unique_ptr<Pass> createReusePass() { return std::make_unique<ReusePass>(); }

}  // namespace fovea
