// attn-launch: for a GPU, every linalg operation on buffers becomes one nest (lowering/halide/NestSpec.h) and its launch. Memory is the device's: what
// a memref points to is the runtime's record of it (runtime/device/device.h), offsets and strides are as ever. What host code needs to know of a
// tensor, say how long a loop is, it asks the device for.
#include "dialect/Attn.h"
#include "lowering/LeafCall.h"
#include "lowering/Passes.h"
#include "lowering/RuntimeCall.h"
#include "runtime/device/launch.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/AffineExpr.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;

namespace fovea {
namespace {

using leaf::NestSpec;

std::optional<NestSpec::Stored> storedType(Type type) {
  if (type.isF32()) return NestSpec::F32;
  if (type.isF16()) return NestSpec::F16;
  if (type.isBF16()) return NestSpec::BF16;
  if (type.isInteger(1)) return NestSpec::Bool;
  if (type.isInteger(8)) return NestSpec::I8;
  if (type.isInteger(32) || type.isIndex()) return NestSpec::I32;  // a position fits
  if (type.isInteger(64)) return NestSpec::I64;
  return std::nullopt;
}

// A linalg.generic or an attn.attend as a nest: its specification, and what it is called with.
class NestOf {
 public:
  explicit NestOf(Operation *op) : op(op) {}

  NestSpec spec;
  SmallVector<Value> scalars;   // by number
  SmallVector<Value> buffers;   // memrefs, by number

  LogicalResult build() { return isa<attn::AttendOp>(op) ? build(cast<attn::AttendOp>(op)) : build(cast<linalg::GenericOp>(op)); }

 private:
  Operation *op;
  llvm::DenseMap<Value, int> known;        // steps
  llvm::DenseMap<Value, int> numbers;      // of buffers and scalars

  LogicalResult build(linalg::GenericOp op) {
    for (utils::IteratorType type : op.getIteratorTypesArray()) spec.reduced.push_back(type == utils::IteratorType::reduction);
    AffineMap outputs = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
    for (OpOperand &init : op.getDpsInitsMutable())
      if (op.getMatchingIndexingMap(&init) != outputs) return op.emitError("a nest whose outputs have different axes is not supported yet");
    for (AffineExpr e : outputs.getResults()) spec.axes.push_back(int(cast<AffineDimExpr>(e).getPosition()));

    Block &body = op.getRegion().front();
    unsigned inputs = unsigned(op.getNumDpsInputs());
    for (BlockArgument argument : body.getArguments()) {
      unsigned n = argument.getArgNumber();
      OpOperand &operand = op->getOpOperand(n);
      if (n >= inputs) {
        if (!argument.use_empty()) known[argument] = step("before", {}, n - inputs);
      } else if (!argument.use_empty()) {
        std::optional<int> value = element(operand.get(), op.getMatchingIndexingMap(&operand));
        if (!value) return failure();
        known[argument] = *value;
      }
    }
    for (Operation &nested : body.without_terminator())
      if (failed(translate(&nested))) return failure();
    auto yield = cast<linalg::YieldOp>(body.getTerminator());
    for (auto [n, value] : llvm::enumerate(yield.getValues())) {
      std::optional<int> result = valueOf(value);
      std::optional<int> buffer = bufferOf(op.getDpsInitOperand(n)->get());
      if (!result || !buffer) return failure();
      spec.outputs.push_back({*buffer, *result});
    }
    return success();
  }

