// attn-launch: for a GPU, every linalg operation and attend on buffers becomes one nest (lowering/halide/NestSpec.h) and its launch. Memory is the device's: what
// a memref points to is the runtime's record of it (runtime/device/memory.c), offsets and strides are as ever. What host code needs to know of a
// tensor, say how long a loop is, it asks the device for.
#include "dialect/Attn.h"
#include "lowering/LeafCall.h"
#include "lowering/NestOf.h"
#include "lowering/Passes.h"
#include "lowering/RuntimeCall.h"
#include "lowering/SplitKeys.h"
#include "lowering/halide/NestPlan.h"
#include "runtime/device/launch.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/ViewLikeInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;

namespace fovea {
namespace {

using leaf::NestSpec;

struct LaunchPass : PassWrapper<LaunchPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(LaunchPass)
  StringRef getArgument() const final { return "attn-launch"; }
  StringRef getDescription() const final { return "Make every linalg operation on buffers a nest for a GPU and its launch"; }
  void getDependentDialects(DialectRegistry &registry) const final { registry.insert<LLVM::LLVMDialect, memref::MemRefDialect, func::FuncDialect, arith::ArithDialect, scf::SCFDialect>(); }

  void runOnOperation() final {
    SmallVector<func::FuncOp> functions(getOperation().getOps<func::FuncOp>());
    for (func::FuncOp function : functions)
      if (!function.isExternal() && failed(launch(function))) return signalPassFailure();
  }

  LogicalResult launch(func::FuncOp function) {
    SmallVector<linalg::GenericOp> fills;
    function.walk([&](linalg::GenericOp op) {
      if (op.getNumDpsInits() == 1 && op.getNumLoops() == op.getNumParallelLoops() && filledWith(op)) fills.push_back(op);
    });
    for (linalg::GenericOp fill : fills) foldFill(fill);
    SmallVector<Operation *> nests;
    SmallVector<memref::LoadOp> reads;
    WalkResult walked = function.walk<WalkOrder::PreOrder>([&](Operation *op) {
      if (isa<linalg::GenericOp, attn::AttendOp>(op)) return nests.push_back(op), WalkResult::skip();
      if (auto read = dyn_cast<memref::LoadOp>(op)) reads.push_back(read);
      if (auto alloc = dyn_cast<memref::AllocOp>(op)) alloc.removeAlignmentAttr();
      if (isa<memref::StoreOp, linalg::LinalgOp, scf::ParallelOp>(op)) return (void)(op->emitError("on a GPU, `") << op->getName() << "` is not supported yet"), WalkResult::interrupt();
      return WalkResult::advance();
    });
    if (walked.wasInterrupted()) return failure();
    for (memref::LoadOp read : reads) readFromDevice(read);
    for (size_t n = 0; n < nests.size(); n++) {  // `align` adds some
      if (auto op = dyn_cast<linalg::GenericOp>(nests[n])) align(op, nests);
      hoist(nests[n]);
      auto attend = dyn_cast<attn::AttendOp>(nests[n]);
      if (failed(attend ? launchAttend(attend, function) : launch(nests[n], function))) return failure();
    }
    return success();
  }

  // What a linalg.fill puts everywhere, if it is a constant; none of another operation.
  static Attribute filledWith(linalg::GenericOp op) {
    if (op.getBlock()->getOperations().size() != 1) return {};
    Value value = op.getBlock()->getTerminator()->getOperand(0);
    if (auto argument = dyn_cast<BlockArgument>(value); argument && argument.getOwner() == op.getBlock()) value = op->getOperand(argument.getArgNumber());
    Attribute constant;
    return matchPattern(value, m_Constant(&constant)) ? constant : Attribute();
  }

