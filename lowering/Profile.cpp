// attn-profile: around each operation of a model's stage, the runtime's clock and what the operation has to do: floating-point operations as its
// body has them at each point of its extents, and the bytes of its operands and results, once. What masks remove is not taken off. The module's
// `attn.operations` lists what is measured: {stage, place, what}, in the order of the numbers. While nobody profiles, an operation costs two calls
// that return at once.
#include "dialect/Attn.h"
#include "lowering/Passes.h"
#include "lowering/RuntimeCall.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;

namespace fovea {
namespace {

// The extents of an operation's loops, as values in front of it and as text.
struct Extents {
  SmallVector<Value> values;
  SmallVector<std::string> texts;
};

struct ProfilePass : PassWrapper<ProfilePass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ProfilePass)
  StringRef getArgument() const final { return "attn-profile"; }
  StringRef getDescription() const final { return "Measure each operation of a model's stages"; }
  void getDependentDialects(DialectRegistry &registry) const final { registry.insert<arith::ArithDialect, func::FuncDialect, memref::MemRefDialect>(); }

  void runOnOperation() final {
    SmallVector<Attribute> listed;
    for (auto function : getOperation().getOps<func::FuncOp>()) {
      if (!function->hasAttr("attn.stage")) continue;
      SmallVector<Operation *> operations;
      for (Operation &op : function.getBody().front())
        if (isMeasured(op)) operations.push_back(&op);
      for (Operation *op : operations) listed.push_back(measure(op, function, listed.size()));
    }
    if (!listed.empty()) getOperation()->setAttr("attn.operations", ArrayAttr::get(&getContext(), listed));
  }

 private:
  // A fill belongs to what fills up after it.
  static bool isMeasured(Operation &op) {
    return (isa<linalg::LinalgOp>(op) && !isa<linalg::FillOp>(op)) || isa<attn::AttendOp, attn::QuantiseOp, attn::QuantisedProductOp, scf::ParallelOp, scf::ForOp, memref::CopyOp>(op);
  }

  Attribute measure(Operation *op, func::FuncOp function, size_t number) {
    Operation *first = op;
    for (Operation *before = op->getPrevNode(); before && (isa<linalg::FillOp, memref::AllocOp>(before) || isMemoryEffectFree(before)); before = before->getPrevNode())
      if (isa<linalg::FillOp>(before)) first = before;
    OpBuilder b(first);
    Location loc = op->getLoc();
    Type i64 = b.getI64Type();
    Value began = callRuntime(b, loc, "fovea_rt_operation_begin", i64, {});
    b.setInsertionPointAfter(op);
    Extents loops;
    Value flops = constant(b, loc, 0);
    std::string what = isa<scf::ForOp>(op) ? "loop" : isa<scf::ParallelOp>(op) ? "rows" : "copy";
    if (auto nest = dyn_cast<linalg::LinalgOp>(op); nest && nest->getNumRegions() == 1 && !isa<linalg::CopyOp>(op)) {
      loops = extentsOf(b, op, nest.getIndexingMapsArray());
      flops = times(b, loc, loops.values, operationsIn(*nest.getBlock()));
      what = textOf(nest, loops);
    } else if (auto attend = dyn_cast<attn::AttendOp>(op)) {
      loops = extentsOf(b, op, mapsOf(attend));
      flops = flopsOf(b, attend, loops);
      what = textOf(attend, loops);
    } else if (auto product = dyn_cast<attn::QuantisedProductOp>(op)) {
      Value codes = product.getCodes();
      int64_t last = cast<MemRefType>(codes.getType()).getRank() - 1;
      loops = extentsOf(b, loc, product.getInit());
      loops.values.push_back(extentOf(b, loc, codes, last));
      flops = times(b, loc, loops.values, 2);
      what = "product of int8 " + llvm::join(loops.texts, " x ") + " over " + textOf(codes, last);
    } else if (auto quantise = dyn_cast<attn::QuantiseOp>(op)) {
      what = "quantise " + llvm::join(extentsOf(b, loc, quantise.getSource()).texts, " x ");
    }
    Value bytes = constant(b, loc, 0);
    llvm::SmallPtrSet<Value, 8> seen;
    for (Value operand : op->getOperands())
      if (seen.insert(operand).second) bytes = arith::AddIOp::create(b, loc, bytes, bytesOf(b, loc, operand));
    callRuntime(b, loc, "fovea_rt_operation_end", {}, {constant(b, loc, number), began, flops, bytes});
    return b.getDictionaryAttr({b.getNamedAttr("stage", b.getStringAttr(function.getName())), b.getNamedAttr("place", b.getStringAttr(placeOf(op))),
                                b.getNamedAttr("what", b.getStringAttr(what))});
  }

  static Value constant(OpBuilder &b, Location loc, int64_t v) { return arith::ConstantIntOp::create(b, loc, b.getI64Type(), v); }

  // A weight gets no other user: what only products read is laid out for them.
  static Value extentOf(OpBuilder &b, Location loc, Value buffer, int64_t axis) {
    auto type = cast<MemRefType>(buffer.getType());
    if (!type.isDynamicDim(axis)) return constant(b, loc, type.getDimSize(axis));
    return arith::IndexCastOp::create(b, loc, b.getI64Type(), Value(memref::DimOp::create(b, loc, buffer, axis)));
  }

  static std::string placeOf(Operation *op) {
    auto place = op->getLoc()->findInstanceOf<FileLineColLoc>();
    if (!place) return "";
    StringRef file = place.getFilename().getValue();
    return (file.substr(file.rfind('/') + 1) + ":" + Twine(place.getLine())).str();
  }

