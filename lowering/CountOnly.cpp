// attn-count-only: leaves of a program for target host-count what decides its counts. Everything else goes: what is computed inside the
// loops, leaves, results. So `fovea explain` learns what would be visited from the very loops that would visit it.
// Backward from the counters: what they add, the loops and branches around them, and of memory whatever those read.
#include "lowering/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Interfaces/ViewLikeInterface.h"

using namespace mlir;

namespace fovea {
namespace {

class Live {
 public:
  explicit Live(ModuleOp module) : module(module) {}

  void run() {
    module.walk([&](func::CallOp call) {
      calls[call.getCallee()].push_back(call);
      if (call.getCallee() == "fovea_count") mark(call);
    });
    while (!work.empty()) {
      auto step = std::move(work.back());
      work.pop_back();
      step();
    }
  }

  bool isLive(Operation *op) const { return ops.contains(op); }
  bool isLive(Value v) const { return values.contains(v); }
  bool isRead(Value memref) const { return contents.contains(memref); }

 private:
  void mark(Operation *op) {
    if (!op || isa<ModuleOp>(op) || !ops.insert(op).second) return;
    work.push_back([=, this] { visit(op); });
  }
  void mark(Value v) {
    if (!v || !values.insert(v).second) return;
    work.push_back([=, this] { visit(v); });
  }
  void read(Value memref) {
    if (!contents.insert(memref).second) return;
    work.push_back([=, this] { visitContents(memref); });
  }

  void visit(Operation *op) {
    mark(op->getParentOp());
    if (isa<func::FuncOp>(op)) {
      for (func::CallOp call : calls[cast<func::FuncOp>(op).getName()]) mark(call);
      return;
    }
    if (auto loop = dyn_cast<scf::ForOp>(op)) {  // what it carries only where that is wanted
      for (Value bound : {loop.getLowerBound(), loop.getUpperBound(), loop.getStep()}) mark(bound);
      return;
    }
    for (Value operand : op->getOperands()) mark(operand);
    if (isa<RegionBranchOpInterface>(op) && !isa<scf::ParallelOp>(op))
      for (Region &region : op->getRegions())
        for (Block &block : region) {
          mark(block.getTerminator());
        }
    if (auto call = dyn_cast<func::CallOp>(op))
      if (auto callee = module.lookupSymbol<func::FuncOp>(call.getCallee()); callee && !callee.isExternal()) return;  // its arguments are asked for
    if (reads(op))
      for (Value operand : op->getOperands())
        if (isa<BaseMemRefType>(operand.getType())) read(operand);
  }

  // Anything that is not known to leave memory alone may read it: a leaf, through a raw address.
  static bool reads(Operation *op) {
    if (isa<ViewLikeOpInterface, memref::DimOp, memref::StoreOp, memref::DeallocOp, memref::ExtractStridedMetadataOp>(op)) return false;
    return true;
  }

  void visit(Value v) {
    if (Operation *op = v.getDefiningOp()) {
      mark(op);
      if (auto loop = dyn_cast<scf::ForOp>(op)) carried(loop, cast<OpResult>(v).getResultNumber());
      return;
    }
    auto argument = cast<BlockArgument>(v);
    Operation *op = argument.getOwner()->getParentOp();
    if (auto loop = dyn_cast<scf::ForOp>(op); loop && argument.getArgNumber() > 0) carried(loop, argument.getArgNumber() - 1);
    mark(op);
  }

  void carried(scf::ForOp loop, unsigned k) {
    mark(loop.getInitArgs()[k]);
    mark(loop.getRegionIterArg(k));
    mark(loop.getBody()->getTerminator()->getOperand(k));
    mark(Value(loop.getResult(k)));
  }

  // What memory holds is wanted: all that writes to it, by any of its names.
  void visitContents(Value memref) {
    mark(memref);
    if (Operation *op = memref.getDefiningOp()) {
      if (auto loop = dyn_cast<scf::ForOp>(op)) aliases(loop, cast<OpResult>(memref).getResultNumber());
      else
        for (Value operand : op->getOperands())
          if (isa<BaseMemRefType>(operand.getType())) read(operand);
      if (auto branch = dyn_cast<scf::IfOp>(op))
        for (Region *region : {&branch.getThenRegion(), &branch.getElseRegion()})
          if (!region->empty()) read(region->front().getTerminator()->getOperand(cast<OpResult>(memref).getResultNumber()));
    } else {
      auto argument = cast<BlockArgument>(memref);
      Operation *parent = argument.getOwner()->getParentOp();
      if (auto loop = dyn_cast<scf::ForOp>(parent)) aliases(loop, argument.getArgNumber() - 1);
      auto function = dyn_cast<func::FuncOp>(parent);
      if (function)
        for (func::CallOp call : calls[function.getName()]) read(call.getOperand(argument.getArgNumber()));
      if (function) {
        auto parameters = function->getAttrOfType<IntegerAttr>("attn.parameters");
        if (parameters && int64_t(argument.getArgNumber()) < parameters.getInt()) return;  // nothing writes to those
      }
    }
    written(memref);
  }

  void aliases(scf::ForOp loop, unsigned k) {
    read(loop.getInitArgs()[k]);
    read(loop.getRegionIterArg(k));
    read(loop.getBody()->getTerminator()->getOperand(k));
    read(loop.getResult(k));
  }

