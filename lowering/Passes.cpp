#include "lowering/Passes.h"

#include "mlir/Pass/PassRegistry.h"

namespace fovea {

void registerPasses() {
  for (auto create : {createDecomposePass, createLoopsPass, createArenaPass, createOutlineParallelPass, createHostInterfacePass})
    mlir::registerPass(create);
}

}  // namespace fovea
