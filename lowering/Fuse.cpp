// attn-fuse: contraction + attn.score + attn.normalise<softmax> + attn.aggregate becomes attn.attend, which never holds the scores in
// memory (rule F4). A logsumexp of the same scores becomes its second output. Pointwise weights need no attn.normalise; their total is
// the second output. The last rounding into a result joins it too, and weights that are a result themselves become the last output.
#include "dialect/Attn.h"
#include "dialect/Mark.h"
#include "lowering/Explained.h"
#include "lowering/LeafExpression.h"
#include "lowering/Passes.h"

#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;

namespace fovea {
namespace {

AffineMap mapOf(ArrayAttr maps, unsigned k) { return cast<AffineMapAttr>(maps[k]).getValue(); }

// sum over one dimension of a product of two operands, from 0.
struct Contraction {
  linalg::GenericOp op;
  unsigned reduced;

  static std::optional<Contraction> of(Value value) {
    auto op = value.getDefiningOp<linalg::GenericOp>();
    if (!op || op.getNumDpsInputs() != 2 || op.getNumDpsInits() != 1 || !llvm::all_of(value.getUsers(), llvm::IsaPred<attn::ScoreOp>)) return {};
    Contraction c{op, 0};
    unsigned reductions = 0;
    for (auto [d, kind] : llvm::enumerate(op.getIteratorTypesArray()))
      if (kind == utils::IteratorType::reduction) c.reduced = d, reductions++;
    if (reductions != 1) return {};
    auto fill = op.getDpsInits()[0].getDefiningOp<linalg::FillOp>();
    if (!fill || !matchPattern(fill.getInputs()[0], m_AnyZeroFloat())) return {};
    Block *body = op.getBody();
    auto add = body->getTerminator()->getOperand(0).getDefiningOp<arith::AddFOp>();
    if (!add || add.getLhs() != body->getArgument(2)) return {};
    auto multiply = add.getRhs().getDefiningOp<arith::MulFOp>();
    if (!multiply) return {};
    auto operand = [&](Value v) -> int {
      if (auto widen = v.getDefiningOp<arith::ExtFOp>()) v = widen.getIn();
      auto argument = dyn_cast<BlockArgument>(v);
      return argument && argument.getOwner() == body ? int(argument.getArgNumber()) : -1;
    };
    int l = operand(multiply.getLhs()), r = operand(multiply.getRhs());
    if (l + r != 1 || l < 0 || r < 0) return {};
    return c;
  }
};

struct Fuser {
  attn::AggregateOp aggregate;
  IRRewriter &rewriter;

