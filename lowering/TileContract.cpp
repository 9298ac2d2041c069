// attn-tile-contract: a matrix product on buffers, sum over K of A[M, K] * B[K, N], becomes loops around a Halide leaf. Each of M, N
// and K may be several axes that lie together. The leaf reads B in panels of its columns. A model's parameter that only such products
// read is laid out so when the weights are loaded: the module's `attn.panels` says which, as name = [axes of K, columns]. What reads such a
// parameter element by element under another name (an embedding that is the output projection too: `attn.copy`) reads the panels, so that it
// is held once; `attn.stages` says what a stage does not take any more. Any other B is packed at each call.
#include "dialect/Attn.h"
#include "lowering/LeafCall.h"
#include "lowering/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/SmallSet.h"

using namespace mlir;

namespace fovea {
namespace {

constexpr int64_t leastWork = 256;  // products with fewer weights stay with attn-loops

// The product's dimensions by the part they play.
struct Product {
  linalg::GenericOp op;
  unsigned a, b;               // operand numbers
  bool transposed = false;     // B lies as [N, K]
  SmallVector<unsigned> m, n, k;
  int64_t N = 1, K = 1;

  static std::optional<Product> of(linalg::GenericOp op) {
    if (!op.hasPureBufferSemantics() || op.getNumDpsInputs() != 2 || op.getNumDpsInits() != 1) return {};
    Block *body = op.getBody();
    if (std::distance(body->begin(), body->end()) != 3) return {};
    auto add = body->getTerminator()->getOperand(0).getDefiningOp<arith::AddFOp>();
    if (!add || add.getLhs() != body->getArgument(2) || !add.getType().isF32()) return {};
    auto multiply = add.getRhs().getDefiningOp<arith::MulFOp>();
    if (!multiply || multiply.getLhs() == multiply.getRhs() || !isa<BlockArgument>(multiply.getLhs()) || !isa<BlockArgument>(multiply.getRhs())) return {};
    for (Value v : {multiply.getLhs(), multiply.getRhs()})
      if (cast<BlockArgument>(v).getOwner() != body || cast<BlockArgument>(v).getArgNumber() > 1) return {};
    for (AffineMap map : op.getIndexingMapsArray())
      if (!map.isProjectedPermutation()) return {};
    for (unsigned a : {0u, 1u}) {
      Product p{op, a, 1 - a, false, {}, {}, {}};
      if (p.classify()) return p;
    }
    return {};
  }

 private:
  SmallVector<unsigned> dims(unsigned operand) {
    AffineMap map = op.getMatchingIndexingMap(&op->getOpOperand(operand));
    return llvm::map_to_vector(map.getResults(), [](AffineExpr e) { return cast<AffineDimExpr>(e).getPosition(); });
  }

  // Whether the last `axes` axes of an operand lie together in memory, and its first ones too.
  bool liesTogether(unsigned operand, size_t first) {
    auto type = cast<MemRefType>(op->getOperand(operand).getType());
    SmallVector<int64_t> strides;
    int64_t offset;
    if (failed(type.getStridesAndOffset(strides, offset))) return false;
    int64_t expected = 1;
    for (size_t axis = strides.size(); axis-- > first;) {
      if (strides[axis] != expected || (axis > first && type.isDynamicDim(axis))) return false;
      if (!type.isDynamicDim(axis)) expected *= type.getDimSize(axis);
    }
    // The rows: one axis with any stride, or compact up to the first.
    return first <= 1 || type.getLayout().isIdentity();
  }

