// How core becomes tensors; private to frontend/emit. Elementwise nodes are not materialised: they become the body of the linalg.generic
// (a "nest") that needs them. A node becomes a tensor of its own when it is a reduction or a loop, when it is read at computed positions,
// or when it is expensive and several nests want it. Inside a loop's body, what does not read the loop's state is computed for all
// positions before the loop. What would hold a value for each pair of long indices (a score for each query and key) and is not fused is
// computed row by row instead: see Rows.cpp.
#ifndef FOVEA_FRONTEND_EMIT_EMITTER_H
#define FOVEA_FRONTEND_EMIT_EMITTER_H

#include "dialect/Attn.h"
#include "frontend/Builder.h"
#include "frontend/emit/Emit.h"
#include "frontend/emit/Normalisers.h"
#include "frontend/emit/Scalar.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"
#include "mlir/IR/AffineMap.h"
#include "mlir/IR/BuiltinTypes.h"

#include <map>
#include <optional>
#include <set>

// A namespace of its own, for the names are short.
namespace fovea::emitter {

using namespace mlir;

using core::IndexId;
using core::Node;
using core::NodeId;
using core::Op;

using Axes = SmallVector<IndexId>;
using MaskSet = std::set<NodeId>;

struct Scope;
struct RowBlock;

// A node that has become a tensor.
struct Materialised {
  Value tensor;
  Axes axes;
  Scope *scope = nullptr;           // where it was made
};

// Positions of an index outside of which nothing is visited: `low`, `low + step`, ..., `size` of them.
struct Window {
  Value low, size;
  int64_t step = 1;
};

// The function itself, or the body of a loop being emitted.
struct Scope {
  Scope *parent = nullptr;
  // A loop over rows: their positions, what is computed for one row, and the windows of indices reduced there.
  llvm::SmallDenseMap<IndexId, Value> row;
  std::set<NodeId> inside;
  llvm::SmallDenseMap<IndexId, Window> windows;
  RowBlock *block = nullptr;        // of several rows, a window of the last index
  uint32_t tag = core::none;        // of the loop
  IndexId index = core::none;       // fold, scan: fixed to `position` here
  Value position;                   // index
  Operation *nested = nullptr;      // the loop op being filled inside this scope; new ops go before it
  SmallVector<Materialised> states;
  llvm::DenseMap<NodeId, Materialised> memo;
  llvm::DenseMap<NodeId, Materialised> weights;   // softmax, with 0 at removed points
  llvm::DenseMap<NodeId, Materialised> scores;
  llvm::DenseMap<core::TensorId, Value> appended;
  std::map<std::pair<NodeId, int64_t>, Materialised> loopResults;
};

// How one leaf of an elementwise tree is read.
struct Leaf {
  Value tensor;
  Scope *scope;                    // where it was made
  SmallVector<NodeId> subscripts;  // one per axis; `none` when the axis is plain
  Axes axes;                       // the tensor's axes
  SmallVector<IndexId> plain;      // the index read at an axis, where plain
  SmallVector<AffineExpr> quotients;  // where not plain but surely inside and affine (`h / 4`): the expression; else null
  core::Type type{};
  bool direct = false;             // an operand of the generic; else tensor.extract in the body
  core::TensorId mapped = core::none;  // Encoded: its batch axis goes through the source map
  AffineMap map;
  unsigned operand = 0;
};

// An elementwise tree that is being made into one op, or a reduction of it.
struct Nest {
  Scope *scope;
  Axes dims;                                    // output axes, then reduced indices
  llvm::MapVector<NodeId, Leaf> leaves;
  llvm::DenseSet<NodeId> seen;
  SmallVector<Value> operands;
  SmallVector<AffineMap> maps;
  NodeId reduction = core::none;                // what the reduced indices are reduced by; none: a search for a window
  bool whole = false;                           // a score: expensive nodes under it are its own, for the normaliser keeps the result
};

// The op's body while it is filled.
struct Body {
  Nest &nest;
  llvm::DenseMap<NodeId, Value> memo{};
  SmallVector<Value> dims = {};  // index values, made on demand
  bool attn = false;             // inside an attn op
};

// What is computed row by row.
struct RowPlan {
  Axes rows;                 // of the root's axes, the outermost first
  std::set<NodeId> inside;   // what is computed for one row
};

// How a block of rows is computed: products of all its rows at once, the rest row after row.
struct RowBlock {
  static constexpr int64_t fewest = 8; // products of fewer rows are bounded by memory, and tables would be turned for them
  IndexId row;                         // the index that a block has several positions of
  std::set<NodeId> scores;             // products of two tensors, which are there before the rows
  std::set<NodeId> sums;               // products of what a row computes with a tensor
  std::set<NodeId> later;              // these and what reads them
  llvm::SetVector<NodeId> exported;    // what a row computes for those, and results
  std::set<NodeId> inside;             // what is computed row after row
  struct Turned {
    Materialised table;
    unsigned from;                     // the axis that is now the last
    IndexId along;
  };
  std::map<NodeId, Turned> turned;     // second factors that did not lie along what they are read along
};

// Sum over a normaliser's own indices of weights times one value, a tensor read through affine maps or a projection: attn.aggregate.
struct Aggregate {
  NodeId sum, weight, value;          // weight: identifies the weights
  std::optional<Softmax> softmax;     // one of the two
  std::optional<Pointwise> pointwise;
  SmallVector<AffineExpr> valueMap;
};

// Emits one function. A failure is reported where it is found and sets `failedAny`; what is returned then is not used.
class Emitter {
 public:
  Emitter(const core::Function &f, ModuleOp module, const std::vector<std::string> &files, const EmitOptions &options);
  func::FuncOp run(const std::string &name);

