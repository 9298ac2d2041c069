// attn-quantise: in a model's stages, each matrix product of activations with a weight parameter becomes attn.quantise, which makes rows of
// small integers of the activations, and attn.quantised_product with the weight, as small integers too (Dettmers et al. 2022, "LLM.int8()":
// a scale for each row of either side). Rows are those of the product, so a line's result depends on its line alone.
//
// The weight's codes, scales and sums are new arguments of the stage; a parameter that nothing else reads is no argument any more. The
// module says so for the program's table:
//   attn.quantised = {NAME = {summed = [axes of K], kept = [axes of N], columns, group}}   (attn.quantised_product has the layout)
//   attn.stages    = {STAGE = {dropped = [NAME ...], added = [[what, NAME, type] ...]}}
// What is computed once, when the weights are loaded, stays as it is.
#include "dialect/Attn.h"
#include "lowering/Passes.h"
#include "lowering/halide/LeafSpec.h"

#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;

namespace fovea {
namespace {

constexpr int64_t leastSummed = 16, leastWeights = 4096;  // smaller products would spend as long on the rows' codes
constexpr int64_t mostSummed = 1 << 17;                   // 127 * 127 * K fits an i32

// out[m.., n..], or its axes in any order, = sum over k.. of activation(m.., k..) * weight, from 0. The activation is any expression that does not vary along n.
struct WeightProduct {
  linalg::GenericOp op;
  Value activation;                   // in the body
  BlockArgument weight;               // of the function
  StringAttr name;
  SmallVector<int64_t> summed, kept;  // the weight's axes, in the order of k and n
  SmallVector<unsigned> m, n, k;      // dimensions of the op
  int64_t K = 1, N = 1;

  static std::optional<WeightProduct> of(linalg::GenericOp op) {
    if (!op.hasPureTensorSemantics() || op.getNumDpsInits() != 1) return {};
    Block *body = op.getBody();
    Value sum = body->getArguments().back();
    auto add = body->getTerminator()->getOperand(0).getDefiningOp<arith::AddFOp>();
    if (!add || add.getLhs() != sum || !sum.hasOneUse() || !add.getType().isF32()) return {};
    auto multiply = add.getRhs().getDefiningOp<arith::MulFOp>();
    if (!multiply || multiply.getLhs() == multiply.getRhs()) return {};
    auto fill = op.getDpsInits()[0].getDefiningOp<linalg::FillOp>();
    if (!fill || !matchPattern(fill.getInputs()[0], m_AnyZeroFloat())) return {};
    for (unsigned side : {0u, 1u}) {
      auto element = dyn_cast<BlockArgument>(multiply->getOperand(side));
      if (!element || element.getOwner() != body || !element.hasOneUse()) continue;
      OpOperand &operand = op->getOpOperand(element.getArgNumber());
      auto [argument, name] = parameterOf(operand.get());
      if (!name) continue;
      WeightProduct p{op, multiply->getOperand(1 - side), argument, name, {}, {}, {}, {}, {}};
      if (p.classify(op.getMatchingIndexingMap(&operand)) && p.variesAlongRows()) return p;
    }
    return {};
  }