  bool classify() {
    SmallVector<unsigned> inA = dims(a), inB = dims(b), out = dims(2);
    for (unsigned d : out) {
      bool ofA = llvm::is_contained(inA, d), ofB = llvm::is_contained(inB, d);
      if (ofA == ofB) return false;  // a batch dimension, or a broadcast
      (ofA ? m : n).push_back(d);
    }
    for (unsigned d : inA)
      if (!llvm::is_contained(out, d)) k.push_back(d);
    if (m.empty() || n.empty() || k.empty() || inA.size() != m.size() + k.size() || inB.size() != n.size() + k.size()) return false;
    auto is = [](ArrayRef<unsigned> whole, ArrayRef<unsigned> first, ArrayRef<unsigned> second) {
      SmallVector<unsigned> both(first);
      both.append(second.begin(), second.end());
      return whole == ArrayRef<unsigned>(both);
    };
    if (!is(out, m, n) || !is(inA, m, k)) return false;
    transposed = is(inB, n, k);
    if (!transposed && !is(inB, k, n)) return false;
    for (unsigned operand : {a, b, 2u})
      if (!cast<MemRefType>(op->getOperand(operand).getType()).getElementType().isF32()) return false;
    auto bType = cast<MemRefType>(op->getOperand(b).getType());
    if (!bType.getLayout().isIdentity() || !bType.hasStaticShape()) return false;  // weights: everything about them is known
    if (!liesTogether(a, m.size()) || !liesTogether(2, m.size())) return false;
    for (size_t axis = 0; axis < inB.size(); axis++) ((axis < (transposed ? n : k).size()) == transposed ? N : K) *= bType.getDimSize(axis);
    return N * K >= leastWork;
  }
};

class Tiler {
 public:
  // The columns of a panel.
  static int64_t columnsFor(const Product &p, const leaf::TargetInfo &target) {
    return std::min<int64_t>(target.columns, (p.N + target.lanes - 1) / target.lanes * target.lanes);
  }

  // `inPanels`: B already lies so.
  Tiler(Product p, bool inPanels, ModuleOp module, const leaf::TargetInfo &target)
      : p(p), inPanels(inPanels), module(module), target(target), b(p.op), loc(p.op.getLoc()) {}