 private:
  // ---- types and places (Emit.cpp)
  Location at(const core::Place &place);
  int64_t staticExtent(IndexId index);
  SmallVector<int64_t> shapeOf(ArrayRef<IndexId> axes);
  MemRefType stridedType(ArrayRef<int64_t> shape, Type element, bool compact);
  MemRefType memrefType(const core::Tensor &t);
  MemRefType resultType(const core::Result &r);
  ScalarEmitter scalar();
  InFlightDiagnostic unsupported(NodeId node);

  // ---- analysis before emission (Emit.cpp)
  // For every node: the loops whose State it reads, and whether several nests would compute it.
  void analyse();
  // Fills `holds`.
  void findContexts();
  void findContexts(const std::set<NodeId> &refused);
  // In a matrix product a factor that is computed becomes a tensor, so that the product is nothing but a product.
  void shareFactors(const Node &sum);

  // ---- scopes (Emit.cpp)
  // The innermost scope whose loop's state the node reads, or whose rows it is computed for.
  Scope *home(NodeId node);
  // Runs `body` with insertion in `scope`, before the loop that is being emitted there.
  template <typename F>
  auto inScope(Scope *scope, F body) {
    OpBuilder::InsertionGuard guard(b);
    Scope *before = current;
    if (scope != current || scope->nested) {
      if (scope->nested) b.setInsertionPoint(scope->nested);
      current = scope;
    }
    auto result = body();
    current = before;
    return result;
  }
  // The position of an index that a loop around `scope` has fixed, or null.
  Value fixedPosition(IndexId index, Scope *scope);
  // The same within a tensor made in `made`, which may hold only a window of the index.
  Value positionWithin(IndexId index, Scope *scope, Scope *made);
  // The window of an index as seen from `scope`; of a tensor made in `made` only the window that it does not already have.
  const Window *window(IndexId index, Scope *scope, Scope *made = nullptr);
  // The position of number `n` of a window.
  Value inWindow(const Window &w, Value n);
  // The axes of a value that becomes a tensor: those of unknown extent (batch, time) outermost, so that what is contracted or
  // vectorised lies innermost.
  Axes freeAxes(ArrayRef<IndexId> indices, Scope *scope);

  // ---- extents (Emit.cpp)
  Value indexConstant(int64_t v);
  // The extent of an index, computed once at the start of the function.
  Value extent(IndexId index);
  // An expression over scalars and extents alone.
  Value scalarTree(NodeId n, llvm::DenseMap<NodeId, Value> &memo);
  // How many positions of an index are visited here.
  OpFoldResult mixedExtent(IndexId index);
  Value empty(ArrayRef<IndexId> axes, Type element);
  bool sameExtent(IndexId x, IndexId y);
  // Whether an index may count many positions.
  bool isLong(IndexId index);

  // ---- caches and results (Emit.cpp)
  core::TensorId rootCache(core::TensorId id);
  // The cache after `append`: the new entry is the last along the growing axis.
  Value appendedTensor(core::TensorId id);
  void store(Value tensor, Value memref);
  void emitResults();
  std::vector<std::optional<RowPlan>> planResults(ArrayRef<NodeId> weights);
  // The plan of a result and of those after it that have the same rows: they share one loop.
  RowPlan joined(size_t first, ArrayRef<std::optional<RowPlan>> plans, SmallVectorImpl<size_t> &together);
  // Weights that are a result, and what they sum, are computed in blocks of rows where these can be: the scores are then computed once.
  void computeWeightsInBlocks();
  // Weights that `returnedWeights` found, into a result.
  Value copied(NodeId softmax, ArrayRef<IndexId> axes, Value init);
  Value destination(size_t result);
  Value destinationTensor(size_t result);

