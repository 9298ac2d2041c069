#include "lowering/Passes.h"

#include "mlir/Pass/PassRegistry.h"

namespace fovea {

void registerPasses() {
  for (auto create : {createDecomposePass, createFusePass, createSchedulePass, createTileAttendPass, createTileContractPass, createCopiesPass, createLoopsPass, createMathPass, createReusePass, createArenaPass, createOutlineParallelPass, createHostInterfacePass})
    mlir::registerPass(create);
}

}  // namespace fovea
