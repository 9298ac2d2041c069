// Core to MLIR: attn + linalg + arith + math over tensors, with source locations kept.
#ifndef FOVEA_FRONTEND_EMIT_EMIT_H
#define FOVEA_FRONTEND_EMIT_EMIT_H

#include "frontend/Core.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

#include <set>
#include <string>
#include <vector>

namespace fovea {

struct EmitOptions {
  bool f64 = false;         // arithmetic and float results in f64: the oracle
  bool contiguous = false;  // tensors are compact (a model's stages), except caches; else strides are free but the innermost is 1
  bool rows = false;        // what would hold a value for each pair of long indices is computed row by row
  bool blocks = false;      // of several rows the products are taken at once
  std::set<core::NodeId> unfused;  // aggregates that attn-fuse refused: `attn.node` of an attn.aggregate
};

// Emits `function` as func.func @name. Its arguments are the parameters in the order of the C signature (core's `parameters`), then,
// if some tensor is Encoded, the map from hypothesis to source (memref<?xi32>), then one memref per result.
// A construct that cannot be emitted is reported through the context's diagnostics and gives a null function.
mlir::func::FuncOp emit(const core::Function &function, mlir::ModuleOp module, const std::string &name, const std::vector<std::string> &files,
                        const EmitOptions &options);

}  // namespace fovea

#endif  // FOVEA_FRONTEND_EMIT_EMIT_H
