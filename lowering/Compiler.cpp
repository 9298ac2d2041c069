#include "lowering/Compiler.h"

#include "dialect/Attn.h"
#include "dialect/Register.h"
#include "frontend/emit/Emit.h"
#include "lowering/Count.h"
#include "lowering/DeviceCode.h"
#include "lowering/Explained.h"
#include "lowering/GivenSchedule.h"
#include "lowering/KernelInterface.h"
#include "lowering/ModelInterface.h"
#include "lowering/ObjectCode.h"
#include "lowering/Pipeline.h"
#include "lowering/Specialise.h"
#include "lowering/halide/LeafSpec.h"
#include "lowering/host/Descriptor.h"
#include "runtime/include/fovea/dlpack.h"

#include "llvm/Support/raw_ostream.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/Verifier.h"

using namespace mlir;

namespace fovea {
namespace {

std::string print(ModuleOp module) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  OpPrintingFlags flags;
  module.print(stream, flags);
  return text;
}

using Kernels = std::vector<const core::Function *>;

// One compilation: a context, a module, and what went wrong.
struct Unit {
  const CompileOptions &options;
  DialectRegistry registry;
  std::unique_ptr<MLIRContext> context;
  OwningOpRef<ModuleOp> module;
  std::string message;
  bool mistaken = false;  // by who wrote the program

  explicit Unit(const CompileOptions &options) : options(options) {
    Timing::Phase phase(options.timing, "load dialects");
    registerDialects(registry);
    context = std::make_unique<MLIRContext>(registry, MLIRContext::Threading::DISABLED);
    context->loadAllAvailableDialects();
    context->getDiagEngine().registerHandler([this](Diagnostic &diagnostic) {
      if (diagnostic.getSeverity() != DiagnosticSeverity::Error || !message.empty()) return success();
      llvm::raw_string_ostream stream(message);
      if (auto place = dyn_cast<FileLineColLoc>(diagnostic.getLocation()))
        stream << place.getFilename().getValue() << ":" << place.getLine() << ":" << place.getColumn() << ": ";
      stream << "error: " << diagnostic.str();
      return success();
    });
    module = ModuleOp::create(UnknownLoc::get(context.get()));
    const leaf::TargetInfo *row = isHost() ? leaf::bestTarget(leaf::hostFeatures()) : leaf::findTarget(options.target);
    if (options.counting()) countIn(*module);
    if (options.explained) explain(*module);
    if (row || onDevice()) (*module)->setAttr("attn.target", StringAttr::get(context.get(), row ? row->name : options.target));
  }

  // The oracle runs on the host whatever it is compared with.
  bool isHost() const { return options.target == "host" || options.target == "host-count" || (oracle() && options.ofDevice()); }
  bool oracle() const { return options.arithmetic != CompileOptions::Compiled; }
  bool onDevice() const { return options.onDevice(); }

  // A kernel, specialised for the extents that its constraints list (rule K5).
  bool emitKernel(const core::Function &kernel, const std::vector<std::string> &files) {
    std::vector<core::Function> versions = oracle() ? std::vector<core::Function>() : specialised(kernel);
    if (versions.empty()) return emitEntry(kernel, kernel.name, files, false);
    SmallVector<func::FuncOp> functions;
    for (size_t k = 0; k < versions.size(); k++) {
      func::FuncOp function = emitFunction(versions[k], kernel.name + ".v" + std::to_string(k), files, false);
      if (!function) return false;
      functions.push_back(function);
    }
    func::FuncOp any;
    if (takesOtherExtents(kernel) && !(any = emitFunction(kernel, kernel.name + ".any", files, false))) return false;
    func::FuncOp entry = addDispatch(*module, kernel, versions, functions, any);
    entry->setAttr("llvm.emit_c_interface", UnitAttr::get(context.get()));
    return true;
  }

  bool emitEntry(const core::Function &f, const std::string &name, const std::vector<std::string> &files, bool contiguous) {
    func::FuncOp function = emitFunction(f, name, files, contiguous);
    if (!function) return false;
    function->setAttr("llvm.emit_c_interface", UnitAttr::get(context.get()));
    return true;
  }

  func::FuncOp emitFunction(const core::Function &f, const std::string &name, const std::vector<std::string> &files, bool contiguous) {
    func::FuncOp function = emitFitting(f, name, files, contiguous);
    if (function && options.countOnly) function->setAttr("attn.parameters", IntegerAttr::get(IntegerType::get(context.get(), 64), f.parameters.size()));
    return function;
  }

