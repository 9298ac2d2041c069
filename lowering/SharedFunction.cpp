#include "lowering/SharedFunction.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

using namespace mlir;

namespace fovea {

void callShared(OpBuilder &b, Location loc, StringRef name, ValueRange arguments, function_ref<void(OpBuilder &, ValueRange)> build) {
  auto module = b.getInsertionBlock()->getParentOp()->getParentOfType<ModuleOp>();
  if (!module.lookupSymbol(name)) {
    OpBuilder top = OpBuilder::atBlockBegin(module.getBody());
    auto f = func::FuncOp::create(top, loc, name, top.getFunctionType(arguments.getTypes(), {}));
    f.setPrivate();
    f->setAttr("passthrough", top.getStrArrayAttr({"noinline"}));
    OpBuilder body = OpBuilder::atBlockBegin(f.addEntryBlock());
    func::ReturnOp end = func::ReturnOp::create(body, loc);
    body.setInsertionPoint(end);
    build(body, f.getArguments());
  }
  func::CallOp::create(b, loc, name, TypeRange{}, arguments);
}

}  // namespace fovea
