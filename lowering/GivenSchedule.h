// Schedules that the program gives (rule K10): its settings replace what attn-schedule chose.
#ifndef FOVEA_LOWERING_GIVENSCHEDULE_H
#define FOVEA_LOWERING_GIVENSCHEDULE_H

#include "frontend/Core.h"
#include "lowering/halide/LeafSpec.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

namespace fovea {

// Puts the kernel's schedule for `target`, if it has one, on a function made of it, as the attribute `attn.schedule`.
void giveSchedule(mlir::func::FuncOp function, const core::Function &kernel, const std::vector<std::string> &files, llvm::StringRef target);

// Applies these attributes to the schedules of the functions' attn.attend ops, which have been chosen. A setting that the target or an op
// does not allow is an error at its place.
mlir::LogicalResult applyGivenSchedules(mlir::ModuleOp module, const leaf::TargetInfo &target);

}  // namespace fovea

#endif  // FOVEA_LOWERING_GIVENSCHEDULE_H