  // ---- leaves of an elementwise tree (Nests.cpp)
  int dimOf(const Nest &nest, IndexId index);
  // Finds the leaves under `n` and materialises what must be a tensor. `context`: masks known to hold here. `computedHere`: this nest
  // is the one that computes `n`.
  void collect(Nest &nest, NodeId n, const MaskSet &context, bool computedHere = false);
  static bool within(const MaskSet &masks, const MaskSet &context);
  void addMaterialised(Nest &nest, NodeId n, const Materialised &m);
  void addLeaf(Nest &nest, NodeId n, Leaf &leaf, ArrayRef<NodeId> subscripts, const MaskSet &context);
  // Decides between an operand with a map and an extraction; slices away axes that a loop around has fixed.
  void finishLeaf(Nest &nest, NodeId n, Leaf &leaf);
  // A subscript as an affine expression of the nest's dimensions, surely inside `axis`; null if it is not.
  AffineExpr affine(NodeId sub, IndexId axis, ArrayRef<IndexId> dims);
  // Whether a subscript is surely within an axis, wherever the masks hold (Inside.cpp).
  bool provenInside(NodeId sub, IndexId axis, const MaskSet &masks = {});

  // ---- inside a body: positions are those of linalg.index or attn.index (Nests.cpp)
  Value dimIndex(Body &body, unsigned d);
  Value positionIndex(Body &body, IndexId index);
  // The value of node `n` at the current point of the nest.
  Value evaluate(Body &body, NodeId n);
  // A read at computed positions; outside it is 0 (rule E6).
  Value extract(Body &body, const Leaf &leaf);
  // Whether a computed position is inside an axis.
  Value isInside(Body &body, const Leaf &leaf, unsigned axis);

  // ---- building nests (Nests.cpp)
  Nest makeNest(ArrayRef<IndexId> out, ArrayRef<IndexId> reduced);
  // The direct leaves become operands; a reduced index that none of them carries gets an operand that only says its extent.
  void layOut(Nest &nest, size_t outputs);
  void bindOperands(Body &body, ValueRange arguments);
  // For the counters, that `op` is the reduction `n`, called `name`.
  void mark(Operation *op, NodeId n, const char *name, ArrayRef<IndexId> over, const MaskSet &masks, bool masked);
  using BodyBuilder = function_ref<SmallVector<Value>(Body &, ValueRange)>;
  // linalg.generic with the nest's operands, the given initial outputs (all over the output axes), and a body.
  SmallVector<Value> generic(Nest &nest, size_t outputs, ArrayRef<Value> inits, BodyBuilder build);
  Value filled(ArrayRef<IndexId> axes, Type element, TypedAttr value);
  TypedAttr realAttr(double v);

  // ---- what becomes a tensor (Reductions.cpp)
  Materialised materialise(NodeId n);
  // `n` over `axes` into `init`, whose element type may be a storage type (`stored`).
  Value elementwise(NodeId n, ArrayRef<IndexId> axes, Value init, std::optional<core::Type> stored, bool computedHere = false);
  Materialised reduce(NodeId n);
  // select(any, value, otherwise), elementwise; `any` may be one condition for all.
  Value whereAny(Value any, Value value, ArrayRef<IndexId> axes, TypedAttr otherwise);

  // ---- where the terms of a reduction count (Factors.cpp)
  bool follows(NodeId n, ArrayRef<IndexId> indices);
  bool mayBound(NodeId condition, ArrayRef<IndexId> indices);
  // Conditions outside of which a factor of a sum is 0.
  using NonzeroMemo = std::map<NodeId, SmallVector<Value>>;
  void addNonzero(Body &body, NodeId n, ArrayRef<IndexId> indices, NonzeroMemo &known, SmallVectorImpl<Value> &conditions);
  void findNonzero(Body &body, NodeId n, ArrayRef<IndexId> indices, NonzeroMemo &known, SmallVectorImpl<Value> &conditions);
  bool isZero(NodeId n);
  bool isPositive(NodeId n);
  // An axis that what is summed lies along, and no bound depends on, is better innermost than one that bounds differ along.
  void orderAxes(const Node &reduction, Axes &out);
  // Masks that hold wherever a sum is used and that may bound its own axes: what they remove need not be computed, it is 0. Not for whole
  // numbers, whose zeros may be no positions.
  MaskSet masksOfUsers(NodeId n, const Axes &out);
  // What a reduction's operand adds to its masks.
  void addSupport(Body &body, const Node &reduction, SmallVectorImpl<Value> &conditions);