  static SmallVector<AffineMap> mapsOf(attn::AttendOp op) {
    return llvm::map_to_vector(op.getIndexingMaps().getAsRange<AffineMapAttr>(), [](AffineMapAttr map) { return map.getValue(); });
  }

  // Each dimension's extent is that of an axis that lies plainly along it.
  static Extents extentsOf(OpBuilder &b, Operation *op, ArrayRef<AffineMap> maps) {
    Extents loops;
    unsigned dims = maps.empty() ? 0 : maps.front().getNumDims();
    loops.values.resize(dims);
    loops.texts.assign(dims, "?");
    for (auto [operand, map] : llvm::zip(op->getOperands(), maps))
      for (auto [axis, expression] : llvm::enumerate(map.getResults())) {
        auto dim = dyn_cast<AffineDimExpr>(expression);
        auto type = dyn_cast<MemRefType>(operand.getType());
        if (!dim || !type || (loops.values[dim.getPosition()] && type.isDynamicDim(axis))) continue;
        loops.values[dim.getPosition()] = extentOf(b, op->getLoc(), operand, axis);
        if (!type.isDynamicDim(axis)) loops.texts[dim.getPosition()] = std::to_string(type.getDimSize(axis));
      }
    return loops;
  }

  static std::string textOf(Value buffer, int64_t axis) {
    auto type = cast<MemRefType>(buffer.getType());
    return type.isDynamicDim(axis) ? "?" : std::to_string(type.getDimSize(axis));
  }

  // Of a buffer, all axes.
  static Extents extentsOf(OpBuilder &b, Location loc, Value buffer) {
    Extents loops;
    for (int64_t axis = 0; axis < cast<MemRefType>(buffer.getType()).getRank(); axis++) loops.values.push_back(extentOf(b, loc, buffer, axis)), loops.texts.push_back(textOf(buffer, axis));
    return loops;
  }

  static Value times(OpBuilder &b, Location loc, ArrayRef<Value> extents, int64_t factor) {
    Value product = constant(b, loc, factor);
    for (Value extent : extents)
      if (extent) product = arith::MulIOp::create(b, loc, product, extent);
    return product;
  }

  static int64_t operationsIn(Block &body) {
    int64_t count = 0;
    for (Operation &op : body)
      count += isa<arith::AddFOp, arith::SubFOp, arith::MulFOp, arith::DivFOp, arith::NegFOp, arith::MaximumFOp, arith::MinimumFOp, arith::MaxNumFOp, arith::MinNumFOp>(op) ||
               isa<math::MathDialect>(op.getDialect());
    return count;
  }

  // Both products, and the score function at each pair of a query and a key.
  static Value flopsOf(OpBuilder &b, attn::AttendOp op, const Extents &loops) {
    auto without = [&](StringRef role) {
      SmallVector<Value> extents(loops.values);
      if (int64_t dim = op.getDimension(role); dim >= 0) extents[dim] = {};
      return extents;
    };
    Location loc = op.getLoc();
    SmallVector<Value> pairs = without("contracted");
    if (int64_t value = op.getDimension("value"); value >= 0) pairs[value] = {};
    Value products = arith::AddIOp::create(b, loc, times(b, loc, without("value"), 2), times(b, loc, without("contracted"), 2));
    return arith::AddIOp::create(b, loc, products, times(b, loc, pairs, operationsIn(op.getBody().front())));
  }

  static Value bytesOf(OpBuilder &b, Location loc, Value operand) {
    auto type = dyn_cast<MemRefType>(operand.getType());
    if (!type || !type.getElementType().isIntOrFloat()) return constant(b, loc, 0);
    Value bytes = constant(b, loc, (type.getElementTypeBitWidth() + 7) / 8);
    for (int64_t axis = 0; axis < type.getRank(); axis++)
      bytes = arith::MulIOp::create(b, loc, bytes, extentOf(b, loc, operand, axis));
    return bytes;
  }

  static std::string textOf(linalg::LinalgOp op, const Extents &loops) {
    std::string kept, summed;
    for (auto [dim, iterator] : llvm::enumerate(op.getIteratorTypesArray())) {
      std::string &text = iterator == utils::IteratorType::reduction ? summed : kept;
      text += (text.empty() ? "" : " x ") + loops.texts[dim];
    }
    if (summed.empty()) return "elementwise " + (kept.empty() ? "1" : kept);
    bool product = op.getNumDpsInputs() >= 2 && llvm::any_of(*op.getBlock(), [](Operation &inner) {
      return isa<arith::MulFOp>(inner) && inner.hasOneUse() && isa<arith::AddFOp>(*inner.user_begin());
    });
    return (product ? "product " : "reduction ") + (kept.empty() ? "1" : kept) + " over " + summed;
  }

  static std::string textOf(attn::AttendOp op, const Extents &loops) {
    std::string rows, key;
    for (auto [dim, text] : llvm::enumerate(loops.texts)) {
      bool ofKeys = llvm::is_contained({op.getDimension("key"), op.getDimension("contracted")}, int64_t(dim));
      std::string &to = ofKeys ? key : rows;
      to += (to.empty() ? "" : " x ") + text;
    }
    return "attend " + rows + " over " + key;
  }
};

}  // namespace

std::unique_ptr<Pass> createProfilePass() { return std::make_unique<ProfilePass>(); }

}  // namespace fovea
