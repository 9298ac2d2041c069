// attn-copies: memref.copy becomes linalg.copy, so that copies are loops like everything else and need no library.
#include "lowering/Passes.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

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
      OpBuilder b(copy);
      linalg::CopyOp::create(b, copy.getLoc(), copy.getSource(), copy.getTarget());
      copy.erase();
    }
  }
};

}  // namespace

std::unique_ptr<Pass> createCopiesPass() { return std::make_unique<CopiesPass>(); }

}  // namespace fovea
