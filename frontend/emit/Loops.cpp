// iterate, fold and scan: an scf.for that carries the states as tensors. What does not read them is computed before it, in the scope
// around.
#include "frontend/emit/Emitter.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace fovea::emitter {

void Emitter::emitLoop(NodeId loopNode) {
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

}  // namespace fovea::emitter
