// attn-decompose: replaces every attn op by its meaning (dialect/Decompose.cpp).
#include "dialect/Attn.h"
#include "lowering/Passes.h"

#include "mlir/IR/PatternMatch.h"

using namespace mlir;

namespace fovea {
namespace {

struct DecomposePass : PassWrapper<DecomposePass, OperationPass<>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(DecomposePass)
  StringRef getArgument() const final { return "attn-decompose"; }
  StringRef getDescription() const final { return "Replace every attn op by plain linalg that materialises each step"; }
  explicit DecomposePass(bool keepScheduled = false) : keepScheduled(keepScheduled) {}
  void getDependentDialects(DialectRegistry &registry) const final { registry.insert<linalg::LinalgDialect, tensor::TensorDialect, math::MathDialect, arith::ArithDialect>(); }
  void runOnOperation() final {
    SmallVector<Operation *> ops;
    getOperation()->walk<WalkOrder::PostOrder>([&](Operation *op) {
      if (auto attend = dyn_cast<attn::AttendOp>(op); attend && keepScheduled && attend.getSchedule()) return;
      if (keepScheduled && isa<attn::SupportOp>(op)) return;
      if (isa<attn::SupportOp, attn::ScoreOp, attn::NormaliseOp, attn::AggregateOp, attn::AttendOp>(op)) ops.push_back(op);
    });
    IRRewriter rewriter(&getContext());
    for (Operation *op : ops)
      if (failed(attn::decompose(rewriter, op))) {
        op->emitError("cannot be decomposed");
        return signalPassFailure();
      }
  }

  bool keepScheduled;  // on the compiled path: scheduled attends go to leaves, supports become loop bounds
};

}  // namespace

std::unique_ptr<Pass> createDecomposePass() { return std::make_unique<DecomposePass>(); }
std::unique_ptr<Pass> createDecomposeUnfusedPass() { return std::make_unique<DecomposePass>(true); }

}  // namespace fovea
