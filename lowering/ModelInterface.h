// The one symbol of a model's object: the table that the program's runtime reads (runtime/program/table.h).
#ifndef FOVEA_LOWERING_MODELINTERFACE_H
#define FOVEA_LOWERING_MODELINTERFACE_H

#include "mlir/IR/BuiltinOps.h"

#include <string>
#include <vector>

namespace fovea {

// Adds `fovea_model_table` to a module in the LLVM dialect that defines STAGE.impl for each of `stages`, which run on `device` unless that is empty.
void addModelInterface(mlir::ModuleOp module, const std::vector<std::string> &stages, const std::string &json, const std::vector<std::string> &files, const std::string &device);

}  // namespace fovea

#endif  // FOVEA_LOWERING_MODELINTERFACE_H
