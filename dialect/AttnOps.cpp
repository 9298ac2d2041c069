// The dialect's registration and verifiers. The ids in the messages are those of AttnOps.td.
#include "dialect/Attn.h"

#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"

#include "dialect/AttnDialect.cpp.inc"
#include "dialect/AttnEnums.cpp.inc"

#define GET_ATTRDEF_CLASSES
#include "dialect/AttnAttributes.cpp.inc"

#define GET_OP_CLASSES
#include "dialect/AttnOps.cpp.inc"

using namespace mlir;

namespace fovea::attn {

void AttnDialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "dialect/AttnOps.cpp.inc"
      >();
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialect/AttnAttributes.cpp.inc"
      >();
}

static Type elementType(Type type) {
  auto shaped = dyn_cast<ShapedType>(type);
  return shaped ? shaped.getElementType() : type;
}

// Each map has one result per dimension of its operand, and all maps run over the same dimensions.
static LogicalResult verifyMaps(Operation *op, ArrayAttr maps, TypeRange types, StringRef id) {
  if (maps.size() != types.size())
    return op->emitOpError() << id << ": expects " << types.size() << " indexing maps, has " << maps.size();
  for (auto [attribute, type] : llvm::zip(maps, types)) {
    AffineMap map = cast<AffineMapAttr>(attribute).getValue();
    auto shaped = dyn_cast<ShapedType>(type);
    if (map.getNumDims() != cast<AffineMapAttr>(maps[0]).getValue().getNumDims() || map.getNumSymbols())
      return op->emitOpError() << id << ": every indexing map must have the same dimensions and no symbols";
    if (map.getNumResults() != (shaped ? shaped.getRank() : 0))
      return op->emitOpError() << id << ": map " << attribute << " does not fit " << type;
  }
  return success();
}

static LogicalResult verifyBlock(Operation *op, Block &block, TypeRange expected, Type result, StringRef argumentsId, StringRef yieldId) {
  if (block.getNumArguments() != expected.size())
    return op->emitOpError() << argumentsId << ": expects " << expected.size() << " block arguments, has " << block.getNumArguments();
  for (auto [argument, type] : llvm::zip(block.getArguments(), expected))
    if (argument.getType() != type)
      return op->emitOpError() << argumentsId << ": block argument of type " << argument.getType() << ", expected " << type;
  auto yield = dyn_cast<YieldOp>(block.getTerminator());
  if (!yield || yield.getValue().getType() != result)
    return op->emitOpError() << yieldId << ": the body must yield a score of type " << result;
  return success();
}

LogicalResult ScoreOp::verify() {
  SmallVector<Type> types(getInputs().getTypes());
  types.push_back(getInit().getType());
  if (failed(verifyMaps(*this, getIndexingMaps(), types, "A-score-1"))) return failure();
  if (!cast<AffineMapAttr>(getIndexingMaps().getValue().back()).getValue().isIdentity())
    return emitOpError("A-score-2: the output's map must be the identity");
  SmallVector<Type> arguments;
  for (Value input : getInputs()) arguments.push_back(elementType(input.getType()));
  return verifyBlock(*this, getBody().front(), arguments, elementType(getInit().getType()), "A-score-3", "A-score-4");
}

LogicalResult NormaliseOp::verify() {
  auto score = cast<RankedTensorType>(getScore().getType());
  int64_t before = -1;
  for (int64_t dimension : getDimensions()) {
    if (dimension <= before || dimension >= score.getRank())
      return emitOpError("A-normalise-1: dimensions must be ascending and within the score's rank");
    before = dimension;
  }
  if (getDimensions().empty()) return emitOpError("A-normalise-1: dimensions must not be empty");
  SmallVector<int64_t> shape;
  for (int64_t d = 0; d < score.getRank(); d++)
    if (getKind() == Normaliser::Softmax || !llvm::is_contained(getDimensions(), d)) shape.push_back(score.getDimSize(d));
  if (cast<RankedTensorType>(getInit().getType()).getShape() != ArrayRef(shape))
    return emitOpError("A-normalise-2: the output's shape does not follow from the score's");
  if (getKind() == Normaliser::Total && !getSinks().empty()) return emitOpError("A-normalise-3: a total takes no sinks");
  ArrayAttr maps = getSinkMaps().value_or(ArrayAttr::get(getContext(), {}));
  if (failed(verifyMaps(*this, maps, getSinks().getTypes(), "A-normalise-3"))) return failure();
  for (Attribute map : maps)
    if (cast<AffineMapAttr>(map).getValue().getNumDims() + getDimensions().size() != size_t(score.getRank()))
      return emitOpError("A-normalise-3: a sink's map runs over the score's dimensions without those normalised over");
  return success();
}