  LogicalResult run() {
    const int64_t N = p.N, K = p.K, columns = columnsFor(p, target), rows = target.rows * 4;
    const bool accumulate = !dropFill();
    leaf::LeafSpec full = spec(rows, columns, accumulate, false), edge = spec(rows, columns, accumulate, true);
    std::vector<leaf::LeafSpec> few = fewRows(columns, accumulate);
    for (leaf::LeafSpec *leaf : {&full, &edge})
      if (failed(declareLeaf(p.op, module, *leaf))) return failure();
    for (leaf::LeafSpec &leaf : few)
      if (failed(declareLeaf(p.op, module, leaf))) return failure();

    Value M = constant(1);
    for (size_t axis = 0; axis < p.m.size(); axis++) M = arith::MulIOp::create(b, loc, M, memref::DimOp::create(b, loc, p.op->getOperand(p.a), axis));
    int64_t panels = (N + columns - 1) / columns;
    Value packed = inPanels ? p.op->getOperand(p.b) : pack(N, K, columns, panels);
    Metadata a = metadata(p.op->getOperand(p.a)), c = metadata(p.op->getOperand(2)), w = metadata(packed);
    Value aStride = a.strides[p.m.size() - 1], cStride = c.strides[p.m.size() - 1];
    Value rowTiles = arith::CeilDivSIOp::create(b, loc, M, constant(rows));
    Value total = arith::MulIOp::create(b, loc, rowTiles, constant(panels));
    // Of small tiles a thread takes several, a microsecond's worth or so. Whether the whole is worth a second thread the runtime finds out.
    Value size = arith::MulIOp::create(b, loc, constant(K), arith::AddIOp::create(b, loc, arith::MinSIOp::create(b, loc, M, constant(rows)), constant(6)));
    Value several = arith::MaxSIOp::create(b, loc, arith::DivSIOp::create(b, loc, constant(2048), arith::MaxSIOp::create(b, loc, size, constant(1))), constant(1));
    auto parallel = scf::ParallelOp::create(b, loc, ValueRange{constant(0)}, ValueRange{arith::CeilDivSIOp::create(b, loc, total, several)}, ValueRange{constant(1)});
    b.setInsertionPointToStart(parallel.getBody());
    Value begin = arith::MulIOp::create(b, loc, parallel.getInductionVars()[0], several);
    auto mine = scf::ForOp::create(b, loc, begin, arith::MinSIOp::create(b, loc, arith::AddIOp::create(b, loc, begin, several), total), constant(1));
    b.setInsertionPointToStart(mine.getBody());
    Value number = mine.getInductionVar();
    // Row after row with one panel, which stays in the nearest cache.
    Value panel = arith::DivUIOp::create(b, loc, number, rowTiles);
    Value first = arith::MulIOp::create(b, loc, arith::RemUIOp::create(b, loc, number, rowTiles), constant(rows));
    Value column = arith::MulIOp::create(b, loc, panel, constant(columns));
    Value here = arith::MinSIOp::create(b, loc, constant(rows), arith::SubIOp::create(b, loc, M, first));
    Value wide = arith::MinSIOp::create(b, loc, constant(columns), arith::SubIOp::create(b, loc, constant(N), column));
    llvm::StringMap<Value> named;
    named["a_stride"] = toI32(aStride);
    named["b"] = address(w, arith::MulIOp::create(b, loc, panel, constant(K * columns))), named["depth"] = toI32(constant(K));
    named["j0"] = toI32(column), named["rows"] = toI32(here), named["columns"] = toI32(wide), named["c_stride"] = toI32(cStride);
    auto call = [&](const leaf::LeafSpec &leaf, Value row) {
      named["i0"] = toI32(row), named["a"] = address(a, arith::MulIOp::create(b, loc, row, aStride));
      named["c"] = address(c, arith::AddIOp::create(b, loc, arith::MulIOp::create(b, loc, row, cStride), column));
      callLeaf(b, loc, leaf, named);
    };
    auto equal = [&](Value v, int64_t n) -> Value { return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, v, constant(n)); };
    auto narrow = scf::IfOp::create(b, loc, equal(wide, columns), /*withElse=*/true);
    b.setInsertionPointToStart(narrow.elseBlock());
    call(edge, first);
    b.setInsertionPointToStart(narrow.thenBlock());
    auto whole = scf::IfOp::create(b, loc, equal(here, rows), /*withElse=*/true);
    b.setInsertionPointToStart(whole.thenBlock());
    call(full, first);
    b.setInsertionPointToStart(whole.elseBlock());
    const int64_t most = few.front().contract.rows;
    Value rest = arith::RemUIOp::create(b, loc, here, constant(most));
    Value end = arith::AddIOp::create(b, loc, first, here), middle = arith::SubIOp::create(b, loc, end, rest);
    auto tiles = scf::ForOp::create(b, loc, first, middle, constant(most));
    for (const leaf::LeafSpec &leaf : ArrayRef(few).drop_front()) {
      Value bit = arith::AndIOp::create(b, loc, rest, constant(leaf.contract.rows));
      auto some = scf::IfOp::create(b, loc, equal(bit, leaf.contract.rows), /*withElse=*/false);
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(some.thenBlock());
      Value later = arith::AndIOp::create(b, loc, rest, constant(2 * leaf.contract.rows - 1));  // this leaf's rows and those of the smaller ones
      call(leaf, arith::SubIOp::create(b, loc, end, later));
    }
    b.setInsertionPointToStart(tiles.getBody());
    call(few.front(), tiles.getInductionVar());
    p.op->erase();
    return success();
  }

 private:
  Value constant(int64_t v) { return arith::ConstantIndexOp::create(b, loc, v); }
  Value toI32(Value v) { return arith::IndexCastOp::create(b, loc, b.getI32Type(), v); }
  Type pointerType() { return LLVM::LLVMPointerType::get(b.getContext()); }

  // The product starts from 0 when nothing reads its output between a fill with 0 and the product; the fill is then not needed.
  bool dropFill() {
    Value out = p.op->getOperand(2);
    for (Operation *before = p.op->getPrevNode(); before; before = before->getPrevNode()) {
      if (auto fill = dyn_cast<linalg::FillOp>(before); fill && fill.getOutputs()[0] == out) {
        if (!matchPattern(fill.getInputs()[0], m_AnyZeroFloat())) return false;
        fill.erase();
        return true;
      }
      if (!isa<memref::AllocOp>(before) && !isMemoryEffectFree(before)) return false;
    }
    return false;
  }

  leaf::LeafSpec spec(int64_t rows, int64_t columns, bool accumulate, bool edges) {
    leaf::LeafSpec s;
    s.kind = leaf::LeafSpec::ContractLeaf;
    s.target = target.name;
    s.contract.rows = int(rows);
    s.contract.columns = int(columns);
    s.contract.accumulate = accumulate;
    s.contract.edges = edges;
    return s;
  }