  void written(Value name) {
    for (OpOperand &use : name.getUses()) {
      Operation *user = use.getOwner();
      if (auto loop = dyn_cast<scf::ForOp>(user)) {
        if (use.getOperandNumber() >= loop.getNumControlOperands()) aliases(loop, use.getOperandNumber() - loop.getNumControlOperands());
        continue;
      }
      if (user->hasTrait<OpTrait::IsTerminator>() || isa<memref::DimOp>(user)) continue;
      if (auto call = dyn_cast<func::CallOp>(user)) {
        mark(user);
        if (auto callee = module.lookupSymbol<func::FuncOp>(call.getCallee()); callee && !callee.isExternal()) read(callee.getArgument(use.getOperandNumber()));
        continue;
      }
      bool named = llvm::any_of(user->getResultTypes(), [](Type t) { return isa<BaseMemRefType>(t); });
      if (named) {
        for (Value result : user->getResults())
          if (isa<BaseMemRefType>(result.getType())) read(result);
        continue;
      }
      if (isMemoryEffectFree(user)) {  // an address: whoever uses it
        for (Value result : user->getResults()) addressed(result);
        continue;
      }
      if (!hasSingleEffect<MemoryEffects::Read>(user)) mark(user);
    }
  }

  void addressed(Value address) {
    if (!addresses.insert(address).second) return;
    for (Operation *user : address.getUsers()) {
      if (user->hasTrait<OpTrait::IsTerminator>()) continue;
      if (!isMemoryEffectFree(user)) mark(user);
      for (Value result : user->getResults()) addressed(result);
    }
  }

  ModuleOp module;
  llvm::StringMap<SmallVector<func::CallOp>> calls;
  llvm::DenseSet<Operation *> ops;
  llvm::DenseSet<Value> values, contents, addresses;
  SmallVector<std::function<void()>> work;
};

struct CountOnlyPass : PassWrapper<CountOnlyPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(CountOnlyPass)
  StringRef getArgument() const final { return "attn-count-only"; }
  StringRef getDescription() const final { return "Leave of a program for target host-count what decides its counts"; }

  void runOnOperation() final {
    ModuleOp module = getOperation();
    Live live(module);
    live.run();
    // Arguments of the entries that must be there.
    Builder b(&getContext());
    module.walk([&](func::FuncOp function) {
      if (!function->hasAttr("llvm.emit_c_interface")) return;
      SmallVector<int64_t> read;
      for (BlockArgument argument : function.getArguments())
        if (isa<BaseMemRefType>(argument.getType()) ? live.isRead(argument) : wanted(argument, live)) read.push_back(argument.getArgNumber());
      function->setAttr("attn.reads", b.getDenseI64ArrayAttr(read));
    });
    // What live loops carry in vain.
    SmallVector<scf::ForOp> loops;
    module.walk([&](scf::ForOp loop) {
      if (live.isLive(loop)) loops.push_back(loop);
    });
    SmallVector<Operation *> dead;
    module.walk<WalkOrder::PostOrder>([&](Operation *op) {
      bool frame = isa<ModuleOp, func::FuncOp>(op) || op->hasTrait<OpTrait::IsTerminator>();
      if (!frame && !live.isLive(op)) dead.push_back(op);
    });
    for (scf::ForOp loop : loops) trim(loop, live);
    for (Operation *op : dead) op->dropAllUses();
    for (Operation *op : dead) {
      op->dropAllReferences();
      op->remove();
    }
    for (Operation *op : dead) op->destroy();
    module->removeAttr("attn.leaves");
  }

  // A scalar, itself or by a version of the kernel that it is handed to.
  static bool wanted(BlockArgument argument, const Live &live) {
    return llvm::any_of(argument.getUses(), [&](OpOperand &use) {
      if (!live.isLive(use.getOwner())) return false;
      auto call = dyn_cast<func::CallOp>(use.getOwner());
      auto callee = call ? call->getParentOfType<ModuleOp>().lookupSymbol<func::FuncOp>(call.getCallee()) : func::FuncOp();
      return !callee || callee.isExternal() || wanted(callee.getArgument(use.getOperandNumber()), live);
    });
  }

  static void trim(scf::ForOp loop, const Live &live) {
    SmallVector<unsigned> kept;
    for (unsigned k = 0; k < loop.getNumResults(); k++)
      if (live.isLive(Value(loop.getResult(k)))) kept.push_back(k);
    if (kept.size() == loop.getNumResults()) return;
    OpBuilder b(loop);
    SmallVector<Value> inits, yields;
    for (unsigned k : kept) inits.push_back(loop.getInitArgs()[k]), yields.push_back(loop.getBody()->getTerminator()->getOperand(k));
    auto trimmed = scf::ForOp::create(b, loop.getLoc(), loop.getLowerBound(), loop.getUpperBound(), loop.getStep(), inits);
    Block *body = trimmed.getBody();
    body->clear();
    loop.getInductionVar().replaceAllUsesWith(trimmed.getInductionVar());
    for (auto [n, k] : llvm::enumerate(kept)) {
      loop.getRegionIterArg(k).replaceAllUsesWith(trimmed.getRegionIterArg(n));
      loop.getResult(k).replaceAllUsesWith(trimmed.getResult(n));
    }
    loop.getBody()->getTerminator()->erase();
    body->getOperations().splice(body->end(), loop.getBody()->getOperations());
    b.setInsertionPointToEnd(body);
    scf::YieldOp::create(b, loop.getLoc(), yields);
    for (BlockArgument argument : loop.getRegionIterArgs()) argument.dropAllUses();
    loop->dropAllUses();
    loop->erase();
  }
};

}  // namespace

std::unique_ptr<Pass> createCountOnlyPass() { return std::make_unique<CountOnlyPass>(); }

}  // namespace fovea
