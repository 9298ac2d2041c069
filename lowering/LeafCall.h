// How host code asks for a leaf and calls it (lowering/halide/LeafSpec.h).
#ifndef FOVEA_LOWERING_LEAFCALL_H
#define FOVEA_LOWERING_LEAFCALL_H

#include "lowering/halide/LeafSpec.h"
#include "lowering/halide/NestSpec.h"
#include "llvm/ADT/StringMap.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"

namespace fovea {

// Names the leaf by its content, lists it in the module's `attn.leaves` and declares its function, once. A specification that
// fovea-leaf would refuse is an error at `op`.
mlir::LogicalResult declareLeaf(mlir::Operation *op, mlir::ModuleOp module, leaf::LeafSpec &spec);

// The same for a nest: what is declared is its function of an array of arguments, `NAME_argv`.
mlir::LogicalResult declareNest(mlir::Operation *op, mlir::ModuleOp module, leaf::NestSpec &spec);

// Calls a declared leaf with the arguments of its signature by name; one that is not given is 0.
void callLeaf(mlir::OpBuilder &b, mlir::Location loc, const leaf::LeafSpec &spec, const llvm::StringMap<mlir::Value> &named);

}  // namespace fovea

#endif  // FOVEA_LOWERING_LEAFCALL_H
