#include "lowering/LeafCall.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;

namespace fovea {

static void list(ModuleOp module, const std::string &spec) {
  OpBuilder b(module.getContext());
  SmallVector<Attribute> leaves;
  if (auto known = module->getAttrOfType<ArrayAttr>("attn.leaves")) leaves.append(known.begin(), known.end());
  leaves.push_back(b.getStringAttr(spec));
  module->setAttr("attn.leaves", b.getArrayAttr(leaves));
}

LogicalResult declareLeaf(Operation *op, ModuleOp module, leaf::LeafSpec &spec) {
  spec.name = "fovea_leaf_" + leaf::contentHash(spec);
  if (std::string wrong = leaf::check(spec); !wrong.empty()) return op->emitError("leaf: ") << wrong;
  if (module.lookupSymbol(spec.name)) return success();
  OpBuilder b = OpBuilder::atBlockBegin(module.getBody());
  SmallVector<Type> types;
  for (const leaf::Argument &a : leaf::signature(spec))
    types.push_back(a.kind == leaf::Argument::Pointer ? Type(LLVM::LLVMPointerType::get(b.getContext())) : a.kind == leaf::Argument::Int ? Type(b.getI32Type()) : Type(b.getF32Type()));
  func::FuncOp::create(b, op->getLoc(), spec.name, b.getFunctionType(types, {b.getI32Type()})).setPrivate();
  list(module, leaf::toJson(spec));
  return success();
}

LogicalResult declareNest(Operation *op, ModuleOp module, leaf::NestSpec &spec) {
  spec.name = "fovea_nest_" + leaf::contentHash(spec);
  if (std::string wrong = leaf::check(spec); !wrong.empty()) return op->emitError("nest: ") << wrong;
  const std::string name = spec.name + "_argv";
  if (module.lookupSymbol(name)) return success();
  OpBuilder b = OpBuilder::atBlockBegin(module.getBody());
  func::FuncOp::create(b, op->getLoc(), name, b.getFunctionType(LLVM::LLVMPointerType::get(b.getContext()), b.getI32Type())).setPrivate();
  list(module, leaf::toJson(spec));
  return success();
}

void callLeaf(OpBuilder &b, Location loc, const leaf::LeafSpec &spec, const llvm::StringMap<Value> &named) {
  SmallVector<Value> arguments;
  for (const leaf::Argument &a : leaf::signature(spec)) {
    Value v = named.lookup(a.name);
    arguments.push_back(v ? v : Value(arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(0))));
  }
  func::CallOp::create(b, loc, spec.name, TypeRange{b.getI32Type()}, arguments);
}

}  // namespace fovea
