// How core becomes tensors. Elementwise nodes are not materialised: they become the body of the linalg.generic (a "nest") that needs
// them. A node becomes a tensor of its own when it is a reduction or a loop, when it is read at computed positions, or when it is
// expensive and several nests want it. Inside a loop's body, what does not read the loop's state is computed for all positions before the loop.
// What would hold a value for each pair of long indices (a score for each query and key) and is not fused is computed row by row instead:
// see "rows" below.
#include "frontend/emit/Emit.h"

#include "dialect/Attn.h"
#include "frontend/emit/Scalar.h"
#include "frontend/emit/Normalisers.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <set>

using namespace mlir;

namespace fovea {
namespace {

using core::IndexId;
using core::Node;
using core::NodeId;
using core::Op;

using Axes = SmallVector<IndexId>;
using MaskSet = std::set<NodeId>;

struct Scope;

struct Materialised {
  Value tensor;
  Axes axes;
  Scope *scope = nullptr;           // where it was made
};

// Positions of an index outside of which nothing is visited: `low` .. `low + size`.
struct Window {
  Value low, size;
};

// The function itself, or the body of a loop being emitted.
struct Scope {
  Scope *parent = nullptr;
  // A loop over rows: their positions, what is computed for one row, and the windows of indices reduced there.
  llvm::SmallDenseMap<IndexId, Value> row;
  std::set<NodeId> inside;
  llvm::SmallDenseMap<IndexId, Window> windows;
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

bool isReduction(Op op) { return op >= Op::Sum && op <= Op::ArgMin; }

bool isExpensive(Op op) {
  switch (op) {
    case Op::Exp: case Op::Log: case Op::Exp2: case Op::Tanh: case Op::Sigmoid: case Op::Gelu: case Op::Silu: case Op::Softplus:
    case Op::Erf: case Op::Pow: case Op::Sin: case Op::Cos: case Op::Rsqrt: case Op::Div: return true;
    default: return false;
  }
}

class Emitter {
 public:
  Emitter(const core::Function &f, ModuleOp module, const std::vector<std::string> &files, const EmitOptions &options)
      : f(f), module(module), files(files), options(options), b(module.getContext()),
        real(options.f64 ? Type(b.getF64Type()) : Type(b.getF32Type())), loc(b.getUnknownLoc()) {}

  func::FuncOp run(const std::string &name) {
    analyse();
    loc = at(f.place);
    b.setInsertionPointToEnd(module.getBody());
    SmallVector<Type> types;
    for (const auto &p : f.parameters)
      types.push_back(p.scalar ? ScalarEmitter{b, loc, b.getF32Type()}.typeOf(f.scalars[p.id].type) : memrefType(f.tensors[p.id]));
    bool mapped = llvm::any_of(f.tensors, [](const core::Tensor &t) { return t.role == core::Tensor::Encoded && t.batch != core::none; });
    if (mapped) types.push_back(MemRefType::get({ShapedType::kDynamic}, b.getI32Type()));
    for (const core::Result &r : f.results) types.push_back(resultType(r));
    auto function = func::FuncOp::create(b, loc, name, b.getFunctionType(types, {}));
    for (auto [k, p] : llvm::enumerate(f.parameters))
      if (!p.scalar && f.tensors[p.id].role == core::Tensor::Parameter) function.setArgAttr(k, "attn.parameter", b.getStringAttr(f.tensors[p.id].name));
    Block *entry = function.addEntryBlock();
    b.setInsertionPointToStart(entry);

    tensors.resize(f.tensors.size());
    scalars.resize(f.scalars.size());
    unsigned next = 0;
    for (const auto &p : f.parameters) {
      Value argument = entry->getArgument(next++);
      if (p.scalar) {
        scalars[p.id] = f.scalars[p.id].type < core::Type::I32 && options.f64 ? Value(arith::ExtFOp::create(b, loc, real, argument)) : argument;
      } else {
        bool written = f.tensors[p.id].role == core::Tensor::Cache;
        auto type = cast<MemRefType>(argument.getType());
        tensors[p.id] = bufferization::ToTensorOp::create(b, loc, RankedTensorType::get(type.getShape(), type.getElementType()), argument, true, written);
        buffers[p.id] = argument;
      }
    }
    if (mapped) {
      Value argument = entry->getArgument(next++);
      auto type = cast<MemRefType>(argument.getType());
      sourceMap = bufferization::ToTensorOp::create(b, loc, RankedTensorType::get(type.getShape(), type.getElementType()), argument, true, false);
    }
    firstResult = next;
    this->entry = entry;
    top.nested = nullptr;
    auto done = func::ReturnOp::create(b, loc);
    top.nested = done;
    b.setInsertionPoint(done);
    emitResults();
    for (auto [id, tensor] : llvm::enumerate(f.tensors))
      if (tensor.role == core::Tensor::Appended) {
        Value value = appendedTensor(id);
        if (!failedAny) store(value, buffers[rootCache(id)]);
      }
    if (failedAny) {
      function.erase();
      return {};
    }
    return function;
  }

 private:
  // ---------------------------------------------------------------- types and places

  Location at(const core::Place &place) {
    std::string file = place.file < files.size() ? files[place.file] : "-";
    return FileLineColLoc::get(b.getContext(), file, place.line, place.column);
  }

  int64_t staticExtent(IndexId index) { return f.indices[index].fixed ? *f.indices[index].fixed : ShapedType::kDynamic; }

  SmallVector<int64_t> shapeOf(ArrayRef<IndexId> axes) { return llvm::map_to_vector(axes, [&](IndexId i) { return staticExtent(i); }); }

  MemRefType stridedType(ArrayRef<int64_t> shape, Type element, bool compact) {
    if (compact || shape.empty()) return MemRefType::get(shape, element);
    SmallVector<int64_t> strides(shape.size(), ShapedType::kDynamic);
    strides.back() = 1;
    return MemRefType::get(shape, element, StridedLayoutAttr::get(b.getContext(), ShapedType::kDynamic, strides));
  }

  MemRefType memrefType(const core::Tensor &t) {
    SmallVector<int64_t> shape;
    for (IndexId axis : t.axes) shape.push_back(t.role == core::Tensor::Encoded && axis == t.batch ? ShapedType::kDynamic : staticExtent(axis));
    return stridedType(shape, ScalarEmitter::storageType(b, t.type), options.contiguous && t.role != core::Tensor::Cache);
  }

  MemRefType resultType(const core::Result &r) {
    Type element = ScalarEmitter::storageType(b, r.type);
    if (options.f64 && isa<FloatType>(element)) element = real;
    return stridedType(shapeOf(r.axes), element, options.contiguous);
  }

  ScalarEmitter scalar() { return {b, loc, real}; }

  InFlightDiagnostic unsupported(NodeId node) {
    failedAny = true;
    return mlir::emitError(at(f.nodes[node].place));
  }

  // ---------------------------------------------------------------- analysis before emission

  // For every node: the loops whose State it reads, and whether several nests would compute it.
  void analyse() {
    size_t count = f.nodes.size();
    loopsOf.resize(count);
    for (NodeId n = 0; n < count; n++) {
      const Node &node = f.nodes[n];
      auto &tags = loopsOf[n];
      for (NodeId a : node.args) tags.insert(loopsOf[a].begin(), loopsOf[a].end());
      if (node.op == Op::State) tags.insert(node.ref);
      if (node.op == Op::Loop) {
        const core::Loop &loop = f.loops[node.ref];
        for (const auto &item : loop.items) {
          tags.insert(loopsOf[item.init].begin(), loopsOf[item.init].end());
          tags.insert(loopsOf[item.next].begin(), loopsOf[item.next].end());
        }
        if (loop.count != core::none) tags.insert(loopsOf[loop.count].begin(), loopsOf[loop.count].end());
        tags.erase(loop.tag);
      }
      if (node.op == Op::Load && f.tensors[node.ref].role == core::Tensor::Appended) {
        core::TensorId t = node.ref;
        const auto &from = loopsOf[f.tensors[t].value];
        tags.insert(from.begin(), from.end());
      }
    }
    // Users come after their arguments, so one pass from the end sees every user of a node before the node.
    std::vector<std::set<NodeId>> roots(count);  // at most two are kept
    shared.assign(count, false);
    auto add = [&](std::set<NodeId> &to, NodeId root) { if (to.size() < 2) to.insert(root); };
    constexpr NodeId outside = ~0u - 1;
    auto rootOf = [&](NodeId n, NodeId root) { add(roots[n], root); };
    // Whether the one nest that computes a function would compute it again for every position of an index that it does not have.
    auto repeats = [&](NodeId n) {
      if (roots[n].size() != 1 || f.nodes[n].op == Op::Div || f.nodes[n].op == Op::Rsqrt) return false;
      NodeId root = *roots[n].begin();
      ArrayRef<IndexId> dims = root < count ? ArrayRef(f.nodes[root].free) : root > outside - f.results.size() ? ArrayRef(f.results[outside - root].axes) : ArrayRef<IndexId>();
      return llvm::any_of(dims, [&](IndexId i) { return isLong(i) && !llvm::is_contained(f.nodes[n].free, i); });
    };
    for (size_t k = 0; k < f.results.size(); k++) rootOf(f.results[k].node, outside - NodeId(k));
    for (const auto &t : f.tensors)
      if (t.role == core::Tensor::Appended) rootOf(t.value, outside - NodeId(f.results.size()) - NodeId(&t - f.tensors.data()));
    for (NodeId n = count; n-- > 0;) {
      const Node &node = f.nodes[n];
      shared[n] = shared[n] || (isExpensive(node.op) && !node.free.empty() && (roots[n].size() >= 2 || repeats(n)));
      if (node.op == Op::Sum && node.args.size() == 1) shareFactor(f.nodes[node.args[0]]);
      bool own = shared[n] || isReduction(node.op) || node.op == Op::Sample || node.op == Op::LoopResult || node.op == Op::Loop;
      for (size_t k = 0; k < node.args.size(); k++) {
        NodeId a = node.args[k];
        if (own || (node.op == Op::Read && k == 0)) add(roots[a], n);
        else for (NodeId root : roots[n]) add(roots[a], root);
      }
      if (node.op == Op::Loop)
        for (const auto &item : f.loops[node.ref].items) {
          add(roots[item.init], n);
          add(roots[item.next], n);
        }
    }
  }

