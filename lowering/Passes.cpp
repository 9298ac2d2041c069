#include "lowering/Passes.h"

#include "mlir/Pass/PassRegistry.h"

namespace fovea {

void registerPasses() {
  for (auto create : {createDecomposePass, createDecomposeUnfusedPass, createFusePass, createSchedulePass, createQuantisePass, createDilatePass, createProfilePass, createTileAttendPass, createTileQuantisedPass, createTileContractPass, createFixedPointPass, createFusePointsPass, createFillsPass, createCopiesPass, createLoopsPass, createLaunchPass, createCountOnlyPass, createFlushExpPass, createMathPass, createReusePass, createArenaPass, createDeviceMemoryPass, createOutlineParallelPass, createHostInterfacePass})
    mlir::registerPass(create);
}

}  // namespace fovea
