// A function that has the devices' runtime call another one on a device (runtime/device/launch.h).
#ifndef FOVEA_LOWERING_ONDEVICE_H
#define FOVEA_LOWERING_ONDEVICE_H

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

#include <string>

namespace fovea {

// Adds `i32 name(ptr args)`, which returns runtime(kind of `device`, described..., body, args); `described` are constants.
mlir::LLVM::LLVMFuncOp runOnDevice(mlir::ModuleOp module, const std::string &name, const std::string &device, const std::string &runtime, llvm::ArrayRef<mlir::LLVM::GlobalOp> described,
                                   mlir::LLVM::LLVMFuncOp body);

}  // namespace fovea

#endif  // FOVEA_LOWERING_ONDEVICE_H