  // ---------------------------------------------------------------- scopes

  // The innermost scope whose loop's state the node reads, or whose rows it is computed for.
  Scope *home(NodeId node) {
    for (Scope *s = current; s != &top; s = s->parent)
      if (loopsOf[node].count(s->tag) || s->inside.count(node)) return s;
    return &top;
  }

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
  Value fixedPosition(IndexId index, Scope *scope) {
    for (Scope *s = scope; s; s = s->parent) {
      if (s->index == index && s->position) return s->position;
      if (Value position = s->row.lookup(index)) return position;
    }
    return {};
  }

  // The window of an index as seen from `scope`; of a tensor made in `made` only the window that it does not already have.
  const Window *window(IndexId index, Scope *scope, Scope *made = nullptr) {
    for (Scope *s = scope; s && s != made; s = s->parent)
      if (auto it = s->windows.find(index); it != s->windows.end()) return &it->second;
    return nullptr;
  }

  // The axes of a value that becomes a tensor: those of unknown extent (batch, time) outermost, so that what is contracted or
  // vectorised lies innermost.
  Axes freeAxes(ArrayRef<IndexId> indices, Scope *scope) {
    Axes axes, known;
    int64_t together = 1;
    for (IndexId i : indices) {
      if (fixedPosition(i, scope)) continue;
      (f.indices[i].fixed ? known : axes).push_back(i);
      if (f.indices[i].fixed) together *= *f.indices[i].fixed;
    }
    // A few heads are no vector.
    axes.insert(together < 8 && !axes.empty() ? axes.end() - 1 : axes.end(), known.begin(), known.end());
    return axes;
  }

  // ---------------------------------------------------------------- extents

  Value indexConstant(int64_t v) { return arith::ConstantIndexOp::create(b, loc, v); }

  // The extent of an index, computed once at the start of the function.
  Value extent(IndexId index) {
    if (auto it = extents.find(index); it != extents.end()) return it->second;
    OpBuilder::InsertionGuard guard(b);
    // After what was computed for extents before, so that one may use another.
    if (lastExtent) b.setInsertionPointAfter(lastExtent);
    else b.setInsertionPointToStart(entry);
    Value value;
    const core::Index &info = f.indices[index];
    auto fromAxis = [&]() -> Value {
      for (const auto &[id, buffer] : buffers)
        for (auto [axis, i] : llvm::enumerate(f.tensors[id].axes))
          if (i == index && !(f.tensors[id].role == core::Tensor::Encoded && i == f.tensors[id].batch))
            return memref::DimOp::create(b, loc, buffer, axis);
      return {};
    };
    if (info.fixed) value = indexConstant(*info.fixed);
    else if (!(value = fromAxis())) {
      if (info.extent != core::none) {
        llvm::DenseMap<NodeId, Value> memo;
        // Its operands are scalars and other extents.
        Value i = scalarTree(info.extent, memo);
        value = arith::IndexCastOp::create(b, loc, b.getIndexType(), i);
        value = arith::MaxSIOp::create(b, loc, value, indexConstant(0));
      } else {
        for (auto [k, r] : llvm::enumerate(f.results))
          for (auto [axis, i] : llvm::enumerate(r.axes))
            if (i == index && !value) value = memref::DimOp::create(b, loc, entry->getArgument(firstResult + k), axis);
        if (!value && sourceMap)  // a step whose hypotheses appear only through the map
          value = tensor::DimOp::create(b, loc, sourceMap, 0);
      }
    }
    extents[index] = value;
    if (!lastExtent || !value.getDefiningOp()->isBeforeInBlock(lastExtent)) lastExtent = value.getDefiningOp();
    return value;
  }

  // An expression over scalars and extents alone.
  Value scalarTree(NodeId n, llvm::DenseMap<NodeId, Value> &memo) {
    if (auto it = memo.find(n); it != memo.end()) return it->second;
    const Node &node = f.nodes[n];
    Value v;
    switch (node.op) {
      case Op::ConstF32: v = scalar().realConstant(node.real); break;
      case Op::ConstI32: v = scalar().integerConstant(node.integer); break;
      case Op::ConstBool: v = scalar().boolConstant(node.integer); break;
      case Op::Scalar: v = scalars[node.ref]; break;
      case Op::Extent: {
        Value e = extent(node.ref);
        if (lastExtent && lastExtent->getBlock() == b.getInsertionBlock() && b.getInsertionPoint() != b.getInsertionBlock()->end() &&
            !lastExtent->isBeforeInBlock(&*b.getInsertionPoint()))
          b.setInsertionPointAfter(lastExtent);
        v = arith::IndexCastOp::create(b, loc, b.getI32Type(), e);
        break;
      }
      default: {
        SmallVector<Value> arguments;
        for (NodeId a : node.args) arguments.push_back(scalarTree(a, memo));
        v = scalar().apply(node.op, node.type, f.nodes[node.args[0]].type, arguments);
      }
    }
    if (b.getInsertionBlock() == entry && v.getDefiningOp()) lastExtent = v.getDefiningOp();
    return memo[n] = v;
  }

  // How many positions of an index are visited here.
  OpFoldResult mixedExtent(IndexId index) {
    if (const Window *w = window(index, current)) return w->size;
    if (f.indices[index].fixed) return b.getIndexAttr(*f.indices[index].fixed);
    return extent(index);
  }

  Value empty(ArrayRef<IndexId> axes, Type element) {
    SmallVector<OpFoldResult> sizes = llvm::map_to_vector(axes, [&](IndexId i) { return mixedExtent(i); });
    return tensor::EmptyOp::create(b, loc, sizes, element);
  }

  bool sameExtent(IndexId x, IndexId y) {
    if (x == y) return true;
    const core::Index &a = f.indices[x], &c = f.indices[y];
    if (a.fixed && c.fixed) return *a.fixed <= *c.fixed;
    return a.extentClass == c.extentClass;
  }

  // ---------------------------------------------------------------- nests

  struct Nest;

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

  struct Nest {
    Scope *scope;
    Axes dims;                                    // output axes, then reduced indices
    llvm::MapVector<NodeId, Leaf> leaves;
    llvm::DenseSet<NodeId> seen;
    SmallVector<Value> operands;
    SmallVector<AffineMap> maps;
    bool whole = false;                           // a score: expensive nodes under it are its own, for the normaliser keeps the result
  };

  int dimOf(const Nest &nest, IndexId index) {
    auto it = llvm::find(nest.dims, index);
    return it == nest.dims.end() ? -1 : int(it - nest.dims.begin());
  }

  // A normaliser as one operation, unless a loop around has fixed what it normalises over.
  std::optional<Softmax> softmaxOf(NodeId n) { return whole(recogniseSoftmax(f, n)); }
  std::optional<Softmax> logSumExpOf(NodeId n) { return whole(recogniseLogSumExp(f, n)); }
  std::optional<Softmax> whole(std::optional<Softmax> s) {
    if (s && llvm::any_of(s->indices, [&](IndexId i) { return bool(fixedPosition(i, current)); })) return {};
    return s;
  }

  // Finds the leaves under `n` and materialises what must be a tensor. `context`: masks known to hold here. `computedHere`: this nest
  // is the one that computes `n`.
  void collect(Nest &nest, NodeId n, const MaskSet &context, bool computedHere = false) {
    if (failedAny || !nest.seen.insert(n).second) return;
    const Node &node = f.nodes[n];
    switch (node.op) {
      case Op::ConstF32: case Op::ConstI32: case Op::ConstBool: case Op::Position: case Op::Extent: case Op::Scalar: return;
      case Op::Load: {
        const core::Tensor &t = f.tensors[node.ref];
        Leaf leaf;
        leaf.scope = &top;
        leaf.tensor = t.role == core::Tensor::Appended ? appendedTensor(node.ref) : tensors[node.ref];
        leaf.axes.assign(t.axes.begin(), t.axes.end());
        leaf.type = t.type;
        if (t.role == core::Tensor::Encoded && t.batch != core::none) leaf.mapped = node.ref;
        return addLeaf(nest, n, leaf, ArrayRef(node.args), context);
      }
      case Op::Read: {
        Materialised m = materialise(node.args[0]);
        if (failedAny) return;
        Leaf leaf;
        leaf.scope = m.scope;
        leaf.tensor = m.tensor;
        leaf.type = node.type;
        leaf.axes = m.axes;
        SmallVector<NodeId> subscripts;
        for (IndexId axis : m.axes) {
          auto it = llvm::find(node.indices, axis);
          subscripts.push_back(node.args[1 + (it - node.indices.begin())]);
        }
        return addLeaf(nest, n, leaf, subscripts, context);
      }
      case Op::Keep: {
        MaskSet inner(context);
        inner.insert(node.args.begin() + 1, node.args.end());
        for (size_t k = 1; k < node.args.size(); k++) collect(nest, node.args[k], context);
        collect(nest, node.args[0], inner);
        return;
      }
      case Op::Loop: unsupported(n) << "a loop is not a value"; return;
      case Op::Normal: case Op::Sample: unsupported(n) << "random choices are not supported yet"; return;
      default: break;
    }
    if (isReduction(node.op) || node.op == Op::LoopResult || node.op == Op::State || (shared[n] && !computedHere && !nest.whole && !node.free.empty())) {
      if (auto softmax = softmaxOf(n); softmax && within(softmax->masks, context)) return addMaterialised(nest, n, softmaxWeights(n, *softmax));
      return addMaterialised(nest, n, materialise(n));
    }
    if (node.op == Op::Div)
      if (auto softmax = softmaxOf(n); softmax && within(softmax->masks, context)) return addMaterialised(nest, n, softmaxWeights(n, *softmax));
    if (node.op == Op::Add)
      if (auto lse = logSumExpOf(n)) return addMaterialised(nest, n, logSumExp(n, *lse));
    for (NodeId a : node.args) collect(nest, a, context);
  }

