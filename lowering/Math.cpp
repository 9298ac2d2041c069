// attn-math: exp, log, log1p, erf and tanh of f32 become arithmetic, so that the loops around them can be vectorised. What is left goes
// to the C library. Within 3 ulp; infinities and signed zeros as IEEE says (test/values/rules_expressions.py, E9).
#include "lowering/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

#include <limits>

using namespace mlir;

namespace fovea {
namespace {

// Cephes: an odd polynomial below 0.625, 1 - 2 / (exp(2x) + 1) above.
struct Tanh : OpRewritePattern<math::TanhOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(math::TanhOp op, PatternRewriter &b) const final {
    if (!getElementTypeOrSelf(op.getType()).isF32()) return failure();
    Location loc = op.getLoc();
    auto constant = [&](float v) -> Value {
      TypedAttr value = b.getF32FloatAttr(v);
      if (auto vector = dyn_cast<VectorType>(op.getType())) value = DenseElementsAttr::get(vector, v);
      return arith::ConstantOp::create(b, loc, value);
    };
    Value x = op.getOperand(), size = math::AbsFOp::create(b, loc, x), square = arith::MulFOp::create(b, loc, x, x);
    Value p = constant(-5.70498872745e-3f);
    for (float c : {2.06390887954e-2f, -5.37397155531e-2f, 1.33314422036e-1f, -3.33332819422e-1f})
      p = arith::AddFOp::create(b, loc, arith::MulFOp::create(b, loc, p, square), constant(c));
    Value near = arith::AddFOp::create(b, loc, x, arith::MulFOp::create(b, loc, x, arith::MulFOp::create(b, loc, p, square)));
    Value power = math::ExpOp::create(b, loc, arith::AddFOp::create(b, loc, size, size));
    Value two = constant(2), one = constant(1);
    Value far = arith::SubFOp::create(b, loc, one, arith::DivFOp::create(b, loc, two, arith::AddFOp::create(b, loc, power, one)));
    far = math::CopySignOp::create(b, loc, far, x);
    Value small = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OLT, size, constant(0.625f));
    b.replaceOpWithNewOp<arith::SelectOp>(op, small, near, far);
    return success();
  }
};

// What exp gives below the normal numbers is 0 (rule E10), as the arithmetic above has it.
struct FlushExpPass : PassWrapper<FlushExpPass, OperationPass<>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(FlushExpPass)
  StringRef getArgument() const final { return "attn-flush-exp"; }
  StringRef getDescription() const final { return "Replace subnormal results of exp in f32 by 0"; }
  void runOnOperation() final {
    getOperation()->walk([](math::ExpOp op) {
      if (!op.getType().isF32()) return;
      OpBuilder b(op->getContext());
      b.setInsertionPointAfter(op);
      Value least = arith::ConstantOp::create(b, op.getLoc(), b.getF32FloatAttr(std::numeric_limits<float>::min()));
      Value zero = arith::ConstantOp::create(b, op.getLoc(), b.getF32FloatAttr(0));
      auto tiny = arith::CmpFOp::create(b, op.getLoc(), arith::CmpFPredicate::OLT, op, least);
      auto flushed = arith::SelectOp::create(b, op.getLoc(), tiny, zero, op);
      op.getResult().replaceUsesWithIf(flushed, [&](OpOperand &use) { return use.getOwner() != tiny && use.getOwner() != flushed; });
    });
  }
};

struct MathPass : PassWrapper<MathPass, OperationPass<>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(MathPass)
  StringRef getArgument() const final { return "attn-math"; }
  StringRef getDescription() const final { return "Turn elementary functions of f32 into arithmetic"; }
  void getDependentDialects(DialectRegistry &registry) const final { registry.insert<arith::ArithDialect, math::MathDialect, vector::VectorDialect>(); }
  void runOnOperation() final {
    RewritePatternSet patterns(&getContext());
    patterns.add<Tanh>(&getContext(), /*benefit=*/10);
    populateMathPolynomialApproximationPatterns(patterns, [](StringRef name) {
      return name == math::ExpOp::getOperationName() || name == math::LogOp::getOperationName() || name == math::Log1pOp::getOperationName() ||
             name == math::ErfOp::getOperationName();
    });
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns)))) signalPassFailure();
  }
};

}  // namespace

std::unique_ptr<Pass> createFlushExpPass() { return std::make_unique<FlushExpPass>(); }
std::unique_ptr<Pass> createMathPass() { return std::make_unique<MathPass>(); }

}  // namespace fovea
