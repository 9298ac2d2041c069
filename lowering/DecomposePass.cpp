// attn-decompose: replaces every attn op by its meaning (dialect/Decompose.cpp).
#include "dialect/Attn.h"
#include "lowering/Passes.h"

#include "mlir/IR/PatternMatch.h"

using namespace mlir;

namespace fovea {
namespace {

// `keepScheduled`: the compiled path, where scheduled attends go to leaves and supports become loop bounds.
template <bool keepScheduled>
struct DecomposePass : PassWrapper<DecomposePass<keepScheduled>, OperationPass<>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(DecomposePass)
  StringRef getArgument() const final { return keepScheduled ? "attn-decompose-unfused" : "attn-decompose"; }
  StringRef getDescription() const final {
    return keepScheduled ? "Replace every attn op but supports, scheduled attends and quantised products by plain linalg" : "Replace every attn op by plain linalg that materialises each step";
  }
  void getDependentDialects(DialectRegistry &registry) const final { registry.insert<linalg::LinalgDialect, tensor::TensorDialect, math::MathDialect, arith::ArithDialect>(); }
  void runOnOperation() final {
    SmallVector<Operation *> ops;
    this->getOperation()->template walk<WalkOrder::PostOrder>([&](Operation *op) {
      if (auto attend = dyn_cast<attn::AttendOp>(op); attend && keepScheduled && attend.getSchedule()) return;
      if (keepScheduled && isa<attn::SupportOp>(op)) return;
      if (keepScheduled && isa<attn::QuantiseOp, attn::QuantisedProductOp>(op)) return;
      if (isa<attn::SupportOp, attn::ScoreOp, attn::NormaliseOp, attn::AggregateOp, attn::AttendOp, attn::QuantiseOp, attn::QuantisedProductOp>(op)) ops.push_back(op);
    });
    IRRewriter rewriter(&this->getContext());
    for (Operation *op : ops)
      if (failed(attn::decompose(rewriter, op))) {
        op->emitError("cannot be decomposed");
        return this->signalPassFailure();
      }
  }
};

}  // namespace

std::unique_ptr<Pass> createDecomposePass() { return std::make_unique<DecomposePass<false>>(); }
std::unique_ptr<Pass> createDecomposeUnfusedPass() { return std::make_unique<DecomposePass<true>>(); }

}  // namespace fovea
