// Nests: one linalg.generic for a whole tree of elementwise nodes. First the tree's leaves are found and made tensors (collect), then the
// generic is built with those that an affine map reads as its operands, and the tree is evaluated in its body. The other leaves are
// extracted there, at computed positions.
#include "frontend/emit/Emitter.h"

#include "dialect/Attn.h"
#include "dialect/Mark.h"

#include <algorithm>

namespace fovea::emitter {

// ---------------------------------------------------------------- leaves

int Emitter::dimOf(const Nest &nest, IndexId index) {
  auto it = llvm::find(nest.dims, index);
  return it == nest.dims.end() ? -1 : int(it - nest.dims.begin());
}

void Emitter::collect(Nest &nest, NodeId n, const MaskSet &context, bool computedHere) {
  if (failedAny || !nest.seen.insert(n).second) return;
  const Node &node = f.nodes[n];
  if (current->block && current->block->exported.contains(n)) return addMaterialised(nest, n, materialise(n));
  if (const RowBlock::Turned *turned = turnedTable(n); turned && node.op != Op::Load) return addMaterialised(nest, n, turned->table);
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
      SmallVector<NodeId> subscripts(node.args.begin(), node.args.end());
      if (const RowBlock::Turned *turned = turnedTable(n)) {
        leaf.tensor = turned->table.tensor;
        leaf.axes = turned->table.axes;
        subscripts.erase(subscripts.begin() + turned->from);
        subscripts.push_back(node.args[turned->from]);
      }
      return addLeaf(nest, n, leaf, subscripts, context);
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
  if (node.op == Op::Div) {
    if (auto softmax = softmaxOf(n); softmax && within(softmax->masks, context)) return addMaterialised(nest, n, softmaxWeights(n, *softmax));
    if (recogniseAggregate(n, freeAxes(node.free, current))) return addMaterialised(nest, n, materialise(n));
  }
  if (node.op == Op::Add)
    if (auto lse = logSumExpOf(n)) return addMaterialised(nest, n, logSumExp(n, *lse));
  for (NodeId a : node.args) collect(nest, a, context);
}

bool Emitter::within(const MaskSet &masks, const MaskSet &context) { return std::includes(context.begin(), context.end(), masks.begin(), masks.end()); }

void Emitter::addMaterialised(Nest &nest, NodeId n, const Materialised &m) {
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

void Emitter::addLeaf(Nest &nest, NodeId n, Leaf &leaf, ArrayRef<NodeId> subscripts, const MaskSet &context) {
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

void Emitter::finishLeaf(Nest &nest, NodeId n, Leaf &leaf) {
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
        if (w) strides.back() = b.getIndexAttr(w->step);
        offsets.push_back(w ? OpFoldResult(w->low) : b.getIndexAttr(0));
        sizes.push_back(w ? OpFoldResult(w->size) : tensor::getMixedSize(b, loc, leaf.tensor, k));
        shape.push_back(w ? ShapedType::kDynamic : type.getDimSize(k));
        results.push_back(b.getAffineDimExpr(d));
        continue;
      }
      Value position = positionWithin(index, nest.scope, leaf.scope);
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

AffineExpr Emitter::affine(NodeId sub, IndexId axis, ArrayRef<IndexId> dims) {
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

// ---------------------------------------------------------------- inside a body

Value Emitter::dimIndex(Body &body, unsigned d) {
  body.dims.resize(body.nest.dims.size());
  if (!body.dims[d]) body.dims[d] = body.attn ? Value(attn::IndexOp::create(b, loc, b.getIndexType(), b.getI64IntegerAttr(d))) : Value(linalg::IndexOp::create(b, loc, d));
  return body.dims[d];
}

Value Emitter::positionIndex(Body &body, IndexId index) {
  int d = dimOf(body.nest, index);
  if (d >= 0) {
    const Window *w = window(index, body.nest.scope);
    return w ? inWindow(*w, dimIndex(body, d)) : dimIndex(body, d);
  }
  Value position = fixedPosition(index, body.nest.scope);
  if (!position) {
    failedAny = true;
    mlir::emitError(loc) << "internal: index `" << f.indices[index].name << "` is not in scope";
    return indexConstant(0);
  }
  return position;
}

Value Emitter::evaluate(Body &body, NodeId n) {
  if (auto it = body.memo.find(n); it != body.memo.end()) return it->second;
  const Node &node = f.nodes[n];
  Location before = loc;
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
        if (node.type == core::Type::Bool) loc = at(node.place);  // what becomes of a condition is told by its place
        v = scalar().apply(node.op, node.type, f.nodes[node.args[0]].type, arguments);
      }
    }
  }
  loc = before;
  return body.memo[n] = v;
}

// One unsigned comparison: a negative position is a very large one.
Value Emitter::isInside(Body &body, const Leaf &leaf, unsigned axis) {
  Value position = arith::IndexCastOp::create(b, loc, b.getIndexType(), evaluate(body, leaf.subscripts[axis]));
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, position, tensor::DimOp::create(b, loc, leaf.tensor, axis));
}

