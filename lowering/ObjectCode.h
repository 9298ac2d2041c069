// LLVM dialect to object code through LLVM's own code generator.
#ifndef FOVEA_LOWERING_OBJECTCODE_H
#define FOVEA_LOWERING_OBJECTCODE_H

#include "lowering/Timing.h"

#include "mlir/IR/BuiltinOps.h"

#include <string>

namespace fovea {

// What code is generated for: LLVM's names.
struct Machine {
  std::string cpu = "x86-64";
  std::string features;  // "+avx2,-amx-tile"
};

// The CPU that a target name of the command line stands for; false if the name is unknown. `host` is this machine.
bool machineFor(const std::string &target, Machine &machine);

// Object code (or assembly text) of a module in the LLVM dialect. Position independent. Empty with `error` set on failure.
std::string objectCode(mlir::ModuleOp module, const Machine &machine, int optimisation, bool assembly, std::string &error, Timing *timing);

}  // namespace fovea

#endif  // FOVEA_LOWERING_OBJECTCODE_H
