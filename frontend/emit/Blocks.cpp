// Rows in blocks: where a row multiplies what other rows multiply too (scores of queries and keys, sums of weights and values), the products of
// several rows are taken at once, so that keys and values are read once for all of them. In between each row is computed alone, while it is in the
// nearest cache: first the scores of the block, then row after row what is made of them, then the sums.
#include "frontend/emit/Emitter.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

#include <algorithm>

namespace fovea::emitter {

constexpr int64_t tileRows = 6;        // blocks are multiples of a register tile's rows
constexpr int64_t mostRows = 24;
constexpr int64_t mostNumbers = 65536; // of one value of a block, which stays in the second cache with another one
constexpr int64_t blocksApart = 32;    // so many blocks at least, for the threads
constexpr int64_t linePad = 16;        // numbers between the lines of a turned table, or lines of a power of two would fall on one another in the cache

// A value that is an operand as it lies.
bool Emitter::isLaidOut(NodeId n) {
  const Node &node = f.nodes[n];
  if (node.type != core::Type::F32 || !loopsOf[n].empty()) return false;
  if (node.op != Op::Load) return isReduction(node.op) || shared[n];
  const core::Tensor &t = f.tensors[node.ref];
  if (t.role == core::Tensor::Encoded || t.role == core::Tensor::Appended || t.type > core::Type::BF16) return false;
  return llvm::all_of(llvm::zip(t.axes, node.args), [&](auto both) {
    auto [axis, sub] = both;
    return bool(affine(sub, axis, ArrayRef(node.free)));
  });
}

std::optional<RowBlock> Emitter::planBlock(const RowPlan &plan, ArrayRef<NodeId> roots) {
  if (!options.blocks || current != &top) return {};
  RowBlock block;
  block.row = plan.rows.back();
  if (window(block.row, current) || f.indices[block.row].fixed.value_or(RowBlock::fewest) < RowBlock::fewest) return {};
  auto has = [](ArrayRef<IndexId> indices, IndexId i) { return llvm::is_contained(indices, i); };
  // Where rows see different keys, a block sees those of all of them.
  for (NodeId n : plan.inside) {
    const Node &node = f.nodes[n];
    if (!isReduction(node.op)) continue;
    MaskSet masks(node.args.begin() + 1, node.args.end());
    masks.insert(holds[n].begin(), holds[n].end());
    for (NodeId m : masks)
      if (plan.inside.count(m) || has(f.nodes[m].free, block.row)) return {};
  }
  auto product = [&](NodeId n) -> std::optional<std::pair<NodeId, NodeId>> {  // the factor with the row, and the other one
    const Node &node = f.nodes[n];
    if (node.op != Op::Sum || node.type != core::Type::F32 || node.indices.size() != 1 || !loopsOf[n].empty() || f.nodes[node.args[0]].op != Op::Mul) return {};
    for (int side : {0, 1}) {
      NodeId x = f.nodes[node.args[0]].args[side], y = f.nodes[node.args[0]].args[1 - side];
      const Node &left = f.nodes[x], &right = f.nodes[y];
      if (!has(left.free, block.row) || has(right.free, block.row) || !has(left.free, node.indices[0]) || !has(right.free, node.indices[0])) continue;
      if (plan.inside.count(y) || !isLaidOut(y) || !(plan.inside.count(x) || isLaidOut(x)) || left.type != core::Type::F32) continue;
      if (llvm::any_of(right.free, [&](IndexId i) { return has(node.free, i) && !has(plan.rows, i) && !has(left.free, i); })) return std::pair(x, y);
    }
    return {};
  };
  for (NodeId n : plan.inside) {
    const Node &node = f.nodes[n];
    bool later = llvm::any_of(node.args, [&](NodeId a) { return block.later.count(a); });
    auto factors = later ? std::nullopt : product(n);
    if (factors && !plan.inside.count(factors->first)) {
      block.scores.insert(n);
    } else if (factors) {
      block.sums.insert(n), block.later.insert(n);
      if (!block.scores.count(factors->first)) block.exported.insert(factors->first);
    } else if (later) {
      block.later.insert(n);
    }
    if (later && (node.op == Op::Loop || node.op == Op::LoopResult || node.op == Op::State)) return {};
  }
  for (const auto &loop : f.loops)  // its steps may read anything
    for (const auto &item : loop.items)
      if (block.later.count(item.init) || block.later.count(item.next)) return {};
  if (block.scores.empty() && block.sums.empty()) return {};
  auto byRow = [&](NodeId n) { return plan.inside.count(n) && !block.scores.count(n) && !block.later.count(n); };
  for (NodeId n : block.later)
    if (!block.sums.count(n))
      for (NodeId a : f.nodes[n].args)
        if (byRow(a)) block.exported.insert(a);
  for (NodeId root : roots)
    if (byRow(root)) block.exported.insert(root);
  for (NodeId n : block.exported)
    if (!byRow(n) || f.nodes[n].op == Op::Loop) return {};
  for (NodeId n : plan.inside)
    if (byRow(n)) block.inside.insert(n);
  return block;
}

const RowBlock::Turned *Emitter::turnedTable(NodeId n) {
  if (!current->block) return nullptr;
  auto it = current->block->turned.find(n);
  return it == current->block->turned.end() ? nullptr : &it->second;
}

void Emitter::orderBlockAxes(NodeId product, Axes &out) {
  const RowBlock &block = *current->block;
  std::stable_partition(out.begin(), out.end(), [&](IndexId i) { return i == block.row; });
  for (NodeId y : f.nodes[f.nodes[product].args[0]].args) {
    if (llvm::is_contained(f.nodes[y].free, block.row)) continue;
    IndexId last = core::none;
    if (auto turned = block.turned.find(y); turned != block.turned.end()) last = turned->second.along;
    else if (f.nodes[y].op == Op::Load) last = f.nodes[f.nodes[y].args.back()].ref;
    std::stable_partition(out.begin(), out.end(), [&](IndexId i) { return i != last; });
  }
}

// A table that a product cannot read in vectors is turned so that it can.
void Emitter::turn(const RowPlan &plan, RowBlock &block) {
  for (const auto *products : {&block.scores, &block.sums})
    for (NodeId n : *products)
      for (NodeId y : f.nodes[f.nodes[n].args[0]].args) {
        const Node &node = f.nodes[y];
        if (llvm::is_contained(node.free, block.row) || block.turned.count(y)) continue;
        NodeId x = f.nodes[f.nodes[n].args[0]].args[f.nodes[f.nodes[n].args[0]].args[0] == y];
        auto apt = [&](IndexId i) { return llvm::is_contained(f.nodes[n].free, i) && !llvm::is_contained(plan.rows, i) && !llvm::is_contained(f.nodes[x].free, i); };
        Materialised table;
        SmallVector<IndexId> read;  // at each axis, where plain
        if (node.op == Op::Load) {
          table.tensor = tensors[node.ref];
          table.axes.assign(f.tensors[node.ref].axes.begin(), f.tensors[node.ref].axes.end());
          for (NodeId sub : node.args) read.push_back(f.nodes[sub].op == Op::Position ? f.nodes[sub].ref : core::none);
        } else {
          table = materialise(y);
          if (failedAny) return;
          read.assign(table.axes.begin(), table.axes.end());
        }
        auto good = [&](IndexId i) { return i != core::none && apt(i); };
        if (good(read.back())) continue;
        auto found = llvm::find_if(read, good);
        if (found == read.end()) continue;
        const unsigned from = found - read.begin(), rank = read.size();
        SmallVector<unsigned> order;
        for (unsigned k = 0; k < rank; k++)
          if (k != from) order.push_back(k);
        order.push_back(from);
        SmallVector<OpFoldResult> sizes, room, offsets(rank, b.getIndexAttr(0)), strides(rank, b.getIndexAttr(1));
        SmallVector<int64_t> shape;
        SmallVector<AffineExpr> source(rank);
        auto type = cast<RankedTensorType>(table.tensor.getType());
        for (auto [k, axis] : llvm::enumerate(order)) {
          sizes.push_back(tensor::getMixedSize(b, loc, table.tensor, axis));
          shape.push_back(type.getDimSize(axis));
          source[axis] = b.getAffineDimExpr(k);
        }
        room = sizes;
        room.back() = arith::AddIOp::create(b, loc, getValueOrCreateConstantIndexOp(b, loc, sizes.back()), indexConstant(linePad)).getResult();
        Value whole = tensor::EmptyOp::create(b, loc, room, type.getElementType());
        Value lines = tensor::ExtractSliceOp::create(b, loc, RankedTensorType::get(shape, type.getElementType()), whole, offsets, sizes, strides);
        AffineMap map = AffineMap::get(rank, 0, source, b.getContext());
        SmallVector<utils::IteratorType> iterators(rank, utils::IteratorType::parallel);
        Value copy = linalg::GenericOp::create(b, loc, TypeRange{lines.getType()}, ValueRange{table.tensor}, ValueRange{lines}, ArrayRef<AffineMap>{map, b.getMultiDimIdentityMap(rank)},
                                               iterators, [](OpBuilder &builder, Location l, ValueRange a) { linalg::YieldOp::create(builder, l, a[0]); }).getResult(0);
        Materialised result{copy, {}, node.op == Op::Load ? &top : table.scope};
        for (unsigned axis : order) result.axes.push_back(table.axes[axis]);
        block.turned[y] = {result, from, read[from]};
      }
}

// How many rows a block has: as many as stay in the cache, and fewer where there would not be enough blocks.
Value Emitter::blockSize(const RowBlock &block, Value rows) {
  Value numbers = indexConstant(1);
  auto widest = [&](NodeId n) {
    Value all = indexConstant(1);
    for (IndexId i : freeAxes(f.nodes[n].free, current))
      if (i != block.row) all = arith::MulIOp::create(b, loc, all, getValueOrCreateConstantIndexOp(b, loc, mixedExtent(i)));
    numbers = arith::MaxUIOp::create(b, loc, numbers, all);
  };
  llvm::for_each(block.scores, widest);
  llvm::for_each(block.exported, widest);
  Value size = arith::DivUIOp::create(b, loc, indexConstant(mostNumbers), numbers);
  size = arith::MinUIOp::create(b, loc, size, arith::DivUIOp::create(b, loc, rows, indexConstant(blocksApart)));
  size = arith::MinUIOp::create(b, loc, size, indexConstant(mostRows));
  Value odd = arith::RemUIOp::create(b, loc, size, indexConstant(tileRows));
  return arith::MaxUIOp::create(b, loc, arith::SubIOp::create(b, loc, size, odd), indexConstant(tileRows));
}

SmallVector<Value> Emitter::emitBlocks(const RowPlan &plan, RowBlock block, ArrayRef<NodeId> roots, ArrayRef<Value> inits, ArrayRef<Axes> axes, RowResult compute) {
  Scope scope;
  scope.parent = current;
  scope.inside = plan.inside;
  for (IndexId i : ArrayRef(plan.rows).drop_back()) scope.row[i] = indexConstant(0);  // fixed, at what is not known yet
  turn(plan, block);
  if (failedAny) return {};
  Value rows = indexConstant(1);
  SmallVector<Value> extents;
  for (IndexId i : plan.rows) {
    extents.push_back(getValueOrCreateConstantIndexOp(b, loc, mixedExtent(i)));
    rows = arith::MulIOp::create(b, loc, rows, extents.back());
  }
  Scope *around = std::exchange(current, &scope);
  Value size = blockSize(block, rows);
  current = around;
  Value last = extents.back(), count = indexConstant(1);
  extents.back() = arith::CeilDivUIOp::create(b, loc, last, size);
  for (Value extent : extents) count = arith::MulIOp::create(b, loc, count, extent);
  auto loop = scf::ForallOp::create(b, loc, ArrayRef<OpFoldResult>{OpFoldResult(count)}, inits, std::nullopt);
  OpBuilder::InsertionGuard guard(b);
  Operation *before = current->nested;
  if (!before || before->getBlock() == loop->getBlock()) current->nested = loop;
  b.setInsertionPoint(loop.getTerminator());
  Value rest = loop.getInductionVars()[0];
  for (size_t k = plan.rows.size(); k-- > 0;) {
    Value position = k ? Value(arith::RemUIOp::create(b, loc, rest, extents[k])) : rest;
    if (k) rest = arith::DivUIOp::create(b, loc, rest, extents[k]);
    if (k + 1 < plan.rows.size()) {
      if (const Window *w = window(plan.rows[k], current)) position = inWindow(*w, position);
      scope.row[plan.rows[k]] = position;
      continue;
    }
    Value first = arith::MulIOp::create(b, loc, position, size);
    scope.windows[block.row] = {first, arith::MinUIOp::create(b, loc, size, arith::SubIOp::create(b, loc, last, first))};
  }
  scope.block = &block;
  current = &scope;
  std::vector<std::pair<IndexId, Window>> windows;
  for (const auto &[index, masks] : windowMasks(plan, axes)) windows.push_back({index, emitWindow(index, masks)});
  for (const auto &[index, w] : windows) scope.windows[index] = w;
  std::vector<Part> parts;
  std::map<NodeId, std::pair<Value, Axes>> places;
  for (size_t k = 0; k < inits.size(); k++) {
    parts.push_back(partOf(loop.getRegionIterArgs()[k], axes[k], scope));
    const bool asComputed = cast<RankedTensorType>(inits[k].getType()).getElementType() == scalar().typeOf(f.nodes[roots[k]].type);
    if (block.exported.contains(roots[k]) && asComputed && parts[k].rest.front() == block.row) places.insert({roots[k], {parts[k].place, parts[k].rest}});
  }
  SmallVector<bool> placed;
  for (size_t k = 0; k < inits.size(); k++) {
    auto it = places.find(roots[k]);
    placed.push_back(it != places.end() && it->second.first == parts[k].place);
  }
  if (!block.exported.empty() && !failedAny) emitRowsOfBlock(places);
  for (size_t k = 0; k < inits.size() && !failedAny; k++) {
    Value value = placed[k] ? scope.memo[roots[k]].tensor : compute(k, parts[k].rest, parts[k].place);
    if (failedAny) break;
    OpBuilder::InsertionGuard inner(b);
    b.setInsertionPointToEnd(loop.getTerminator().getBody());
    tensor::ParallelInsertSliceOp::create(b, loc, value, loop.getRegionIterArgs()[k], parts[k].offsets, parts[k].sizes, parts[k].strides);
  }
  current = scope.parent;
  current->nested = before;
  return SmallVector<Value>(loop.getResults());
}

void Emitter::emitRowsOfBlock(const std::map<NodeId, std::pair<Value, Axes>> &places) {
  Scope &around = *current;
  RowBlock &block = *around.block;
  const Window rows = around.windows[block.row];
  SmallVector<Value> inits;
  SmallVector<Axes> axes;
  for (NodeId n : block.exported) {
    if (auto it = places.find(n); it != places.end()) {
      inits.push_back(it->second.first), axes.push_back(it->second.second);
      continue;
    }
    Axes all = freeAxes(f.nodes[n].free, current);
    std::stable_partition(all.begin(), all.end(), [&](IndexId i) { return i == block.row; });
    inits.push_back(empty(all, scalar().typeOf(f.nodes[n].type)));
    axes.push_back(all);
  }
  auto loop = scf::ForOp::create(b, loc, indexConstant(0), rows.size, indexConstant(1), inits);
  {
    OpBuilder::InsertionGuard guard(b);
    Operation *before = std::exchange(around.nested, loop);
    Block *body = loop.getBody();
    if (!body->empty() && body->back().hasTrait<OpTrait::IsTerminator>()) body->back().erase();
    b.setInsertionPointToEnd(body);
    Scope scope;
    scope.parent = &around;
    scope.inside = block.inside;
    scope.row[block.row] = arith::AddIOp::create(b, loc, rows.low, loop.getInductionVar());
    current = &scope;
    SmallVector<Value> yields;
    for (auto [k, n] : llvm::enumerate(block.exported)) {
      Value whole = loop.getRegionIterArg(k);
      auto type = cast<RankedTensorType>(whole.getType());
      SmallVector<OpFoldResult> offsets(type.getRank(), b.getIndexAttr(0)), sizes, strides(type.getRank(), b.getIndexAttr(1));
      for (int64_t axis = 0; axis < type.getRank(); axis++) sizes.push_back(tensor::getMixedSize(b, loc, whole, axis));
      offsets[0] = loop.getInductionVar(), sizes[0] = b.getIndexAttr(1);
      auto line = RankedTensorType::get(type.getShape().drop_front(), type.getElementType());
      Value place = tensor::ExtractSliceOp::create(b, loc, line, whole, offsets, sizes, strides);
      Value value = elementwise(n, ArrayRef(axes[k]).drop_front(), place, {}, true);
      if (failedAny) break;
      yields.push_back(tensor::InsertSliceOp::create(b, loc, value, whole, offsets, sizes, strides));
    }
    if (!failedAny) scf::YieldOp::create(b, loc, yields);
    current = &around;
    around.nested = before;
  }
  for (auto [k, n] : llvm::enumerate(block.exported)) around.memo[n] = {loop.getResult(k), axes[k], &around};
}

}  // namespace fovea::emitter