  LogicalResult build(attn::AttendOp op) {
    DictionaryAttr schedule = *op.getSchedule();
    auto size = [&](StringRef name) { return int(schedule.getAs<IntegerAttr>(name).getInt()); };
    ArrayRef<int64_t> threads = schedule.getAs<DenseI64ArrayAttr>("threads").asArrayRef();
    spec.attend.emplace();
    NestSpec::Attend &attend = *spec.attend;
    attend.queries = size("queries"), attend.keys = size("keys"), attend.columns = size("columns"), attend.depth = size("depth");
    attend.threadsAcross = int(threads[0]), attend.threadsDown = int(threads[1]);
    attend.row = int(op.getDimension("row")), attend.key = int(op.getDimension("key"));
    attend.contracted = int(op.getDimension("contracted")), attend.along = int(op.getDimension("value"));
    attend.pointwise = op.getPointwise();
    attend.unroll = schedule.getAs<BoolAttr>("unroll").getValue();
    for (size_t n = 0; n < op.getRoles().size(); n++) spec.reduced.push_back(int(n) == attend.key || int(n) == attend.contracted);
    AffineMap output = op.getMap(op.firstOutput());
    for (AffineExpr e : output.getResults()) {
      auto d = dyn_cast<AffineDimExpr>(e);
      if (!d) return op.emitError("on a GPU, a result whose axes are not loops is not supported yet");
      spec.axes.push_back(int(d.getPosition()));
    }
    std::optional<int> query = element(op.getQuery(), op.getMap(0)), key = element(op.getKey(), op.getMap(1)), value = element(op.getValue(), op.getMap(2));
    if (!query || !key || !value) return failure();
    attend.queryElement = *query, attend.keyElement = *key, attend.valueElement = *value;
    Block &body = op.getBody().front();
    known[body.getArgument(0)] = step("dot", {});
    for (auto [n, input] : llvm::enumerate(op.getInputs())) {
      if (body.getArgument(unsigned(n) + 1).use_empty()) continue;
      std::optional<int> read = element(input, op.getMap(3 + unsigned(n)));
      if (!read) return failure();
      known[body.getArgument(unsigned(n) + 1)] = *read;
    }
    for (auto [n, sink] : llvm::enumerate(op.getSinks())) {
      std::optional<int> read = element(sink, op.getMap(op.firstSink() + unsigned(n)));
      if (!read) return failure();
      attend.sinks.push_back(*read);
    }
    for (Operation &nested : body.without_terminator())
      if (failed(translate(&nested))) return failure();
    auto yield = cast<attn::YieldOp>(body.getTerminator());
    std::optional<int> score = valueOf(yield.getValue()), keep = valueOf(yield.getKeep()), buffer = bufferOf(op.getInits()[0]);
    if (!score || !keep || !buffer) return failure();
    attend.score = *score, attend.keep = *keep;
    spec.outputs.push_back({*buffer, *score});
    return success();
  }

  // What an operand is where the loops stand.
  std::optional<int> element(Value operand, AffineMap map) {
    if (!isa<MemRefType>(operand.getType())) return valueOf(operand);
    SmallVector<int> at;
    for (AffineExpr e : map.getResults()) at.push_back(position(e));
    return load(operand, at);
  }

  int step(StringRef name, ArrayRef<int> args, int64_t integer = 0, double real = 0) {
    spec.steps.push_back({name.str(), std::vector<int>(args.begin(), args.end()), integer, real});
    return int(spec.steps.size()) - 1;
  }

  LogicalResult refuse(Operation *what) { return what->emitError("on a GPU, `") << what->getName() << "` is not supported yet"; }

  std::optional<int> bufferOf(Value memref) {
    auto [at, isNew] = numbers.try_emplace(memref, int(buffers.size()));
    if (!isNew) return at->second;
    auto type = cast<MemRefType>(memref.getType());
    std::optional<NestSpec::Stored> element = storedType(type.getElementType());
    if (!element) return (void)(op->emitError("on a GPU, tensors of ") << type.getElementType() << " are not supported yet"), std::nullopt;
    auto [strides, offset] = type.getStridesAndOffset();
    spec.buffers.push_back({*element, int(type.getRank()), !strides.empty() && strides.back() == 1});
    buffers.push_back(memref);
    return at->second;
  }

