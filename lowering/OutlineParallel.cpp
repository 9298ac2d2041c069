// attn-outline-parallel: the body of a one-dimensional scf.parallel becomes a function of (index, context); the runtime's
// fovea_parallel_for(body, context, count) calls it. What the body uses from outside travels in a struct on the caller's stack.
#include "lowering/Passes.h"
#include "lowering/RuntimeCall.h"

#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Transforms/RegionUtils.h"

using namespace mlir;

namespace fovea {
namespace {

struct OutlineParallelPass : PassWrapper<OutlineParallelPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(OutlineParallelPass)
  StringRef getArgument() const final { return "attn-outline-parallel"; }
  StringRef getDescription() const final { return "Turn scf.parallel into a function called by the runtime's threads"; }
  void getDependentDialects(DialectRegistry &registry) const final { registry.insert<func::FuncDialect, LLVM::LLVMDialect, arith::ArithDialect>(); }

  void runOnOperation() final {
    // Outer loops first: an inner one belongs to the outer one's function, and has its context there, a context for each call.
    for (;;) {
      SmallVector<scf::ParallelOp> loops;
      getOperation().walk<WalkOrder::PreOrder>([&](scf::ParallelOp loop) {
        loops.push_back(loop);
        return WalkResult::skip();
      });
      if (loops.empty()) return;
      for (scf::ParallelOp loop : loops) outline(loop);
    }
  }

  void outline(scf::ParallelOp loop) {
    ModuleOp module = getOperation();
    Location loc = loop.getLoc();
    auto parent = loop->getParentOfType<func::FuncOp>();
    OpBuilder b(loop);
    LLVMTypeConverter types(&getContext());
    Type pointer = LLVM::LLVMPointerType::get(&getContext()), i64 = b.getI64Type();

    llvm::SetVector<Value> above;
    getUsedValuesDefinedAbove(loop.getRegion(), above);
    SmallVector<Value> captured, constants;
    for (Value v : above) (v.getDefiningOp() && v.getDefiningOp()->hasTrait<OpTrait::ConstantLike>() ? constants : captured).push_back(v);
    SmallVector<Type> fields = llvm::map_to_vector(captured, [&](Value v) { return types.convertType(v.getType()); });
    auto context = LLVM::LLVMStructType::getLiteral(&getContext(), fields);

    // The function.
    // The line of the program that it comes from, for people who read profiles.
    auto place = loc->findInstanceOf<FileLineColLoc>();
    std::string name = (parent.getName() + ".line" + Twine(place ? place.getLine() : 0) + "." + Twine(counter++)).str();
    b.setInsertionPoint(parent);
    auto function = func::FuncOp::create(b, loc, name, b.getFunctionType({i64, pointer}, {}));
    function.setPrivate();
    function->setAttr("llvm.linkage", LLVM::LinkageAttr::get(&getContext(), LLVM::Linkage::Internal));
    Block *entry = function.addEntryBlock();
    b.setInsertionPointToStart(entry);
    IRMapping mapping;
    for (Value v : constants) mapping.map(v, b.clone(*v.getDefiningOp())->getResult(0));
    for (auto [k, v] : llvm::enumerate(captured)) {
      Value field = LLVM::GEPOp::create(b, loc, pointer, context, entry->getArgument(1), ArrayRef<LLVM::GEPArg>{0, int32_t(k)});
      Value loaded = LLVM::LoadOp::create(b, loc, fields[k], field);
      mapping.map(v, UnrealizedConversionCastOp::create(b, loc, v.getType(), loaded).getResult(0));
    }
    Value position = arith::IndexCastOp::create(b, loc, b.getIndexType(), entry->getArgument(0));
    Value step = mapping.lookupOrDefault(loop.getStep()[0]), low = mapping.lookupOrDefault(loop.getLowerBound()[0]);
    if (!matchesUnit(loop)) position = arith::AddIOp::create(b, loc, arith::MulIOp::create(b, loc, position, step), low);
    mapping.map(loop.getInductionVars()[0], position);
    for (Operation &op : loop.getBody()->without_terminator()) b.clone(op, mapping);
    func::ReturnOp::create(b, loc);

    // The call.
    b.setInsertionPointToStart(&parent.getBody().front());
    Value one = LLVM::ConstantOp::create(b, loc, i64, b.getI64IntegerAttr(1));
    Value storage = LLVM::AllocaOp::create(b, loc, pointer, context, one, /*alignment=*/64);  // of the widest vector
    b.setInsertionPoint(loop);
    for (auto [k, v] : llvm::enumerate(captured)) {
      Value converted = UnrealizedConversionCastOp::create(b, loc, fields[k], v).getResult(0);
      Value field = LLVM::GEPOp::create(b, loc, pointer, context, storage, ArrayRef<LLVM::GEPArg>{0, int32_t(k)});
      LLVM::StoreOp::create(b, loc, converted, field);
    }
    Value count = loop.getUpperBound()[0];
    if (!matchesUnit(loop))
      count = arith::CeilDivSIOp::create(b, loc, arith::SubIOp::create(b, loc, count, loop.getLowerBound()[0]), loop.getStep()[0]);
    Value body = func::ConstantOp::create(b, loc, function.getFunctionType(), SymbolRefAttr::get(function));
    callRuntime(b, loc, "fovea_parallel_for", {}, {body, storage, arith::IndexCastOp::create(b, loc, i64, count)});
    loop.erase();
  }

  static bool matchesUnit(scf::ParallelOp loop) {
    return getConstantIntValue(loop.getLowerBound()[0]) == 0 && getConstantIntValue(loop.getStep()[0]) == 1;
  }

  unsigned counter = 0;
};

}  // namespace

std::unique_ptr<Pass> createOutlineParallelPass() { return std::make_unique<OutlineParallelPass>(); }

}  // namespace fovea
