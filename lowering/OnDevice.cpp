#include "lowering/OnDevice.h"

#include "runtime/device/launch.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"

using namespace mlir;

namespace fovea {

LLVM::LLVMFuncOp runOnDevice(ModuleOp module, const std::string &name, const std::string &device, const std::string &runtime, ArrayRef<LLVM::GlobalOp> described, LLVM::LLVMFuncOp body) {
  OpBuilder b = OpBuilder::atBlockEnd(module.getBody());
  Location loc = b.getUnknownLoc();
  Type pointer = LLVM::LLVMPointerType::get(module.getContext()), i32 = b.getI32Type();
  auto enter = module.lookupSymbol<LLVM::LLVMFuncOp>(runtime);
  if (!enter) {
    SmallVector<Type> types{i32};
    types.append(described.size() + 2, pointer);
    enter = LLVM::LLVMFuncOp::create(b, loc, runtime, LLVM::LLVMFunctionType::get(i32, types));
  }
  auto function = LLVM::LLVMFuncOp::create(b, loc, name, LLVM::LLVMFunctionType::get(i32, {pointer}), LLVM::Linkage::Internal);
  b.setInsertionPointToStart(function.addEntryBlock(b));
  SmallVector<Value> arguments{LLVM::ConstantOp::create(b, loc, b.getI32IntegerAttr(device == "cuda" ? FOVEA_DEVICE_CUDA : FOVEA_DEVICE_OPENCL))};
  for (LLVM::GlobalOp global : described) arguments.push_back(LLVM::AddressOfOp::create(b, loc, global));
  arguments.append({LLVM::AddressOfOp::create(b, loc, body), function.getArgument(0)});
  LLVM::ReturnOp::create(b, loc, LLVM::CallOp::create(b, loc, enter, arguments).getResults());
  return function;
}

}  // namespace fovea