  static bool within(const MaskSet &masks, const MaskSet &context) { return std::includes(context.begin(), context.end(), masks.begin(), masks.end()); }

  void addMaterialised(Nest &nest, NodeId n, const Materialised &m) {
    if (failedAny) return;
    Leaf leaf;
    leaf.scope = m.scope;
    leaf.tensor = m.tensor;
    leaf.axes = m.axes;
    leaf.type = f.nodes[n].type;
    leaf.direct = true;
    SmallVector<AffineExpr> results;
    for (IndexId axis : m.axes) {
      int d = dimOf(nest, axis);
      if (d < 0) {  // fixed by a loop around: slice there
        leaf.direct = false;
        break;
      }
      results.push_back(b.getAffineDimExpr(d));
    }
    leaf.subscripts.assign(m.axes.size(), core::none);
    leaf.plain.assign(m.axes.begin(), m.axes.end());
    finishLeaf(nest, n, leaf);
  }

  void addLeaf(Nest &nest, NodeId n, Leaf &leaf, ArrayRef<NodeId> subscripts, const MaskSet &context) {
    leaf.direct = leaf.mapped == core::none;
    for (auto [axis, sub] : llvm::zip(leaf.axes, subscripts)) {
      const Node &s = f.nodes[sub];
      bool plain = s.op == Op::Position && sameExtent(s.ref, axis);
      leaf.subscripts.push_back(plain ? core::none : sub);
      leaf.plain.push_back(plain ? s.ref : core::none);
      leaf.quotients.push_back(plain || leaf.mapped != core::none ? AffineExpr() : affine(sub, axis, nest.dims));
      if (!plain && !leaf.quotients.back()) {
        leaf.direct = false;
        collect(nest, sub, context);
        if (failedAny) return;
      }
    }
    finishLeaf(nest, n, leaf);
  }

  // Decides between an operand with a map and an extraction; slices away axes that a loop around has fixed.
  void finishLeaf(Nest &nest, NodeId n, Leaf &leaf) {
    leaf.quotients.resize(leaf.subscripts.size());
    bool operand = leaf.mapped == core::none;
    for (auto [s, quotient] : llvm::zip(leaf.subscripts, leaf.quotients)) operand &= s == core::none || quotient;
    // A quotient says nothing of an extent, so the other operands must: only the output's axes are sure to.
    if (operand) {
      SmallVector<OpFoldResult> offsets, sizes, strides;
      SmallVector<int64_t> shape;
      SmallVector<AffineExpr> results;
      bool slice = false;
      auto type = cast<RankedTensorType>(leaf.tensor.getType());
      for (auto [k, index] : llvm::enumerate(leaf.plain)) {
        strides.push_back(b.getIndexAttr(1));
        if (leaf.quotients[k]) {
          offsets.push_back(b.getIndexAttr(0));
          sizes.push_back(tensor::getMixedSize(b, loc, leaf.tensor, k));
          shape.push_back(type.getDimSize(k));
          results.push_back(leaf.quotients[k]);
          continue;
        }
        int d = dimOf(nest, index);
        if (d >= 0) {
          const Window *w = window(index, nest.scope, leaf.scope);
          slice |= w != nullptr;
          offsets.push_back(w ? OpFoldResult(w->low) : b.getIndexAttr(0));
          sizes.push_back(w ? OpFoldResult(w->size) : tensor::getMixedSize(b, loc, leaf.tensor, k));
          shape.push_back(w ? ShapedType::kDynamic : type.getDimSize(k));
          results.push_back(b.getAffineDimExpr(d));
          continue;
        }
        Value position = fixedPosition(index, nest.scope);
        if (!position) {
          unsupported(n) << "internal: index `" << f.indices[index].name << "` is not in scope";
          return;
        }
        slice = true;
        offsets.push_back(position);
        sizes.push_back(b.getIndexAttr(1));
      }
      if (slice) {
        auto sliced = RankedTensorType::get(shape, type.getElementType());
        leaf.tensor = tensor::ExtractSliceOp::create(b, loc, sliced, leaf.tensor, offsets, sizes, strides);
      }
      leaf.direct = true;
      leaf.map = AffineMap::get(nest.dims.size(), 0, results, b.getContext());
    }
    nest.leaves.insert({n, leaf});
  }

  // Positions of the nest's dimensions inside a body: linalg.index or attn.index.
  using IndexMaker = function_ref<Value(unsigned)>;

  struct Body {
    Nest &nest;
    llvm::DenseMap<NodeId, Value> memo{};
    SmallVector<Value> dims = {};  // index values, made on demand
    bool attn = false;             // inside an attn op
  };

  Value dimIndex(Body &body, unsigned d) {
    body.dims.resize(body.nest.dims.size());
    if (!body.dims[d]) body.dims[d] = body.attn ? Value(attn::IndexOp::create(b, loc, b.getIndexType(), b.getI64IntegerAttr(d))) : Value(linalg::IndexOp::create(b, loc, d));
    return body.dims[d];
  }

  Value positionIndex(Body &body, IndexId index) {
    int d = dimOf(body.nest, index);
    if (d >= 0) {
      const Window *w = window(index, body.nest.scope);
      return w ? Value(arith::AddIOp::create(b, loc, dimIndex(body, d), w->low)) : dimIndex(body, d);
    }
    Value position = fixedPosition(index, body.nest.scope);
    if (!position) {
      failedAny = true;
      mlir::emitError(loc) << "internal: index `" << f.indices[index].name << "` is not in scope";
      return indexConstant(0);
    }
    return position;
  }

  // The value of node `n` at the current point of the nest.
  Value evaluate(Body &body, NodeId n) {
    if (auto it = body.memo.find(n); it != body.memo.end()) return it->second;
    const Node &node = f.nodes[n];
    Value v;
    if (auto leaf = body.nest.leaves.find(n); leaf != body.nest.leaves.end()) {
      v = extract(body, leaf->second);
    } else {
      switch (node.op) {
        case Op::ConstF32: v = scalar().realConstant(node.real); break;
        case Op::ConstI32: v = scalar().integerConstant(node.integer); break;
        case Op::ConstBool: v = scalar().boolConstant(node.integer); break;
        case Op::Scalar: v = scalars[node.ref]; break;
        case Op::Extent: v = arith::IndexCastOp::create(b, loc, b.getI32Type(), extent(node.ref)); break;
        case Op::Position: v = arith::IndexCastOp::create(b, loc, b.getI32Type(), positionIndex(body, node.ref)); break;
        case Op::Keep: {
          SmallVector<Value> masks;
          for (NodeId m : ArrayRef(node.args).drop_front()) masks.push_back(evaluate(body, m));
          v = scalar().select(scalar().conjunction(masks), evaluate(body, node.args[0]), scalar().zero(node.type));
          break;
        }
        default: {
          SmallVector<Value> arguments;
          for (NodeId a : node.args) arguments.push_back(evaluate(body, a));
          v = scalar().apply(node.op, node.type, f.nodes[node.args[0]].type, arguments);
        }
      }
    }
    return body.memo[n] = v;
  }