  // Null where it is done, else why not: `it` is the aggregate.
  const char *run() {
    auto score = aggregate.getWeights().getDefiningOp<attn::ScoreOp>();
    attn::NormaliseOp softmax;
    Operation *returned = nullptr;  // stores the weights themselves, or copies them with their axes in another order
    if (!score) {
      softmax = aggregate.getWeights().getDefiningOp<attn::NormaliseOp>();
      if (!softmax || softmax.getKind() != attn::Normaliser::Softmax || softmax.getDimensions().size() != 1) return "its weights are no softmax over one index";
      for (Operation *user : softmax->getUsers()) {
        if (isa<attn::AggregateOp>(user) || isOpTriviallyDead(user)) continue;
        if (returned || !(isa<bufferization::MaterializeInDestinationOp>(user) || isCopy(user))) return "something else is computed of its weights";
        returned = user;
      }
      score = softmax.getScore().getDefiningOp<attn::ScoreOp>();
    }
    if (!score || score.getPointwise() == bool(softmax)) return "its weights are no softmax or function of a score";
    // What else reads the scores: the logsumexp or the total, which becomes the second output.
    attn::NormaliseOp second;
    for (Operation *user : score->getUsers()) {
      if (user == softmax || (!softmax && isa<attn::AggregateOp>(user))) continue;
      auto other = dyn_cast<attn::NormaliseOp>(user);
      if (!other) return "something else is computed of its scores";
      if (softmax && other.getKind() == attn::Normaliser::Softmax && llvm::all_of(other->getUsers(), llvm::IsaPred<attn::AggregateOp>)) continue;  // with other sinks
      if (second || other.getKind() == attn::Normaliser::Softmax) return "its scores have several results beside it";
      if (softmax && (other.getDimensions() != softmax.getDimensions() || other.getSinks() != softmax.getSinks() || other.getSinkMaps() != softmax.getSinkMaps())) return "another result of its scores is over other indices";
      second = other;
    }
    if (second && second->use_empty()) second = {};  // another aggregate of these weights has it
    AffineMap weightMap = mapOf(aggregate.getIndexingMaps(), 0), valueMap = mapOf(aggregate.getIndexingMaps(), 1), outMap = mapOf(aggregate.getIndexingMaps(), 2);
    int64_t key = -1;
    if (softmax) {
      key = softmax.getDimensions()[0];
    } else {
      for (auto [k, e] : llvm::enumerate(weightMap.getResults()))
        if (!outMap.isFunctionOfDim(cast<AffineDimExpr>(e).getPosition())) {
          if (key >= 0) return "it sums over several indices";
          key = k;
        }
      if (key < 0 || (second && second.getDimensions() != ArrayRef<int64_t>(key))) return "another result of its scores is over other indices";
    }
    unsigned points = cast<RankedTensorType>(score.getInit().getType()).getRank();

    // The dot product among the score's inputs.
    std::optional<Contraction> dot;
    unsigned dotInput = 0;
    for (auto [k, input] : llvm::enumerate(score.getInputs()))
      if (auto c = Contraction::of(input)) {
        if (dot) return "its score has several dot products";
        dot = c, dotInput = k;
      }
    if (!dot) return "its score is no function of a dot product";

    // Dimensions: the score's, the contracted one, the value's.
    MLIRContext *context = aggregate.getContext();
    unsigned contracted = points, value = points + 1, rank = points + 2;
    AffineMap dotToScore = mapOf(score.getIndexingMaps(), dotInput);
    SmallVector<AffineExpr> renumber(dot->op.getNumLoops(), getAffineDimExpr(contracted, context));
    AffineMap dotOut = dot->op.getMatchingIndexingMap(dot->op.getDpsInitOperand(0));
    for (auto [axis, e] : llvm::enumerate(dotOut.getResults())) renumber[cast<AffineDimExpr>(e).getPosition()] = dotToScore.getResult(axis);
    auto operandMap = [&](unsigned k) { return dot->op.getMatchingIndexingMap(dot->op.getDpsInputOperand(k)).replaceDimsAndSymbols(renumber, {}, rank, 0); };
    AffineMap maps[2] = {operandMap(0), operandMap(1)};
    int keySide = maps[0].isFunctionOfDim(key) ? 0 : 1;
    AffineMap keyMap = maps[keySide], queryMap = maps[1 - keySide];
    if (!keyMap.isFunctionOfDim(key) || queryMap.isFunctionOfDim(key)) return "its dot product is not of a query and a key";
    if (!keyMap.isFunctionOfDim(contracted) || !queryMap.isFunctionOfDim(contracted)) return "its dot product is not of a query and a key";

    SmallVector<AffineExpr> fromAggregate(weightMap.getNumDims(), AffineExpr());
    for (auto [k, e] : llvm::enumerate(weightMap.getResults())) fromAggregate[cast<AffineDimExpr>(e).getPosition()] = getAffineDimExpr(k, context);
    unsigned values = 0;
    for (AffineExpr &e : fromAggregate)
      if (!e) e = getAffineDimExpr(value, context), values++;
    if (values != 1) return "its values have not one axis of their own";
    valueMap = valueMap.replaceDimsAndSymbols(fromAggregate, {}, rank, 0);
    outMap = outMap.replaceDimsAndSymbols(fromAggregate, {}, rank, 0);
    if (!valueMap.isFunctionOfDim(key) || !valueMap.isFunctionOfDim(value) || outMap.isFunctionOfDim(key) || !outMap.isFunctionOfDim(value)) return "its values have not one axis of their own";
    // Every other dimension of the score must be in the output.
    for (unsigned d = 0; d < points; d++)
      if (int64_t(d) != key && !outMap.isFunctionOfDim(d)) return "an index of its score is not in the result";
    // Key, contracted and value dimensions must be whole axes, innermost where they are contiguous in the leaf.
    auto axisOf = [&](AffineMap map, unsigned d) -> int {
      auto it = llvm::find(map.getResults(), getAffineDimExpr(d, context));
      return it == map.getResults().end() ? -1 : int(it - map.getResults().begin());
    };
    auto last = [&](AffineMap map, unsigned d) { return axisOf(map, d) == int(map.getNumResults()) - 1; };
    if (!last(queryMap, contracted) || !last(valueMap, value) || !last(outMap, value) || axisOf(keyMap, key) < 0 || axisOf(keyMap, contracted) < 0 ||
        axisOf(valueMap, key) < 0)
      return "an axis of its query, key or value lies in an order that a tile cannot read";

    SmallVector<StringRef> roles(rank, "batch");
    roles[key] = "key", roles[contracted] = "contracted", roles[value] = "value";
    for (unsigned d = points; d-- > 0;)
      if (int64_t(d) != key && !keyMap.isFunctionOfDim(d) && !valueMap.isFunctionOfDim(d) && axisOf(queryMap, d) >= 0) {
        roles[d] = "row";
        break;
      }

    // Outputs: the destination behind a final rounding if there is one.
    Destination out = destination(aggregate.getResult(), aggregate.getInit());
    SmallVector<Value> inputs, outputs{out.init};
    SmallVector<AffineMap> all{queryMap, keyMap, valueMap};
    SmallVector<unsigned> inputNumbers;
    for (auto [k, input] : llvm::enumerate(score.getInputs())) {
      if (k == dotInput) continue;
      AffineMap map = mapOf(score.getIndexingMaps(), k);
      inputs.push_back(input);
      inputNumbers.push_back(k);
      all.push_back(AffineMap::get(rank, 0, map.getResults(), context));
    }
    SmallVector<AffineExpr> rowDims;
    for (unsigned d = 0; d < points; d++)
      if (int64_t(d) != key) rowDims.push_back(getAffineDimExpr(d, context));
    SmallVector<Value> sinks;
    if (softmax)
      for (auto [k, sink] : llvm::enumerate(softmax.getSinks())) {
        sinks.push_back(sink);
        all.push_back(mapOf(*softmax.getSinkMaps(), k).replaceDimsAndSymbols(rowDims, {}, rank, 0));
      }
    all.push_back(outMap);
    Destination secondOut;
    if (second) {
      secondOut = destination(second.getResult(), second.getInit());
      outputs.push_back(secondOut.init);
      all.push_back(AffineMap::get(rank, 0, rowDims, context));
    }

    // After everything it reads, before everything that reads its results.
    Operation *after = score;
    for (Value o : outputs)  // made where the second result was first wanted, which may be late
      if (auto made = o.getDefiningOp<tensor::EmptyOp>(); made && score->isBeforeInBlock(made) && llvm::none_of(made.getOperands(), [&](Value size) {
            Operation *def = size.getDefiningOp();
            return def && def->getBlock() == score->getBlock() && score->isBeforeInBlock(def);
          }))
        rewriter.moveOpBefore(made, score);
    auto copy = dyn_cast_or_null<linalg::GenericOp>(returned);
    auto stored = dyn_cast_or_null<bufferization::MaterializeInDestinationOp>(returned);
    if (returned) {
      AffineMap order = AffineMap::getMultiDimIdentityMap(points, context);
      if (copy) order = inversePermutation(copy.getIndexingMapsArray()[0]);
      if (order.getResults().back() != getAffineDimExpr(key, context)) return "its weights are stored in another order";
      outputs.push_back(copy ? copy.getDpsInits()[0] : memoryOf(stored, softmax.getResult()));
      if (!outputs.back()) return "its weights are stored where something else is";
      all.push_back(AffineMap::get(rank, 0, order.getResults(), context));
    }
    SmallVector<Operation *> replaced{out.copy ? out.copy.getOperation() : aggregate.getOperation()};
    if (second) replaced.push_back(secondOut.copy ? secondOut.copy.getOperation() : second.getOperation());
    if (copy) replaced.push_back(copy);
    SmallVector<Value> read(inputs);
    read.append(sinks);
    read.append(outputs.begin(), outputs.end());
    read.push_back(aggregate.getValues());
    for (Value v : read)
      if (Operation *def = v.getDefiningOp(); def && def->getBlock() == aggregate->getBlock()) after = later(after, def);
    for (Operation *op : replaced)
      for (Operation *user : op->getUsers())
        if (Operation *ancestor = aggregate->getBlock()->findAncestorOpInBlock(*user); ancestor && ancestor->isBeforeInBlock(after)) return "its results are read before all that they need is known";
    if (stored && (stored->getBlock() != aggregate->getBlock() || stored->isBeforeInBlock(after))) return "its results are read before all that they need is known";
    for (Operation *op : replaced)
      if (op->getBlock() != aggregate->getBlock()) return "its results belong to different loops";
    rewriter.setInsertionPointAfter(after);
    SmallVector<Type> types;
    for (Value o : outputs) types.push_back(o.getType());
    SmallVector<Value> dotOperands(dot->op.getInputs());
    auto attend = attn::AttendOp::create(rewriter, aggregate.getLoc(), types, dotOperands[1 - keySide], dotOperands[keySide], aggregate.getValues(), inputs, sinks, outputs,
                                         rewriter.getAffineMapArrayAttr(all), rewriter.getStrArrayAttr(roles), !softmax, bool(returned), DictionaryAttr());
    Block &from = score.getBody().front();
    Block *body = rewriter.createBlock(&attend.getBody());
    IRMapping mapping;
    mapping.map(from.getArgument(dotInput), body->addArgument(from.getArgument(dotInput).getType(), score.getLoc()));
    for (unsigned k : inputNumbers) mapping.map(from.getArgument(k), body->addArgument(from.getArgument(k).getType(), score.getLoc()));
    for (Operation &op : from) rewriter.clone(op, mapping);
    if (!isLeafExpression(attend)) {
      rewriter.eraseOp(attend);
      return "its score or mask holds what no tile computes";
    }
    copyMark(aggregate, attend);
    rewriter.replaceOp(out.copy ? out.copy.getOperation() : aggregate.getOperation(), attend.getResult(0));
    if (second) rewriter.replaceOp(secondOut.copy ? secondOut.copy.getOperation() : second.getOperation(), attend.getResult(1));
    if (copy) rewriter.replaceOp(copy, attend.getResults().back());
    if (stored) stored.getSourceMutable().assign(attend.getResults().back());
    return nullptr;
  }

