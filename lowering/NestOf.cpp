#include "lowering/NestOf.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/AffineExpr.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace fovea {

using leaf::NestSpec;

static std::optional<NestSpec::Stored> storedType(Type type) {
  if (type.isF32()) return NestSpec::F32;
  if (type.isF16()) return NestSpec::F16;
  if (type.isBF16()) return NestSpec::BF16;
  if (type.isInteger(1)) return NestSpec::Bool;
  if (type.isInteger(8)) return NestSpec::I8;
  if (type.isInteger(32) || type.isIndex()) return NestSpec::I32;  // a position fits
  if (type.isInteger(64)) return NestSpec::I64;
  return std::nullopt;
}

LogicalResult NestOf::build() { return isa<attn::AttendOp>(op) ? build(cast<attn::AttendOp>(op)) : build(cast<linalg::GenericOp>(op)); }

LogicalResult NestOf::build(linalg::GenericOp op) {
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
    auto initial = op->getAttrOfType<ArrayAttr>(initialAttr);
    if (initial && !isa<UnitAttr>(initial[n])) spec.outputs.back().initial = constant(initial[n], value.getType());
  }
  return success();
}

LogicalResult NestOf::build(attn::AttendOp op) {
  DictionaryAttr schedule = *op.getSchedule();
  auto size = [&](StringRef name) { return int(schedule.getAs<IntegerAttr>(name).getInt()); };
  ArrayRef<int64_t> threads = schedule.getAs<DenseI64ArrayAttr>("threads").asArrayRef();
  spec.attend.emplace();
  NestSpec::Attend &attend = *spec.attend;
  attend.queries = size("queries"), attend.keys = size("keys"), attend.columns = size("columns"), attend.depth = size("depth");
  attend.threadsAcross = int(threads[0]), attend.threadsDown = int(threads[1]);
  attend.row = int(op.getDimension("row")), attend.key = int(op.getDimension("key"));
  attend.contracted = int(op.getDimension("contracted")), attend.along = int(op.getDimension("value"));
  if (auto part = op->getAttrOfType<IntegerAttr>("part")) attend.part = int(part.getInt());
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

LogicalResult NestOf::build(const KeyParts &parts) {
  attn::AttendOp whole = parts.whole, states = parts.states;
  std::optional<int> state = bufferOf(states.getInits()[0]), buffer = bufferOf(whole.getInits()[0]);
  if (!state || !buffer) return failure();
  // Loops: those of the result, by the attend's dimensions, and the parts.
  SmallVector<int> loops(whole.getRoles().size(), -1);
  AffineMap output = whole.getMap(whole.firstOutput());
  for (AffineExpr e : output.getResults()) {
    auto d = dyn_cast<AffineDimExpr>(e);
    if (!d) return whole.emitError("on a GPU, a result whose axes are not loops is not supported yet");
    loops[d.getPosition()] = int(spec.axes.size());
    spec.axes.push_back(int(spec.axes.size()));
  }
  spec.reduced.assign(spec.axes.size(), false);
  spec.reduced.push_back(true);
  spec.merge.emplace();
  spec.merge->part = int(spec.axes.size()), spec.merge->along = loops[whole.getDimension("value")], spec.merge->state = *state, spec.merge->pointwise = whole.getPointwise();
  auto group = states->getAttrOfType<DenseI64ArrayAttr>("group");
  const int64_t head = group ? cast<AffineDimExpr>(whole.getMap(0).getResult(unsigned(group[0]))).getPosition() : -1, row = states.getDimension("row");
  for (AffineExpr e : states.getMap(states.firstOutput()).getResults().drop_back(2)) {
    const int64_t d = cast<AffineDimExpr>(e).getPosition();
    int at = step("loop", {}, loops[group && d == row ? head : d]);
    if (group && (d == head || d == row)) at = step(d == head ? "floordivsi" : "remsi", {at, step("i32", {}, group[1])});
    spec.merge->at.push_back(at);
  }
  spec.outputs.push_back({*buffer, step("f32", {})});
  return success();
}

std::optional<int> NestOf::element(Value operand, AffineMap map) {
  if (!isa<MemRefType>(operand.getType())) return valueOf(operand);
  SmallVector<int> at;
  for (AffineExpr e : map.getResults()) at.push_back(position(e));
  return load(operand, at);
}

int NestOf::step(StringRef name, ArrayRef<int> args, int64_t integer, double real) {
  spec.steps.push_back({name.str(), std::vector<int>(args.begin(), args.end()), integer, real});
  return int(spec.steps.size()) - 1;
}

LogicalResult NestOf::refuse(Operation *what) { return what->emitError("on a GPU, `") << what->getName() << "` is not supported yet"; }

std::optional<int> NestOf::bufferOf(Value memref) {
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

int NestOf::position(AffineExpr e) {
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

std::optional<int> NestOf::load(Value memref, ArrayRef<int> at) {
  std::optional<int> buffer = bufferOf(memref);
  if (!buffer) return std::nullopt;
  return step("load", at, *buffer);
}

int NestOf::constant(Attribute value, Type type) {
  if (auto real = dyn_cast<FloatAttr>(value)) return step("f32", {}, 0, real.getValueAsDouble());
  static const char *const names[] = {"f32", "f32", "f32", "i32", "i64", "i8", "bool"};
  const APInt &bits = cast<IntegerAttr>(value).getValue();
  return step(names[*storedType(type)], {}, type.isInteger(1) ? int64_t(bits.getBoolValue()) : bits.getSExtValue());
}

std::optional<int> NestOf::valueOf(Value v) {
  if (auto at = known.find(v); at != known.end()) return at->second;
  std::optional<NestSpec::Stored> type = storedType(v.getType());
  if (!type) return (void)(op->emitError("on a GPU, values of ") << v.getType() << " are not supported yet"), std::nullopt;
  int made;
  Attribute given;
  if (matchPattern(v, m_Constant(&given))) {
    made = constant(given, v.getType());
  } else {
    if (*type == NestSpec::F16 || *type == NestSpec::BF16 || *type == NestSpec::I8) return (void)(op->emitError("on a GPU, arguments of ") << v.getType() << " are not supported yet"), std::nullopt;
    made = step("scalar", {}, int64_t(scalars.size()));
    scalars.push_back(v);
    spec.scalars.push_back(*type);
  }
  known[v] = made;
  return made;
}

LogicalResult NestOf::translate(Operation *nested) {
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

std::optional<std::string> NestOf::nameOf(Operation *nested) {
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

}  // namespace fovea
