// The entry: the function's signature, what must be known of all nodes before the first is emitted, scopes and extents, and what the
// function leaves behind: caches with their new entry, and results.
#include "frontend/Walk.h"
#include "frontend/emit/Emitter.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include <functional>

namespace fovea::emitter {

static bool isExpensive(Op op) {
  switch (op) {
    case Op::Exp: case Op::Log: case Op::Exp2: case Op::Tanh: case Op::Sigmoid: case Op::Gelu: case Op::Silu: case Op::Softplus:
    case Op::Erf: case Op::Pow: case Op::Sin: case Op::Cos: case Op::Rsqrt: case Op::Div: return true;
    default: return false;
  }
}

Emitter::Emitter(const core::Function &f, ModuleOp module, const std::vector<std::string> &files, const EmitOptions &options)
    : f(f), module(module), files(files), options(options), b(module.getContext()),
      real(options.f64 ? Type(b.getF64Type()) : Type(b.getF32Type())), loc(b.getUnknownLoc()) {}

func::FuncOp Emitter::run(const std::string &name) {
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
  for (auto [k, p] : llvm::enumerate(f.parameters)) {
    if (p.scalar) continue;
    const core::Tensor &t = f.tensors[p.id];
    if (t.role == core::Tensor::Parameter) function.setArgAttr(k, "attn.parameter", b.getStringAttr(t.name));
    if (t.copyOf != core::none) {  // which weight, and the numbers that this one's axes have there
      const core::Tensor &original = f.tensors[t.copyOf];
      SmallVector<int64_t> axes = llvm::map_to_vector(t.axes, [&](core::IndexId axis) { return int64_t(llvm::find(original.axes, axis) - original.axes.begin()); });
      function.setArgAttr(k, "attn.copy", b.getDictionaryAttr({b.getNamedAttr("axes", b.getDenseI64ArrayAttr(axes)), b.getNamedAttr("of", b.getStringAttr(original.name))}));
    }
    // Of floats, a NaN would pass the check on entry.
    if (t.sorted && (t.type == core::Type::I32 || t.type == core::Type::I8 || t.type == core::Type::U8)) function.setArgAttr(k, "attn.sorted", b.getUnitAttr());
  }
  entry = function.addEntryBlock();
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

// ---------------------------------------------------------------- types and places

Location Emitter::at(const core::Place &place) {
  std::string file = place.file < files.size() ? files[place.file] : "-";
  return FileLineColLoc::get(b.getContext(), file, place.line, place.column);
}

// A fixed extent of 0 is not static: MLIR's slices refuse to begin there.
static bool isStatic(const core::Index &index) { return index.fixed && *index.fixed > 0; }

int64_t Emitter::staticExtent(IndexId index) { return isStatic(f.indices[index]) ? *f.indices[index].fixed : ShapedType::kDynamic; }

SmallVector<int64_t> Emitter::shapeOf(ArrayRef<IndexId> axes) { return llvm::map_to_vector(axes, [&](IndexId i) { return staticExtent(i); }); }

MemRefType Emitter::stridedType(ArrayRef<int64_t> shape, Type element, bool compact) {
  if (compact || shape.empty()) return MemRefType::get(shape, element);
  SmallVector<int64_t> strides(shape.size(), ShapedType::kDynamic);
  strides.back() = 1;
  return MemRefType::get(shape, element, StridedLayoutAttr::get(b.getContext(), ShapedType::kDynamic, strides));
}

MemRefType Emitter::memrefType(const core::Tensor &t) {
  SmallVector<int64_t> shape;
  for (IndexId axis : t.axes) shape.push_back(t.role == core::Tensor::Encoded && axis == t.batch ? ShapedType::kDynamic : staticExtent(axis));
  return stridedType(shape, ScalarEmitter::storageType(b, t.type), options.contiguous && t.role != core::Tensor::Cache);
}

MemRefType Emitter::resultType(const core::Result &r) {
  Type element = ScalarEmitter::storageType(b, r.type);
  if (options.f64 && isa<FloatType>(element)) element = real;
  return stridedType(shapeOf(r.axes), element, options.contiguous);
}

ScalarEmitter Emitter::scalar() { return {b, loc, real}; }

InFlightDiagnostic Emitter::unsupported(NodeId node) {
  failedAny = true;
  return mlir::emitError(at(f.nodes[node].place));
}

// ---------------------------------------------------------------- analysis before emission

void Emitter::analyse() {
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
  for (const Node &node : f.nodes) compares |= node.op == Op::MaxOf || node.op == Op::ArgMax || (isReduction(node.op) && node.args.size() > 1);
  if (options.rows) findContexts();
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
    if (node.op == Op::Sum && node.args.size() == 1) shareFactors(node);
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

void Emitter::findContexts() {
  // What holds where a loop's result is used holds for its steps, if the steps read the state nowhere else: assumed, then looked at.
  for (std::set<NodeId> refused;;) {
    size_t before = refused.size();
    findContexts(refused);
    for (NodeId n = 0; n < f.nodes.size(); n++)
      if (f.nodes[n].op == Op::Loop)
        for (NodeId state = 0; state < n; state++)
          if (f.nodes[state].op == Op::State && f.nodes[state].ref == f.loops[f.nodes[n].ref].tag && !within(holds[n], holds[state])) refused.insert(n);
    if (refused.size() == before) return;
  }
}

void Emitter::findContexts(const std::set<NodeId> &refused) {
  // Users come after their arguments: from the end, the context of all users is known. `used`: by a node that is itself used.
  std::vector<bool> used(f.nodes.size(), false);
  holds.assign(f.nodes.size(), {});
  auto use = [&](NodeId n, const MaskSet &context) {
    if (!used[n]) {
      used[n] = true, holds[n] = context;
    } else {
      std::erase_if(holds[n], [&](NodeId m) { return !context.count(m); });
    }
  };
  auto lacking = [&](MaskSet context, ArrayRef<IndexId> indices) {
    std::erase_if(context, [&](NodeId m) { return llvm::any_of(f.nodes[m].free, [&](IndexId i) { return llvm::is_contained(indices, i); }); });
    return context;
  };
  for (const core::Result &r : f.results) use(r.node, {});
  for (const core::Tensor &t : f.tensors)
    if (t.value != core::none) use(t.value, {});
  for (const core::Index &i : f.indices)
    if (i.extent != core::none) use(i.extent, {});
  for (NodeId n = f.nodes.size(); n-- > 0;) {
    const Node &node = f.nodes[n];
    if (!used[n]) continue;
    if (node.op == Op::Loop) {
      const core::Loop &loop = f.loops[node.ref];
      if (refused.count(n)) holds[n].clear();
      holds[n] = lacking(holds[n], loop.index);
      for (const auto &item : loop.items) use(item.init, holds[n]), use(item.next, holds[n]);
      if (loop.count != core::none) use(loop.count, {});
      continue;
    }
    MaskSet here = holds[n];
    const bool masked = node.op == Op::Keep || isReduction(node.op);
    if (isReduction(node.op)) here = lacking(here, node.indices);
    if (!masked && !isElementwise(node.op) && node.op != Op::LoopResult) here.clear();  // reads it at other points
    for (size_t k = 1; masked && k < node.args.size(); k++) use(node.args[k], here);
    if (masked) here.insert(node.args.begin() + 1, node.args.end());
    for (size_t k = 0; k < (masked ? 1 : node.args.size()); k++) use(node.args[k], here);
  }
}

void Emitter::shareFactors(const Node &sum) {
  const Node &product = f.nodes[sum.args[0]];
  if (product.op != Op::Mul || product.type != core::Type::F32) return;
  auto share = [&](NodeId n) {
    const Node &factor = f.nodes[n];
    if (!factor.free.empty() && factor.op != Op::State && !isReduction(factor.op) && factor.op != Op::LoopResult) shared[n] = true;
  };
  auto plain = [&](const Node &factor) { return factor.op == Op::Load && llvm::all_of(factor.args, [&](NodeId a) { return f.nodes[a].op == Op::Position; }); };
  for (int side : {0, 1}) {  // with a weight
    const Node &weight = f.nodes[product.args[side]];
    if (weight.op != Op::Load || f.tensors[weight.ref].role != core::Tensor::Parameter) continue;
    if (!plain(f.nodes[product.args[1 - side]])) share(product.args[1 - side]);
    return;
  }
  // Of two factors that each lack a long index of the other (queries and keys): what is computed for one would be computed again for each
  // position of the other. What is gathered stays: to copy it costs as much as to use it.
  if (!options.rows || options.contiguous || sum.indices.size() != 1) return;
  auto lacks = [&](const Node &x, const Node &y) {
    return llvm::any_of(y.free, [&](IndexId i) { return isLong(i) && !llvm::is_contained(x.free, i) && !llvm::is_contained(sum.indices, i); });
  };
  const Node &left = f.nodes[product.args[0]], &right = f.nodes[product.args[1]];
  if (!lacks(left, right) || !lacks(right, left)) return;
  // No larger than something that it reads.
  auto reads = [&](NodeId n, const Node &all) {
    bool found = false;
    core::walkBehind(f, n, [&](NodeId, const Node &node) -> std::span<const NodeId> {
      found |= node.op == Op::Load && plain(node) && llvm::all_of(all.free, [&](IndexId i) { return !isLong(i) || llvm::is_contained(node.free, i); });
      if (node.op == Op::Load || isReduction(node.op)) return {};
      return node.args;
    });
    return found;
  };
  for (NodeId n : product.args)
    if (f.nodes[n].op != Op::Load && f.nodes[n].op != Op::Read && reads(n, f.nodes[n])) share(n);
}

// ---------------------------------------------------------------- scopes

Scope *Emitter::home(NodeId node) {
  for (Scope *s = current; s != &top; s = s->parent)
    if (loopsOf[node].count(s->tag) || s->inside.count(node)) return s;
  return &top;
}

Value Emitter::fixedPosition(IndexId index, Scope *scope) {
  for (Scope *s = scope; s; s = s->parent) {
    if (s->index == index && s->position) return s->position;
    if (Value position = s->row.lookup(index)) return position;
  }
  return {};
}

Value Emitter::positionWithin(IndexId index, Scope *scope, Scope *made) {
  Value position = fixedPosition(index, scope);
  const Window *w = position && made ? window(index, made) : nullptr;
  return w ? Value(arith::SubIOp::create(b, loc, position, w->low)) : position;
}

const Window *Emitter::window(IndexId index, Scope *scope, Scope *made) {
  for (Scope *s = scope; s && s != made; s = s->parent)
    if (auto it = s->windows.find(index); it != s->windows.end()) return &it->second;
  return nullptr;
}

Value Emitter::inWindow(const Window &w, Value n) {
  if (w.step > 1) n = arith::MulIOp::create(b, loc, n, indexConstant(w.step));
  return arith::AddIOp::create(b, loc, n, w.low);
}

Axes Emitter::freeAxes(ArrayRef<IndexId> indices, Scope *scope) {
  Axes axes, known;
  int64_t together = 1;
  for (IndexId i : indices) {
    if (fixedPosition(i, scope)) continue;
    (f.indices[i].fixed ? known : axes).push_back(i);
    if (f.indices[i].fixed) together *= *f.indices[i].fixed;
  }
  // A few heads, or a few gates, are no vector.
  std::stable_partition(known.begin(), known.end(), [&](IndexId i) { return *f.indices[i].fixed < 8; });
  axes.insert(together < 8 && !axes.empty() ? axes.end() - 1 : axes.end(), known.begin(), known.end());
  return axes;
}

// ---------------------------------------------------------------- extents

Value Emitter::indexConstant(int64_t v) { return arith::ConstantIndexOp::create(b, loc, v); }

Value Emitter::extent(IndexId index) {
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
  if (isStatic(info)) value = indexConstant(*info.fixed);
  else if (!(value = fromAxis()) && info.fixed) value = indexConstant(*info.fixed);
  else if (!value) {
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

Value Emitter::scalarTree(NodeId n, llvm::DenseMap<NodeId, Value> &memo) {
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

OpFoldResult Emitter::mixedExtent(IndexId index) {
  if (const Window *w = window(index, current)) return w->size;
  if (isStatic(f.indices[index])) return b.getIndexAttr(*f.indices[index].fixed);
  return extent(index);
}

Value Emitter::empty(ArrayRef<IndexId> axes, Type element) {
  SmallVector<OpFoldResult> sizes = llvm::map_to_vector(axes, [&](IndexId i) { return mixedExtent(i); });
  return tensor::EmptyOp::create(b, loc, sizes, element);
}

bool Emitter::sameExtent(IndexId x, IndexId y) {
  if (x == y) return true;
  const core::Index &a = f.indices[x], &c = f.indices[y];
  if (a.fixed && c.fixed) return *a.fixed <= *c.fixed;
  return a.extentClass == c.extentClass;
}

bool Emitter::isLong(IndexId index) { return !f.indices[index].fixed || *f.indices[index].fixed > 1024; }

// ---------------------------------------------------------------- caches and results

core::TensorId Emitter::rootCache(core::TensorId id) {
  while (f.tensors[id].role == core::Tensor::Appended) id = f.tensors[id].base;
  return id;
}

Value Emitter::appendedTensor(core::TensorId id) {
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

void Emitter::store(Value tensor, Value memref) {
  bufferization::MaterializeInDestinationOp::create(b, loc, TypeRange{}, tensor, memref, /*restrict=*/true, /*writable=*/true);
}

RowPlan Emitter::joined(size_t first, ArrayRef<std::optional<RowPlan>> plans, SmallVectorImpl<size_t> &together) {
  RowPlan plan = *plans[first];
  for (size_t k = first; k < plans.size(); k++)
    if (plans[k] && plans[k]->rows.size() == plan.rows.size() && std::is_permutation(plan.rows.begin(), plan.rows.end(), plans[k]->rows.begin())) {
      together.push_back(k);
      plan.inside.insert(plans[k]->inside.begin(), plans[k]->inside.end());
    }
  return plan;
}

std::vector<std::optional<RowPlan>> Emitter::planResults(ArrayRef<NodeId> weights) {
  std::vector<std::optional<RowPlan>> plans;
  for (auto [r, n] : llvm::zip(f.results, weights)) plans.push_back(n == core::none ? planRows(r.node, Axes(r.axes.begin(), r.axes.end())) : std::nullopt);
  if (!options.blocks) return plans;
  // What a row of another result computes on its way, and has the size of a result itself.
  for (auto [k, r] : llvm::enumerate(f.results)) {
    const Node &node = f.nodes[r.node];
    for (size_t other = 0; other < plans.size() && !plans[k] && weights[k] == core::none; other++) {
      if (!plans[other] || !(plans[other]->inside.count(r.node) || (node.op == Op::Keep && plans[other]->inside.count(node.args[0])))) continue;
      if (!llvm::all_of(plans[other]->rows, [&](IndexId i) { return llvm::is_contained(r.axes, i) && llvm::is_contained(node.free, i); })) continue;
      RowPlan plan = *plans[other];
      plan.inside.insert(r.node);
      if (planBlock(plan, {f.results[other].node, r.node})) plans[k] = plan;
    }
  }
  return plans;
}

void Emitter::computeWeightsInBlocks() {
  if (!options.blocks || !f.schedules.empty()) return;  // a schedule is one of the fused form
  for (const core::Result &r : f.results) {
    NodeId n = returnedWeights(r);
    if (n == core::none) continue;
    const std::set<NodeId> before = options.unfused;
    SmallVector<NodeId> sums;
    bool narrow = false;
    for (auto [s, sum] : llvm::enumerate(f.nodes))
      if (auto aggregate = recogniseAggregate(s, freeAxes(sum.free, current)); aggregate && aggregate->weight == n) {
        const Node &value = f.nodes[aggregate->value];
        narrow |= value.op == Op::Load && f.tensors[value.ref].type != core::Type::F32;
        sums.push_back(s);
      }
    options.unfused.insert(sums.begin(), sums.end());
    std::vector<std::optional<RowPlan>> plans = planResults(llvm::map_to_vector(f.results, [&](const core::Result &other) { return returnedWeights(other); }));
    std::optional<RowBlock> block;
    if (size_t first = llvm::find_if(plans, [](const auto &plan) { return bool(plan); }) - plans.begin(); first < plans.size() && !narrow) {
      SmallVector<size_t> together;
      RowPlan plan = joined(first, plans, together);
      block = planBlock(plan, llvm::map_to_vector(together, [&](size_t k) { return f.results[k].node; }));
    }
    if (!block || block->scores.empty() || !llvm::all_of(sums, [&](NodeId s) { return block->sums.count(s); })) options.unfused = before;
  }
}

void Emitter::emitResults() {
  computeWeightsInBlocks();
  std::vector<NodeId> weights;
  for (const core::Result &r : f.results) weights.push_back(returnedWeights(r));
  std::vector<std::optional<RowPlan>> plans = planResults(weights);
  // What is written on the way of another result is there before it.
  std::vector<Value> there;
  for (size_t k = 0; k < f.results.size(); k++) there.push_back(weights[k] == core::none ? Value() : destinationTensor(k));
  std::vector<bool> done(f.results.size(), false);
  for (size_t k = 0; k < f.results.size() && !failedAny; k++) {
    if (done[k]) continue;
    loc = at(f.results[k].place);
    if (!plans[k]) {
      if (there[k]) {
        store(copied(weights[k], Axes(f.results[k].axes.begin(), f.results[k].axes.end()), there[k]), destination(k));
        continue;
      }
      Value init = destinationTensor(k);
      store(elementwise(f.results[k].node, Axes(f.results[k].axes.begin(), f.results[k].axes.end()), init, f.results[k].type), destination(k));
      continue;
    }
    // Results with the same rows share one loop.
    SmallVector<size_t> together;
    RowPlan plan = joined(k, plans, together);
    for (size_t other : together) done[other] = true;
    SmallVector<Value> inits;
    SmallVector<Axes> axes;
    SmallVector<NodeId> roots;
    for (size_t r : together) {
      roots.push_back(f.results[r].node);
      inits.push_back(destinationTensor(r));
      axes.push_back(Axes(f.results[r].axes.begin(), f.results[r].axes.end()));
    }
    SmallVector<Value> results = emitRows(plan, roots, inits, axes, [&](size_t number, ArrayRef<IndexId> rest, Value init) {
      const core::Result &r = f.results[together[number]];
      return elementwise(r.node, rest, init, r.type);
    });
    if (failedAny) return;
    for (auto [r, value] : llvm::zip(together, results)) store(value, destination(r));
  }
}

Value Emitter::copied(NodeId softmax, ArrayRef<IndexId> axes, Value init) {
  Nest nest = makeNest(axes, {});
  addMaterialised(nest, softmax, softmaxWeights(softmax, *softmaxOf(softmax)));
  if (failedAny) return init;
  return generic(nest, axes.size(), {init}, [&](Body &body, ValueRange) -> SmallVector<Value> { return {evaluate(body, softmax)}; })[0];
}

Value Emitter::destination(size_t result) { return entry->getArgument(firstResult + result); }

Value Emitter::destinationTensor(size_t result) {
  auto type = cast<MemRefType>(destination(result).getType());
  return bufferization::ToTensorOp::create(b, loc, RankedTensorType::get(type.getShape(), type.getElementType()), destination(result), true, true);
}

}  // namespace fovea::emitter

namespace fovea {

mlir::func::FuncOp emit(const core::Function &function, mlir::ModuleOp module, const std::string &name, const std::vector<std::string> &files,
                        const EmitOptions &options) {
  return emitter::Emitter(function, module, files, options).run(name);
}

}  // namespace fovea
