// mlir-opt with the attn dialect and our passes, each under its flag. The work is done in a process of its own: LLVM's parser of .mlir files does not
// survive every text (properties that are no dictionary, a name used in one function and defined in another), and then there is still an error.
#include "dialect/Register.h"
#include "lowering/Passes.h"
#include "lowering/Pipeline.h"

#include "mlir/InitAllPasses.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Support/FileUtilities.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/ToolOutputFile.h"

#include <cerrno>
#include <cstring>
#include <sys/wait.h>
#include <unistd.h>

// The output file is opened when there is something to write: one that ends early leaves none.
static int optimise(const std::string &input, const std::string &output, mlir::DialectRegistry &registry) {
  std::string error, written;
  auto text = mlir::openInputFile(input, &error);
  if (!text) return llvm::errs() << "fovea-opt: " << error << "\n", EXIT_FAILURE;
  llvm::raw_string_ostream stream(written);
  bool done = mlir::succeeded(mlir::MlirOptMain(stream, std::move(text), registry, mlir::MlirOptMainConfig::createFromCLOptions()));
  if (!done && output != "-") return EXIT_FAILURE;
  auto file = mlir::openOutputFile(output, &error);
  if (!file) return llvm::errs() << "fovea-opt: " << error << "\n", EXIT_FAILURE;
  file->os() << written;
  file->keep();
  return done ? EXIT_SUCCESS : EXIT_FAILURE;
}

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

  pid_t child = fork();
  if (child == 0) {
    int code = optimise(input, output, registry);
    llvm::outs().flush();
    _exit(code);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return llvm::errs() << "fovea-opt: no process: " << std::strerror(errno) << "\n", EXIT_FAILURE;
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  llvm::errs() << "fovea-opt: error: " << input << ": the parser or a pass ended by signal " << WTERMSIG(status) << " (" << strsignal(WTERMSIG(status))
               << "); --mlir-print-ir-before-all shows how far it came\n";
  return EXIT_FAILURE;
}
