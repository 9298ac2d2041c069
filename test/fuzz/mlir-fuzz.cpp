// Mutated .mlir texts through the parser and the verifiers, with the dialects of fovea-opt: any bytes give a module or errors.
#include "lowering/Pipeline.h"
#include "lowering/Readable.h"
#include "test/fuzz/Fuzz.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"

static bool check(const std::string &text, std::string &fault) {
  if (fovea::unreadableProperties(text)) return false;
  static const mlir::DialectRegistry *registry = [] {
    auto made = new mlir::DialectRegistry;
    fovea::registerDialects(*made);
    return made;
  }();
  mlir::MLIRContext context(*registry, mlir::MLIRContext::Threading::DISABLED);
  unsigned errors = 0;
  context.getDiagEngine().registerHandler([&](mlir::Diagnostic &diagnostic) {
    errors += diagnostic.getSeverity() == mlir::DiagnosticSeverity::Error;
    (void)diagnostic.str();
    return mlir::success();
  });
  auto module = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
  if (bool(module) == (errors > 0)) fault = "neither a module nor an error, or both";
  return bool(module);
}

int main(int argc, char **argv) { return fovea::fuzz(argc, argv, check); }
