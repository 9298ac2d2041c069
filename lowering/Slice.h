// What a value of a body is computed from. A body is a graph, not a tree: what is used often is looked at once.
#ifndef FOVEA_LOWERING_SLICE_H
#define FOVEA_LOWERING_SLICE_H

#include "mlir/IR/Builders.h"

namespace fovea {

// Whether `which` holds for the value, or for one behind it in the block: its arguments and the results of its operations, and what they read from outside.
bool anyBehind(mlir::Value value, mlir::Block *block, llvm::function_ref<bool(mlir::Value)> which);

// The value computed again where the builder stands: clones of the block's operations behind it, up to what `here` gives a value for.
mlir::Value cloneBehind(mlir::OpBuilder &b, mlir::Value value, mlir::Block *block, llvm::function_ref<mlir::Value(mlir::Value)> here);

}  // namespace fovea

#endif  // FOVEA_LOWERING_SLICE_H
