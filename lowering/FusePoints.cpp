// attn-fuse-points: for a GPU, an elementwise operation becomes a part of what reads it point for point: a launch less, and a temporary.
#include "lowering/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;

namespace fovea {
namespace {

// Upstream's pattern comes with others, which take operations' destinations away.
struct FusePoints : OpRewritePattern<linalg::GenericOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(linalg::GenericOp op, PatternRewriter &rewriter) const final {
    for (OpOperand &operand : op->getOpOperands()) {
      if (!linalg::areElementwiseOpsFusable(&operand) || !fits(&operand)) continue;
      Operation *producer = operand.get().getDefiningOp();
      if (!operand.get().hasOneUse()) {  // the fused operation would have the others' value for a second result
        producer = rewriter.clone(*producer);
        rewriter.modifyOpInPlace(op, [&] { operand.set(producer->getResult(0)); });
      }
      FailureOr<linalg::ElementwiseOpFusionResult> fused = linalg::fuseElementwiseOps(rewriter, &operand);
      if (failed(fused)) continue;
      for (auto [from, to] : fused->replacements) rewriter.replaceUsesWithIf(from, to, [&](OpOperand &use) { return use.get().getDefiningOp() != producer; });
      rewriter.eraseOp(op);
      return success();
    }
    return failure();
  }

  // Upstream's fusion loses where a second result's folding begins if nothing reads that result: operations with several stay.
  static bool fits(OpOperand *operand) {
    auto producer = operand->get().getDefiningOp<linalg::GenericOp>();
    auto consumer = dyn_cast<linalg::GenericOp>(operand->getOwner());
    if (!producer || !consumer || producer->getBlock() != consumer->getBlock() || producer->getNumResults() != 1 || consumer->getNumResults() != 1 || !isElementwise(producer)) return false;
    // What costs less than a launch and a temporary may be computed for every reader's points; nothing else is computed twice.
    return (operand->get().hasOneUse() && consumer.getMatchingIndexingMap(operand).isPermutation()) || (isElementwise(consumer) && isCheap(producer));
  }

  static bool isElementwise(linalg::GenericOp op) { return op.getNumLoops() == op.getNumParallelLoops(); }

  static bool isCheap(linalg::GenericOp op) {
    auto simple = [](Operation &inside) { return isa<arith::ArithDialect>(inside.getDialect()) && inside.getNumResults() == 1; };
    return llvm::range_size(op.getBlock()->without_terminator()) <= 8 && llvm::all_of(op.getBlock()->without_terminator(), simple);
  }
};

struct FusePointsPass : PassWrapper<FusePointsPass, OperationPass<>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(FusePointsPass)
  StringRef getArgument() const final { return "attn-fuse-points"; }
  StringRef getDescription() const final { return "Fuse elementwise operations into what reads them point for point"; }
  void runOnOperation() final {
    RewritePatternSet patterns(&getContext());
    patterns.add<FusePoints>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns)))) signalPassFailure();
  }
};

}  // namespace

std::unique_ptr<Pass> createFusePointsPass() { return std::make_unique<FusePointsPass>(); }

}  // namespace fovea