  // A temporary is filled with a constant for one nest, which folds into it: that begins with the constant, and finds it in no memory.
  static void foldFill(linalg::GenericOp fill) {
    Value buffer = fill.getDpsInitOperand(0)->get();
    if (!buffer.getDefiningOp<memref::AllocOp>()) return;
    Operation *next = nullptr;  // of those after the fill
    for (Operation *user : buffer.getUsers()) {
      if (isa<memref::DimOp>(user)) continue;
      Operation *at = fill->getBlock()->findAncestorOpInBlock(*user);
      if (!at || isa<ViewLikeOpInterface>(user)) return;
      if (fill->isBeforeInBlock(at) && (!next || at->isBeforeInBlock(next))) next = at;
    }
    auto first = dyn_cast_or_null<linalg::GenericOp>(next);
    if (!first) return;
    SmallVector<Attribute> initial(first.getNumDpsInits(), UnitAttr::get(fill.getContext()));
    if (auto known = first->getAttrOfType<ArrayAttr>(initialAttr)) initial.assign(known.begin(), known.end());
    int64_t held = -1;
    for (OpOperand &operand : first->getOpOperands()) {
      if (operand.get() != buffer) continue;
      if (!first.isDpsInit(&operand) || held >= 0 || first.getMatchingIndexingMap(&operand).getNumResults() != first.getNumParallelLoops()) return;
      held = int64_t(operand.getOperandNumber()) - first.getNumDpsInputs();
    }
    initial[size_t(held)] = filledWith(fill);
    first->setAttr(initialAttr, ArrayAttr::get(fill.getContext(), initial));
    fill.erase();
  }

  LogicalResult launchAttend(attn::AttendOp op, func::FuncOp function) {
    const Location loc = op.getLoc();  // the first of several versions is the op itself, which goes
    bool failure = false;
    chooseKeyParts(op, [&](attn::AttendOp plain) { failure |= failed(launch(plain, function)); },
                   [&](KeyParts parts) {
                     hoist(parts.states);
                     Value state = parts.states.getInits()[0];
                     NestOf merge(parts.whole);
                     merge.spec.target = target();
                     OpBuilder b(parts.whole);
                     // Extents: the result's, and of the state's last axis but one the parts.
                     SmallVector<Value> extents;
                     for (int64_t axis = 0; axis < cast<MemRefType>(parts.whole.getInits()[0].getType()).getRank(); axis++) extents.push_back(memref::DimOp::create(b, loc, parts.whole.getInits()[0], axis));
                     extents.push_back(memref::DimOp::create(b, loc, state, cast<MemRefType>(state.getType()).getRank() - 2));
                     failure |= failed(merge.build(parts)) || failed(launch(parts.states, function)) || failed(launch(merge, {merge.spec, std::nullopt, {}, 0}, extents, parts.whole, function));
                     memref::DeallocOp::create(b, loc, state);
                     parts.whole->erase();
                   });
    return success(!failure);
  }

  // Several outputs of one nest begin where their memory does: one that does not is computed beside.
  static void align(linalg::GenericOp op, SmallVectorImpl<Operation *> &nests) {
    if (op.getNumDpsInits() < 2) return;
    OpBuilder b(op);
    Location loc = op.getLoc();
    auto copy = [&](Value from, Value to) {
      AffineMap map = b.getMultiDimIdentityMap(unsigned(cast<MemRefType>(to.getType()).getRank()));
      SmallVector<utils::IteratorType> loops(map.getNumDims(), utils::IteratorType::parallel);
      nests.push_back(linalg::GenericOp::create(b, loc, ValueRange{from}, ValueRange{to}, ArrayRef<AffineMap>{map, map}, loops,
                                                   [](OpBuilder &inside, Location at, ValueRange values) { linalg::YieldOp::create(inside, at, values[0]); }));
    };
    for (OpOperand &init : op.getDpsInitsMutable()) {
      auto type = cast<MemRefType>(init.get().getType());
      if (type.getLayout().isIdentity()) continue;
      SmallVector<Value> extents;
      for (int64_t axis = 0; axis < type.getRank(); axis++)
        if (type.isDynamicDim(unsigned(axis))) extents.push_back(memref::DimOp::create(b, loc, init.get(), axis));
      Value given = init.get(), beside = memref::AllocOp::create(b, loc, MemRefType::get(type.getShape(), type.getElementType()), extents);
      if (!op.getMatchingBlockArgument(&init).use_empty()) copy(given, beside);
      init.set(beside);
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointAfter(op);
      copy(beside, given);
      memref::DeallocOp::create(b, loc, beside);
    }
  }

