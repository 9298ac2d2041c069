// Calls of functions of runtime/kernel/runtime.h.
#ifndef FOVEA_LOWERING_RUNTIMECALL_H
#define FOVEA_LOWERING_RUNTIMECALL_H

#include "mlir/IR/Builders.h"

namespace fovea {

// Declares the function if the module does not know it; its result, if it has one.
mlir::Value callRuntime(mlir::OpBuilder &b, mlir::Location loc, llvm::StringRef name, mlir::TypeRange result, mlir::ValueRange arguments);

}  // namespace fovea

#endif  // FOVEA_LOWERING_RUNTIMECALL_H