LogicalResult AggregateOp::verify() {
  if (failed(verifyMaps(*this, getIndexingMaps(), {getWeights().getType(), getValues().getType(), getInit().getType()}, "A-aggregate-1")))
    return failure();
  if (!cast<AffineMapAttr>(getIndexingMaps()[2]).getValue().isProjectedPermutation())
    return emitOpError("A-aggregate-2: the output's map must be a projected permutation");
  return success();
}

int64_t AttendOp::getDimension(StringRef role) {
  for (auto [dimension, name] : llvm::enumerate(getRoles()))
    if (cast<StringAttr>(name).getValue() == role) return dimension;
  return -1;
}

AffineMap AttendOp::getMap(unsigned operand) { return cast<AffineMapAttr>(getIndexingMaps()[operand]).getValue(); }

LogicalResult AttendOp::verify() {
  if (failed(verifyMaps(*this, getIndexingMaps(), getOperandTypes(), "A-attend-1"))) return failure();
  if (getRoles().size() != getMap(0).getNumDims()) return emitOpError("A-attend-2: expects one role per dimension");
  llvm::StringMap<unsigned> count;
  for (Attribute role : getRoles()) count[cast<StringAttr>(role).getValue()]++;
  if (count["key"] != 1 || count["contracted"] != 1 || count["value"] != 1 || count["row"] > 1 ||
      count["batch"] + count["row"] + 3 != getRoles().size())
    return emitOpError("A-attend-2: expects one `key`, one `contracted`, one `value`, at most one `row`, and `batch` dimensions");
  if (unsigned others = getInits().size() - getWeights(); getInits().empty() || others < 1 || others > 2) return emitOpError("A-attend-4: expects one or two outputs");
  if (getPointwise() && !getSinks().empty()) return emitOpError("A-attend-5: pointwise weights have no sinks");
  for (unsigned k = firstSink(); k < firstOutput(); k++)
    for (StringRef role : {"key", "contracted", "value"})
      if (getMap(k).isFunctionOfDim(getDimension(role))) return emitOpError("A-attend-5: a sink must not vary along the ") << role << " dimension";
  if (getWeights()) {
    if (getPointwise()) return emitOpError("A-attend-6: pointwise weights are no output");
    AffineMap map = getMap(getNumOperands() - 1);
    if (!map.getNumResults() || map.getResults().back() != getAffineDimExpr(getDimension("key"), getContext())) return emitOpError("A-attend-6: the last axis of the weights must be the key");
  }
  Block &block = getBody().front();
  if (block.getNumArguments() == 0 || !isa<FloatType>(block.getArgument(0).getType()))
    return emitOpError("A-attend-3: the first block argument must be the dot product");
  SmallVector<Type> arguments{block.getArgument(0).getType()};
  for (Value input : getInputs()) arguments.push_back(elementType(input.getType()));
  return verifyBlock(*this, block, arguments, arguments[0], "A-attend-3", "A-attend-3");
}

// Tensors have no effects; of buffers the inputs are read and the outputs written.
static void effectsOfOperands(DestinationStyleOpInterface op, SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>> &effects) {
  for (OpOperand &operand : op->getOpOperands()) {
    if (!isa<BaseMemRefType>(operand.get().getType())) continue;
    if (op.isDpsInit(&operand)) effects.emplace_back(MemoryEffects::Write::get(), &operand);
    else effects.emplace_back(MemoryEffects::Read::get(), &operand);
  }
}

void QuantiseOp::getEffects(SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>> &effects) { effectsOfOperands(*this, effects); }
void QuantisedProductOp::getEffects(SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>> &effects) { effectsOfOperands(*this, effects); }