  // The activations as a tensor [m.., k..], computed before the op if they do not lie so.
  Value activations(OpBuilder &b) {
    SmallVector<unsigned> order(m);
    order.append(k.begin(), k.end());
    if (auto element = dyn_cast<BlockArgument>(activation); element && element.getOwner() == op.getBody()) {
      OpOperand &operand = op->getOpOperand(element.getArgNumber());
      AffineMap map = op.getMatchingIndexingMap(&operand);
      if (map.isProjectedPermutation() && map.getNumResults() == order.size() && llvm::all_of(llvm::enumerate(order), [&](auto d) { return map.getDimPosition(d.index()) == d.value(); }))
        return operand.get();
    }
    Location loc = op.getLoc();
    SmallVector<OpFoldResult> shape = sizes(b, m);
    for (int64_t axis : summed) shape.push_back(b.getIndexAttr(cast<MemRefType>(weight.getType()).getDimSize(axis)));
    Value init = tensor::EmptyOp::create(b, loc, shape, b.getF32Type());
    // Its dimensions are the op's, without n.
    SmallVector<AffineExpr> renamed(op.getNumLoops(), b.getAffineConstantExpr(0));
    for (auto [place, d] : llvm::enumerate(order)) renamed[d] = b.getAffineDimExpr(place);
    SmallVector<Value> inputs, arguments;
    SmallVector<AffineMap> maps;
    for (OpOperand *operand : op.getDpsInputOperands())
      if (Value argument = op.getMatchingBlockArgument(operand); body().contains(argument)) {
        inputs.push_back(operand->get()), arguments.push_back(argument);
        maps.push_back(op.getMatchingIndexingMap(operand).replaceDimsAndSymbols(renamed, {}, order.size(), 0));
      }
    maps.push_back(b.getMultiDimIdentityMap(order.size()));
    SmallVector<utils::IteratorType> iterators(order.size(), utils::IteratorType::parallel);
    return linalg::GenericOp::create(b, loc, TypeRange{init.getType()}, inputs, ValueRange{init}, maps, iterators, [&](OpBuilder &inner, Location, ValueRange given) {
      IRMapping mapping;
      for (auto [argument, value] : llvm::zip(arguments, given)) mapping.map(argument, value);
      for (Operation &each : op.getBody()->without_terminator()) {
        if (!llvm::any_of(each.getResults(), [&](Value v) { return body().contains(v); })) continue;
        if (auto index = dyn_cast<linalg::IndexOp>(each)) mapping.map(index.getResult(), Value(linalg::IndexOp::create(inner, loc, llvm::find(order, index.getDim()) - order.begin())));
        else inner.clone(each, mapping);
      }
      linalg::YieldOp::create(inner, loc, mapping.lookupOrDefault(activation));
    }).getResult(0);
  }

  // The extents of some dimensions of the output.
  SmallVector<OpFoldResult> sizes(OpBuilder &b, ArrayRef<unsigned> dims) {
    SmallVector<OpFoldResult> all = tensor::getMixedSizes(b, op.getLoc(), op.getDpsInits()[0]);
    return llvm::map_to_vector(dims, [&](unsigned d) { return all[placeInOutput(d)]; });
  }
  unsigned placeInOutput(unsigned d) { return *op.getIndexingMapsArray().back().getResultPosition(getAffineDimExpr(d, op.getContext())); }

 private:
  static std::pair<BlockArgument, StringAttr> parameterOf(Value tensor) {
    auto from = tensor.getDefiningOp<bufferization::ToTensorOp>();
    auto argument = from ? dyn_cast<BlockArgument>(from.getBuffer()) : nullptr;
    auto function = argument ? dyn_cast<func::FuncOp>(argument.getOwner()->getParentOp()) : nullptr;
    if (!function) return {};
    return {argument, function.getArgAttrOfType<StringAttr>(argument.getArgNumber(), "attn.parameter")};
  }

  bool classify(AffineMap inWeight) {
    AffineMap out = op.getIndexingMapsArray().back();
    auto type = cast<MemRefType>(weight.getType());
    if (!inWeight.isProjectedPermutation() || !out.isProjectedPermutation() || !type.getElementType().isF32() || !type.hasStaticShape()) return false;
    for (unsigned place = 0; place < out.getNumResults(); place++) {
      unsigned d = out.getDimPosition(place);
      (inWeight.isFunctionOfDim(d) ? n : m).push_back(d);
    }
    for (unsigned d = 0; d < op.getNumLoops(); d++)
      if (!out.isFunctionOfDim(d)) {
        if (!inWeight.isFunctionOfDim(d)) return false;
        k.push_back(d);
      }
    if (m.empty() || n.empty() || k.empty()) return false;
    auto axis = [&](unsigned d) { return *inWeight.getResultPosition(getAffineDimExpr(d, op.getContext())); };
    for (unsigned d : k) summed.push_back(axis(d)), K *= type.getDimSize(axis(d));
    for (unsigned d : n) kept.push_back(axis(d)), N *= type.getDimSize(axis(d));
    return K >= leastSummed && K <= mostSummed && K * N >= leastWeights;
  }

  // What the activation is computed of, in the body.
  llvm::SetVector<Value> body() {
    llvm::SetVector<Value> slice;
    SmallVector<Value> work{activation};
    while (!work.empty()) {
      Value v = work.pop_back_val();
      if (v.getParentBlock() != op.getBody() || !slice.insert(v)) continue;
      if (Operation *def = v.getDefiningOp()) work.append(def->operand_begin(), def->operand_end());
    }
    return slice;
  }

