// Normalisers that were recognised by their text, as ops that later passes can fuse: attn.score makes the scores, attn.normalise the
// weights, and attn.aggregate sums values by them.
#include "frontend/emit/Emitter.h"

namespace fovea::emitter {

std::optional<Softmax> Emitter::softmaxOf(NodeId n) { return whole(recogniseSoftmax(f, n)); }

std::optional<Softmax> Emitter::logSumExpOf(NodeId n) { return whole(recogniseLogSumExp(f, n)); }

std::optional<Softmax> Emitter::whole(std::optional<Softmax> s) {
  if (s && llvm::any_of(s->indices, [&](IndexId i) { return bool(fixedPosition(i, current)); })) return {};
  return s;
}

Materialised Emitter::score(const Scores &s, Scope *scope, bool pointwise) {
  if (auto it = scope->scores.find(s.key); it != scope->scores.end()) return it->second;
  Materialised m = inScope(scope, [&]() -> Materialised {
    std::set<IndexId> free(f.nodes[s.score].free.begin(), f.nodes[s.score].free.end());
    for (NodeId mask : s.masks) free.insert(f.nodes[mask].free.begin(), f.nodes[mask].free.end());
    // Rows that nobody uses are removed whole.
    MaskSet masks = s.masks;
    if (options.rows)
      for (NodeId mask : holds[s.key])
        if (llvm::all_of(f.nodes[mask].free, [&](IndexId i) { return free.count(i) && !llvm::is_contained(s.indices, i); })) masks.insert(mask);
    free.insert(s.indices.begin(), s.indices.end());
    Axes axes = freeAxes(std::vector<IndexId>(free.begin(), free.end()), current);
    llvm::erase_if(axes, [&](IndexId i) { return llvm::is_contained(s.indices, i); });
    axes.append(s.indices.begin(), s.indices.end());
    Nest nest = makeNest(axes, {});
    nest.whole = true;
    for (NodeId mask : masks) collect(nest, mask, {});
    collect(nest, s.score, masks);
    if (failedAny) return {};
    Value init = empty(axes, real);
    layOut(nest, axes.size());
    SmallVector<Attribute> maps;
    for (AffineMap map : nest.maps) maps.push_back(AffineMapAttr::get(map));
    maps.push_back(AffineMapAttr::get(b.getMultiDimIdentityMap(axes.size())));
    auto op = attn::ScoreOp::create(b, loc, init.getType(), nest.operands, init, b.getArrayAttr(maps), pointwise);
    OpBuilder::InsertionGuard guard(b);
    Block *block = b.createBlock(&op.getBody());
    for (Value operand : nest.operands) block->addArgument(cast<RankedTensorType>(operand.getType()).getElementType(), loc);
    Body body{nest};
    body.attn = true;
    bindOperands(body, block->getArguments());
    SmallVector<Value> conditions;
    for (NodeId mask : masks) conditions.push_back(evaluate(body, mask));
    Value value = evaluate(body, s.score), keep = scalar().conjunction(conditions);
    attn::YieldOp::create(b, loc, value, keep);
    return {op.getResult(), axes};
  });
  m.scope = scope;
  if (!failedAny) scope->scores[s.key] = m;
  return m;
}

Materialised Emitter::normalise(const Scores &s, ArrayRef<NodeId> sinks, attn::Normaliser kind, const Materialised &scores) {
  SmallVector<int64_t> along;
  Axes row;
  for (auto [k, axis] : llvm::enumerate(scores.axes)) {
    if (llvm::is_contained(s.indices, axis)) along.push_back(k);
    else row.push_back(axis);
  }
  SmallVector<Value> joined;
  SmallVector<Attribute> maps;
  for (NodeId sink : sinks) {
    Axes axes = sink == core::none ? Axes() : freeAxes(f.nodes[sink].free, current);
    joined.push_back(sink == core::none ? filled({}, real, realAttr(0)) : elementwise(sink, axes, empty(axes, real), {}));
    if (failedAny) return {};
    SmallVector<AffineExpr> e;
    for (IndexId axis : axes) e.push_back(b.getAffineDimExpr(llvm::find(row, axis) - row.begin()));
    maps.push_back(AffineMapAttr::get(AffineMap::get(row.size(), 0, e, b.getContext())));
  }
  const Axes &axes = kind == attn::Normaliser::Softmax ? scores.axes : row;
  Value init = empty(axes, real);
  return {attn::NormaliseOp::create(b, loc, init.getType(), scores.tensor, joined, init, attn::NormaliserAttr::get(b.getContext(), kind), b.getDenseI64ArrayAttr(along),
                                    sinks.empty() ? ArrayAttr() : b.getArrayAttr(maps)).getResult(), axes};
}

Materialised Emitter::normalised(NodeId n, const Softmax &s, attn::Normaliser kind, const char *name) {
  Scope *scope = home(n);
  if (auto it = scope->weights.find(n); it != scope->weights.end()) return it->second;
  Materialised m = inScope(scope, [&]() -> Materialised {
    Materialised scores = score(s, scope);
    if (failedAny) return {};
    Materialised result = normalise(s, s.sinks, kind, scores);
    if (!failedAny) mark(result.tensor.getDefiningOp(), n, name, s.indices, s.masks, !s.masks.empty());
    return result;
  });
  m.scope = scope;
  if (!failedAny) scope->weights[n] = m;
  return m;
}

Materialised Emitter::softmaxWeights(NodeId n, const Softmax &s) { return normalised(n, s, attn::Normaliser::Softmax, "softmax"); }

Materialised Emitter::logSumExp(NodeId n, const Softmax &s) { return normalised(n, s, attn::Normaliser::LogSumExp, "logsumexp"); }

// Whether a node is the sum of the weights themselves.
static bool isTotal(const Node &node, const Pointwise &p) {
  return node.op == Op::Sum && node.args[0] == p.score && node.indices == p.indices && MaskSet(node.args.begin() + 1, node.args.end()) == p.masks;
}

std::optional<Aggregate> Emitter::recogniseAggregate(NodeId n, const Axes &out) {
  // sum(z * v) / sum(z) is sum(z / sum(z) * v).
  bool divided = f.nodes[n].op == Op::Div;
  const NodeId sum = divided ? f.nodes[n].args[0] : n;
  const Node &node = f.nodes[sum];
  if (node.op != Op::Sum || node.type != core::Type::F32 || options.unfused.count(n)) return {};
  const Node &product = f.nodes[node.args[0]];
  if (product.op != Op::Mul) return {};
  MaskSet masks(node.args.begin() + 1, node.args.end());
  for (int side : {0, 1}) {
    NodeId weight = product.args[side];
    Aggregate found{sum, divided ? n : weight, product.args[1 - side], {}, {}, {}};
    found.softmax = divided ? whole(recogniseSoftmax(f, weight, f.nodes[n].args[1])) : softmaxOf(weight);
    if (found.softmax) {
      if (found.softmax->masks != masks) continue;
      if (std::set<IndexId>(found.softmax->indices.begin(), found.softmax->indices.end()) != std::set<IndexId>(node.indices.begin(), node.indices.end())) continue;
    } else {
      // Not for the oracle, which computes what is written; nor in a model's stages, whose products with weights are packed at load.
      if (divided || !options.rows || options.contiguous) continue;
      found.pointwise = recognisePointwise(f, n, weight, !compares || !masks.empty());
      if (!found.pointwise || llvm::any_of(node.indices, [&](IndexId i) { return bool(fixedPosition(i, current)); })) continue;
    }
    const Node &v = f.nodes[found.value];
    if (v.type != core::Type::F32) continue;
    // A projection becomes a tensor of its own.
    if (v.op == Op::Sum && options.rows && !options.contiguous && llvm::all_of(v.free, [&](IndexId i) { return !fixedPosition(i, current); })) return found;
    if (v.op != Op::Load) continue;
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
  dims.append(f.nodes[found->sum].indices.begin(), f.nodes[found->sum].indices.end());
  Materialised weights = found->softmax ? softmaxWeights(found->weight, *found->softmax) : score(*found->pointwise, current, true);
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
  Value values;
  if (f.nodes[found->value].op == Op::Load) {
    values = tensors[f.nodes[found->value].ref];
  } else {
    Materialised made = materialise(found->value);
    if (failedAny) return Materialised{};
    values = made.tensor;
    for (IndexId axis : made.axes) {
      auto it = llvm::find(dims, axis);
      if (it == dims.end()) return {};
      found->valueMap.push_back(b.getAffineDimExpr(it - dims.begin()));
    }
  }
  Value init = empty(out, real);
  auto op = attn::AggregateOp::create(b, loc, init.getType(), weights.tensor, values, init, b.getArrayAttr({map(weightMap), map(found->valueMap), map(outMap)}));
  op->setAttr("attn.node", b.getI64IntegerAttr(n));
  mark(op, found->sum, nullptr, f.nodes[found->sum].indices, {}, f.nodes[found->sum].args.size() > 1);
  if (!found->pointwise) return Materialised{op.getResult(), out};
  for (auto [m, other] : llvm::enumerate(f.nodes))
    if (isTotal(other, *found->pointwise) && home(m) == current) {
      Materialised total = normalise(*found->pointwise, {}, attn::Normaliser::Total, weights);
      total.scope = current;
      current->memo[m] = total;
    }
  if (found->pointwise->divisor == core::none) return Materialised{op.getResult(), out};
  Nest nest = makeNest(out, {});
  collect(nest, found->pointwise->divisor, {});
  if (failedAny) return Materialised{};
  return Materialised{generic(nest, out.size(), {op.getResult()}, [&](Body &body, ValueRange sum) -> SmallVector<Value> {
    return {scalar().apply(Op::Div, core::Type::F32, core::Type::F32, {sum[0], evaluate(body, found->pointwise->divisor)})};
  })[0], out};
}

NodeId Emitter::returnedWeights(const core::Result &r) {
  if (!options.rows || options.contiguous || r.type != core::Type::F32) return core::none;
  const Node &result = f.nodes[r.node];
  const NodeId n = result.op == Op::Keep ? result.args[0] : r.node;
  const MaskSet masks = result.op == Op::Keep ? MaskSet(result.args.begin() + 1, result.args.end()) : MaskSet();
  auto softmax = softmaxOf(n);
  if (!softmax || softmax->masks != masks || softmax->indices.size() != 1) return core::none;
  if (r.axes.size() != f.nodes[n].free.size() || r.axes.back() != softmax->indices[0]) return core::none;
  if (llvm::count_if(f.results, [&](const core::Result &other) { return other.node == r.node || other.node == n; }) != 1) return core::none;
  auto uses = [&](const Node &node, NodeId argument) { return llvm::is_contained(node.args, argument); };
  bool any = false;
  for (auto [m, user] : llvm::enumerate(f.nodes)) {
    if (!uses(user, n) || m == r.node) continue;
    for (auto [s, sum] : llvm::enumerate(f.nodes)) {
      if (!uses(sum, m)) continue;
      auto aggregate = recogniseAggregate(s, freeAxes(sum.free, current));
      if (user.op != Op::Mul || !aggregate || aggregate->weight != n) return core::none;
      any = true;
    }
  }
  return any ? n : core::none;
}

std::optional<NodeId> Emitter::aggregateOfTotal(NodeId n) {
  const Node &total = f.nodes[n];
  if (total.op != Op::Sum || total.type != core::Type::F32 || !options.rows || options.contiguous) return {};
  for (auto [m, node] : llvm::enumerate(f.nodes)) {
    if (node.op != Op::Sum || node.indices != total.indices || f.nodes[node.args[0]].op != Op::Mul || home(m) != home(n)) continue;
    auto found = recogniseAggregate(m, freeAxes(node.free, home(m)));
    if (found && found->pointwise && isTotal(total, *found->pointwise)) return m;
  }
  return {};
}

}  // namespace fovea::emitter
