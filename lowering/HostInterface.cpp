// attn-host-interface: after everything is in the LLVM dialect, gives each entry function (those with llvm.emit_c_interface) an
// implementation `i32 NAME.impl(ptr args)` that the runtime calls: args[k] points to a memref descriptor or to a scalar.
#include "lowering/Passes.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"

using namespace mlir;

namespace fovea {
namespace {

struct HostInterfacePass : PassWrapper<HostInterfacePass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(HostInterfacePass)
  StringRef getArgument() const final { return "attn-host-interface"; }
  StringRef getDescription() const final { return "Give each entry function an implementation that takes an array of pointers"; }
  void getDependentDialects(DialectRegistry &registry) const final { registry.insert<LLVM::LLVMDialect>(); }
  void runOnOperation() final {
    SmallVector<LLVM::LLVMFuncOp> entries;
    constexpr StringRef prefix = "_mlir_ciface_";
    getOperation().walk([&](LLVM::LLVMFuncOp f) {
      if (f.getName().starts_with(prefix) && !f.isExternal()) entries.push_back(f);
    });
    MLIRContext *context = &getContext();
    Type pointer = LLVM::LLVMPointerType::get(context);
    for (LLVM::LLVMFuncOp f : entries) {
      Location loc = f.getLoc();
      OpBuilder b(context);
      b.setInsertionPointToEnd(getOperation().getBody());
      Type i32 = b.getI32Type();
      auto implementation = LLVM::LLVMFuncOp::create(b, loc, (f.getName().drop_front(prefix.size()) + ".impl").str(), LLVM::LLVMFunctionType::get(i32, {pointer}));
      b.setInsertionPointToStart(implementation.addEntryBlock(b));
      SmallVector<Value> arguments;
      for (auto [k, type] : llvm::enumerate(f.getArgumentTypes())) {
        Value slot = LLVM::GEPOp::create(b, loc, pointer, pointer, implementation.getArgument(0), ArrayRef<LLVM::GEPArg>{int32_t(k)});
        Value at = LLVM::LoadOp::create(b, loc, pointer, slot);
        if (isa<LLVM::LLVMPointerType>(type)) arguments.push_back(at);
        else if (type.isInteger(1)) {
          Value byte = LLVM::LoadOp::create(b, loc, b.getI8Type(), at);
          Value zero = LLVM::ConstantOp::create(b, loc, b.getI8IntegerAttr(0));
          arguments.push_back(LLVM::ICmpOp::create(b, loc, LLVM::ICmpPredicate::ne, byte, zero));
        } else arguments.push_back(LLVM::LoadOp::create(b, loc, type, at));
      }
      LLVM::CallOp::create(b, loc, f, arguments);
      LLVM::ReturnOp::create(b, loc, ValueRange{LLVM::ConstantOp::create(b, loc, b.getI32IntegerAttr(0))});
      f.setLinkage(LLVM::Linkage::Internal);
      // The kernel's own name belongs to the public function (KernelInterface.cpp).
      StringRef name = f.getName().drop_front(prefix.size());
      if (auto inner = getOperation().lookupSymbol<LLVM::LLVMFuncOp>(name)) {
        std::string renamed = (name + ".body").str();
        (void)SymbolTable::replaceAllSymbolUses(inner, b.getStringAttr(renamed), getOperation());
        inner.setSymName(renamed);
        inner.setLinkage(LLVM::Linkage::Internal);
      }
    }
  }
};

}  // namespace

std::unique_ptr<Pass> createHostInterfacePass() { return std::make_unique<HostInterfacePass>(); }

}  // namespace fovea