Value Emitter::extract(Body &body, const Leaf &leaf) {
  SmallVector<Value> positions, inside;
  for (auto [k, sub] : llvm::enumerate(leaf.subscripts)) {
    Value position;
    if (sub == core::none) {
      const int d = dimOf(body.nest, leaf.plain[k]);
      bool held = window(leaf.plain[k], body.nest.scope) && !window(leaf.plain[k], body.nest.scope, leaf.scope);
      position = d < 0 && fixedPosition(leaf.plain[k], body.nest.scope) ? positionWithin(leaf.plain[k], body.nest.scope, leaf.scope)
                 : held                                                 ? dimIndex(body, d)
                                                                        : positionIndex(body, leaf.plain[k]);
    } else {
      Value i = evaluate(body, sub);
      position = arith::IndexCastOp::create(b, loc, b.getIndexType(), i);
      if (!provenInside(sub, leaf.axes[k])) inside.push_back(isInside(body, leaf, k));
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

// ---------------------------------------------------------------- building nests

Nest Emitter::makeNest(ArrayRef<IndexId> out, ArrayRef<IndexId> reduced) {
  Nest nest{current, Axes(out), {}, {}, {}, {}, core::none, false};
  nest.dims.append(reduced.begin(), reduced.end());
  return nest;
}

void Emitter::layOut(Nest &nest, size_t outputs) {
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

void Emitter::bindOperands(Body &body, ValueRange arguments) {
  for (auto &[n, leaf] : body.nest.leaves)
    if (leaf.direct) body.memo[n] = scalar().fromStorage(arguments[leaf.operand], leaf.type);
}

SmallVector<Value> Emitter::generic(Nest &nest, size_t outputs, ArrayRef<Value> inits, BodyBuilder build) {
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
  if (outputs < nest.dims.size()) mark(op, nest.reduction, nullptr, ArrayRef(nest.dims).drop_front(outputs), {}, false);
  return SmallVector<Value>(op.getResults());
}

void Emitter::mark(Operation *op, NodeId n, const char *name, ArrayRef<IndexId> over, const MaskSet &masks, bool masked) {
  if (!isCounting(op)) return;
  static const char *const names[] = {"sum", "prod", "max", "min", "any", "all", "count", "argmax", "argmin"};
  Mark mark;
  if (n != core::none) {
    if (!name) name = names[size_t(f.nodes[n].op) - size_t(Op::Sum)];
    for (IndexId i : over) mark.text += (mark.text.empty() ? name + std::string("[") : ",") + f.indices[i].name;
    mark.text += "]";
    mark.node = n;
    MaskSet all = masks;
    if (isReduction(f.nodes[n].op)) all.insert(f.nodes[n].args.begin() + 1, f.nodes[n].args.end());
    if (!holds.empty())
      for (NodeId m : holds[n])
        if (llvm::all_of(f.nodes[m].free, [&](IndexId i) { return llvm::is_contained(f.nodes[n].free, i); })) all.insert(m);
    mark.masks.append(all.begin(), all.end());
    op->setLoc(at(f.nodes[n].place));
  }
  mark.over.append(over.begin(), over.end());
  mark.masked = masked;
  setMark(op, mark);
}

Value Emitter::filled(ArrayRef<IndexId> axes, Type element, TypedAttr value) {
  Value init = empty(axes, element);
  Value constant = arith::ConstantOp::create(b, loc, value);
  return linalg::FillOp::create(b, loc, constant, init).getResult(0);
}

TypedAttr Emitter::realAttr(double v) { return FloatAttr::get(real, v); }

}  // namespace fovea::emitter
