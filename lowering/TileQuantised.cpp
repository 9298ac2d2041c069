// attn-tile-quantised: attn.quantise and attn.quantised_product on buffers become loops around the functions of DotProduct.h.
#include "dialect/Attn.h"
#include "lowering/DotProduct.h"
#include "lowering/Passes.h"
#include "lowering/halide/LeafSpec.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/BuiltinOps.h"

using namespace mlir;

namespace fovea {
namespace {

constexpr int64_t pointsPerTask = 16384;  // elements that one task of a parallel loop makes codes of
constexpr int64_t tilesPerTask = 8;       // micro-tiles of rows with one panel, which stays in the nearest caches

// Operands as rows of elements.
class Tiler {
 public:
  Tiler(Operation *op, const leaf::TargetInfo &target) : op(op), target(target), b(op), loc(op->getLoc()) {}

  void quantise(attn::QuantiseOp op) {
    const unsigned others = cast<ShapedType>(op.getScales().getType()).getRank();
    auto sourceType = cast<ShapedType>(op.getSource().getType());
    const int64_t count = ShapedType::getNumElements(sourceType.getShape().drop_front(others)), padded = cast<ShapedType>(op.getCodes().getType()).getShape().back();
    DotShape shape{target, attn::codesPerGroup(op.getCodes().getType()), target.columns};
    Rows source = rows(read(op.getSource(), others), others), codes = rows(op.getCodes(), others), scales = rows(op.getScales(), others);
    const int64_t perTask = std::max<int64_t>(1, pointsPerTask / count);
    Value total = count_(op.getScales(), others);
    auto parallel = scf::ParallelOp::create(b, loc, ValueRange{constant(0)}, ValueRange{Value(arith::CeilDivSIOp::create(b, loc, total, constant(perTask)))}, ValueRange{constant(1)});
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(parallel.getBody());
    Value first = arith::MulIOp::create(b, loc, parallel.getInductionVars()[0], constant(perTask));
    Value last = arith::MinSIOp::create(b, loc, total, arith::AddIOp::create(b, loc, first, constant(perTask)));
    auto loop = scf::ForOp::create(b, loc, first, last, constant(1));
    b.setInsertionPointToStart(loop.getBody());
    Value row = loop.getInductionVar();
    callQuantiseRow(b, loc, shape, address(source, row), address(codes, row), address(scales, row), count, padded);
  }

  void product(attn::QuantisedProductOp op) {
    const unsigned others = cast<ShapedType>(op.getScales().getType()).getRank();
    auto panelsType = cast<ShapedType>(op.getPanels().getType());
    DotShape shape{target, attn::codesPerGroup(op.getCodes().getType()), 0};
    shape.columns = panelsType.getDimSize(2) / shape.group;
    const int64_t panels = panelsType.getDimSize(0), groups = panelsType.getDimSize(1), rowsPerTask = shape.rows() * tilesPerTask;
    const int64_t N = ShapedType::getNumElements(cast<ShapedType>(op.getInit().getType()).getShape().drop_front(others));
    Value result = op.getInit(), out = liesInRows(result, others) ? result : temporary(result);
    Value total = count_(op.getScales(), others);
    Rows codes = rows(op.getCodes(), others), scales = rows(op.getScales(), others), c = rows(out, others);
    Rows weights = rows(op.getPanels(), 1), weightScales = rows(op.getWeightScales(), 1), sums;
    if (op.getSums()) sums = rows(op.getSums(), 1);
    Value rowTiles = arith::CeilDivSIOp::create(b, loc, total, constant(rowsPerTask));
    auto parallel = scf::ParallelOp::create(b, loc, ValueRange{constant(0)}, ValueRange{Value(arith::MulIOp::create(b, loc, rowTiles, constant(panels)))}, ValueRange{constant(1)});
    {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(parallel.getBody());
      Value number = parallel.getInductionVars()[0];
      Value panel = arith::DivUIOp::create(b, loc, number, rowTiles);
      Value first = arith::MulIOp::create(b, loc, arith::RemUIOp::create(b, loc, number, rowTiles), constant(rowsPerTask));
      Value column = arith::MulIOp::create(b, loc, panel, constant(shape.columns));
      DotProduct p;
      p.codes = address(codes, first), p.codesStride = bytes(codes), p.scales = address(scales, first);
      p.panel = address(weights, panel), p.weightScales = address(weightScales, panel);
      if (op.getSums()) p.sums = address(sums, panel);
      p.c = address(c, first, column), p.cStride = bytes(c);
      p.rows = arith::MinSIOp::create(b, loc, constant(rowsPerTask), arith::SubIOp::create(b, loc, total, first));
      p.groups = constant(groups);
      p.columns = arith::MinSIOp::create(b, loc, constant(shape.columns), arith::SubIOp::create(b, loc, constant(N), column));
      callDotProduct(b, loc, shape, p);
    }
    if (out != result) linalg::CopyOp::create(b, loc, out, result);
  }

 private:
  Value constant(int64_t v) { return arith::ConstantIndexOp::create(b, loc, v); }

