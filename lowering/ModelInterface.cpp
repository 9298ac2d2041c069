#include "lowering/ModelInterface.h"

#include "runtime/device/launch.h"
#include "runtime/program/table.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/Builders.h"

using namespace mlir;

namespace fovea {
namespace {

struct Table {
  ModuleOp module;
  OpBuilder b;
  Location loc;
  Type pointer, i32, i64;

  explicit Table(ModuleOp module)
      : module(module), b(module.getContext()), loc(b.getUnknownLoc()), pointer(LLVM::LLVMPointerType::get(b.getContext())), i32(b.getI32Type()), i64(b.getI64Type()) {
    b.setInsertionPointToEnd(module.getBody());
  }

  LLVM::GlobalOp bytes(const std::string &name, const std::string &content) {
    auto type = LLVM::LLVMArrayType::get(b.getI8Type(), content.size());
    return LLVM::GlobalOp::create(b, loc, type, true, LLVM::Linkage::Internal, name, b.getStringAttr(content));
  }

  // A constant whose value `build` computes in its initialiser.
  template <typename F>
  LLVM::GlobalOp global(const std::string &name, Type type, LLVM::Linkage linkage, F build) {
    auto g = LLVM::GlobalOp::create(b, loc, type, true, linkage, name, Attribute());
    OpBuilder::InsertionGuard guard(b);
    b.createBlock(&g.getInitializerRegion());
    Value v = LLVM::UndefOp::create(b, loc, type);
    LLVM::ReturnOp::create(b, loc, ValueRange{build(v)});
    return g;
  }

  Value address(LLVM::GlobalOp g) { return LLVM::AddressOfOp::create(b, loc, g); }
  Value address(LLVM::LLVMFuncOp f) { return LLVM::AddressOfOp::create(b, loc, f); }
  Value constant(Type type, int64_t v) { return LLVM::ConstantOp::create(b, loc, type, b.getIntegerAttr(type, v)); }

  LLVM::LLVMFuncOp declare(StringRef name, Type result, ArrayRef<Type> arguments) {
    if (auto known = module.lookupSymbol<LLVM::LLVMFuncOp>(name)) return known;
    return LLVM::LLVMFuncOp::create(b, loc, name, LLVM::LLVMFunctionType::get(result, arguments));
  }
};

int32_t kindOf(const std::string &device) {
#define DEVICE_TARGET(name, kind, ...) \
  if (device == name) return kind;
#include "runtime/device/Devices.def"
  llvm_unreachable("rule: only devices of the table");
}

// A function that has the devices' runtime call a stage's implementation.
LLVM::LLVMFuncOp runOnDevice(Table &t, const std::string &device, LLVM::GlobalOp name, const std::string &stage, LLVM::LLVMFuncOp implementation) {
  auto enter = t.declare("fovea_rt_stage_on_device", t.i32, {t.i32, t.pointer, t.pointer, t.pointer});
  auto function = LLVM::LLVMFuncOp::create(t.b, t.loc, stage + ".on_device", LLVM::LLVMFunctionType::get(t.i32, {t.pointer}), LLVM::Linkage::Internal);
  OpBuilder::InsertionGuard guard(t.b);
  t.b.setInsertionPointToStart(function.addEntryBlock(t.b));
  Value arguments[] = {t.constant(t.i32, kindOf(device)), t.address(name), t.address(implementation), function.getArgument(0)};
  LLVM::ReturnOp::create(t.b, t.loc, LLVM::CallOp::create(t.b, t.loc, enter, arguments).getResults());
  return function;
}

}  // namespace

void addModelInterface(ModuleOp module, const std::vector<std::string> &stages, const std::string &json, const std::vector<std::string> &files,
                       const std::string &device) {
  Table t(module);
  OpBuilder &b = t.b;
  auto runStage = t.declare("fovea_rt_stage", t.i32, {t.pointer, t.pointer, t.pointer});
  auto setThreads = t.declare("fovea_set_threads", t.i32, {t.i32});
  auto lastError = t.declare("fovea_last_error", t.pointer, {});
  auto profile = t.declare("fovea_rt_profile", LLVM::LLVMVoidType::get(b.getContext()), {t.pointer});

  std::vector<LLVM::LLVMFuncOp> entries;
  for (const std::string &stage : stages) {
    auto name = t.bytes(stage + ".name", stage + '\0');
    auto implementation = module.lookupSymbol<LLVM::LLVMFuncOp>(stage + ".impl");
    if (!device.empty()) implementation = runOnDevice(t, device, name, stage, implementation);
    auto entry = LLVM::LLVMFuncOp::create(b, t.loc, stage + ".stage", LLVM::LLVMFunctionType::get(t.i32, {t.pointer}), LLVM::Linkage::Internal);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(entry.addEntryBlock(b));
    Value arguments[] = {t.address(name), t.address(implementation), entry.getArgument(0)};
    LLVM::ReturnOp::create(b, t.loc, LLVM::CallOp::create(b, t.loc, runStage, arguments).getResults());
    entries.push_back(entry);
  }
  auto stageArray = t.global("fovea_model.stages", LLVM::LLVMArrayType::get(t.pointer, stages.size()), LLVM::Linkage::Internal, [&](Value v) {
    for (auto [k, entry] : llvm::enumerate(entries)) v = LLVM::InsertValueOp::create(b, t.loc, v, t.address(entry), ArrayRef<int64_t>{int64_t(k)});
    return v;
  });
  std::vector<LLVM::GlobalOp> contents;
  for (auto [k, file] : llvm::enumerate(files)) contents.push_back(t.bytes("fovea_model.file" + std::to_string(k), file));
  auto fileArray = t.global("fovea_model.files", LLVM::LLVMArrayType::get(t.pointer, files.size()), LLVM::Linkage::Internal, [&](Value v) {
    for (auto [k, content] : llvm::enumerate(contents)) v = LLVM::InsertValueOp::create(b, t.loc, v, t.address(content), ArrayRef<int64_t>{int64_t(k)});
    return v;
  });
  auto text = t.bytes("fovea_model.json", json);
  LLVM::GlobalOp memory;
  if (!device.empty()) memory = LLVM::GlobalOp::create(b, t.loc, t.pointer, true, LLVM::Linkage::External, "fovea_device_" + device, Attribute());
  Type fields[] = {t.i32, t.i32, t.pointer, t.i64, t.pointer, t.pointer, t.pointer, t.pointer, t.pointer, t.pointer};
  auto type = LLVM::LLVMStructType::getLiteral(b.getContext(), fields);
  t.global("fovea_model_table", type, LLVM::Linkage::External, [&](Value v) {
    Value values[] = {t.constant(t.i32, FOVEA_MODEL_ABI), t.constant(t.i32, int64_t(stages.size())), t.address(text), t.constant(t.i64, int64_t(json.size())),
                      t.address(stageArray), t.address(fileArray), t.address(setThreads), t.address(lastError), t.address(profile),
                      memory ? t.address(memory) : Value(LLVM::ZeroOp::create(b, t.loc, t.pointer))};
    for (auto [k, value] : llvm::enumerate(values)) v = LLVM::InsertValueOp::create(b, t.loc, v, value, ArrayRef<int64_t>{int64_t(k)});
    return v;
  });
}

}  // namespace fovea