  // What does not differ between the points is computed before the launch.
  static void hoist(Operation *op) {
    Block &body = op->getRegion(0).front();
    for (Operation &nested : llvm::make_early_inc_range(body.without_terminator())) {
      bool inside = isa<linalg::IndexOp, attn::IndexOp, memref::LoadOp>(nested) || nested.getNumRegions() || !isPure(&nested);
      for (Value operand : nested.getOperands()) inside |= operand.getParentBlock() == &body;
      // A value of half precision stays where it is used.
      for (Type type : nested.getResultTypes()) inside |= type.isF16() || type.isBF16() || type.isInteger(8);
      if (!inside) nested.moveBefore(op);
    }
  }

  static void readFromDevice(memref::LoadOp read) {
    OpBuilder b(read);
    Location loc = read.getLoc();
    Type type = read.getType();
    auto metadata = memref::ExtractStridedMetadataOp::create(b, loc, read.getMemRef());
    Value at = metadata.getOffset();
    for (auto [index, stride] : llvm::zip(read.getIndices(), metadata.getStrides())) at = arith::AddIOp::create(b, loc, at, arith::MulIOp::create(b, loc, index, stride));
    Value handle = memref::ExtractAlignedPointerAsIndexOp::create(b, loc, metadata.getBaseBuffer());
    Value bytes = arith::ConstantIndexOp::create(b, loc, std::max<int64_t>(1, type.getIntOrFloatBitWidth() / 8));
    Value bits = callRuntime(b, loc, "fovea_rt_device_read", b.getI64Type(), {handle, at, bytes});
    unsigned width = type.getIntOrFloatBitWidth();
    if (width < 64) bits = arith::TruncIOp::create(b, loc, b.getIntegerType(width), bits);
    if (isa<FloatType>(type)) bits = arith::BitcastOp::create(b, loc, type, bits);
    read.replaceAllUsesWith(bits);
    read.erase();
  }