  // Leaves for what is left of a tile: the rows of a micro-tile, then powers of two. A batch of one line has one row, and is bounded by how fast
  // weights come from memory; a leaf that computed a whole micro-tile for it would wait for its own multiplications.
  std::vector<leaf::LeafSpec> fewRows(int64_t columns, bool accumulate) {
    std::vector<leaf::LeafSpec> leaves{spec(target.rows, columns, accumulate, false)};
    for (int64_t rows = int64_t(llvm::PowerOf2Ceil(target.rows)) / 2; rows > 0; rows /= 2) leaves.push_back(spec(rows, columns, accumulate, false));
    return leaves;
  }

  struct Metadata {
    Value base, offset;
    SmallVector<Value> strides;
  };
  Metadata metadata(Value buffer) {
    auto op = memref::ExtractStridedMetadataOp::create(b, loc, buffer);
    return {memref::ExtractAlignedPointerAsIndexOp::create(b, loc, buffer), op.getOffset(), SmallVector<Value>(op.getStrides())};
  }
  Value address(const Metadata &m, Value element) {
    Value bytes = arith::MulIOp::create(b, loc, arith::AddIOp::create(b, loc, m.offset, element), constant(4));
    Value integer = arith::IndexCastOp::create(b, loc, b.getI64Type(), Value(arith::AddIOp::create(b, loc, m.base, bytes)));
    return LLVM::IntToPtrOp::create(b, loc, pointerType(), integer);
  }

  // [panels, K, columns], zero beyond the last column.
  Value pack(int64_t N, int64_t K, int64_t columns, int64_t panels) {
    Value source = p.op->getOperand(p.b);
    // The weights as a matrix, whatever their axes.
    auto flat = MemRefType::get({p.transposed ? N : K, p.transposed ? K : N}, b.getF32Type());
    SmallVector<ReassociationIndices> groups(2);
    size_t firstGroup = p.transposed ? p.n.size() : p.k.size();
    for (size_t axis = 0; axis < p.n.size() + p.k.size(); axis++) groups[axis >= firstGroup].push_back(axis);
    Value matrix = source;
    if (p.n.size() + p.k.size() > 2) matrix = memref::CollapseShapeOp::create(b, loc, flat, source, groups);
    Value packed = memref::AllocOp::create(b, loc, MemRefType::get({panels, K, columns}, b.getF32Type()));
    Value zero = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0));
    auto parallel = scf::ParallelOp::create(b, loc, ValueRange{constant(0)}, ValueRange{constant(panels)}, ValueRange{constant(1)});
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(parallel.getBody());
    Value panel = parallel.getInductionVars()[0];
    Value column = arith::MulIOp::create(b, loc, panel, constant(columns));
    Value present = arith::MinSIOp::create(b, loc, constant(columns), arith::SubIOp::create(b, loc, constant(N), column));
    auto depth = scf::ForOp::create(b, loc, constant(0), constant(K), constant(1));
    b.setInsertionPointToStart(depth.getBody());
    Value kk = depth.getInductionVar();
    auto copy = scf::ForOp::create(b, loc, constant(0), present, constant(1));
    auto fill = scf::ForOp::create(b, loc, present, constant(columns), constant(1));
    b.setInsertionPointToStart(copy.getBody());
    Value nn = arith::AddIOp::create(b, loc, column, copy.getInductionVar());
    Value loaded = memref::LoadOp::create(b, loc, matrix, p.transposed ? ValueRange{nn, kk} : ValueRange{kk, nn});
    memref::StoreOp::create(b, loc, loaded, packed, ValueRange{panel, kk, copy.getInductionVar()});
    b.setInsertionPointToStart(fill.getBody());
    memref::StoreOp::create(b, loc, zero, packed, ValueRange{panel, kk, fill.getInductionVar()});
    return packed;
  }

  Product p;
  bool inPanels;
  ModuleOp module;
  const leaf::TargetInfo &target;
  OpBuilder b;
  Location loc;
};