  // ---- score, normalise, aggregate (Attention.cpp)
  // A normaliser as one operation, unless a loop around has fixed what it normalises over.
  std::optional<Softmax> softmaxOf(NodeId n);
  std::optional<Softmax> logSumExpOf(NodeId n);
  std::optional<Softmax> whole(std::optional<Softmax> s);
  // attn.score for the scores of a recognised normaliser. Axes: the others ascending, then those normalised over.
  Materialised score(const Scores &s, Scope *scope, bool pointwise = false);
  // attn.normalise of them.
  Materialised normalise(const Scores &s, ArrayRef<NodeId> sinks, attn::Normaliser kind, const Materialised &scores);
  // The two below, made once in the scope that they belong to.
  Materialised normalised(NodeId n, const Softmax &s, attn::Normaliser kind, const char *name);
  // The weights of a recognised softmax: 0 at removed points.
  Materialised softmaxWeights(NodeId n, const Softmax &s);
  // The logarithm of the sum of exponentials, over the axes without those normalised over.
  Materialised logSumExp(NodeId n, const Softmax &s);
  std::optional<Aggregate> recogniseAggregate(NodeId n, const Axes &out);
  std::optional<Materialised> aggregate(NodeId n, const Axes &out);
  // A result that is weights, of which else only values are summed: what sums them writes the weights on its way. The weights' node.
  NodeId returnedWeights(const core::Result &r);
  // The sum of pointwise weights that an aggregate sums values by: the aggregate, which computes it on its way.
  std::optional<NodeId> aggregateOfTotal(NodeId n);

  // ---- iterate, fold, scan (Loops.cpp)
  void emitLoop(NodeId loopNode);

  // ---- row by row (Rows.cpp)
  struct RowSearch;
  // How a value with axes `out` is computed by rows; nothing if it need not be.
  std::optional<RowPlan> planRows(NodeId root, const Axes &out);
  Materialised materialiseRows(NodeId n, const RowPlan &plan);
  // The loop over rows, or over blocks of rows where there are enough of them. `compute` gives the part of a result that belongs to one row (or
  // block), over the axes that are left; `init` is its place.
  using RowResult = llvm::function_ref<Value(size_t number, ArrayRef<IndexId> rest, Value init)>;
  SmallVector<Value> emitRows(const RowPlan &plan, ArrayRef<NodeId> roots, ArrayRef<Value> inits, ArrayRef<Axes> axes, RowResult compute);
  SmallVector<Value> emitSingleRows(const RowPlan &plan, ArrayRef<Value> inits, ArrayRef<Axes> axes, RowResult compute);
  // A result's part with the given positions and windows of its axes, within a loop: its place, and where it is put.
  struct Part {
    SmallVector<OpFoldResult> offsets, sizes, strides;
    Axes rest;
    Value place;
  };
  Part partOf(Value whole, ArrayRef<IndexId> axes, const Scope &scope);

  // ---- several rows at once (Blocks.cpp)
  std::optional<RowBlock> planBlock(const RowPlan &plan, ArrayRef<NodeId> roots);
  bool isLaidOut(NodeId n);
  const RowBlock::Turned *turnedTable(NodeId n);
  SmallVector<Value> emitBlocks(const RowPlan &plan, RowBlock block, ArrayRef<NodeId> roots, ArrayRef<Value> inits, ArrayRef<Axes> axes, RowResult compute);
  Value blockSize(const RowBlock &block, Value rows);
  void turn(const RowPlan &plan, RowBlock &block);
  // The rows of the block that is being emitted, one after the other: they make what the rest reads. `places` of results among that.
  void emitRowsOfBlock(const std::map<NodeId, std::pair<Value, Axes>> &places);
  // Axes of a product that is taken for a block: rows first, and last what its second factor lies along.
  void orderBlockAxes(NodeId product, Axes &out);
  // For each index that is reduced for one row: the masks that all its reductions have, if they depend on the row and the index alone.
  std::map<IndexId, MaskSet> windowMasks(const RowPlan &plan, ArrayRef<Axes> results);
  // The first and the last position that the masks leave, and the step between them.
  Window emitWindow(IndexId index, const MaskSet &masks);
  // The step that a mask leaves of an index: c of (index + ...) % c == ...; 1 if there is none.
  int64_t stepOf(NodeId mask, IndexId index);

  // ---- the function
  const core::Function &f;
  ModuleOp module;
  const std::vector<std::string> &files;
  EmitOptions options;
  OpBuilder b;
  Type real;
  Location loc;
  Block *entry = nullptr;
  unsigned firstResult = 0;
  Operation *lastExtent = nullptr;
  bool failedAny = false;
  SmallVector<Value> tensors, scalars;
  llvm::MapVector<core::TensorId, Value> buffers;
  Value sourceMap;
  llvm::DenseMap<IndexId, Value> extents;
  std::vector<std::set<uint32_t>> loopsOf;
  std::vector<bool> shared;
  std::vector<MaskSet> holds;                  // of each node: masks that hold wherever its value is used
  bool compares = false;                       // some index is masked, or its positions are compared
  Scope top;
  Scope *current = &top;
};

}  // namespace fovea::emitter

#endif  // FOVEA_FRONTEND_EMIT_EMITTER_H
