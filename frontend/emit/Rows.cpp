// The universal form of what is not fused: for one position of the `rows` (query, head, batch) all that belongs to it is computed in
// turn, over the window of keys that its masks leave, and only then the next row. Nothing holds a value for each query and key.
#include "frontend/emit/Emitter.h"

#include "dialect/Attn.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

#include <algorithm>
#include <functional>
#include <limits>

namespace fovea::emitter {

// The search for what is computed for one row. `cut`: values that are computed before, each on its own.
struct Emitter::RowSearch {
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
    if (there) carried.push_back(longOf(n));
    if (node(n).op == Op::Load) {  // along its own axes; what it is read at is another matter
      Axes axes;
      for (NodeId a : node(n).args)
        if (node(a).op == Op::Position && e.isLong(node(a).ref)) axes.push_back(node(a).ref);
      carried.push_back(axes);
    }
    if (there || e.recogniseAggregate(n, e.freeAxes(node(n).free, e.current)) || e.aggregateOfTotal(n)) return;  // fused, it holds nothing
    arguments(n, [&](NodeId a) { visit(a); });
    order.push_back(n);
  }

  // Keys are masked, compared, or summed with values that the result has another axis of (projections are, too).
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
          if (isReduction(weight.op) && e.compares) continue;  // a projection: where there are keys, they are compared
          // A model's weights are no values to choose from: an index along them is a feature, however long.
          if (value.op == Op::Load && e.f.tensors[value.ref].role == core::Tensor::Parameter) continue;
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
    // Of a map over queries and keys that is averaged over heads, the heads are the other index.
    bool map = llvm::count_if(axes, [&](IndexId i) { return sequences.count(i); }) >= 2;
    return temporary && llvm::any_of(axes, [&](IndexId i) { return has(out, i); }) &&
           llvm::any_of(axes, [&](IndexId i) { return !has(out, i) && (map || sequences.count(i)); }) && !isCarried(n);
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