  // A read at computed positions; outside it is 0 (rule E6).
  Value extract(Body &body, const Leaf &leaf) {
    SmallVector<Value> positions, inside;
    for (auto [k, sub] : llvm::enumerate(leaf.subscripts)) {
      Value position;
      if (sub == core::none) {
        bool held = window(leaf.plain[k], body.nest.scope) && !window(leaf.plain[k], body.nest.scope, leaf.scope);
        position = held ? dimIndex(body, dimOf(body.nest, leaf.plain[k])) : positionIndex(body, leaf.plain[k]);
      } else {
        Value i = evaluate(body, sub);
        position = arith::IndexCastOp::create(b, loc, b.getIndexType(), i);
        if (!provenInside(sub, leaf.axes[k])) {
          Value size = tensor::DimOp::create(b, loc, leaf.tensor, k);
          // One unsigned comparison: a negative position is a very large one.
          inside.push_back(arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, position, size));
        }
      }
      if (leaf.mapped != core::none && leaf.axes[k] == f.tensors[leaf.mapped].batch) {
        Value source = tensor::ExtractOp::create(b, loc, sourceMap, ValueRange{position});
        position = arith::IndexCastOp::create(b, loc, b.getIndexType(), source);
      }
      positions.push_back(position);
    }
    ScalarEmitter s = scalar();
    if (inside.empty()) return s.fromStorage(tensor::ExtractOp::create(b, loc, leaf.tensor, positions), leaf.type);
    Value all = s.conjunction(inside), nought = indexConstant(0);
    // The first place of a tensor that is surely not empty may be read anywhere along the other axes.
    bool empty = false;
    for (auto [k, sub] : llvm::enumerate(leaf.subscripts)) empty |= sub != core::none && f.indices[leaf.axes[k]].fixed.value_or(0) <= 0;
    for (auto [p, sub] : llvm::zip(positions, leaf.subscripts))
      if (empty || sub != core::none) p = s.select(all, p, nought);
    Value loaded = s.fromStorage(tensor::ExtractOp::create(b, loc, leaf.tensor, positions), leaf.type);
    return s.select(all, loaded, s.zero(leaf.type));
  }

  // Whether a subscript is surely within an axis: a constant or a clamped or divided position.
  bool provenInside(NodeId sub, IndexId axis) {
    const core::Index &a = f.indices[axis];
    const Node &node = f.nodes[sub];
    if (node.op == Op::ConstI32) return a.fixed && node.integer >= 0 && node.integer < *a.fixed;
    if (!a.fixed) return false;
    int64_t low, high;
    return range(sub, low, high) && low >= 0 && high < *a.fixed;
  }

  // Bounds of an I32 expression over positions of known extent.
  bool range(NodeId n, int64_t &low, int64_t &high) {
    const Node &node = f.nodes[n];
    int64_t l1, h1, l2, h2;
    switch (node.op) {
      case Op::ConstI32: low = high = node.integer; return true;
      case Op::Position:
        if (!f.indices[node.ref].fixed) return false;
        low = 0; high = std::max<int64_t>(0, *f.indices[node.ref].fixed - 1);
        return true;
      case Op::Extent:
        if (!f.indices[node.ref].fixed) return false;
        low = high = *f.indices[node.ref].fixed;
        return true;
      case Op::Add: if (!range(node.args[0], l1, h1) || !range(node.args[1], l2, h2)) return false; low = l1 + l2; high = h1 + h2; return true;
      case Op::Sub: if (!range(node.args[0], l1, h1) || !range(node.args[1], l2, h2)) return false; low = l1 - h2; high = h1 - l2; return true;
      case Op::Div:
        if (!range(node.args[0], l1, h1) || !range(node.args[1], l2, h2) || l2 != h2 || l2 <= 0 || l1 < 0) return false;
        low = l1 / l2; high = h1 / l2;
        return true;
      case Op::Mod:
        if (!range(node.args[1], l2, h2) || l2 != h2 || l2 <= 0) return false;
        low = 0; high = l2 - 1;
        return true;
      default: return false;
    }
  }

  // ---------------------------------------------------------------- building nests

  Nest makeNest(ArrayRef<IndexId> out, ArrayRef<IndexId> reduced) {
    Nest nest{current, Axes(out), {}, {}, {}, {}, false};
    nest.dims.append(reduced.begin(), reduced.end());
    return nest;
  }

  // The direct leaves become operands; a reduced index that none of them carries gets an operand that only says its extent.
  void layOut(Nest &nest, size_t outputs) {
    SmallVector<bool> covered(nest.dims.size(), false);
    for (auto &[n, leaf] : nest.leaves) {
      if (!leaf.direct) continue;
      leaf.operand = nest.operands.size();
      nest.operands.push_back(leaf.tensor);
      nest.maps.push_back(leaf.map);
      for (AffineExpr e : leaf.map.getResults())
        if (auto d = dyn_cast<AffineDimExpr>(e)) covered[d.getPosition()] = true;
    }
    for (size_t d = outputs; d < nest.dims.size(); d++) {
      if (covered[d]) continue;
      nest.operands.push_back(empty({nest.dims[d]}, b.getI8Type()));
      nest.maps.push_back(AffineMap::get(nest.dims.size(), 0, {b.getAffineDimExpr(d)}, b.getContext()));
    }
  }

  void bindOperands(Body &body, ValueRange arguments) {
    for (auto &[n, leaf] : body.nest.leaves)
      if (leaf.direct) body.memo[n] = scalar().fromStorage(arguments[leaf.operand], leaf.type);
  }

  using BodyBuilder = function_ref<SmallVector<Value>(Body &, ValueRange)>;

  // linalg.generic with the nest's operands, the given initial outputs (all over the output axes), and a body.
  SmallVector<Value> generic(Nest &nest, size_t outputs, ArrayRef<Value> inits, BodyBuilder build) {
    layOut(nest, outputs);
    SmallVector<AffineMap> maps(nest.maps);
    SmallVector<AffineExpr> outDims;
    for (size_t d = 0; d < outputs; d++) outDims.push_back(b.getAffineDimExpr(d));
    for (size_t k = 0; k < inits.size(); k++) maps.push_back(AffineMap::get(nest.dims.size(), 0, outDims, b.getContext()));
    SmallVector<utils::IteratorType> iterators(nest.dims.size(), utils::IteratorType::reduction);
    std::fill_n(iterators.begin(), outputs, utils::IteratorType::parallel);
    SmallVector<Type> types;
    for (Value init : inits) types.push_back(init.getType());
    auto op = linalg::GenericOp::create(b, loc, types, nest.operands, inits, maps, iterators, [&](OpBuilder &, Location, ValueRange arguments) {});
    Block *block = op.getBody();
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToEnd(block);
    Body body{nest};
    bindOperands(body, block->getArguments());
    linalg::YieldOp::create(b, loc, build(body, block->getArguments().take_back(inits.size())));
    return SmallVector<Value>(op.getResults());
  }

  Value filled(ArrayRef<IndexId> axes, Type element, TypedAttr value) {
    Value init = empty(axes, element);
    Value constant = arith::ConstantOp::create(b, loc, value);
    return linalg::FillOp::create(b, loc, constant, init).getResult(0);
  }

  TypedAttr realAttr(double v) { return FloatAttr::get(real, v); }

  // ---------------------------------------------------------------- materialising

  Materialised materialise(NodeId n) {
    Scope *scope = home(n);
    if (auto it = scope->memo.find(n); it != scope->memo.end()) return it->second;
    const Node &node = f.nodes[n];
    if (node.op == Op::State) {
      for (Scope *s = current; s; s = s->parent)
        if (s->tag == node.ref && s != &top) return s->states[node.integer];
      unsupported(n) << "internal: a state outside its loop";
      return {};
    }
    Materialised m = inScope(scope, [&]() -> Materialised {
      Location before = loc;
      loc = at(node.place);
      Materialised result;
      if (auto plan = planRows(n, freeAxes(node.free, current))) {
        result = materialiseRows(n, *plan);
      } else if (node.op == Op::LoopResult) {
        emitLoop(node.args[0]);
        auto it = current->loopResults.find({node.args[0], node.integer});
        if (it != current->loopResults.end()) result = it->second;
      } else if (isReduction(node.op)) {
        result = reduce(n);
      } else {
        Axes axes = freeAxes(node.free, current);
        result = {elementwise(n, axes, empty(axes, scalar().typeOf(node.type)), {}, true), axes};
      }
      loc = before;
      return result;
    });
    m.scope = scope;
    if (!failedAny) scope->memo[n] = m;
    return m;
  }

  // `n` over `axes` into `init`, whose element type may be a storage type (`stored`).
  Value elementwise(NodeId n, ArrayRef<IndexId> axes, Value init, std::optional<core::Type> stored, bool computedHere = false) {
    Nest nest = makeNest(axes, {});
    collect(nest, n, {}, computedHere);
    if (failedAny) return init;
    Type element = cast<RankedTensorType>(init.getType()).getElementType();
    return generic(nest, axes.size(), {init}, [&](Body &body, ValueRange) -> SmallVector<Value> {
      Value v = evaluate(body, n);
      return {stored ? scalar().toStorage(v, *stored, element) : v};
    })[0];
  }

