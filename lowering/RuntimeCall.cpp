#include "lowering/RuntimeCall.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

using namespace mlir;

namespace fovea {

Value callRuntime(OpBuilder &b, Location loc, StringRef name, TypeRange result, ValueRange arguments) {
  Operation *here = b.getInsertionBlock()->getParentOp();
  auto module = isa<ModuleOp>(here) ? cast<ModuleOp>(here) : here->getParentOfType<ModuleOp>();
  if (!module.lookupSymbol(name)) {
    OpBuilder top = OpBuilder::atBlockBegin(module.getBody());
    func::FuncOp::create(top, module.getLoc(), name, top.getFunctionType(arguments.getTypes(), result)).setPrivate();
  }
  auto call = func::CallOp::create(b, loc, name, result, arguments);
  return call.getNumResults() ? call.getResult(0) : Value();
}

}  // namespace fovea
