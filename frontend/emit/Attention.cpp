// Normalisers that were recognised by their text, as ops that later passes can fuse: attn.score makes the scores, attn.normalise the
// weights, and attn.aggregate sums values by them.
#include "frontend/emit/Emitter.h"

#include "dialect/Attn.h"

namespace fovea::emitter {

std::optional<Softmax> Emitter::softmaxOf(NodeId n) { return whole(recogniseSoftmax(f, n)); }

std::optional<Softmax> Emitter::logSumExpOf(NodeId n) { return whole(recogniseLogSumExp(f, n)); }

std::optional<Softmax> Emitter::whole(std::optional<Softmax> s) {
  if (s && llvm::any_of(s->indices, [&](IndexId i) { return bool(fixedPosition(i, current)); })) return {};
  return s;
}

Materialised Emitter::score(const Softmax &s, Scope *scope) {
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

SmallVector<int64_t> Emitter::along(const Materialised &scores, const Softmax &s) {
  SmallVector<int64_t> dimensions;
  for (auto [k, axis] : llvm::enumerate(scores.axes))
    if (llvm::is_contained(s.indices, axis)) dimensions.push_back(k);
  return dimensions;
}

Materialised Emitter::softmaxWeights(NodeId n, const Softmax &s) {
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

Materialised Emitter::logSumExp(NodeId n, const Softmax &s) {
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

std::optional<Aggregate> Emitter::recogniseAggregate(NodeId n, const Axes &out) {
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

std::optional<Materialised> Emitter::aggregate(NodeId n, const Axes &out) {
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

}  // namespace fovea::emitter