  // Whether the first `others` axes count rows that lie one stride apart, each of them compact.
  static bool liesInRows(Value buffer, unsigned others) {
    auto type = cast<MemRefType>(buffer.getType());
    SmallVector<int64_t> strides;
    int64_t offset, expected = 1;
    if (type.getLayout().isIdentity()) return true;
    if (others > 1 || failed(type.getStridesAndOffset(strides, offset))) return false;
    for (size_t axis = strides.size(); axis-- > others; expected *= type.getDimSize(axis))
      if (strides[axis] != expected) return false;
    return true;
  }

  Value temporary(Value like) {
    auto type = cast<MemRefType>(like.getType());
    SmallVector<Value> sizes;
    for (int64_t axis = 0; axis < type.getRank(); axis++)
      if (type.isDynamicDim(axis)) sizes.push_back(memref::DimOp::create(b, loc, like, axis));
    return memref::AllocOp::create(b, loc, MemRefType::get(type.getShape(), type.getElementType()), sizes);
  }

  Value read(Value buffer, unsigned others) {
    if (liesInRows(buffer, others)) return buffer;
    Value compact = temporary(buffer);
    linalg::CopyOp::create(b, loc, buffer, compact);
    return compact;
  }

  Value count_(Value buffer, unsigned axes) {
    Value total = constant(1);
    for (unsigned axis = 0; axis < axes; axis++) total = arith::MulIOp::create(b, loc, total, memref::DimOp::create(b, loc, buffer, axis));
    return total;
  }

  struct Rows {
    Value base, offset, stride;  // elements, from the buffer's pointer and from row to row
    int64_t size;                // bytes of an element
  };
  Rows rows(Value buffer, unsigned others) {
    auto metadata = memref::ExtractStridedMetadataOp::create(b, loc, buffer);
    Value base = memref::ExtractAlignedPointerAsIndexOp::create(b, loc, buffer);
    return {base, metadata.getOffset(), metadata.getStrides()[others - 1], cast<MemRefType>(buffer.getType()).getElementTypeBitWidth() / 8};
  }
  Value address(const Rows &rows, Value row, Value column = {}) {
    Value element = arith::AddIOp::create(b, loc, rows.offset, arith::MulIOp::create(b, loc, row, rows.stride));
    if (column) element = arith::AddIOp::create(b, loc, element, column);
    Value integer = arith::AddIOp::create(b, loc, rows.base, arith::MulIOp::create(b, loc, element, constant(rows.size)));
    return LLVM::IntToPtrOp::create(b, loc, LLVM::LLVMPointerType::get(b.getContext()), Value(arith::IndexCastOp::create(b, loc, b.getI64Type(), integer)));
  }
  Value bytes(const Rows &rows) { return arith::IndexCastOp::create(b, loc, b.getI64Type(), Value(arith::MulIOp::create(b, loc, rows.stride, constant(rows.size)))); }

  Operation *op;
  const leaf::TargetInfo &target;
  OpBuilder b;
  Location loc;
};

struct TileQuantisedPass : PassWrapper<TileQuantisedPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(TileQuantisedPass)
  StringRef getArgument() const final { return "attn-tile-quantised"; }
  StringRef getDescription() const final { return "Turn quantised rows and their products into loops around dot products"; }
  void getDependentDialects(DialectRegistry &registry) const final {
    registry.insert<scf::SCFDialect, memref::MemRefDialect, func::FuncDialect, LLVM::LLVMDialect, linalg::LinalgDialect, math::MathDialect, vector::VectorDialect>();
  }
  void runOnOperation() final {
    SmallVector<Operation *> ops;
    getOperation().walk([&](Operation *op) {
      if (isa<attn::QuantiseOp, attn::QuantisedProductOp>(op)) ops.push_back(op);
    });
    if (ops.empty()) return;
    auto name = getOperation()->getAttrOfType<StringAttr>("attn.target");
    const leaf::TargetInfo *target = name ? leaf::findTarget(name.getValue().str()) : nullptr;
    for (Operation *op : ops) {
      if (!target || !llvm::all_of(op->getOperandTypes(), [](Type t) { return isa<MemRefType>(t); })) {
        op->emitError("quantised rows need buffers and a target");
        return signalPassFailure();
      }
      auto product = dyn_cast<attn::QuantisedProductOp>(op);
      int64_t group = attn::codesPerGroup(op->getOperand(product ? 0 : 1).getType()), columns = product ? cast<MemRefType>(product.getPanels().getType()).getDimSize(2) / group : target->lanes;
      if ((group == 4 && !StringRef(target->needs).contains("avx512_vnni")) || columns % target->lanes || columns > target->columns) {
        op->emitError("the codes or the panels are not what target ") << name << " multiplies";
        return signalPassFailure();
      }
      Tiler tiler(op, *target);
      if (auto quantise = dyn_cast<attn::QuantiseOp>(op)) tiler.quantise(quantise);
      else tiler.product(product);
      op->erase();
    }
  }
};

}  // namespace

std::unique_ptr<Pass> createTileQuantisedPass() { return std::make_unique<TileQuantisedPass>(); }

}  // namespace fovea