  bool variesAlongRows() {
    for (Value v : body()) {
      Operation *def = v.getDefiningOp();
      if (def && (def->getNumRegions() || isa<attn::SupportOp>(def) || !isMemoryEffectFree(def))) return false;  // a mask bounds the sum
      if (auto index = v.getDefiningOp<linalg::IndexOp>(); index && llvm::is_contained(n, index.getDim())) return false;
      if (def) continue;
      unsigned number = cast<BlockArgument>(v).getArgNumber();
      if (number >= op.getNumDpsInputs()) return false;
      for (unsigned d : n)
        if (op.getIndexingMapsArray()[number].isFunctionOfDim(d)) return false;
    }
    return true;
  }
};

struct QuantisePass : PassWrapper<QuantisePass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(QuantisePass)
  StringRef getArgument() const final { return "attn-quantise"; }
  StringRef getDescription() const final { return "Turn a model's matrix products with weights into quantised rows and products of integers"; }
  void getDependentDialects(DialectRegistry &registry) const final { registry.insert<attn::AttnDialect, bufferization::BufferizationDialect, tensor::TensorDialect>(); }

  void runOnOperation() final {
    auto name = getOperation()->getAttrOfType<StringAttr>("attn.target");
    target = name ? leaf::findTarget(name.getValue().str()) : nullptr;
    if (!target) {
      getOperation().emitError("int8 is not supported on this processor: it lacks x86-64-v2");
      return signalPassFailure();
    }
    SmallVector<NamedAttribute> stages;
    Builder b(&getContext());
    for (auto function : getOperation().getOps<func::FuncOp>())
      if (!function.isExternal() && function.getName() != "load")
        if (DictionaryAttr change = rewrite(function)) stages.push_back(b.getNamedAttr(function.getName(), change));
    if (stages.empty()) return;
    getOperation()->setAttr("attn.stages", b.getDictionaryAttr(stages));
    getOperation()->setAttr("attn.quantised", b.getDictionaryAttr(llvm::map_to_vector(layouts, [&](const auto &entry) { return b.getNamedAttr(entry.first, entry.second); })));
  }

 private:
  // 4 weights of a column lie together where the machine multiplies i8 by four (vpdpbusd), else 2, for i16 (vpmaddwd).
  int64_t group() const { return StringRef(target->needs).contains("avx512_vnni") ? 4 : 2; }

  DictionaryAttr layout(const WeightProduct &p) {
    Builder b(&getContext());
    int64_t columns = std::min<int64_t>(target->columns, llvm::alignTo(p.N, target->lanes));
    return b.getDictionaryAttr({b.getNamedAttr("columns", b.getI64IntegerAttr(columns)), b.getNamedAttr("group", b.getI64IntegerAttr(group())),
                                b.getNamedAttr("kept", b.getDenseI64ArrayAttr(p.kept)), b.getNamedAttr("summed", b.getDenseI64ArrayAttr(p.summed))});
  }

  DictionaryAttr rewrite(func::FuncOp function) {
    std::vector<WeightProduct> products;
    function.walk([&](linalg::GenericOp op) {
      auto product = WeightProduct::of(op);
      // One layout a weight: a second one, in another stage perhaps, would be a second copy.
      if (product && layouts.insert({product->name, layout(*product)}).first->second == layout(*product)) products.push_back(*product);
    });
    if (products.empty()) return {};
    added.clear(), operands.clear();
    for (WeightProduct &product : products) exchange(function, product);
    Builder b(&getContext());
    SmallVector<Attribute> dropped;
    for (size_t n = function.getNumArguments(); n-- > 0;) {
      BlockArgument argument = function.getArgument(n);
      auto name = function.getArgAttrOfType<StringAttr>(n, "attn.parameter");
      if (!name || !operands.count(name)) continue;
      for (Operation *user : llvm::make_early_inc_range(argument.getUsers()))
        if (isa<bufferization::ToTensorOp>(user) && user->use_empty()) user->erase();
      if (!argument.use_empty()) continue;
      dropped.push_back(name);
      if (failed(function.eraseArgument(n))) function.emitError("an argument cannot be erased");
    }
    return b.getDictionaryAttr({b.getNamedAttr("added", b.getArrayAttr(added)), b.getNamedAttr("dropped", b.getArrayAttr(dropped))});
  }