struct TileContractPass : PassWrapper<TileContractPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(TileContractPass)
  StringRef getArgument() const final { return "attn-tile-contract"; }
  StringRef getDescription() const final { return "Turn matrix products with weights into loops around Halide leaves"; }
  void getDependentDialects(DialectRegistry &registry) const final {
    registry.insert<scf::SCFDialect, memref::MemRefDialect, func::FuncDialect, LLVM::LLVMDialect>();
  }
  void runOnOperation() final {
    auto name = getOperation()->getAttrOfType<StringAttr>("attn.target");
    const leaf::TargetInfo *target = name ? leaf::findTarget(name.getValue().str()) : nullptr;
    SmallVector<Product> products;
    // Without a target there are no leaves. The few products that a quantised model keeps in f32 are left to attn-loops, which adds without fused
    // multiplications, so that they are the same on every machine.
    if (target && !getOperation()->hasAttr("attn.quantised"))
      getOperation().walk([&](linalg::GenericOp op) {
        if (auto product = Product::of(op)) products.push_back(*product);
      });
    if (!products.empty() && failed(tile(products, *target))) return signalPassFailure();
    SmallVector<NamedAttribute> stages;
    Builder b(&getContext());
    for (auto function : getOperation().getOps<func::FuncOp>()) {
      SmallVector<Attribute> dropped = readPanels(function);
      if (!dropped.empty()) stages.push_back(b.getNamedAttr(function.getName(), b.getDictionaryAttr({b.getNamedAttr("added", b.getArrayAttr({})), b.getNamedAttr("dropped", b.getArrayAttr(dropped))})));
      for (BlockArgument argument : function.getArguments())
        for (StringRef name : {parameterAttr, copyAttr}) function.removeArgAttr(argument.getArgNumber(), name);
    }
    if (!stages.empty()) getOperation()->setAttr("attn.stages", b.getDictionaryAttr(stages));
  }

 private:
  LogicalResult tile(ArrayRef<Product> products, const leaf::TargetInfo &target) {
    layParameters(products, target);
    for (const Product &product : products) {
      StringAttr name = parameterOf(product.op->getOperand(product.b));
      if (failed(Tiler(product, name && panels.count(name), getOperation(), target).run())) return failure();
    }
    Builder b(&getContext());
    if (!panels.empty())
      getOperation()->setAttr("attn.panels", b.getDictionaryAttr(llvm::map_to_vector(panels, [&](const auto &entry) {
        return b.getNamedAttr(entry.first, b.getDenseI64ArrayAttr({entry.second.first, entry.second.second}));
      })));
    return success();
  }

  static constexpr StringLiteral parameterAttr = "attn.parameter", copyAttr = "attn.copy";

  // Parameters that a function does not take any more, since it reads them in another one's panels.
  SmallVector<Attribute> readPanels(func::FuncOp function) {
    SmallVector<Attribute> dropped;
    for (unsigned copy = 0; !function.isExternal() && copy < function.getNumArguments(); copy++) {
      auto what = function.getArgAttrOfType<DictionaryAttr>(copy, copyAttr);
      auto laid = panels.find(parameterOf(function.getArgument(copy)));
      auto of = what ? what.getAs<StringAttr>("of") : StringAttr();
      auto axes = what ? what.getAs<DenseI64ArrayAttr>("axes") : DenseI64ArrayAttr();
      if (!of || !axes || laid == panels.end()) continue;
      auto original = llvm::find_if(function.getArguments(), [&](BlockArgument a) { return parameterOf(a) == of; });
      if (original == function.getArguments().end() || !areAxes(axes, *original, function.getArgument(copy)) || !llvm::all_of(original->getUsers(), llvm::IsaPred<memref::LoadOp>)) continue;
      unsigned number = original->getArgNumber();
      for (Operation *user : llvm::make_early_inc_range(original->getUsers()))
        readPanel(cast<memref::LoadOp>(user), function.getArgument(copy), axes, laid->second.first, laid->second.second);
      if (failed(function.eraseArgument(number))) continue;
      dropped.push_back(of);
      if (number < copy) copy--;
    }
    return dropped;
  }

  // Whether each axis of `copy` is the one of `original` with that number.
  static bool areAxes(ArrayRef<int64_t> axes, Value original, Value copy) {
    auto from = dyn_cast<MemRefType>(original.getType()), to = cast<MemRefType>(copy.getType());
    if (!from || from.getRank() != to.getRank() || from.getElementType() != to.getElementType() || int64_t(axes.size()) != to.getRank()) return false;
    llvm::SmallSet<int64_t, 4> seen;
    return llvm::all_of(llvm::enumerate(axes), [&](auto axis) {
      return axis.value() >= 0 && axis.value() < from.getRank() && seen.insert(axis.value()).second && from.getDimSize(axis.value()) == to.getDimSize(axis.index());
    });
  }

  // Element (k, n) of a matrix in panels stands at ((n / columns) * K + k) * columns + n % columns. `axes`: of the load, in the order of the parameter in panels,
  // whose first `summed` ones are k.
  static void readPanel(memref::LoadOp load, BlockArgument parameter, ArrayRef<int64_t> axes, int64_t summed, int64_t columns) {
    ArrayRef<int64_t> shape = cast<MemRefType>(parameter.getType()).getShape();
    OpBuilder b(load);
    Location loc = load.getLoc();
    auto constant = [&](int64_t v) -> Value { return arith::ConstantIndexOp::create(b, loc, v); };
    auto times = [&](Value x, int64_t n) -> Value { return arith::MulIOp::create(b, loc, x, constant(n)); };
    auto plus = [&](Value x, Value y) -> Value { return x ? Value(arith::AddIOp::create(b, loc, x, y)) : y; };
    Value place[2];
    int64_t extents[2] = {1, 1};
    for (auto [axis, number] : llvm::enumerate(axes)) {
      bool kept = int64_t(axis) >= summed;
      place[kept] = plus(place[kept] ? times(place[kept], shape[axis]) : Value(), load.getIndices()[number]);
      extents[kept] *= shape[axis];
    }
    const auto [K, N] = extents;
    Value panel = arith::DivUIOp::create(b, loc, place[1], constant(columns)), column = arith::RemUIOp::create(b, loc, place[1], constant(columns));
    Value at = plus(times(plus(times(panel, K), place[0]), columns), column);
    auto flat = MemRefType::get({int64_t(llvm::divideCeil(N, columns)) * K * columns}, load.getType());
    OpBuilder first = OpBuilder::atBlockBegin(parameter.getOwner());
    Value elements = memref::ReinterpretCastOp::create(first, loc, flat, parameter, 0, flat.getShape(), ArrayRef<int64_t>{1});
    load.getResult().replaceAllUsesWith(memref::LoadOp::create(b, loc, elements, at));
    load.erase();
  }

  // The model's parameter that a value is, if it is one.
  static StringAttr parameterOf(Value v) {
    auto argument = dyn_cast<BlockArgument>(v);
    auto function = argument ? dyn_cast<func::FuncOp>(argument.getOwner()->getParentOp()) : nullptr;
    return function ? function.getArgAttrOfType<StringAttr>(argument.getArgNumber(), parameterAttr) : StringAttr();
  }

  // Finds the parameters that nothing reads but products, as their B, [K, N], in every stage.
  void layParameters(ArrayRef<Product> products, const leaf::TargetInfo &target) {
    llvm::DenseMap<Operation *, const Product *> byOp;
    for (const Product &p : products) byOp[p.op] = &p;
    llvm::SetVector<StringAttr> refused;
    for (auto function : getOperation().getOps<func::FuncOp>())
      for (BlockArgument argument : function.getArguments()) {
        StringAttr name = parameterOf(argument);
        if (!name) continue;
        for (OpOperand &use : argument.getUses()) {
          const Product *p = byOp.lookup(use.getOwner());
          if (!p || use.getOperandNumber() != p->b || p->transposed) {
            refused.insert(name);
            continue;
          }
          std::pair<int64_t, int64_t> layout{int64_t(p->k.size()), Tiler::columnsFor(*p, target)};
          if (panels.insert({name, layout}).first->second != layout) refused.insert(name);
        }
      }
    for (StringAttr name : refused) panels.erase(name);
  }

  llvm::MapVector<StringAttr, std::pair<int64_t, int64_t>> panels;  // parameter -> axes of K, columns
};

}  // namespace

std::unique_ptr<Pass> createTileContractPass() { return std::make_unique<TileContractPass>(); }

}  // namespace fovea