int64_t codesPerGroup(Type codes) { return elementType(codes).isInteger(8) ? 4 : 2; }

// The product of known extents that are not 0; nothing if one is unknown or 0, or it overflows.
static std::optional<int64_t> elements(ArrayRef<int64_t> extents) {
  int64_t count = 1;
  for (int64_t extent : extents)
    if (extent < 1 || llvm::MulOverflow(count, extent, count)) return {};
  return count;
}

static bool areCodes(Type type) { return elementType(type).isInteger(8) || elementType(type).isInteger(16); }

LogicalResult QuantiseOp::verify() {
  auto source = cast<ShapedType>(getSource().getType()), codes = cast<ShapedType>(getCodes().getType()), scales = cast<ShapedType>(getScales().getType());
  int64_t others = source.getRank() - int64_t(getAxes());
  if (int64_t(getAxes()) < 1 || others < 1 || !source.getElementType().isF32()) return emitOpError("A-quantise-1: the source must be of f32 and have the `axes` and others");
  auto row = elements(source.getShape().drop_front(others));
  if (!row || *row > std::numeric_limits<int64_t>::max() - 4) return emitOpError("A-quantise-1: the extents of a row must be known, and not 0");
  SmallVector<int64_t> shape(source.getShape().take_front(others));
  if (!scales.getElementType().isF32() || scales.getShape() != ArrayRef(shape)) return emitOpError("A-quantise-2: the scales must be of f32 and have the source's other axes");
  if (!areCodes(codes)) return emitOpError("A-quantise-1: the codes must be i8 or i16");
  shape.push_back(llvm::alignTo(*row, codesPerGroup(codes)));
  if (codes.getShape() != ArrayRef(shape)) return emitOpError("A-quantise-1: the codes' shape does not follow from the source's");
  return success();
}

LogicalResult QuantisedProductOp::verify() {
  auto codes = cast<ShapedType>(getCodes().getType()), scales = cast<ShapedType>(getScales().getType()), panels = cast<ShapedType>(getPanels().getType());
  auto weightScales = cast<ShapedType>(getWeightScales().getType()), out = cast<ShapedType>(getInit().getType());
  if (!areCodes(codes) || codes.getRank() < 2 || !scales.getElementType().isF32() || scales.getShape() != codes.getShape().drop_back())
    return emitOpError("A-quantised-1: the scales must be of f32 and have the codes' axes but the last");
  if (!out.getElementType().isF32() || out.getRank() <= scales.getRank() || out.getShape().take_front(scales.getRank()) != scales.getShape())
    return emitOpError("A-quantised-2: the output must be of f32 and have the scales' axes, then others");
  int64_t group = codesPerGroup(codes);
  auto columns = elements(out.getShape().drop_front(scales.getRank()));
  if (!columns) return emitOpError("A-quantised-2: the extents of the output's last axes must be known, and not 0");
  if (panels.getRank() != 3 || !panels.hasStaticShape() || !panels.getElementType().isInteger(8) || panels.getDimSize(2) % group || panels.getDimSize(2) == 0 ||
      panels.getDimSize(0) != int64_t(llvm::divideCeil(*columns, panels.getDimSize(2) / group)) || codes.getShape().back() % group || panels.getDimSize(1) != codes.getShape().back() / group)
    return emitOpError("A-quantised-3: the panels do not hold the output's columns and the codes");
  int64_t wide[] = {panels.getDimSize(0), panels.getDimSize(2) / group};
  if (!weightScales.getElementType().isF32() || weightScales.getShape() != ArrayRef<int64_t>(wide)) return emitOpError("A-quantised-4: the weights' scales must be f32, one for each column of the panels");
  if (bool(getSums()) != (group == 4)) return emitOpError("A-quantised-4: sums go with codes of i8, and only with them");
  if (getSums())
    if (auto sums = cast<ShapedType>(getSums().getType()); !sums.getElementType().isInteger(32) || sums.getShape() != ArrayRef<int64_t>(wide))
      return emitOpError("A-quantised-4: the sums must be i32, one for each column of the panels");
  return success();
}

}  // namespace fovea::attn