  // The rows that read the same keys come one after the other, while the keys are in the cache: outermost is what keys also belong to.
  void orderRows(RowPlan &plan) {
    std::set<IndexId> keyed;
    for (NodeId n : order)
      if (node(n).op == Op::Load && llvm::any_of(node(n).free, [&](IndexId i) { return sequences.count(i) && !has(plan.rows, i); }))
        keyed.insert(node(n).free.begin(), node(n).free.end());
    std::stable_partition(plan.rows.begin(), plan.rows.end(), [&](IndexId i) { return keyed.count(i) != 0; });
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

std::optional<RowPlan> Emitter::planRows(NodeId root, const Axes &out) {
  if (!options.rows) return {};
  for (std::set<NodeId> cut;;) {
    RowSearch search{*this, root, out, cut, {}, {}, {}, {}};
    search.visit(root);
    search.findSequences();
    size_t before = cut.size();
    std::optional<RowPlan> plan = search.plan(cut);
    if (cut.size() != before) continue;
    if (plan) search.orderRows(*plan);
    return plan;
  }
}

Materialised Emitter::materialiseRows(NodeId n, const RowPlan &plan) {
  Axes axes = freeAxes(f.nodes[n].free, current);
  SmallVector<Value> results = emitRows(plan, n, {empty(axes, scalar().typeOf(f.nodes[n].type))}, {axes}, [&](size_t, ArrayRef<IndexId> rest, Value init) {
    Materialised m = materialise(n);
    return failedAny || ArrayRef(m.axes) == rest ? m.tensor : elementwise(n, rest, init, {});
  });
  return {failedAny ? Value() : results[0], axes};
}

SmallVector<Value> Emitter::emitRows(const RowPlan &plan, ArrayRef<NodeId> roots, ArrayRef<Value> inits, ArrayRef<Axes> axes, RowResult compute) {
  auto block = planBlock(plan, roots);
  if (!block) return emitSingleRows(plan, inits, axes, compute);
  if (f.indices[block->row].fixed) return emitBlocks(plan, *block, roots, inits, axes, compute);
  Value many = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::uge, getValueOrCreateConstantIndexOp(b, loc, mixedExtent(block->row)), indexConstant(RowBlock::fewest));
  auto choose = scf::IfOp::create(b, loc, ValueRange(inits).getTypes(), many, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(b);
  Operation *before = std::exchange(current->nested, choose);
  for (bool blocks : {true, false}) {
    b.setInsertionPointToEnd(blocks ? choose.thenBlock() : choose.elseBlock());
    SmallVector<Value> results = blocks ? emitBlocks(plan, *block, roots, inits, axes, compute) : emitSingleRows(plan, inits, axes, compute);
    if (failedAny) break;
    scf::YieldOp::create(b, loc, results);
  }
  current->nested = before;
  return SmallVector<Value>(choose.getResults());
}

Emitter::Part Emitter::partOf(Value whole, ArrayRef<IndexId> axes, const Scope &scope) {
  Part part;
  SmallVector<int64_t> shape;
  auto type = cast<RankedTensorType>(whole.getType());
  part.strides.assign(axes.size(), b.getIndexAttr(1));
  for (auto [axis, i] : llvm::enumerate(axes)) {
    if (Value position = scope.row.lookup(i)) {
      part.offsets.push_back(position);
      part.sizes.push_back(b.getIndexAttr(1));
      continue;
    }
    const bool ofBlock = scope.block && scope.block->row == i;
    part.rest.push_back(i);
    part.offsets.push_back(ofBlock ? OpFoldResult(scope.windows.lookup(i).low) : b.getIndexAttr(0));
    part.sizes.push_back(ofBlock ? OpFoldResult(scope.windows.lookup(i).size) : tensor::getMixedSize(b, loc, whole, axis));
    shape.push_back(ofBlock ? ShapedType::kDynamic : type.getDimSize(axis));
  }
  part.place = tensor::ExtractSliceOp::create(b, loc, RankedTensorType::get(shape, type.getElementType()), whole, part.offsets, part.sizes, part.strides);
  return part;
}

SmallVector<Value> Emitter::emitSingleRows(const RowPlan &plan, ArrayRef<Value> inits, ArrayRef<Axes> axes, RowResult compute) {
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
    if (!before || before->getBlock() == loop->getBlock()) current->nested = loop;
    b.setInsertionPoint(loop.getTerminator());
    Scope scope;
    scope.parent = current;
    scope.inside = plan.inside;
    Value rest = loop.getInductionVars()[0];
    for (size_t k = plan.rows.size(); k-- > 0;) {
      Value position = k ? Value(arith::RemUIOp::create(b, loc, rest, extents[k])) : rest;
      if (const Window *w = window(plan.rows[k], current)) position = inWindow(*w, position);
      if (k) rest = arith::DivUIOp::create(b, loc, rest, extents[k]);
      scope.row[plan.rows[k]] = position;
    }
    current = &scope;
    std::vector<std::pair<IndexId, Window>> windows;
    for (const auto &[index, masks] : windowMasks(plan, axes)) windows.push_back({index, emitWindow(index, masks)});
    for (const auto &[index, w] : windows) scope.windows[index] = w;
    for (size_t k = 0; k < inits.size() && !failedAny; k++) {
      Part part = partOf(loop.getRegionIterArgs()[k], axes[k], scope);
      Value value = compute(k, part.rest, part.place);
      if (failedAny) break;
      OpBuilder::InsertionGuard inner(b);
      b.setInsertionPointToEnd(loop.getTerminator().getBody());
      tensor::ParallelInsertSliceOp::create(b, loc, value, loop.getRegionIterArgs()[k], part.offsets, part.sizes, part.strides);
    }
    current = scope.parent;
    current->nested = before;
  }
  return SmallVector<Value>(loop.getResults());
}

std::map<IndexId, MaskSet> Emitter::windowMasks(const RowPlan &plan, ArrayRef<Axes> results) {
  std::map<IndexId, MaskSet> masks;
  std::set<IndexId> whole;  // an axis of a result, read at computed positions, or run over by a loop
  std::set<IndexId> keys;   // masked or compared: worth asking whether the row is used at all
  for (const Axes &axes : results) whole.insert(axes.begin(), axes.end());
  for (NodeId n : plan.inside) {
    const Node &node = f.nodes[n];
    if (node.op == Op::Read && plan.inside.count(node.args[0])) whole.insert(node.indices.begin(), node.indices.end());
    if (node.op == Op::Loop && f.loops[node.ref].index != core::none) whole.insert(f.loops[node.ref].index);
    if (!isReduction(node.op)) continue;
    MaskSet own(node.args.begin() + 1, node.args.end());
    if (!own.empty() || node.op == Op::MaxOf || node.op == Op::ArgMax) keys.insert(node.indices.begin(), node.indices.end());
    own.insert(holds[n].begin(), holds[n].end());  // where one of these is false, nobody uses the value
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
      return plan.inside.count(m) || !known || !early;
    });
    it = it->second.empty() || whole.count(index) || !keys.count(index) ? masks.erase(it) : std::next(it);
  }
  return masks;
}