  Materialised reduce(NodeId n) {
    const Node &node = f.nodes[n];
    Axes out = freeAxes(node.free, current);
    MaskSet masks(node.args.begin() + 1, node.args.end());
    if (auto whole = aggregate(n, out)) return *whole;
    Nest nest = makeNest(out, node.indices);
    for (NodeId m : masks) collect(nest, m, {});
    collect(nest, node.args[0], masks);
    if (failedAny) return {};
    core::Type operandType = f.nodes[node.args[0]].type;
    bool floating = operandType == core::Type::F32;
    Type value = scalar().typeOf(operandType);
    auto kept = [&](Body &body) -> Value {
      if (masks.empty()) return {};
      SmallVector<Value> conditions;
      for (NodeId m : masks) conditions.push_back(evaluate(body, m));
      return attn::SupportOp::create(b, loc, b.getI1Type(), scalar().conjunction(conditions));
    };
    auto guarded = [&](Body &body, Value identity) {
      Value keep = kept(body), v = evaluate(body, node.args[0]);
      return keep ? scalar().select(keep, v, identity) : v;
    };
    auto constant = [&](double r, int64_t i) -> TypedAttr {
      if (operandType == core::Type::Bool) return b.getBoolAttr(i);
      return floating ? realAttr(r) : TypedAttr(b.getI32IntegerAttr(int32_t(i)));
    };
    constexpr double infinity = std::numeric_limits<double>::infinity();
    constexpr int64_t lowest = std::numeric_limits<int32_t>::min(), highest = std::numeric_limits<int32_t>::max();

    switch (node.op) {
      case Op::Sum: case Op::Prod: case Op::Any: case Op::All: {
        TypedAttr identity = node.op == Op::Sum || node.op == Op::Any ? constant(0, 0) : constant(1, 1);
        Value init = filled(out, value, identity);
        Value result = generic(nest, out.size(), {init}, [&](Body &body, ValueRange acc) -> SmallVector<Value> {
          Value x = guarded(body, masks.empty() ? Value() : Value(arith::ConstantOp::create(b, loc, identity)));
          switch (node.op) {
            case Op::Sum: return {scalar().apply(Op::Add, node.type, operandType, {acc[0], x})};
            case Op::Prod: return {scalar().apply(Op::Mul, node.type, operandType, {acc[0], x})};
            case Op::Any: return {arith::OrIOp::create(b, loc, acc[0], x)};
            default: return {arith::AndIOp::create(b, loc, acc[0], x)};
          }
        })[0];
        return {result, out};
      }
      case Op::Count: {
        Value init = filled(out, b.getI32Type(), b.getI32IntegerAttr(0));
        return {generic(nest, out.size(), {init}, [&](Body &body, ValueRange acc) -> SmallVector<Value> {
          Value x = guarded(body, masks.empty() ? Value() : scalar().boolConstant(false));
          return {arith::AddIOp::create(b, loc, acc[0], arith::ExtUIOp::create(b, loc, b.getI32Type(), x))};
        })[0], out};
      }
      case Op::MaxOf: case Op::MinOf: {
        bool isMax = node.op == Op::MaxOf;
        TypedAttr identity = isMax ? constant(-infinity, lowest) : constant(infinity, highest);
        Value init = filled(out, value, identity), none = filled(out, b.getI1Type(), b.getBoolAttr(false));
        auto results = generic(nest, out.size(), {init, none}, [&](Body &body, ValueRange acc) -> SmallVector<Value> {
          Value x = guarded(body, masks.empty() ? Value() : Value(arith::ConstantOp::create(b, loc, identity)));
          Value keep = masks.empty() ? scalar().boolConstant(true) : kept(body);
          return {scalar().apply(isMax ? Op::Max : Op::Min, node.type, operandType, {acc[0], x}), arith::OrIOp::create(b, loc, acc[1], keep)};
        });
        return {whereAny(results[1], results[0], out, constant(0, 0)), out};  // nothing left: 0 (rule E7)
      }
      case Op::ArgMax: case Op::ArgMin: {
        bool isMax = node.op == Op::ArgMax;
        if (node.indices.size() != 1) { unsupported(n) << "internal: argmax takes one index"; return {}; }
        Value best = filled(out, value, constant(isMax ? -infinity : infinity, isMax ? lowest : highest));
        Value where = filled(out, b.getI32Type(), b.getI32IntegerAttr(-1));
        auto results = generic(nest, out.size(), {best, where}, [&](Body &body, ValueRange acc) -> SmallVector<Value> {
          Value keep = kept(body), x = evaluate(body, node.args[0]);
          Value better = scalar().apply(isMax ? Op::Gt : Op::Lt, core::Type::Bool, operandType, {x, acc[0]});
          Value first = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, acc[1], scalar().integerConstant(0));
          Value take = arith::OrIOp::create(b, loc, better, first);
          if (keep) take = arith::AndIOp::create(b, loc, take, keep);
          Value here = arith::IndexCastOp::create(b, loc, b.getI32Type(), positionIndex(body, node.indices[0]));
          return {scalar().select(take, x, acc[0]), scalar().select(take, here, acc[1])};
        });
        return {results[1], out};
      }
      default: unsupported(n) << "internal: unknown reduction"; return {};
    }
  }

  // In a matrix product with a weight the other factor becomes a tensor, so that the product is nothing but a product.
  void shareFactor(const Node &product) {
    if (product.op != Op::Mul || product.type != core::Type::F32) return;
    for (int side : {0, 1}) {
      const Node &weight = f.nodes[product.args[side]];
      NodeId other = product.args[1 - side];
      if (weight.op != Op::Load || f.tensors[weight.ref].role != core::Tensor::Parameter) continue;
      const Node &factor = f.nodes[other];
      bool plain = factor.op == Op::Load && llvm::all_of(factor.args, [&](NodeId a) { return f.nodes[a].op == Op::Position; });
      if (plain || factor.free.empty() || factor.op == Op::State || isReduction(factor.op) || factor.op == Op::LoopResult) return;
      shared[other] = true;
      return;
    }
  }

  // select(any, value, otherwise), elementwise.
  Value whereAny(Value any, Value value, ArrayRef<IndexId> axes, TypedAttr otherwise) {
    AffineMap all = b.getMultiDimIdentityMap(axes.size());
    SmallVector<utils::IteratorType> iterators(axes.size(), utils::IteratorType::parallel);
    Value init = empty(axes, cast<RankedTensorType>(value.getType()).getElementType());
    return linalg::GenericOp::create(b, loc, TypeRange{init.getType()}, ValueRange{any, value}, ValueRange{init}, ArrayRef<AffineMap>{all, all, all}, iterators,
                                     [&](OpBuilder &builder, Location l, ValueRange a) {
      Value other = arith::ConstantOp::create(builder, l, otherwise);
      linalg::YieldOp::create(builder, l, ValueRange{arith::SelectOp::create(builder, l, a[0], a[1], other)});
    }).getResult(0);
  }

  // ---------------------------------------------------------------- score, normalise, aggregate

  // attn.score for the scores of a recognised normaliser. Axes: the others ascending, then those normalised over.
  Materialised score(const Softmax &s, Scope *scope) {
    if (auto it = scope->scores.find(s.key); it != scope->scores.end()) return it->second;
    Materialised m = inScope(scope, [&]() -> Materialised {
      std::set<IndexId> free(f.nodes[s.score].free.begin(), f.nodes[s.score].free.end());
      for (NodeId mask : s.masks) free.insert(f.nodes[mask].free.begin(), f.nodes[mask].free.end());
      free.insert(s.indices.begin(), s.indices.end());
      Axes axes = freeAxes(std::vector<IndexId>(free.begin(), free.end()), current);
      llvm::erase_if(axes, [&](IndexId i) { return llvm::is_contained(s.indices, i); });
      axes.append(s.indices.begin(), s.indices.end());
      Nest nest = makeNest(axes, {});
      nest.whole = true;
      for (NodeId mask : s.masks) collect(nest, mask, {});
      collect(nest, s.score, s.masks);
      if (failedAny) return {};
      Value init = empty(axes, real);
      layOut(nest, axes.size());
      SmallVector<Attribute> maps;
      for (AffineMap map : nest.maps) maps.push_back(AffineMapAttr::get(map));
      maps.push_back(AffineMapAttr::get(b.getMultiDimIdentityMap(axes.size())));
      auto op = attn::ScoreOp::create(b, loc, init.getType(), nest.operands, init, b.getArrayAttr(maps));
      OpBuilder::InsertionGuard guard(b);
      Block *block = b.createBlock(&op.getBody());
      for (Value operand : nest.operands) block->addArgument(cast<RankedTensorType>(operand.getType()).getElementType(), loc);
      Body body{nest};
      body.attn = true;
      bindOperands(body, block->getArguments());
      SmallVector<Value> conditions;
      for (NodeId mask : s.masks) conditions.push_back(evaluate(body, mask));
      Value value = evaluate(body, s.score), keep = scalar().conjunction(conditions);
      attn::YieldOp::create(b, loc, value, keep);
      return {op.getResult(), axes};
    });
    m.scope = scope;
    if (!failedAny) scope->scores[s.key] = m;
    return m;
  }

  SmallVector<int64_t> along(const Materialised &scores, const Softmax &s) {
    SmallVector<int64_t> dimensions;
    for (auto [k, axis] : llvm::enumerate(scores.axes))
      if (llvm::is_contained(s.indices, axis)) dimensions.push_back(k);
    return dimensions;
  }

  // The weights of a recognised softmax: 0 at removed points.
  Materialised softmaxWeights(NodeId n, const Softmax &s) {
    Scope *scope = home(n);
    if (auto it = scope->weights.find(n); it != scope->weights.end()) return it->second;
    Materialised m = inScope(scope, [&]() -> Materialised {
      Materialised scores = score(s, scope);
      if (failedAny) return {};
      auto kind = attn::NormaliserAttr::get(b.getContext(), s.one ? attn::Normaliser::Softmax1 : attn::Normaliser::Softmax);
      Value init = empty(scores.axes, real);
      return {attn::NormaliseOp::create(b, loc, init.getType(), scores.tensor, init, kind, b.getDenseI64ArrayAttr(along(scores, s))).getResult(), scores.axes};
    });
    m.scope = scope;
    if (!failedAny) scope->weights[n] = m;
    return m;
  }

