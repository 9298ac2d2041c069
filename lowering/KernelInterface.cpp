#include "lowering/KernelInterface.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/Builders.h"

#include <array>

using namespace mlir;

namespace fovea {

static Value globalAddress(OpBuilder &b, Location loc, LLVM::GlobalOp global) { return LLVM::AddressOfOp::create(b, loc, global); }

void addKernelInterface(ModuleOp module, const core::Function &kernel, const std::string &name, const std::vector<int32_t> &words, const std::string &strings, bool onDevice) {
  MLIRContext *context = module.getContext();
  OpBuilder b(context);
  Location loc = b.getUnknownLoc();
  b.setInsertionPointToEnd(module.getBody());
  Type pointer = LLVM::LLVMPointerType::get(context), i32 = b.getI32Type(), i8 = b.getI8Type();

  auto wordsType = LLVM::LLVMArrayType::get(i32, words.size());
  auto wordsAttr = DenseElementsAttr::get(RankedTensorType::get({int64_t(words.size())}, i32), ArrayRef<int32_t>(words));
  auto wordsGlobal = LLVM::GlobalOp::create(b, loc, wordsType, true, LLVM::Linkage::Internal, name + ".words", wordsAttr);
  auto stringsType = LLVM::LLVMArrayType::get(i8, strings.size());
  auto stringsGlobal = LLVM::GlobalOp::create(b, loc, stringsType, true, LLVM::Linkage::Internal, name + ".strings", b.getStringAttr(strings));

  const std::string entry = onDevice ? "fovea_rt_invoke_on_device" : "fovea_rt_invoke";
  auto invoke = module.lookupSymbol<LLVM::LLVMFuncOp>(entry);
  if (!invoke) invoke = LLVM::LLVMFuncOp::create(b, loc, entry, LLVM::LLVMFunctionType::get(i32, {pointer, pointer, pointer, pointer}));
  auto implementation = module.lookupSymbol<LLVM::LLVMFuncOp>(name + ".impl");

  auto call = LLVM::LLVMFuncOp::create(b, loc, name + "_call", LLVM::LLVMFunctionType::get(i32, {pointer}));
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(call.addEntryBlock(b));
    Value arguments[] = {globalAddress(b, loc, wordsGlobal), globalAddress(b, loc, stringsGlobal), LLVM::AddressOfOp::create(b, loc, implementation),
                         call.getArgument(0)};
    LLVM::ReturnOp::create(b, loc, LLVM::CallOp::create(b, loc, invoke, arguments).getResults());
  }

  // The C types of the parameters: tensors are pointers; f32 f16 bf16 are float, i32 i8 u8 int32_t, bool a zero-extended byte.
  SmallVector<Type> types;
  for (const auto &p : kernel.parameters) {
    if (!p.scalar) {
      types.push_back(pointer);
      continue;
    }
    core::Type type = kernel.scalars[p.id].type;
    types.push_back(type == core::Type::Bool ? Type(b.getI1Type()) : type <= core::Type::BF16 ? Type(b.getF32Type()) : i32);
  }
  types.append(kernel.results.size(), pointer);
  auto wrapper = LLVM::LLVMFuncOp::create(b, loc, name, LLVM::LLVMFunctionType::get(i32, types));
  for (auto [k, type] : llvm::enumerate(types))
    if (type.isInteger(1)) wrapper.setArgAttr(k, LLVM::LLVMDialect::getZExtAttrName(), b.getUnitAttr());
  b.setInsertionPointToStart(wrapper.addEntryBlock(b));
  Value one = LLVM::ConstantOp::create(b, loc, b.getI64IntegerAttr(1));
  Value array = LLVM::AllocaOp::create(b, loc, pointer, LLVM::LLVMArrayType::get(pointer, std::max<size_t>(types.size(), 1)), one);
  for (auto [k, type] : llvm::enumerate(types)) {
    Value argument = wrapper.getArgument(k);
    if (!isa<LLVM::LLVMPointerType>(type)) {
      Type stored = type;
      if (type.isInteger(1)) {
        argument = LLVM::ZExtOp::create(b, loc, i8, argument);
        stored = i8;
      }
      Value slot = LLVM::AllocaOp::create(b, loc, pointer, stored, one);
      LLVM::StoreOp::create(b, loc, argument, slot);
      argument = slot;
    }
    LLVM::StoreOp::create(b, loc, argument, LLVM::GEPOp::create(b, loc, pointer, pointer, array, ArrayRef<LLVM::GEPArg>{int32_t(k)}));
  }
  LLVM::ReturnOp::create(b, loc, LLVM::CallOp::create(b, loc, call, ValueRange{array}).getResults());
}