  // A copy, its axes in any order.
  static bool isCopy(Operation *op) {
    auto g = dyn_cast<linalg::GenericOp>(op);
    return g && g.getNumDpsInputs() == 1 && g.getNumDpsInits() == 1 && g.getNumReductionLoops() == 0 && g.getBody()->getTerminator()->getOperand(0) == g.getBody()->getArgument(0) &&
           g.getIndexingMapsArray()[0].isPermutation() && g.getIndexingMapsArray()[1].isIdentity();
  }

  // The memory that a result is stored into, if nothing else reads that; null otherwise.
  static Value memoryOf(bufferization::MaterializeInDestinationOp stored, Value result) {
    auto buffer = dyn_cast<TypedValue<MemRefType>>(stored.getDest());
    if (!buffer || buffer.getType().getElementType() != cast<RankedTensorType>(result.getType()).getElementType()) return {};
    for (Operation *user : buffer.getUsers())
      if (user != stored && !isa<memref::DimOp>(user) && !isOpTriviallyDead(user)) return {};
    OpBuilder b(result.getDefiningOp());
    b.setInsertionPointAfterValue(buffer);
    return bufferization::ToTensorOp::create(b, result.getLoc(), result.getType(), buffer, /*restrict=*/true, /*writable=*/true);
  }