Window Emitter::emitWindow(IndexId index, const MaskSet &masks) {
  Nest nest = makeNest({}, {index});
  for (NodeId m : masks) collect(nest, m, {});
  if (failedAny) return {};
  constexpr int32_t none = std::numeric_limits<int32_t>::max();
  Value first = filled({}, b.getI32Type(), b.getI32IntegerAttr(none)), end = filled({}, b.getI32Type(), b.getI32IntegerAttr(0));
  int64_t step = 1;
  for (NodeId m : masks)
    if (step == 1) step = stepOf(m, index);
  auto found = generic(nest, 0, {first, end}, [&](Body &body, ValueRange acc) -> SmallVector<Value> {
    SmallVector<Value> conditions;
    for (NodeId m : masks) conditions.push_back(evaluate(body, m));
    Value keep = attn::SupportOp::create(b, loc, b.getI1Type(), scalar().conjunction(conditions));
    Value here = arith::IndexCastOp::create(b, loc, b.getI32Type(), positionIndex(body, index));
    Value next = arith::AddIOp::create(b, loc, here, scalar().integerConstant(1));
    return {arith::MinSIOp::create(b, loc, acc[0], scalar().select(keep, here, scalar().integerConstant(none))),
            arith::MaxSIOp::create(b, loc, acc[1], scalar().select(keep, next, scalar().integerConstant(0)))};
  });
  found[0].getDefiningOp()->setAttr("attn.window", b.getUnitAttr());  // where the support is exact, its ends are what is asked for
  auto asIndex = [&](Value v) -> Value { return arith::IndexCastOp::create(b, loc, b.getIndexType(), tensor::ExtractOp::create(b, loc, v, ValueRange{}).getResult()); };
  Value high = asIndex(found[1]), low = arith::MinSIOp::create(b, loc, asIndex(found[0]), high);
  Value size = arith::SubIOp::create(b, loc, high, low);
  if (step > 1) size = arith::CeilDivUIOp::create(b, loc, size, indexConstant(step));
  return {low, size, step};
}

int64_t Emitter::stepOf(NodeId mask, IndexId index) {
  const Node &node = f.nodes[mask];
  if (node.op != Op::Eq) return 1;
  // The coefficient of the index in a sum; 2 for anything else, and for what is more.
  std::map<NodeId, int64_t> known;
  std::function<int64_t(NodeId)> coefficient = [&](NodeId n) -> int64_t {
    const Node &node = f.nodes[n];
    if (!llvm::is_contained(node.free, index)) return 0;
    if (node.op == Op::Position) return 1;
    if (node.op != Op::Add && node.op != Op::Sub) return 2;
    if (auto it = known.find(n); it != known.end()) return it->second;
    int64_t left = coefficient(node.args[0]), right = coefficient(node.args[1]);
    int64_t sum = node.op == Op::Add ? left + right : left - right;
    return known[n] = left == 2 || right == 2 || std::abs(sum) > 1 ? 2 : sum;
  };
  for (int side : {0, 1}) {
    const Node &remainder = f.nodes[node.args[side]];
    if (remainder.op != Op::Mod || remainder.type != core::Type::I32 || llvm::is_contained(f.nodes[node.args[1 - side]].free, index)) continue;
    const Node &by = f.nodes[remainder.args[1]];
    if (by.op == Op::ConstI32 && by.integer > 1 && std::abs(coefficient(remainder.args[0])) == 1) return by.integer;
  }
  return 1;
}

}  // namespace fovea::emitter