  func::FuncOp emitFitting(const core::Function &f, const std::string &name, const std::vector<std::string> &files, bool contiguous) {
    Timing::Phase phase(options.timing, "emit " + name);
    EmitOptions emitOptions;
    emitOptions.f64 = options.arithmetic == CompileOptions::OracleF64;
    emitOptions.contiguous = contiguous;
    emitOptions.rows = !oracle() && !onDevice();
    emitOptions.blocks = emitOptions.rows && !contiguous && !options.counting();
    func::FuncOp function = emit(f, *module, name, files, emitOptions);
    // What the fusion refuses would hold every score: it is emitted again, row by row.
    while (emitOptions.rows && function) {
      std::set<core::NodeId> refused = unfused(function);
      if (refused.empty()) break;
      function.erase();
      emitOptions.unfused.insert(refused.begin(), refused.end());
      function = emit(f, *module, name, files, emitOptions);
    }
    if (function && !oracle() && !onDevice() && (*module)->hasAttr("attn.target")) giveSchedule(function, f, files, (*module)->getAttrOfType<StringAttr>("attn.target").getValue());
    if (function && contiguous) function->setAttr("attn.exact_rows", UnitAttr::get(context.get())), function->setAttr("attn.stage", UnitAttr::get(context.get()));  // see Loops.cpp, Profile.cpp
    return function;
  }

  // Of the aggregates of a function that attn-fuse leaves, those that read none of the others, nor the scores of another: without one, what
  // reads it, or shares its scores, may fuse.
  std::set<core::NodeId> unfused(func::FuncOp function) {
    bool any = false;
    function.walk([&](attn::AggregateOp op) { any |= op->hasAttr("attn.node"); });
    if (!any) return {};
    Timing::Phase phase(options.timing, "try fusion");
    OwningOpRef<ModuleOp> trial = ModuleOp::create(UnknownLoc::get(context.get()));
    trial->push_back(function.clone());
    PassManager pm(context.get());
    buildFusePipeline(pm);
    return firstRefused(succeeded(pm.run(*trial)) ? *trial->getOps<func::FuncOp>().begin() : function);
  }

  static std::set<core::NodeId> firstRefused(func::FuncOp function) {
    std::set<core::NodeId> first;
    llvm::DenseSet<Operation *> reached, scores;  // by a value of an aggregate that is left
    for (Operation &op : function.getBody().front()) {
      bool reads = false;
      SmallVector<attn::AggregateOp> inside;
      op.walk([&](Operation *nested) {
        for (Value operand : nested->getOperands()) reads |= reached.contains(operand.getDefiningOp());
        if (auto aggregate = dyn_cast<attn::AggregateOp>(nested); aggregate && aggregate->hasAttr("attn.node")) inside.push_back(aggregate);
      });
      if (!reads && !inside.empty()) {
        attn::AggregateOp aggregate = inside[0];  // of several in one loop, one
        Operation *score = aggregate.getWeights().getDefiningOp();
        if (auto normalise = dyn_cast_or_null<attn::NormaliseOp>(score)) score = normalise.getScore().getDefiningOp();
        if (!score || scores.insert(score).second) first.insert(core::NodeId(aggregate->getAttrOfType<IntegerAttr>("attn.node").getInt()));
      }
      if (reads || !inside.empty()) reached.insert(&op);
    }
    return first;
  }

  bool run(const char *phaseName, void (*build)(OpPassManager &)) {
    Timing::Phase phase(options.timing, phaseName);
    PassManager pm(context.get());
    pm.enableVerifier(true);
    build(pm);
    if (options.timing) options.timing->watch(pm);
    return succeeded(pm.run(*module));
  }

  // The loops are made, so it is known which leaves they call: specifications for fovea-leaf (lowering/halide/LeafSpec.h).
  std::vector<std::string> leafSpecs() {
    std::vector<std::string> specs;
    if (auto leaves = (*module)->getAttrOfType<ArrayAttr>("attn.leaves"))
      for (Attribute leaf : leaves) specs.push_back(cast<StringAttr>(leaf).getValue().str());
    return specs;
  }