  // The weight's codes, scales and sums in a function, as tensors.
  ArrayRef<Value> weightOf(func::FuncOp function, WeightProduct &p) {
    SmallVector<Value> &known = operands[p.name];
    if (!known.empty()) return known;
    OpBuilder b = OpBuilder::atBlockBegin(&function.getBody().front());
    int64_t columns = cast<IntegerAttr>(layout(p).get("columns")).getInt(), panels = llvm::divideCeil(p.N, columns);
    auto argument = [&](StringRef what, ArrayRef<int64_t> shape, Type element) {
      auto type = MemRefType::get(shape, element);
      added.push_back(b.getArrayAttr({b.getStringAttr(what), p.name, TypeAttr::get(type)}));
      if (failed(function.insertArgument(function.getNumArguments(), type, {}, p.op.getLoc()))) function.emitError("an argument cannot be added");
      known.push_back(bufferization::ToTensorOp::create(b, p.op.getLoc(), RankedTensorType::get(shape, element), function.getArguments().back(), /*restrict=*/true));
    };
    argument("quantised", {panels, int64_t(llvm::divideCeil(p.K, group())), columns * group()}, b.getI8Type());
    argument("scales", {panels, columns}, b.getF32Type());
    if (group() == 4) argument("sums", {panels, columns}, b.getI32Type());
    return known;
  }

  void exchange(func::FuncOp function, WeightProduct &p) {
    SmallVector<Value> weight(weightOf(function, p));
    OpBuilder b(p.op);
    Location loc = p.op.getLoc();
    Value activations = p.activations(b);
    SmallVector<OpFoldResult> shape = p.sizes(b, p.m);
    Value scales = tensor::EmptyOp::create(b, loc, shape, b.getF32Type());
    shape.push_back(b.getIndexAttr(llvm::alignTo(p.K, group())));
    Value codes = tensor::EmptyOp::create(b, loc, shape, group() == 4 ? b.getI8Type() : b.getI16Type());
    auto rows = attn::QuantiseOp::create(b, loc, TypeRange{codes.getType(), scales.getType()}, activations, codes, scales, b.getI64IntegerAttr(p.summed.size()));
    SmallVector<unsigned> order(p.m);
    order.append(p.n.begin(), p.n.end());
    SmallVector<AffineExpr> places = llvm::map_to_vector(order, [&](unsigned d) { return b.getAffineDimExpr(p.placeInOutput(d)); });
    AffineMap map = AffineMap::get(places.size(), 0, places, b.getContext());
    Value out = p.op.getDpsInits()[0].getDefiningOp<linalg::FillOp>().getOutputs()[0], init = out;
    if (!map.isIdentity()) init = tensor::EmptyOp::create(b, loc, p.sizes(b, order), b.getF32Type());
    Value product = attn::QuantisedProductOp::create(b, loc, TypeRange{init.getType()}, rows.getResult(0), rows.getResult(1), weight[0], weight[1],
                                                    weight.size() > 2 ? weight[2] : Value(), init).getResult(0);
    if (!map.isIdentity()) {
      SmallVector<utils::IteratorType> iterators(order.size(), utils::IteratorType::parallel);
      AffineMap maps[] = {map, b.getMultiDimIdentityMap(order.size())};
      product = linalg::GenericOp::create(b, loc, TypeRange{out.getType()}, ValueRange{product}, ValueRange{out}, maps, iterators,
                                          [&](OpBuilder &inner, Location, ValueRange v) { linalg::YieldOp::create(inner, loc, v[0]); }).getResult(0);
    }
    p.op->getResult(0).replaceAllUsesWith(product);
    p.op->erase();
  }

  const leaf::TargetInfo *target = nullptr;
  llvm::MapVector<StringAttr, DictionaryAttr> layouts;
  llvm::DenseMap<StringAttr, SmallVector<Value>> operands;  // of one function
  SmallVector<Attribute> added;
};

}  // namespace

std::unique_ptr<Pass> createQuantisePass() { return std::make_unique<QuantisePass>(); }

}  // namespace fovea
