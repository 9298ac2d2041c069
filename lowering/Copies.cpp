// attn-copies: memref.copy becomes linalg.copy, so that copies are loops like everything else and need no library. A temporary that is made only to be
// copied into a result of its type is made there.
#include "lowering/Passes.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Interfaces/ViewLikeInterface.h"

using namespace mlir;

namespace fovea {
namespace {

struct CopiesPass : PassWrapper<CopiesPass, OperationPass<>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(CopiesPass)
  StringRef getArgument() const final { return "attn-copies"; }
  StringRef getDescription() const final { return "Turn memref.copy into linalg.copy"; }
  void getDependentDialects(DialectRegistry &registry) const final { registry.insert<linalg::LinalgDialect>(); }
  void runOnOperation() final {
    SmallVector<memref::CopyOp> copies;
    getOperation()->walk([&](memref::CopyOp op) { copies.push_back(op); });
    for (memref::CopyOp copy : copies) {
      if (auto made = madeFor(copy)) {
        made.replaceAllUsesWith(copy.getTarget());
        copy.erase();
        made.erase();
        continue;
      }
      OpBuilder b(copy);
      linalg::CopyOp::create(b, copy.getLoc(), copy.getSource(), copy.getTarget());
      copy.erase();
    }
  }

  // The temporary behind a copy to an argument that nothing else touches, if the copy is its last use. Arguments overlap nothing.
  static memref::AllocOp madeFor(memref::CopyOp copy) {
    auto made = copy.getSource().getDefiningOp<memref::AllocOp>();
    auto target = dyn_cast<BlockArgument>(copy.getTarget());
    Block *block = copy->getBlock();
    if (!made || !target || target.getOwner() != block || made->getBlock() != block || made.getType() != target.getType() || !target.hasOneUse()) return {};
    for (Operation *user : made->getUsers()) {
      Operation *outer = block->findAncestorOpInBlock(*user);
      if (!outer || (user != copy && !outer->isBeforeInBlock(copy)) || isa<ViewLikeOpInterface>(user)) return {};
      if (llvm::any_of(user->getResultTypes(), [](Type t) { return isa<BaseMemRefType>(t); })) return {};
    }
    return made;
  }
};

}  // namespace

std::unique_ptr<Pass> createCopiesPass() { return std::make_unique<CopiesPass>(); }

}  // namespace fovea
