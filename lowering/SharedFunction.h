// Functions of the module that we write ourselves and that many places call.
#ifndef FOVEA_LOWERING_SHAREDFUNCTION_H
#define FOVEA_LOWERING_SHAREDFUNCTION_H

#include "mlir/IR/Builders.h"

namespace fovea {

// Calls the module's function `name`; the first call makes it, without results, and `build` writes its body on its arguments. It is never inlined.
void callShared(mlir::OpBuilder &b, mlir::Location loc, llvm::StringRef name, mlir::ValueRange arguments, llvm::function_ref<void(mlir::OpBuilder &, mlir::ValueRange)> build);

}  // namespace fovea

#endif  // FOVEA_LOWERING_SHAREDFUNCTION_H
