// mlir-opt with the attn dialect and our passes, each under its flag.
#include "lowering/Passes.h"
#include "lowering/Pipeline.h"

#include "mlir/InitAllPasses.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"

int main(int argc, char **argv) {
  mlir::registerAllPasses();
  fovea::registerPasses();
  mlir::PassPipelineRegistration<> host("fovea-host", "everything from attn on tensors to the LLVM dialect", [](mlir::OpPassManager &pm) {
    fovea::buildLoopsPipeline(pm);
    fovea::buildHostPipeline(pm);
  });
  mlir::PassPipelineRegistration<> oracle("fovea-oracle", "the oracle: upstream lowering of the decomposed ops", fovea::buildOraclePipeline);
  mlir::DialectRegistry registry;
  fovea::registerDialects(registry);
  return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, "fovea-opt: attn dialect optimiser\n", registry));
}
