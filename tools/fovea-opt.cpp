// mlir-opt with the attn dialect and our passes, each under its flag.
#include "lowering/Passes.h"
#include "lowering/Pipeline.h"
#include "lowering/Readable.h"

#include "mlir/InitAllPasses.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Support/FileUtilities.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/ToolOutputFile.h"

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
  auto [input, output] = mlir::registerAndParseCLIOptions(argc, argv, "fovea-opt: attn dialect optimiser\n", registry);
  std::string error;
  auto text = mlir::openInputFile(input, &error);
  auto out = text ? mlir::openOutputFile(output, &error) : nullptr;
  if (!out) return llvm::errs() << "fovea-opt: " << error << "\n", EXIT_FAILURE;
  if (size_t line = fovea::unreadableProperties(text->getBuffer())) {
    llvm::errs() << input << ":" << line << ": error: the properties of an operation are a dictionary, `<{...}>`, and the elements of an `array<...>` no index\n";
    return EXIT_FAILURE;
  }
  auto done = mlir::MlirOptMain(out->os(), std::move(text), registry, mlir::MlirOptMainConfig::createFromCLOptions());
  if (mlir::succeeded(done)) out->keep();
  return mlir::asMainReturnCode(done);
}