  // The logarithm of the sum of exponentials, over the axes without those normalised over.
  Materialised logSumExp(NodeId n, const Softmax &s) {
    Scope *scope = home(n);
    if (auto it = scope->weights.find(n); it != scope->weights.end()) return it->second;
    Materialised m = inScope(scope, [&]() -> Materialised {
      Materialised scores = score(s, scope);
      if (failedAny) return {};
      Axes axes;
      for (IndexId axis : scores.axes)
        if (!llvm::is_contained(s.indices, axis)) axes.push_back(axis);
      auto kind = attn::NormaliserAttr::get(b.getContext(), attn::Normaliser::LogSumExp);
      Value init = empty(axes, real);
      return {attn::NormaliseOp::create(b, loc, init.getType(), scores.tensor, init, kind, b.getDenseI64ArrayAttr(along(scores, s))).getResult(), axes};
    });
    m.scope = scope;
    if (!failedAny) scope->weights[n] = m;
    return m;
  }

  // Sum over a softmax's own indices of weights times one value, a tensor read through affine maps: attn.aggregate.
  struct Aggregate {
    NodeId weight, value;
    Softmax softmax;
    SmallVector<AffineExpr> valueMap;
  };

  std::optional<Aggregate> recogniseAggregate(NodeId n, const Axes &out) {
    const Node &node = f.nodes[n];
    if (node.op != Op::Sum || node.type != core::Type::F32 || options.unfused.count(n)) return {};
    const Node &product = f.nodes[node.args[0]];
    if (product.op != Op::Mul) return {};
    MaskSet masks(node.args.begin() + 1, node.args.end());
    for (int side : {0, 1}) {
      Aggregate found{product.args[side], product.args[1 - side], {}, {}};
      auto s = softmaxOf(found.weight);
      if (!s || s->masks != masks) continue;
      if (std::set<IndexId>(s->indices.begin(), s->indices.end()) != std::set<IndexId>(node.indices.begin(), node.indices.end())) continue;
      found.softmax = *s;
      const Node &v = f.nodes[found.value];
      if (v.op != Op::Load || v.type != core::Type::F32) continue;
      const core::Tensor &t = f.tensors[v.ref];
      if (t.role == core::Tensor::Appended || t.role == core::Tensor::Encoded || t.type > core::Type::BF16) continue;
      SmallVector<IndexId> dims(out);
      dims.append(node.indices.begin(), node.indices.end());
      for (auto [axis, sub] : llvm::zip(t.axes, v.args)) {
        AffineExpr e = affine(sub, axis, dims);
        if (!e) break;
        found.valueMap.push_back(e);
      }
      if (found.valueMap.size() == t.axes.size()) return found;
    }
    return {};
  }

  std::optional<Materialised> aggregate(NodeId n, const Axes &out) {
    auto found = recogniseAggregate(n, out);
    if (!found) return {};
    SmallVector<IndexId> dims(out);
    dims.append(f.nodes[n].indices.begin(), f.nodes[n].indices.end());
    Materialised weights = softmaxWeights(found->weight, found->softmax);
    if (failedAny) return Materialised{};
    // Every axis of the weights must be a dimension here, and every dimension must be the extent of some operand's axis.
    SmallVector<AffineExpr> weightMap, outMap;
    for (IndexId axis : weights.axes) {
      auto it = llvm::find(dims, axis);
      if (it == dims.end()) return {};
      weightMap.push_back(b.getAffineDimExpr(it - dims.begin()));
    }
    for (size_t d = 0; d < out.size(); d++) outMap.push_back(b.getAffineDimExpr(d));
    auto map = [&](ArrayRef<AffineExpr> e) { return AffineMapAttr::get(AffineMap::get(dims.size(), 0, e, b.getContext())); };
    Value init = empty(out, real);
    auto op = attn::AggregateOp::create(b, loc, init.getType(), weights.tensor, tensors[f.nodes[found->value].ref], init,
                                        b.getArrayAttr({map(weightMap), map(found->valueMap), map(outMap)}));
    op->setAttr("attn.node", b.getI64IntegerAttr(n));
    return Materialised{op.getResult(), out};
  }

  // A subscript as an affine expression of the nest's dimensions, surely inside `axis`; null if it is not.
  AffineExpr affine(NodeId sub, IndexId axis, ArrayRef<IndexId> dims) {
    const Node &s = f.nodes[sub];
    auto dim = [&](IndexId i) -> AffineExpr {
      auto it = llvm::find(dims, i);
      return it == dims.end() ? AffineExpr() : b.getAffineDimExpr(it - dims.begin());
    };
    if (s.op == Op::Position) return sameExtent(s.ref, axis) ? dim(s.ref) : AffineExpr();
    if (s.op == Op::Div && f.nodes[s.args[0]].op == Op::Position && window(f.nodes[s.args[0]].ref, current)) return {};
    if (s.op == Op::Div && f.nodes[s.args[0]].op == Op::Position && f.nodes[s.args[1]].op == Op::ConstI32) {
      int64_t by = f.nodes[s.args[1]].integer;
      IndexId i = f.nodes[s.args[0]].ref;
      if (by <= 0 || !(isMultiple(f, i, axis, by) || provenInside(sub, axis))) return {};
      AffineExpr e = dim(i);
      return e ? e.floorDiv(by) : AffineExpr();
    }
    return {};
  }

  // ---------------------------------------------------------------- loops

  void emitLoop(NodeId loopNode) {
    if (current->loopResults.count({loopNode, 0})) return;
    const core::Loop &loop = f.loops[f.nodes[loopNode].ref];
    bool scan = loop.kind == core::Loop::Scan;
    SmallVector<Value> inits;
    SmallVector<Axes> axes;
    for (const auto &item : loop.items) {
      Axes a(item.axes.begin(), item.axes.end());
      a = freeAxes(a, current);
      inits.push_back(elementwise(item.init, a, empty(a, scalar().typeOf(item.type)), {}));
      axes.push_back(a);
    }
    size_t states = inits.size();
    if (scan)
      for (size_t k = 0; k < states; k++) {
        Axes whole{loop.index};
        whole.append(axes[k]);
        inits.push_back(empty(whole, scalar().typeOf(loop.items[k].type)));
      }
    if (failedAny) return;
    Value count;
    if (loop.kind == core::Loop::Iterate) {
      Nest nest = makeNest({}, {});
      collect(nest, loop.count, {});
      if (failedAny) return;
      Value number = elementwise(loop.count, {}, empty({}, b.getI32Type()), {});
      count = arith::IndexCastOp::create(b, loc, b.getIndexType(), tensor::ExtractOp::create(b, loc, number, ValueRange{}));
    } else {
      count = extent(loop.index);
    }
    auto op = scf::ForOp::create(b, loc, indexConstant(0), count, indexConstant(1), inits);
    {
      OpBuilder::InsertionGuard guard(b);
      Operation *before = current->nested;
      current->nested = op;
      Block *block = op.getBody();
      if (!block->empty() && block->back().hasTrait<OpTrait::IsTerminator>()) block->back().erase();
      b.setInsertionPointToEnd(block);
      Scope scope;
      scope.parent = current;
      scope.tag = loop.tag;
      Value step = op.getInductionVar();
      if (loop.reverse) step = arith::SubIOp::create(b, loc, arith::SubIOp::create(b, loc, count, indexConstant(1)), step);
      if (loop.kind != core::Loop::Iterate) {
        scope.index = loop.index;
        scope.position = step;
      }
      for (size_t k = 0; k < states; k++) scope.states.push_back({op.getRegionIterArg(k), axes[k], &scope});
      current = &scope;
      SmallVector<Value> yields;
      for (size_t k = 0; k < states; k++) {
        // A state that becomes another one's old value is kept aside before that one changes.
        if (const Node &next = f.nodes[loop.items[k].next]; next.op == Op::State && next.ref == loop.tag && scope.states[next.integer].axes == axes[k]) {
          Value old = scope.states[next.integer].tensor;
          yields.push_back(bufferization::AllocTensorOp::create(b, loc, cast<RankedTensorType>(old.getType()), ValueRange{}, old));
          continue;
        }
        yields.push_back(elementwise(loop.items[k].next, axes[k], empty(axes[k], scalar().typeOf(loop.items[k].type)), {}));
      }
      // The state's new value takes the place of the old one in the same memory, once every new value is known.
      if (!failedAny)
        for (size_t k = 0; k < states; k++)
          yields[k] = linalg::CopyOp::create(b, loc, yields[k], op.getRegionIterArg(k)).getResult(0);
      if (scan && !failedAny)
        for (size_t k = 0; k < states; k++) {
          SmallVector<OpFoldResult> offsets{step}, sizes{b.getIndexAttr(1)}, strides{b.getIndexAttr(1)};
          for (IndexId a : axes[k]) {
            offsets.push_back(b.getIndexAttr(0));
            sizes.push_back(mixedExtent(a));
            strides.push_back(b.getIndexAttr(1));
          }
          yields.push_back(tensor::InsertSliceOp::create(b, loc, yields[k], op.getRegionIterArg(states + k), offsets, sizes, strides));
        }
      scf::YieldOp::create(b, loc, yields);
      current = scope.parent;
      current->nested = before;
    }
    for (size_t k = 0; k < states; k++) {
      if (!scan) {
        current->loopResults[{loopNode, int64_t(k)}] = {op.getResult(k), axes[k], current};
        continue;
      }
      Axes whole{loop.index};
      whole.append(axes[k]);
      current->loopResults[{loopNode, int64_t(k)}] = {op.getResult(states + k), whole, current};
    }
  }

  // ---------------------------------------------------------------- caches and results

  core::TensorId rootCache(core::TensorId id) {
    while (f.tensors[id].role == core::Tensor::Appended) id = f.tensors[id].base;
    return id;
  }

