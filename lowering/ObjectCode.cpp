#include "lowering/ObjectCode.h"

#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/Triple.h"
#include "llvm/Transforms/IPO/MergeFunctions.h"
#include "llvm/Transforms/Scalar/LoopIdiomRecognize.h"
#include "mlir/Target/LLVMIR/Export.h"

using namespace mlir;

namespace fovea {

bool machineFor(const std::string &target, Machine &machine) {
  if (target == "host") {
    machine.cpu = llvm::sys::getHostCPUName().str();
    std::string features;
    for (const auto &feature : llvm::sys::getHostCPUFeatures()) features += (features.empty() ? "" : ",") + std::string(feature.second ? "+" : "-") + feature.first().str();
    machine.features = features;
    return true;
  }
  static const std::pair<const char *, const char *> table[] = {
      {"x86-64-v2", "x86-64-v2"}, {"x86-64-v3", "x86-64-v3"}, {"x86-64-v4", "x86-64-v4"}, {"zen4", "znver4"}, {"sapphirerapids", "sapphirerapids"},
  };
  for (auto [name, cpu] : table)
    if (target == name) {
      machine.cpu = cpu;
      machine.features.clear();
      return true;
    }
  return false;
}

// Functions that are equal become one, before anything is spent on them: the loops of a model's equal layers, what a kernel's versions do alike.
// Nobody compares the addresses of those that are not seen from outside, so that uses of one may become uses of another.
static void mergeFunctions(llvm::Module &module, llvm::ModuleAnalysisManager &analyses) {
  for (llvm::Function &f : module)
    if (!f.isDeclaration() && f.hasLocalLinkage()) f.setUnnamedAddr(llvm::GlobalValue::UnnamedAddr::Global);
  llvm::MergeFunctionsPass().run(module, analyses);
}

// LLVM's passes, without its loop vectoriser: attn-loops has made the vectors there are to make, and the vectoriser's analysis of
// values that are the same in every lane is exponential in their depth (a softplus under two exponentials takes hours). The search for
// loops that are a CRC goes: it is exponential in a loop's body too (a minimum of 40 values, 64 times over, does not end).
static void optimise(llvm::Module &module, llvm::TargetMachine &machine, int level) {
  llvm::DisableLIRP::HashRecognize = true;
  llvm::PipelineTuningOptions tuning;
  tuning.LoopInterleaving = tuning.LoopVectorization = false;
  tuning.SLPVectorization = level > 1;
  llvm::PassBuilder builder(&machine, tuning);
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager components;
  llvm::ModuleAnalysisManager modules;
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(components);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, components, modules);
  mergeFunctions(module, modules);
  llvm::OptimizationLevel levels[] = {llvm::OptimizationLevel::O0, llvm::OptimizationLevel::O1, llvm::OptimizationLevel::O3};
  builder.buildPerModuleDefaultPipeline(levels[std::min(level, 2)]).run(module, modules);
}

std::string objectCode(ModuleOp module, const Machine &machine, int optimisation, bool assembly, std::string &error, Timing *timing) {
  static bool initialised = [] {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
    return true;
  }();
  (void)initialised;
  Timing::Phase translating(timing, "translate to LLVM");
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> llvmModule = translateModuleToLLVMIR(module, context);
  if (!llvmModule) {
    error = "translation to LLVM IR failed";
    return {};
  }
  llvm::Triple triple("x86_64-unknown-linux-gnu");
  const llvm::Target *target = llvm::TargetRegistry::lookupTarget(triple, error);
  if (!target) return {};
  // Without optimisation LLVM's allocator does not know tile registers that live on from one block to the next.
  if (llvmModule->getFunction("llvm.x86.tdpbf16ps.internal")) optimisation = std::max(optimisation, 1);
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Standard;
  std::unique_ptr<llvm::TargetMachine> codegen(target->createTargetMachine(
      triple, machine.cpu, machine.features, options, llvm::Reloc::PIC_, std::nullopt,
      optimisation > 1   ? llvm::CodeGenOptLevel::Default
      : optimisation == 1 ? llvm::CodeGenOptLevel::Less
                          : llvm::CodeGenOptLevel::None));
  if (!codegen) {
    error = "no code generator for " + machine.cpu;
    return {};
  }
  llvmModule->setTargetTriple(triple);
  llvmModule->setDataLayout(codegen->createDataLayout());
  for (llvm::Function &f : *llvmModule) {
    f.addFnAttr("target-cpu", machine.cpu);
    if (!machine.features.empty()) f.addFnAttr("target-features", machine.features);
    f.addFnAttr("prefer-vector-width", "512");
  }
  translating.end();
  Timing::Phase optimising(timing, "LLVM passes");
  optimise(*llvmModule, *codegen, optimisation);
  optimising.end();
  Timing::Phase generating(timing, "LLVM code generation");
  llvm::SmallVector<char, 0> buffer;
  llvm::raw_svector_ostream stream(buffer);
  llvm::legacy::PassManager passes;
  if (codegen->addPassesToEmitFile(passes, stream, nullptr, assembly ? llvm::CodeGenFileType::AssemblyFile : llvm::CodeGenFileType::ObjectFile)) {
    error = "the code generator cannot write this form";
    return {};
  }
  passes.run(*llvmModule);
  return std::string(buffer.begin(), buffer.end());
}

}  // namespace fovea