  int position(AffineExpr e) {
    if (auto d = dyn_cast<AffineDimExpr>(e)) return step("loop", {}, d.getPosition());
    if (auto c = dyn_cast<AffineConstantExpr>(e)) return step("i32", {}, c.getValue());
    auto binary = cast<AffineBinaryOpExpr>(e);
    int l = position(binary.getLHS()), r = position(binary.getRHS());
    switch (binary.getKind()) {
      case AffineExprKind::Add: return step("addi", {l, r});
      case AffineExprKind::Mul: return step("muli", {l, r});
      case AffineExprKind::FloorDiv: return step("floordivsi", {l, r});
      case AffineExprKind::Mod: return step("remsi", {l, r});
      default: llvm_unreachable("rule: affine maps of linalg have no ceildiv");
    }
  }

  std::optional<int> load(Value memref, ArrayRef<int> at) {
    std::optional<int> buffer = bufferOf(memref);
    if (!buffer) return std::nullopt;
    return step("load", at, *buffer);
  }

  // The step that has a value of the body, or one from outside: a constant or an argument.
  std::optional<int> valueOf(Value v) {
    if (auto at = known.find(v); at != known.end()) return at->second;
    std::optional<NestSpec::Stored> type = storedType(v.getType());
    if (!type) return (void)(op->emitError("on a GPU, values of ") << v.getType() << " are not supported yet"), std::nullopt;
    int made;
    Attribute constant;
    if (matchPattern(v, m_Constant(&constant))) {
      static const char *const names[] = {"f32", "f32", "f32", "i32", "i64", "i8", "bool"};
      if (auto real = dyn_cast<FloatAttr>(constant)) made = step("f32", {}, 0, real.getValueAsDouble());
      else made = step(names[*type], {}, v.getType().isInteger(1) ? cast<IntegerAttr>(constant).getValue().getBoolValue() : cast<IntegerAttr>(constant).getValue().getSExtValue());
    } else {
      if (*type == NestSpec::F16 || *type == NestSpec::BF16 || *type == NestSpec::I8) return (void)(op->emitError("on a GPU, arguments of ") << v.getType() << " are not supported yet"), std::nullopt;
      made = step("scalar", {}, int64_t(scalars.size()));
      scalars.push_back(v);
      spec.scalars.push_back(*type);
    }
    known[v] = made;
    return made;
  }

  LogicalResult translate(Operation *nested) {
    if (auto index = dyn_cast<attn::IndexOp>(nested)) return known[index.getResult()] = step("loop", {}, index.getDimension()), success();
    if (isa<attn::SupportOp>(nested)) {
      std::optional<int> value = valueOf(nested->getOperand(0));
      if (!value) return failure();
      known[nested->getResult(0)] = *value;
      return success();
    }
    if (auto index = dyn_cast<linalg::IndexOp>(nested)) return known[index.getResult()] = step("loop", {}, int64_t(index.getDim())), success();
    if (auto read = dyn_cast<memref::LoadOp>(nested)) {
      SmallVector<int> at;
      for (Value index : read.getIndices()) {
        std::optional<int> value = valueOf(index);
        if (!value) return failure();
        at.push_back(*value);
      }
      std::optional<int> value = load(read.getMemRef(), at);
      if (!value) return failure();
      known[read.getResult()] = *value;
      return success();
    }
    if (isa<arith::ConstantOp>(nested)) return success();  // where it is used
    if (nested->getNumResults() != 1 || nested->getNumRegions()) return refuse(nested);
    SmallVector<int> args;
    for (Value operand : nested->getOperands()) {
      std::optional<int> value = valueOf(operand);
      if (!value) return failure();
      args.push_back(*value);
    }
    std::optional<std::string> name = nameOf(nested);
    if (!name) return refuse(nested);
    known[nested->getResult(0)] = name->empty() ? args[0] : step(*name, args);
    return success();
  }