  // The cache after `append`: the new entry is the last along the growing axis.
  Value appendedTensor(core::TensorId id) {
    if (auto it = top.appended.find(id); it != top.appended.end()) return it->second;
    const core::Tensor &t = f.tensors[id];
    Value result = inScope(&top, [&]() -> Value {
      const core::Tensor &from = f.tensors[t.base];
      Value base = from.role == core::Tensor::Appended ? appendedTensor(t.base) : tensors[t.base];
      Axes axes;
      for (IndexId a : t.axes)
        if (a != t.growing) axes.push_back(a);
      Type element = cast<RankedTensorType>(base.getType()).getElementType();
      Value entry = elementwise(t.value, axes, empty(axes, element), t.type);
      if (failedAny) return {};
      SmallVector<OpFoldResult> offsets, sizes, strides(t.axes.size(), b.getIndexAttr(1));
      for (IndexId a : t.axes) {
        bool grows = a == t.growing;
        offsets.push_back(grows ? OpFoldResult(arith::SubIOp::create(b, loc, extent(a), indexConstant(1)).getResult()) : OpFoldResult(b.getIndexAttr(0)));
        sizes.push_back(grows ? OpFoldResult(b.getIndexAttr(1)) : mixedExtent(a));
      }
      return tensor::InsertSliceOp::create(b, loc, entry, base, offsets, sizes, strides);
    });
    return top.appended[id] = result;
  }

  void store(Value tensor, Value memref) {
    bufferization::MaterializeInDestinationOp::create(b, loc, TypeRange{}, tensor, memref, /*restrict=*/true, /*writable=*/true);
  }

  void emitResults() {
    std::vector<std::optional<RowPlan>> plans;
    for (const core::Result &r : f.results) plans.push_back(planRows(r.node, Axes(r.axes.begin(), r.axes.end())));
    std::vector<bool> done(f.results.size(), false);
    for (size_t k = 0; k < f.results.size() && !failedAny; k++) {
      if (done[k]) continue;
      loc = at(f.results[k].place);
      if (!plans[k]) {
        Value init = destinationTensor(k);
        store(elementwise(f.results[k].node, Axes(f.results[k].axes.begin(), f.results[k].axes.end()), init, f.results[k].type), destination(k));
        continue;
      }
      // Results with the same rows share one loop.
      RowPlan plan = *plans[k];
      SmallVector<size_t> together;
      for (size_t other = k; other < f.results.size(); other++)
        if (!done[other] && plans[other] && plans[other]->rows == plan.rows) {
          together.push_back(other);
          done[other] = true;
          plan.inside.insert(plans[other]->inside.begin(), plans[other]->inside.end());
        }
      SmallVector<Value> inits;
      SmallVector<Axes> axes;
      for (size_t r : together) {
        inits.push_back(destinationTensor(r));
        axes.push_back(Axes(f.results[r].axes.begin(), f.results[r].axes.end()));
      }
      SmallVector<Value> results = emitRows(plan, inits, axes, [&](size_t number, ArrayRef<IndexId> rest, Value init) {
        const core::Result &r = f.results[together[number]];
        return elementwise(r.node, rest, init, r.type);
      });
      if (failedAny) return;
      for (auto [r, value] : llvm::zip(together, results)) store(value, destination(r));
    }
  }

  Value destination(size_t result) { return entry->getArgument(firstResult + result); }

  Value destinationTensor(size_t result) {
    auto type = cast<MemRefType>(destination(result).getType());
    return bufferization::ToTensorOp::create(b, loc, RankedTensorType::get(type.getShape(), type.getElementType()), destination(result), true, true);
  }

  // ---------------------------------------------------------------- rows
  //
  // The universal form of what is not fused: for one position of the `rows` (query, head, batch) all that belongs to it is computed in
  // turn, over the window of keys that its masks leave, and only then the next row. Nothing holds a value for each query and key.

  struct RowPlan {
    Axes rows;                 // of the root's axes, in their order
    std::set<NodeId> inside;   // what is computed for one row
  };

  // Whether an index may count many positions.
  bool isLong(IndexId index) { return !f.indices[index].fixed || *f.indices[index].fixed > 1024; }

  // How a value with axes `out` is computed by rows; nothing if it need not be.
  std::optional<RowPlan> planRows(NodeId root, const Axes &out) {
    if (!options.rows) return {};
    for (std::set<NodeId> cut;;) {
      RowSearch search{*this, root, out, cut, {}, {}, {}, {}};
      search.visit(root);
      search.findSequences();
      size_t before = cut.size();
      std::optional<RowPlan> plan = search.plan(cut);
      if (cut.size() == before) return plan;
    }
  }

  // The search for what is computed for one row. `cut`: values that are computed before, each on its own.
  struct RowSearch {
    Emitter &e;
    NodeId root;
    const Axes &out;
    const std::set<NodeId> &cut;
    std::vector<NodeId> order;   // what the root reads that is not there yet, arguments first
    std::vector<Axes> carried;   // the sets of long indices that tensors have anyway
    std::set<NodeId> seen;
    std::set<IndexId> sequences; // indices that look like keys and not like features

    static bool has(ArrayRef<IndexId> axes, IndexId i) { return llvm::is_contained(axes, i); }
    static bool covers(ArrayRef<IndexId> axes, ArrayRef<IndexId> all) { return llvm::all_of(all, [&](IndexId i) { return has(axes, i); }); }
    const Node &node(NodeId n) { return e.f.nodes[n]; }

    Axes longOf(NodeId n) {
      Axes axes;
      for (IndexId i : node(n).free)
        if (e.isLong(i) && !e.fixedPosition(i, e.current)) axes.push_back(i);
      return axes;
    }

    template <typename F>
    void arguments(NodeId n, F each) {
      for (NodeId a : node(n).args) each(a);
      if (node(n).op == Op::Loop)
        for (const auto &item : e.f.loops[node(n).ref].items) each(item.init), each(item.next);
    }

    void visit(NodeId n) {
      if (!seen.insert(n).second) return;
      bool there = cut.count(n) && n != root;
      for (Scope *s = e.current; s; s = s->parent) there |= s->memo.count(n) || s->weights.count(n);
      if (there || node(n).op == Op::Load) carried.push_back(longOf(n));
      if (there || e.recogniseAggregate(n, e.freeAxes(node(n).free, e.current))) return;  // fused, it holds nothing
      arguments(n, [&](NodeId a) { visit(a); });
      order.push_back(n);
    }

    // Keys are masked, compared, or summed with values that the result has another axis of.
    void findSequences() {
      for (NodeId n : order) {
        const Node &reduction = node(n);
        if (!isReduction(reduction.op)) continue;
        for (NodeId mask : ArrayRef(reduction.args).drop_front()) sequences.insert(node(mask).free.begin(), node(mask).free.end());
        bool compares = reduction.op == Op::MaxOf || reduction.op == Op::MinOf || reduction.op == Op::ArgMax || reduction.op == Op::ArgMin;
        for (IndexId i : reduction.indices) {
          if (compares) sequences.insert(i);
          const Node &product = node(reduction.args[0]);
          if (reduction.op != Op::Sum || product.op != Op::Mul) continue;
          for (int side : {0, 1}) {
            const Node &value = node(product.args[side]), &weight = node(product.args[1 - side]);
            if (value.op == Op::Load && has(value.free, i) && llvm::any_of(value.free, [&](IndexId e) { return has(out, e) && !has(weight.free, e); })) sequences.insert(i);
          }
        }
      }
    }

    bool isCarried(NodeId n) {
      Axes axes = longOf(n);
      return llvm::any_of(carried, [&](const Axes &tensor) { return covers(tensor, axes); });
    }

    // A temporary with a value for each pair of a long index of the result and another one.
    bool isBig(NodeId n) {
      Op op = node(n).op;
      bool temporary = isReduction(op) || op == Op::LoopResult || e.shared[n] || (op == Op::Div && recogniseSoftmax(e.f, n)) || (op == Op::Add && recogniseLogSumExp(e.f, n));
      Axes axes = longOf(n);
      return temporary && llvm::any_of(axes, [&](IndexId i) { return has(out, i); }) && llvm::any_of(axes, [&](IndexId i) { return !has(out, i) && sequences.count(i); }) && !isCarried(n);
    }

    // Whether each step of a loop needs of its states only what belongs to the same row.
    bool isLocal(const core::Loop &loop, ArrayRef<IndexId> rows) {
      if (loop.index != core::none && has(rows, loop.index)) return false;
      for (const auto &item : loop.items)
        if (!covers(Axes(item.axes.begin(), item.axes.end()), rows)) return false;
      for (NodeId n : order)
        if (e.loopsOf[n].count(loop.tag) && !covers(Axes(node(n).free.begin(), node(n).free.end()), rows)) return false;
      return true;
    }

