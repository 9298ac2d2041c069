#include "lowering/Passes.h"

#include "mlir/Pass/PassRegistry.h"

namespace fovea {

void registerPasses() {
  for (auto create : {createDecomposePass, createDecomposeUnfusedPass, createFusePass, createSchedulePass, createQuantisePass, createDilatePass, createTileAttendPass, createTileQuantisedPass, createTileContractPass, createFillsPass, createCopiesPass, createLoopsPass, createCountOnlyPass, createFlushExpPass, createMathPass, createReusePass, createArenaPass, createOutlineParallelPass, createHostInterfacePass})
    mlir::registerPass(create);
}

}  // namespace fovea