  // Everything after emission. `finish` adds what must be in the object beside the functions.
  bool lower(Compiled &out, llvm::function_ref<bool()> finish) {
    if (failed(verify(*module))) return false;
    if (options.form == Form::Attn) return out.text = print(*module), true;
    if (!oracle()) {
      if (!run("fuse", buildFusePipeline)) return false;
      if (options.quantise && !quantise()) return false;
      if (options.form == Form::Fused) return out.text = print(*module), true;
    }
    if (onDevice()) {
      out.onDevice = true;
      if (!run("schedule", buildSchedulePipeline)) return mistaken = true, false;
      if (options.explained) collectUnfused(*module, out.decisions);
      if (options.form == Form::Schedule) return out.text = print(*module), true;
      if (!run("nests", buildNestsPipeline)) return false;
      if (options.explained) collectLaunches(*module, out.decisions);
      if (options.form == Form::Stmt) return out.text = print(*module), true;
      if (options.form == Form::Asm || options.form == Form::Ptx) return deviceCode(leafSpecs(), out.text, message, options.timing);
      out.leaves->begin(leafSpecs());
      return run("host", buildDeviceHostPipeline) && finish() && generate(Machine(), out);
    }
    Machine machine;
    if (!machineFor(isHost() || options.ofDevice() ? "host" : options.target, machine)) {
      message = "target `" + options.target + "` is not supported yet";
      return false;
    }
    if (!oracle()) {
      if (!run("schedule", buildSchedulePipeline)) return mistaken = true, false;  // in a schedule that the program gives
      collectAttends(*module, out.decisions);
      if (options.form == Form::Schedule) return out.text = print(*module), true;
      if (!run("loops", buildLoopsPipeline)) return false;
      collectCounts(*module, out.decisions);
      if (options.countOnly) {
        if (!run("count only", buildCountOnlyPipeline)) return false;
        module->walk([&](func::FuncOp function) {
          if (auto read = function->getAttrOfType<DenseI64ArrayAttr>("attn.reads")) out.reads.assign(read.asArrayRef().begin(), read.asArrayRef().end());
        });
      }
    }
    if (options.form == Form::Object) out.leaves->begin(leafSpecs());
    if (!(oracle() ? run("oracle", buildOraclePipeline) : run("host", buildHostPipeline))) return false;
    if (options.counting()) addCounterTable(*module);
    if (!finish()) return false;
    if (options.form == Form::Stmt) return out.text = print(*module), true;
    return generate(machine, out);
  }

  bool quantise() {
    if (!run("quantise", buildQuantisePipeline)) return false;
    if ((*module)->hasAttr("attn.quantised")) return true;
    message = "there is nothing to quantise: no stage has a product of activations with an f32 parameter of 4096 weights or more that sums 16 or more; build it without --quantize";
    mistaken = true;
    return false;
  }

  // The module is in the LLVM dialect.
  bool generate(const Machine &machine, Compiled &out) {
    std::string code = objectCode(*module, machine, options.quick ? 0 : oracle() ? 1 : 3, options.form == Form::Asm, message, options.timing);
    if (code.empty()) return false;
    if (options.form == Form::Asm) out.text = std::move(code);
    else out.code.push_back(std::move(code));
    return true;
  }

