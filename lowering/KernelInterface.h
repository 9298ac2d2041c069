// The public face of a kernel inside its object: its descriptor and the C function that users call.
#ifndef FOVEA_LOWERING_KERNELINTERFACE_H
#define FOVEA_LOWERING_KERNELINTERFACE_H

#include "frontend/Core.h"
#include "lowering/halide/LeafSpec.h"
#include "mlir/IR/BuiltinOps.h"

#include <cstdint>
#include <string>
#include <vector>

namespace fovea {

// Adds, to a module in the LLVM dialect that defines NAME.impl:
//   int NAME(const DLTensor *q, ..., float scale, ..., DLTensor *o)   the public function
//   int NAME_call(void **arguments)                                   the same on an array, for `fovea run`; sealing hides it
// Both check their arguments against the descriptor (`words`, `strings`; runtime/kernel/descriptor.h) before NAME.impl runs.
void addKernelInterface(mlir::ModuleOp module, const core::Function &kernel, const std::string &name, const std::vector<int32_t> &words,
                        const std::string &strings, bool onDevice = false);

// Of kernels for several targets, each a module: NAME.impl becomes NAME.impl.TARGET, and nothing else is seen from outside.
void exportImplementations(mlir::ModuleOp module, const std::vector<std::string> &names, const std::string &target);

// Adds NAME.impl, which calls one NAME.impl.TARGET of these (fovea_rt_choose of runtime/kernel/runtime.h).
void addChoice(mlir::ModuleOp module, const std::string &name, const std::vector<leaf::TargetInfo> &targets);

}  // namespace fovea

#endif  // FOVEA_LOWERING_KERNELINTERFACE_H