  // The step that an operation is; empty: its operand as it is.
  static std::optional<std::string> nameOf(Operation *nested) {
    Type from = nested->getNumOperands() ? nested->getOperand(0).getType() : Type(), to = nested->getResult(0).getType();
    auto integer = [](Type type, bool natural) -> std::string {
      if (type.isInteger(1)) return "to_bool";
      if (type.isInteger(8)) return "to_i8";
      return std::string(natural ? "to_u" : "to_i") + (type.isInteger(64) ? "64" : "32");
    };
    if (auto cmp = dyn_cast<arith::CmpFOp>(nested)) return "cmpf_" + arith::stringifyCmpFPredicate(cmp.getPredicate()).str();
    if (auto cmp = dyn_cast<arith::CmpIOp>(nested)) return "cmpi_" + arith::stringifyCmpIPredicate(cmp.getPredicate()).str();
    if (isa<arith::ExtSIOp, arith::TruncIOp, arith::IndexCastOp>(nested)) return storedType(from) == storedType(to) ? std::string() : integer(to, false);
    if (isa<arith::ExtUIOp, arith::IndexCastUIOp>(nested)) return storedType(from) == storedType(to) ? std::string() : integer(to, true);
    if (isa<arith::ExtFOp>(nested)) return std::string();
    if (isa<arith::TruncFOp>(nested)) return to.isF16() ? "round_f16" : to.isBF16() ? "round_bf16" : std::string();
    if (isa<arith::FPToSIOp>(nested)) return to.isInteger(32) ? std::optional<std::string>("fptosi") : std::nullopt;
    if (isa<arith::ArithDialect, math::MathDialect>(nested->getDialect())) return nested->getName().stripDialect().str();
    return std::nullopt;
  }
};

struct LaunchPass : PassWrapper<LaunchPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(LaunchPass)
  StringRef getArgument() const final { return "attn-launch"; }
  StringRef getDescription() const final { return "Make every linalg operation on buffers a nest for a GPU and its launch"; }
  void getDependentDialects(DialectRegistry &registry) const final { registry.insert<LLVM::LLVMDialect, memref::MemRefDialect, func::FuncDialect, arith::ArithDialect>(); }

  void runOnOperation() final {
    SmallVector<func::FuncOp> functions(getOperation().getOps<func::FuncOp>());
    for (func::FuncOp function : functions)
      if (!function.isExternal() && failed(launch(function))) return signalPassFailure();
  }

  LogicalResult launch(func::FuncOp function) {
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
      if (failed(launch(nests[n], function))) return failure();
    }
    return success();
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
    for (unsigned n : {attend.firstOutput(), 0u, 1u, 2u}) {
      Value operand = op->getOperand(n);
      for (auto [axis, e] : llvm::enumerate(attend.getMap(n).getResults()))
        if (auto d = dyn_cast<AffineDimExpr>(e); d && !extents[d.getPosition()]) extents[d.getPosition()] = memref::DimOp::create(b, op->getLoc(), operand, int64_t(axis));
    }
    return extents;
  }

  LogicalResult launch(Operation *op, func::FuncOp function) {
    NestOf nest(op);
    nest.spec.target = getOperation()->getAttrOfType<StringAttr>("attn.target").getValue().str();
    if (failed(nest.build()) || failed(declareNest(op, getOperation(), nest.spec))) return failure();

    OpBuilder b(op);
    Location loc = op->getLoc();
    SmallVector<Value> words;   // as runtime/device/launch.h says
    auto word = [&](Value v) { words.push_back(v.getType().isInteger(64) ? v : Value(arith::IndexCastOp::create(b, loc, b.getI64Type(), v))); };
    auto constant = [&](int64_t value) { words.push_back(arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(value))); };
    SmallVector<Value> extents = extentsOf(op, b);
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
    Value nestFunction = func::ConstantOp::create(b, loc, b.getFunctionType(LLVM::LLVMPointerType::get(b.getContext()), b.getI32Type()), nest.spec.name + "_argv");
    Value at = memref::ExtractAlignedPointerAsIndexOp::create(b, loc, array);
    Value count = arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(int64_t(words.size())));
    callRuntime(b, loc, "fovea_rt_launch", {}, {nestFunction, at, count});
    op->erase();
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
