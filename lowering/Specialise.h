// Kernels compiled for the extents that a constraint lists, `d in {64, 128}` (rule K5), and the choice between them.
#ifndef FOVEA_LOWERING_SPECIALISE_H
#define FOVEA_LOWERING_SPECIALISE_H

#include "frontend/Core.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

namespace fovea {

// The kernel with every combination of listed extents fixed; none when nothing is listed, when there are more than eight, or when a listed
// index is no axis of a parameter.
std::vector<core::Function> specialised(const core::Function &kernel);

// Whether extents that are not listed are allowed too.
bool takesOtherExtents(const core::Function &kernel);

// Adds the kernel's entry: it calls the function of `functions` (one a version) whose extents are those of its arguments, else `any`.
mlir::func::FuncOp addDispatch(mlir::ModuleOp module, const core::Function &kernel, const std::vector<core::Function> &versions,
                               llvm::ArrayRef<mlir::func::FuncOp> functions, mlir::func::FuncOp any);

}  // namespace fovea

#endif  // FOVEA_LOWERING_SPECIALISE_H