    // Fills `cut` with what should rather be computed before; then the search starts again.
    std::optional<RowPlan> plan(std::set<NodeId> &cut) {
      std::vector<std::pair<NodeId, Axes>> big;  // and the axes of `out` that it has
      for (NodeId n : order)
        if (isBig(n)) {
          Axes rows;
          for (IndexId i : out)
            if (has(node(n).free, i)) rows.push_back(i);
          big.push_back({n, rows});
        }
      llvm::stable_sort(big, [](const auto &a, const auto &c) { return a.second.size() > c.second.size(); });
      for (const auto &[candidate, rows] : big) {
        RowPlan plan{rows, {}};
        std::set<NodeId> bigHere, escaped;
        for (const auto &[n, axes] : big)
          if (covers(axes, rows)) bigHere.insert(n);
        for (NodeId n : order) {  // arguments come first
          bool depends = bigHere.count(n);
          arguments(n, [&](NodeId a) { depends |= plan.inside.count(a); });
          if (!depends) continue;
          if (node(n).op == Op::Loop && !isLocal(e.f.loops[node(n).ref], rows)) {
            for (NodeId r : order)
              if (node(r).op == Op::LoopResult && node(r).args[0] == n && r != root) cut.insert(r);
            return {};
          }
          (covers(Axes(node(n).free.begin(), node(n).free.end()), rows) ? plan.inside : escaped).insert(n);
        }
        if (!plan.inside.count(root)) continue;
        // Values no larger than what is there anyway, through which alone the root reads big ones: each of them is a root of its own.
        auto isSmall = [&](NodeId n) { return n != root && isReduction(node(n).op) && !bigHere.count(n) && isCarried(n); };
        std::set<NodeId> reached, small;
        std::function<void(NodeId)> reach = [&](NodeId n) {
          if (!plan.inside.count(n) || !reached.insert(n).second) return;
          if (isSmall(n)) small.insert(n);
          else arguments(n, reach);
        };
        reach(root);
        if (llvm::none_of(reached, [&](NodeId n) { return bigHere.count(n); })) {
          cut.insert(small.begin(), small.end());
          return {};
        }
        // What is not computed for one row but reads what is would compute that again. It need not where a value between them is
        // no larger than what is there anyway.
        std::set<NodeId> below;
        std::function<void(NodeId)> descend = [&](NodeId n) {
          if (plan.inside.count(n) && below.insert(n).second) arguments(n, descend);
        };
        for (NodeId n : escaped) arguments(n, descend);
        size_t before = cut.size();
        for (NodeId n : below)
          if (isSmall(n)) cut.insert(n);
        if (cut.size() != before) return {};
        return plan;
      }
      return {};
    }
  };

  Materialised materialiseRows(NodeId n, const RowPlan &plan) {
    Axes axes = freeAxes(f.nodes[n].free, current);
    SmallVector<Value> results = emitRows(plan, {empty(axes, scalar().typeOf(f.nodes[n].type))}, {axes}, [&](size_t, ArrayRef<IndexId>, Value) { return materialise(n).tensor; });
    return {failedAny ? Value() : results[0], axes};
  }

  // The loop over rows. `compute` gives the part of a result that belongs to one row, over the axes that are left; `init` is its place.
  SmallVector<Value> emitRows(const RowPlan &plan, ArrayRef<Value> inits, ArrayRef<Axes> axes,
                              llvm::function_ref<Value(size_t number, ArrayRef<IndexId> rest, Value init)> compute) {
    Value count = indexConstant(1);
    SmallVector<Value> extents;
    for (IndexId i : plan.rows) {
      extents.push_back(getValueOrCreateConstantIndexOp(b, loc, mixedExtent(i)));
      count = arith::MulIOp::create(b, loc, count, extents.back());
    }
    auto loop = scf::ForallOp::create(b, loc, ArrayRef<OpFoldResult>{OpFoldResult(count)}, inits, std::nullopt);
    {
      OpBuilder::InsertionGuard guard(b);
      Operation *before = current->nested;
      current->nested = loop;
      b.setInsertionPoint(loop.getTerminator());
      Scope scope;
      scope.parent = current;
      scope.inside = plan.inside;
      Value rest = loop.getInductionVars()[0];
      for (size_t k = plan.rows.size(); k-- > 0;) {
        Value position = k ? Value(arith::RemUIOp::create(b, loc, rest, extents[k])) : rest;
        if (const Window *w = window(plan.rows[k], current)) position = arith::AddIOp::create(b, loc, position, w->low);
        if (k) rest = arith::DivUIOp::create(b, loc, rest, extents[k]);
        scope.row[plan.rows[k]] = position;
      }
      current = &scope;
      std::vector<std::pair<IndexId, Window>> windows;
      for (const auto &[index, masks] : windowMasks(plan, axes)) windows.push_back({index, emitWindow(index, masks)});
      for (const auto &[index, w] : windows) scope.windows[index] = w;
      for (size_t k = 0; k < inits.size() && !failedAny; k++) {
        SmallVector<OpFoldResult> offsets, sizes, strides(axes[k].size(), b.getIndexAttr(1));
        SmallVector<int64_t> shape;
        Axes left;
        auto type = cast<RankedTensorType>(inits[k].getType());
        for (auto [axis, i] : llvm::enumerate(axes[k])) {
          if (Value position = scope.row.lookup(i)) {
            offsets.push_back(position);
            sizes.push_back(b.getIndexAttr(1));
            continue;
          }
          left.push_back(i);
          offsets.push_back(b.getIndexAttr(0));
          sizes.push_back(tensor::getMixedSize(b, loc, loop.getRegionIterArgs()[k], axis));
          shape.push_back(type.getDimSize(axis));
        }
        auto part = RankedTensorType::get(shape, type.getElementType());
        Value place = tensor::ExtractSliceOp::create(b, loc, part, loop.getRegionIterArgs()[k], offsets, sizes, strides);
        Value value = compute(k, left, place);
        if (failedAny) break;
        OpBuilder::InsertionGuard inner(b);
        b.setInsertionPointToEnd(loop.getTerminator().getBody());
        tensor::ParallelInsertSliceOp::create(b, loc, value, loop.getRegionIterArgs()[k], offsets, sizes, strides);
      }
      current = scope.parent;
      current->nested = before;
    }
    return SmallVector<Value>(loop.getResults());
  }

  // For each index that is reduced for one row: the masks that all its reductions have, if they depend on the row and the index alone.
  std::map<IndexId, MaskSet> windowMasks(const RowPlan &plan, ArrayRef<Axes> results) {
    std::map<IndexId, MaskSet> masks;
    std::set<IndexId> whole;  // an axis of a result, read at computed positions, or run over by a loop
    for (const Axes &axes : results) whole.insert(axes.begin(), axes.end());
    for (NodeId n : plan.inside) {
      const Node &node = f.nodes[n];
      if (node.op == Op::Read && plan.inside.count(node.args[0])) whole.insert(node.indices.begin(), node.indices.end());
      if (node.op == Op::Loop && f.loops[node.ref].index != core::none) whole.insert(f.loops[node.ref].index);
      if (!isReduction(node.op)) continue;
      MaskSet own(node.args.begin() + 1, node.args.end());
      for (IndexId i : node.indices) {
        auto [it, first] = masks.insert({i, own});
        if (!first) std::erase_if(it->second, [&](NodeId m) { return !own.count(m); });
      }
    }
    for (auto it = masks.begin(); it != masks.end();) {
      IndexId index = it->first;
      std::erase_if(it->second, [&](NodeId m) {
        bool known = llvm::all_of(f.nodes[m].free, [&](IndexId i) { return i == index || fixedPosition(i, current); });
        bool early = llvm::all_of(loopsOf[m], [&](uint32_t tag) {
          for (Scope *s = current; s; s = s->parent)
            if (s->tag == tag) return true;
          return false;
        });
        return plan.inside.count(m) || !known || !early || !llvm::is_contained(f.nodes[m].free, index);
      });
      it = it->second.empty() || whole.count(index) ? masks.erase(it) : std::next(it);
    }
    return masks;
  }

  // The first and the last position that the masks leave.
  Window emitWindow(IndexId index, const MaskSet &masks) {
    Nest nest = makeNest({}, {index});
    for (NodeId m : masks) collect(nest, m, {});
    if (failedAny) return {};
    constexpr int32_t none = std::numeric_limits<int32_t>::max();
    Value first = filled({}, b.getI32Type(), b.getI32IntegerAttr(none)), end = filled({}, b.getI32Type(), b.getI32IntegerAttr(0));
    auto found = generic(nest, 0, {first, end}, [&](Body &body, ValueRange acc) -> SmallVector<Value> {
      SmallVector<Value> conditions;
      for (NodeId m : masks) conditions.push_back(evaluate(body, m));
      Value keep = attn::SupportOp::create(b, loc, b.getI1Type(), scalar().conjunction(conditions));
      Value here = arith::IndexCastOp::create(b, loc, b.getI32Type(), positionIndex(body, index));
      Value next = arith::AddIOp::create(b, loc, here, scalar().integerConstant(1));
      return {arith::MinSIOp::create(b, loc, acc[0], scalar().select(keep, here, scalar().integerConstant(none))),
              arith::MaxSIOp::create(b, loc, acc[1], scalar().select(keep, next, scalar().integerConstant(0)))};
    });
    auto asIndex = [&](Value v) -> Value { return arith::IndexCastOp::create(b, loc, b.getIndexType(), tensor::ExtractOp::create(b, loc, v, ValueRange{}).getResult()); };
    Value high = asIndex(found[1]), low = arith::MinSIOp::create(b, loc, asIndex(found[0]), high);
    return {low, arith::SubIOp::create(b, loc, high, low)};
  }

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
  Scope top;
  Scope *current = &top;
};

}  // namespace

func::FuncOp emit(const core::Function &function, ModuleOp module, const std::string &name, const std::vector<std::string> &files,
                  const EmitOptions &options) {
  return Emitter(function, module, files, options).run(name);
}

}  // namespace fovea
