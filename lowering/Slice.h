// What a value of a body is computed from. A body is a graph, not a tree: what is used often is looked at once.
#ifndef FOVEA_LOWERING_SLICE_H
#define FOVEA_LOWERING_SLICE_H

#include "mlir/IR/Block.h"
#include "mlir/IR/Value.h"

namespace fovea {

// Whether `which` holds for the value, or for one behind it in the block: its arguments and the results of its operations, and what they read from outside.
bool anyBehind(mlir::Value value, mlir::Block *block, llvm::function_ref<bool(mlir::Value)> which);

// The operations of the block that compute the value, in their order there. Nothing is looked for behind what `known` holds for.
llvm::SmallVector<mlir::Operation *> sliceOf(mlir::Value value, mlir::Block *block, llvm::function_ref<bool(mlir::Value)> known = {});

}  // namespace fovea

#endif  // FOVEA_LOWERING_SLICE_H