  bool addInterfaces(const Kernels &kernels) {
    for (const core::Function *kernel : kernels) {
      core::Function checked = *kernel;
      if (options.countOnly)  // what is sorted need not be there
        for (core::Tensor &t : checked.tensors) t.sorted = false;
      std::optional<Descriptor> descriptor = describe(checked, message, onDevice() ? leaf::findDevice(options.target)->dlpack : kDLCPU);
      if (!descriptor) return false;
      addKernelInterface(*module, *kernel, kernel->name, descriptor->words, descriptor->strings, onDevice());
    }
    return true;
  }
};

bool give(const Unit &unit, std::string &error, bool &internal) {
  error = unit.message.empty() ? "the compiler failed without a message" : unit.message;
  internal = !unit.mistaken && error.find("not supported") == std::string::npos;
  return false;
}

// For one target. `finish` makes of the module in the LLVM dialect what is seen from outside.
bool compileOnce(Unit &unit, const Kernels &kernels, const std::vector<std::string> &files, Compiled &out, llvm::function_ref<bool()> finish) {
  for (const core::Function *kernel : kernels)
    if (!unit.emitKernel(*kernel, files)) return false;
  return unit.lower(out, finish);
}

// What passes left about the parameters (TileContract.cpp, Quantise.cpp).
WeightLayouts weightLayouts(ModuleOp module) {
  WeightLayouts layouts;
  auto dictionary = [&](StringRef name) {
    auto known = module->getAttrOfType<DictionaryAttr>(name);
    return known ? known.getValue() : ArrayRef<NamedAttribute>();
  };
  auto integers = [](Attribute a) { return cast<DenseI64ArrayAttr>(a).asArrayRef().vec(); };
  auto text = [](Attribute a) { return cast<StringAttr>(a).getValue().str(); };
  for (NamedAttribute entry : dictionary("attn.panels")) {
    std::vector<int64_t> layout = integers(entry.getValue());
    layouts.panels[entry.getName().str()] = {layout[0], layout[1]};
  }
  for (NamedAttribute entry : dictionary("attn.quantised")) {
    auto layout = cast<DictionaryAttr>(entry.getValue());
    auto integer = [&](StringRef key) { return cast<IntegerAttr>(layout.get(key)).getInt(); };
    layouts.quantised[entry.getName().str()] = {integers(layout.get("summed")), integers(layout.get("kept")), integer("columns"), integer("group")};
  }
  for (NamedAttribute entry : dictionary("attn.stages")) {
    WeightLayouts::Change &change = layouts.stages[entry.getName().str()];
    auto stage = cast<DictionaryAttr>(entry.getValue());
    for (Attribute name : cast<ArrayAttr>(stage.get("dropped"))) change.dropped.push_back(text(name));
    for (Attribute added : cast<ArrayAttr>(stage.get("added"))) {
      auto argument = cast<ArrayAttr>(added);
      auto type = cast<MemRefType>(cast<TypeAttr>(argument[2]).getValue());
      change.added.push_back({text(argument[0]), text(argument[1]), type.getElementType().isF32() ? "f32" : "i" + std::to_string(type.getElementTypeBitWidth()), type.getShape().vec()});
    }
  }
  return layouts;
}

// An object for each target, and one with the kernels themselves, which choose among them.
bool compilePortable(const Kernels &kernels, const std::vector<std::string> &files, const CompileOptions &options, Compiled &out, std::string &error, bool &internal) {
  std::vector<std::string> names;
  for (const core::Function *kernel : kernels) names.push_back(kernel->name);
  for (const leaf::TargetInfo &target : leaf::targets()) {
    CompileOptions one = options;
    one.target = target.name;
    Timing::Phase phase(options.timing, one.target);
    Unit unit(one);
    if (!compileOnce(unit, kernels, files, out, [&] { return exportImplementations(*unit.module, names, target.name), true; })) return give(unit, error, internal);
  }
  Unit unit(options);
  for (const std::string &name : names) addChoice(*unit.module, name, leaf::targets());
  bool done = unit.addInterfaces(kernels) && unit.generate(Machine(), out);  // for any x86-64, as the runtime is
  return done || give(unit, error, internal);
}

// What attn-profile measures, in the order of its numbers.
std::vector<program::Operation> operationsOf(ModuleOp module) {
  std::vector<program::Operation> operations;
  if (auto listed = module->getAttrOfType<ArrayAttr>("attn.operations"))
    for (auto entry : listed.getAsRange<DictionaryAttr>()) {
      auto text = [&](StringRef key) { return cast<StringAttr>(entry.get(key)).getValue().str(); };
      operations.push_back({text("stage"), text("place"), text("what")});
    }
  return operations;
}

}  // namespace

bool compileKernels(const std::vector<const core::Function *> &kernels, const std::vector<std::string> &files, const CompileOptions &options, Compiled &out,
                    std::string &error, bool &internal) {
  if (options.target == "portable" && options.form == Form::Object) return compilePortable(kernels, files, options, out, error, internal);
  Unit unit(options);
  bool done = compileOnce(unit, kernels, files, out, [&] { return unit.addInterfaces(kernels); });
  return done || give(unit, error, internal);
}

bool compileModel(const ModelParts &model, const std::vector<std::string> &files, const CompileOptions &options, Compiled &out, std::string &error, bool &internal) {
  if (options.counting()) return internal = false, error = "target `host-count` counts kernels; a model's stages are not counted", false;
  if (options.onDevice() && options.quantise) return internal = false, error = "target `" + options.target + "` has no products of small integers: build it without --quantize", false;
  if (options.target == "portable") return internal = false, error = "target `portable` is for kernels: a program's weights are laid out for one target; name it with --target", false;
  Unit unit(options);
  for (size_t k = 0; k < model.names.size(); k++)
    if (!unit.emitEntry(*model.functions[k], model.names[k], files, true)) return give(unit, error, internal);
  bool done = unit.lower(out, [&] {
    addModelInterface(*unit.module, model.names, model.table ? model.table(weightLayouts(*unit.module), operationsOf(*unit.module)) : "", model.embedded,
                      options.onDevice() ? options.target : "");
    return true;
  });
  return done || give(unit, error, internal);
}

}  // namespace fovea