  // How often each loop runs.
  static SmallVector<Value> extentsOf(Operation *op, OpBuilder &b) {
    SmallVector<Value> extents;
    if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op)) {
      for (Range range : linalgOp.createLoopRanges(b, op->getLoc())) extents.push_back(getValueOrCreateConstantIndexOp(b, op->getLoc(), range.size));
      return extents;
    }
    auto attend = cast<attn::AttendOp>(op);
    extents.resize(attend.getRoles().size());
    for (unsigned n : {0u, 1u, 2u, attend.firstOutput()}) {
      Value operand = op->getOperand(n);
      for (auto [axis, e] : llvm::enumerate(attend.getMap(n).getResults()))
        if (auto d = dyn_cast<AffineDimExpr>(e); d && !extents[d.getPosition()]) extents[d.getPosition()] = memref::DimOp::create(b, op->getLoc(), operand, int64_t(axis));
    }
    return extents;
  }

  std::string target() { return getOperation()->getAttrOfType<StringAttr>("attn.target").getValue().str(); }

  LogicalResult launch(Operation *op, func::FuncOp function) {
    NestOf nest(op);
    nest.spec.target = target();
    if (failed(nest.build())) return failure();
    leaf::NestPlan plan{nest.spec, std::nullopt, {}, 0};
    if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op)) {
      SmallVector<int64_t> known = linalgOp.getStaticLoopRanges();
      plan = leaf::planNest(nest.spec, std::vector<int64_t>(known.begin(), known.end()), function->hasAttr("attn.exact_rows"));
    }
    OpBuilder b(op);
    if (failed(launch(nest, plan, extentsOf(op, b), op, function))) return failure();
    op->erase();
    return success();
  }

  // Before `op`.
  LogicalResult launch(NestOf &nest, leaf::NestPlan plan, ArrayRef<Value> extents, Operation *op, func::FuncOp function) {
    if (failed(declareNest(op, getOperation(), plan.usual)) || (plan.small && failed(declareNest(op, getOperation(), *plan.small)))) return failure();
    OpBuilder b(op);
    Location loc = op->getLoc();
    SmallVector<Value> words;   // as runtime/device/launch.h says
    auto word = [&](Value v) { words.push_back(v.getType().isInteger(64) ? v : Value(arith::IndexCastOp::create(b, loc, b.getI64Type(), v))); };
    auto constant = [&](int64_t value) { words.push_back(arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(value))); };
    if (llvm::is_contained(extents, Value())) return op->emitError("on a GPU, a loop that is no axis of a tensor is not supported yet");
    SmallVector<memref::ExtractStridedMetadataOp> metadata;
    for (Value buffer : nest.buffers) metadata.push_back(memref::ExtractStridedMetadataOp::create(b, loc, buffer));
    for (const leaf::NestArgument &argument : leaf::arguments(nest.spec)) {
      using Kind = leaf::NestArgument;
      const int n = argument.kind == Kind::Written ? nest.spec.outputs[argument.number].buffer : argument.number;
      switch (argument.kind) {
        case Kind::Points: {
          Value points = arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(1));
          for (auto [loop, extent] : llvm::enumerate(extents))
            if (!nest.spec.reduced[loop]) points = callRuntime(b, loc, "fovea_mul", b.getI64Type(), {points, arith::IndexCastOp::create(b, loc, b.getI64Type(), extent)});
          constant(FOVEA_LAUNCH_I32), words.push_back(points);
          break;
        }
        case Kind::Extent: constant(FOVEA_LAUNCH_I32), word(extents[n]); break;
        case Kind::Scalar: scalar(b, loc, nest.spec.scalars[n], nest.scalars[n], words); break;
        case Kind::Offset: constant(FOVEA_LAUNCH_I32), word(metadata[n].getOffset()); break;
        case Kind::Stride: constant(FOVEA_LAUNCH_I32), word(metadata[n].getStrides()[argument.axis]); break;
        case Kind::Buffer:
        case Kind::Written:
          constant(FOVEA_LAUNCH_BUFFER | int64_t(nest.spec.buffers[n].type) << 8);
          word(memref::ExtractAlignedPointerAsIndexOp::create(b, loc, metadata[n].getBaseBuffer()));
          break;
      }
    }
    // Words are the host's memory.
    OpBuilder entry = OpBuilder::atBlockBegin(&function.getBody().front());
    auto type = MemRefType::get({int64_t(words.size())}, b.getI64Type());
    Value array = memref::AllocaOp::create(entry, loc, type);
    for (auto [k, value] : llvm::enumerate(words)) memref::StoreOp::create(b, loc, value, array, ValueRange{arith::ConstantIndexOp::create(b, loc, int64_t(k))});
    auto functionOf = [&](const NestSpec &spec) -> Value {
      return func::ConstantOp::create(b, loc, b.getFunctionType(LLVM::LLVMPointerType::get(b.getContext()), b.getI32Type()), spec.name + "_argv");
    };
    Value nestFunction = functionOf(plan.usual);
    if (plan.small) {
      Value times = arith::ConstantIndexOp::create(b, loc, 1);
      for (int loop : plan.loops) times = arith::MulIOp::create(b, loc, times, extents[loop]);
      Value isSmall = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ule, times, arith::ConstantIndexOp::create(b, loc, plan.most));
      nestFunction = arith::SelectOp::create(b, loc, isSmall, functionOf(*plan.small), nestFunction);
    }
    Value at = memref::ExtractAlignedPointerAsIndexOp::create(b, loc, array);
    Value count = arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(int64_t(words.size())));
    callRuntime(b, loc, "fovea_rt_launch", {}, {nestFunction, at, count});
    return success();
  }

  static void scalar(OpBuilder &b, Location loc, NestSpec::Stored type, Value v, SmallVectorImpl<Value> &words) {
    const int64_t kind = type == NestSpec::F32 ? FOVEA_LAUNCH_F32 : type == NestSpec::I64 ? FOVEA_LAUNCH_I64 : type == NestSpec::Bool ? FOVEA_LAUNCH_BOOL : FOVEA_LAUNCH_I32;
    words.push_back(arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(kind)));
    if (v.getType().isF32()) v = arith::BitcastOp::create(b, loc, b.getI32Type(), v);
    if (v.getType().isIndex()) v = arith::IndexCastOp::create(b, loc, b.getI64Type(), v);
    if (v.getType().isInteger(1)) v = arith::ExtUIOp::create(b, loc, b.getI64Type(), v);
    if (!v.getType().isInteger(64)) v = arith::ExtSIOp::create(b, loc, b.getI64Type(), v);
    words.push_back(v);
  }
};

}  // namespace

std::unique_ptr<Pass> createLaunchPass() { return std::make_unique<LaunchPass>(); }

}  // namespace fovea
