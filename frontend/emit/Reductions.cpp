// Nodes that become a tensor of their own: reductions as a linalg.generic over their indices, everything else that is wanted as a whole
// elementwise.
#include "frontend/emit/Emitter.h"

#include "dialect/Attn.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"

#include <limits>

namespace fovea::emitter {

Materialised Emitter::materialise(NodeId n) {
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
    const bool product = current->block && (current->block->scores.count(n) || current->block->sums.count(n));
    if (current->block && current->block->exported.contains(n)) emitRowsOfBlock({});
    else if (auto whole = product ? std::nullopt : aggregateOfTotal(n)) materialise(*whole);
    if (auto it = current->memo.find(n); it != current->memo.end()) {
      result = it->second;
    } else if (node.op == Op::Div && recogniseAggregate(n, freeAxes(node.free, current))) {
      result = *aggregate(n, freeAxes(node.free, current));
    } else if (auto plan = current->block ? std::nullopt : planRows(n, freeAxes(node.free, current))) {
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

Value Emitter::elementwise(NodeId n, ArrayRef<IndexId> axes, Value init, std::optional<core::Type> stored, bool computedHere) {
  Nest nest = makeNest(axes, {});
  collect(nest, n, {}, computedHere);
  if (failedAny) return init;
  Type element = cast<RankedTensorType>(init.getType()).getElementType();
  return generic(nest, axes.size(), {init}, [&](Body &body, ValueRange) -> SmallVector<Value> {
    Value v = evaluate(body, n);
    return {stored ? scalar().toStorage(v, *stored, element) : v};
  })[0];
}

Materialised Emitter::reduce(NodeId n) {
  const Node &node = f.nodes[n];
  Axes out = freeAxes(node.free, current);
  MaskSet masks(node.args.begin() + 1, node.args.end());
  const bool ofBlock = current->block && (current->block->scores.count(n) || current->block->sums.count(n));
  if (ofBlock) orderBlockAxes(n, out);
  else if (auto whole = aggregate(n, out)) return *whole;
  else orderAxes(node, out);
  Nest nest = makeNest(out, node.indices);
  nest.reduction = n;
  for (NodeId m : masks) collect(nest, m, {});
  collect(nest, node.args[0], masks);
  if (failedAny) return {};
  core::Type operandType = f.nodes[node.args[0]].type;
  bool floating = operandType == core::Type::F32;
  Type value = scalar().typeOf(operandType);
  // A product of two tensors is better left to a leaf.
  const Node &product = f.nodes[node.args[0]];
  auto isOperand = [&](NodeId n) {
    auto leaf = nest.leaves.find(n);
    return leaf != nest.leaves.end() && leaf->second.direct;
  };
  MaskSet used;
  if (product.op != Op::Mul || !llvm::all_of(product.args, isOperand)) used = masksOfUsers(n, out);
  for (NodeId m : used) collect(nest, m, {});
  if (failedAny) return {};
  auto kept = [&](Body &body) -> Value {
    SmallVector<Value> conditions;
    for (NodeId m : masks) conditions.push_back(evaluate(body, m));
    for (NodeId m : used) conditions.push_back(evaluate(body, m));
    addSupport(body, node, conditions);
    if (conditions.empty()) return {};
    return attn::SupportOp::create(b, loc, b.getI1Type(), scalar().conjunction(conditions));
  };
  auto guarded = [&](Body &body, TypedAttr identity) {
    Value keep = kept(body), v = evaluate(body, node.args[0]);
    return keep ? scalar().select(keep, v, arith::ConstantOp::create(b, loc, identity)) : v;
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
        Value x = guarded(body, identity);
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
        Value x = guarded(body, b.getBoolAttr(false));
        return {arith::AddIOp::create(b, loc, acc[0], arith::ExtUIOp::create(b, loc, b.getI32Type(), x))};
      })[0], out};
    }
    case Op::MaxOf: case Op::MinOf: {
      bool isMax = node.op == Op::MaxOf;
      TypedAttr identity = isMax ? constant(-infinity, lowest) : constant(infinity, highest);
      Value init = filled(out, value, identity);
      auto next = [&](Value acc, Value x) { return scalar().apply(isMax ? Op::Max : Op::Min, node.type, operandType, {acc, x}); };
      if (masks.empty() && used.empty()) {  // something is left where the extents say so
        Value best = generic(nest, out.size(), {init}, [&](Body &body, ValueRange acc) -> SmallVector<Value> { return {next(acc[0], guarded(body, identity))}; })[0];
        if (llvm::all_of(node.indices, [&](IndexId i) { return !window(i, current) && f.indices[i].fixed.value_or(0) > 0; })) return {best, out};
        Value any;
        for (IndexId i : node.indices) {
          Value some = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne, getValueOrCreateConstantIndexOp(b, loc, mixedExtent(i)), indexConstant(0));
          any = any ? Value(arith::AndIOp::create(b, loc, any, some)) : some;
        }
        return {whereAny(any, best, out, constant(0, 0)), out};
      }
      Value none = filled(out, b.getI1Type(), b.getBoolAttr(false));
      auto results = generic(nest, out.size(), {init, none}, [&](Body &body, ValueRange acc) -> SmallVector<Value> {
        Value x = guarded(body, identity);
        Value keep = masks.empty() ? scalar().boolConstant(true) : kept(body);
        return {next(acc[0], x), arith::OrIOp::create(b, loc, acc[1], keep)};
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

Value Emitter::whereAny(Value any, Value value, ArrayRef<IndexId> axes, TypedAttr otherwise) {
  AffineMap all = b.getMultiDimIdentityMap(axes.size());
  SmallVector<utils::IteratorType> iterators(axes.size(), utils::IteratorType::parallel);
  Value init = empty(axes, cast<RankedTensorType>(value.getType()).getElementType());
  const bool each = isa<RankedTensorType>(any.getType());
  SmallVector<Value> operands{value};
  if (each) operands.push_back(any);
  return linalg::GenericOp::create(b, loc, TypeRange{init.getType()}, operands, ValueRange{init}, SmallVector<AffineMap>(operands.size() + 1, all), iterators,
                                   [&](OpBuilder &builder, Location l, ValueRange a) {
    Value other = arith::ConstantOp::create(builder, l, otherwise);
    linalg::YieldOp::create(builder, l, ValueRange{arith::SelectOp::create(builder, l, each ? a[1] : any, a[0], other)});
  }).getResult(0);
}

}  // namespace fovea::emitter