void exportImplementations(ModuleOp module, const std::vector<std::string> &names, const std::string &target) {
  for (auto function : module.getOps<LLVM::LLVMFuncOp>())
    if (!function.isExternal()) function.setLinkage(LLVM::Linkage::Internal);
  for (const std::string &name : names) {
    auto implementation = module.lookupSymbol<LLVM::LLVMFuncOp>(name + ".impl");
    implementation.setSymName(name + ".impl." + target);
    implementation.setLinkage(LLVM::Linkage::External);
  }
}

void addChoice(ModuleOp module, const std::string &name, const std::vector<leaf::TargetInfo> &targets) {
  OpBuilder b(module.getContext());
  Location loc = b.getUnknownLoc();
  b.setInsertionPointToEnd(module.getBody());
  Type pointer = LLVM::LLVMPointerType::get(b.getContext()), i32 = b.getI32Type();
  auto text = [&](const std::string &global, StringRef content) {
    if (auto known = module.lookupSymbol<LLVM::GlobalOp>(global)) return known;
    auto type = LLVM::LLVMArrayType::get(b.getI8Type(), content.size() + 1);
    return LLVM::GlobalOp::create(b, loc, type, true, LLVM::Linkage::Internal, global, b.getStringAttr(content + Twine('\0')));
  };
  auto filled = [&](const std::string &global, Type type, bool constant, llvm::function_ref<Value()> content) {
    auto op = LLVM::GlobalOp::create(b, loc, type, constant, LLVM::Linkage::Internal, global, Attribute());
    OpBuilder::InsertionGuard guard(b);
    b.createBlock(&op.getInitializerRegion());
    LLVM::ReturnOp::create(b, loc, ValueRange{content()});
    return op;
  };

  std::vector<std::array<Operation *, 3>> rows;  // fovea_variant's fields
  for (const leaf::TargetInfo &target : targets) {
    std::string place = std::string("target.") + target.name;
    auto implementation = LLVM::LLVMFuncOp::create(b, loc, name + ".impl." + target.name, LLVM::LLVMFunctionType::get(i32, {pointer}));
    rows.push_back({text(place, target.name), text(place + ".needs", target.needs), implementation});
  }
  auto variantsType = LLVM::LLVMArrayType::get(LLVM::LLVMStructType::getLiteral(b.getContext(), {pointer, pointer, pointer}), targets.size());
  auto variants = filled(name + ".variants", variantsType, true, [&] {
    Value all = LLVM::UndefOp::create(b, loc, variantsType);
    for (auto [k, row] : llvm::enumerate(rows))
      for (auto [field, symbol] : llvm::enumerate(row)) {
        Value address = LLVM::AddressOfOp::create(b, loc, pointer, SymbolTable::getSymbolName(symbol));
        all = LLVM::InsertValueOp::create(b, loc, all, address, ArrayRef<int64_t>{int64_t(k), int64_t(field)});
      }
    return all;
  });
  auto chosen = filled(name + ".chosen", pointer, false, [&]() -> Value { return LLVM::ZeroOp::create(b, loc, pointer); });
  auto kernel = text(name + ".name", name);

  auto choose = module.lookupSymbol<LLVM::LLVMFuncOp>("fovea_rt_choose");
  if (!choose) choose = LLVM::LLVMFuncOp::create(b, loc, "fovea_rt_choose", LLVM::LLVMFunctionType::get(i32, {pointer, pointer, i32, pointer, pointer}));
  auto implementation = LLVM::LLVMFuncOp::create(b, loc, name + ".impl", LLVM::LLVMFunctionType::get(i32, {pointer}), LLVM::Linkage::Internal);
  b.setInsertionPointToStart(implementation.addEntryBlock(b));
  Value arguments[] = {globalAddress(b, loc, kernel), globalAddress(b, loc, variants), LLVM::ConstantOp::create(b, loc, b.getI32IntegerAttr(int32_t(targets.size()))),
                       globalAddress(b, loc, chosen), implementation.getArgument(0)};
  LLVM::ReturnOp::create(b, loc, LLVM::CallOp::create(b, loc, choose, arguments).getResults());
}

}  // namespace fovea
