// attn-fills: every user of a filled tensor gets a fill of its own. Common subexpression elimination has made them one; as buffers, each
// user but the last would then copy what it can as well fill, and a matrix product could not start from 0 by itself.
#include "lowering/Passes.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;

namespace fovea {
namespace {

struct FillsPass : PassWrapper<FillsPass, OperationPass<>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(FillsPass)
  StringRef getArgument() const final { return "attn-fills"; }
  StringRef getDescription() const final { return "Give every user of a filled tensor a fill of its own"; }
  void runOnOperation() final {
    SmallVector<linalg::FillOp> fills;
    getOperation()->walk([&](linalg::FillOp fill) {
      if (fill.hasPureTensorSemantics() && fill.getOutputs()[0].getDefiningOp<tensor::EmptyOp>()) fills.push_back(fill);
    });
    for (linalg::FillOp fill : fills) {
      for (OpOperand &use : llvm::make_early_inc_range(fill.getResult(0).getUses())) {
        OpBuilder b(use.getOwner());
        Operation *place = b.clone(*fill.getOutputs()[0].getDefiningOp());
        Operation *own = b.clone(*fill);
        own->setOperand(1, place->getResult(0));
        use.set(own->getResult(0));
      }
      fill.erase();
    }
  }
};

}  // namespace

std::unique_ptr<Pass> createFillsPass() { return std::make_unique<FillsPass>(); }

}  // namespace fovea
