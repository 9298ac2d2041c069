// attn-device-memory: in the LLVM dialect, temporaries of code for a GPU are the device's memory (runtime/device/launch.h).
#include "lowering/Passes.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/BuiltinOps.h"

using namespace mlir;

namespace fovea {
namespace {

struct DeviceMemoryPass : PassWrapper<DeviceMemoryPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(DeviceMemoryPass)
  StringRef getArgument() const final { return "attn-device-memory"; }
  StringRef getDescription() const final { return "Take temporaries from the device"; }
  void runOnOperation() final {
    ModuleOp module = getOperation();
    for (auto [ours, theirs] : {std::pair("_mlir_memref_to_llvm_alloc", "fovea_rt_device_alloc"), std::pair("_mlir_memref_to_llvm_free", "fovea_rt_device_free")})
      if (auto function = module.lookupSymbol<LLVM::LLVMFuncOp>(ours)) {
        if (failed(SymbolTable::replaceAllSymbolUses(function, StringAttr::get(&getContext(), theirs), module))) return signalPassFailure();
        function.setSymName(theirs);
      }
  }
};

}  // namespace

std::unique_ptr<Pass> createDeviceMemoryPass() { return std::make_unique<DeviceMemoryPass>(); }

}  // namespace fovea