  static Operation *later(Operation *a, Operation *b) { return a->isBeforeInBlock(b) ? b : a; }

  struct Destination {
    Value init;
    linalg::GenericOp copy;
  };

  // The generic that only rounds `result` into its own output, if that is its only user.
  Destination destination(Value result, Value init) {
    if (!result.hasOneUse()) return {init, {}};
    if (auto stored = dyn_cast<bufferization::MaterializeInDestinationOp>(*result.user_begin()))
      if (Value memory = memoryOf(stored, result)) return {memory, {}};
    auto copy = dyn_cast<linalg::GenericOp>(*result.user_begin());
    if (!copy || copy.getNumDpsInputs() != 1 || copy.getNumDpsInits() != 1 || copy->getBlock() != result.getParentBlock()) return {init, {}};
    for (AffineMap map : copy.getIndexingMapsArray())
      if (!map.isIdentity()) return {init, {}};
    Value yielded = copy.getBody()->getTerminator()->getOperand(0);
    if (auto round = yielded.getDefiningOp<arith::TruncFOp>()) yielded = round.getIn();
    if (yielded != copy.getBody()->getArgument(0)) return {init, {}};
    return {copy.getDpsInits()[0], copy};
  }
};

struct FusePass : PassWrapper<FusePass, OperationPass<>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(FusePass)
  StringRef getArgument() const final { return "attn-fuse"; }
  StringRef getDescription() const final { return "Fuse score, normalise and aggregate into attn.attend"; }
  void getDependentDialects(DialectRegistry &registry) const final { registry.insert<bufferization::BufferizationDialect>(); }
  void runOnOperation() final {
    SmallVector<attn::AggregateOp> ops;
    getOperation()->walk([&](attn::AggregateOp op) { ops.push_back(op); });
    IRRewriter rewriter(&getContext());
    for (attn::AggregateOp op : ops)
      if (const char *why = Fuser{op, rewriter}.run(); why && explains(op)) op->setAttr("attn.unfused", rewriter.getStringAttr(why));
  }
};

}  // namespace

std::unique_ptr<Pass> createFusePass() { return std::make_unique<FusePass>(); }

}  // namespace fovea
