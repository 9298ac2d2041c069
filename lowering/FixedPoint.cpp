// attn-fixed-point: a loop that does the same at every step is over when its states no longer change: root finding (sparsemax, entmax) with
// thirty steps in its text takes the six or ten that a row needs. States that are one number are compared bit by bit, so what comes out is
// the same; others are left alone.
//
//   for n { s = next(s) }   ->   moving = true; for n { if moving { s' = next(s); moving = bits(s') != bits(s); s = s' } }
#include "dialect/Mark.h"
#include "lowering/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;

namespace fovea {
namespace {

// One step costs at least a reduction: a compare and a branch beside it are nothing.
bool isIteration(scf::ForOp loop) {
  auto isNumber = [](Type type) {
    auto tensor = dyn_cast<RankedTensorType>(type);
    return tensor && tensor.getRank() == 0;
  };
  if (!loop.getInductionVar().use_empty() || loop.getNumResults() == 0 || !llvm::all_of(loop.getResultTypes(), isNumber)) return false;
  return llvm::all_of(loop.getBody()->without_terminator(), [](Operation &op) { return isMemoryEffectFree(&op); });
}

// Whether the bits of two numbers differ.
Value differ(OpBuilder &b, Location loc, Value x, Value y) {
  Type bits = b.getIntegerType(x.getType().getIntOrFloatBitWidth());
  if (x.getType() != bits) x = arith::BitcastOp::create(b, loc, bits, x), y = arith::BitcastOp::create(b, loc, bits, y);
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne, x, y);
}

void stopAtFixedPoint(scf::ForOp loop) {
  OpBuilder b(loop);
  Location loc = loop.getLoc();
  SmallVector<Value> inits(loop.getInitArgs());
  inits.push_back(arith::ConstantOp::create(b, loc, b.getBoolAttr(true)));
  auto stopping = scf::ForOp::create(b, loc, loop.getLowerBound(), loop.getUpperBound(), loop.getStep(), inits, [&](OpBuilder &body, Location, Value, ValueRange arguments) {
    ValueRange states = arguments.drop_back();
    auto step = scf::IfOp::create(
        body, loc, arguments.back(),
        [&](OpBuilder &moving, Location) {
          SmallVector<Value> before;  // read first: the new value may take the old one's memory
          for (Value state : states) before.push_back(tensor::ExtractOp::create(moving, loc, state, ValueRange{}));
          IRMapping mapping;
          mapping.map(loop.getRegionIterArgs(), states);
          for (Operation &op : loop.getBody()->without_terminator()) moving.clone(op, mapping);
          SmallVector<Value> results;
          Value changed;
          for (auto [old, yielded] : llvm::zip(before, loop.getBody()->getTerminator()->getOperands())) {
            results.push_back(mapping.lookupOrDefault(yielded));
            Value here = differ(moving, loc, old, tensor::ExtractOp::create(moving, loc, results.back(), ValueRange{}));
            changed = changed ? Value(arith::OrIOp::create(moving, loc, changed, here)) : here;
          }
          results.push_back(changed);
          scf::YieldOp::create(moving, loc, results);
        },
        [&](OpBuilder &done, Location) { scf::YieldOp::create(done, loc, arguments); });
    scf::YieldOp::create(body, loc, step.getResults());
  });
  loop.replaceAllUsesWith(stopping.getResults().drop_back());
  loop.erase();
}

struct FixedPointPass : PassWrapper<FixedPointPass, OperationPass<>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(FixedPointPass)
  StringRef getArgument() const final { return "attn-fixed-point"; }
  StringRef getDescription() const final { return "End a loop whose states, single numbers, no longer change"; }
  void runOnOperation() final {
    if (isCounting(getOperation())) return;  // counts of points are those of every step, and are known before any state is
    SmallVector<scf::ForOp> loops;
    getOperation()->walk([&](scf::ForOp loop) {
      if (isIteration(loop)) loops.push_back(loop);
    });
    for (scf::ForOp loop : loops) stopAtFixedPoint(loop);
  }
};

}  // namespace

std::unique_ptr<Pass> createFixedPointPass() { return std::make_unique<FixedPointPass>(); }

}  // namespace fovea
