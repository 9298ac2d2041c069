// Weights that are a result too.
#include "lowering/attend/Tiler.h"
#include "lowering/LeafCall.h"

namespace fovea {

void AttendTiler::weights(Value firstRow, Value rows, Value maximum, Value sum, const Visited &keysSeen) {
  Value zeroF = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0)), none = constant64(0);
  Value scale = memref::AllocOp::create(b, loc, MemRefType::get({queries}, b.getF32Type()));
  loop(rows, [&](Value i) {
    memref::StoreOp::create(b, loc, inverse(memref::LoadOp::create(b, loc, sum, ValueRange{none, i})).second, scale, ValueRange{i});
  });
  unsigned output = op->getNumOperands() - 1;
  Metadata q = metadata(op.getQuery()), pk = metadata(packedKeys), out = metadata(op->getOperand(output)), m = metadata(maximum), s = metadata(scale);
  Value queryStride = row < 0 ? none : q.strides[axisOf(0, row)], outStride = row < 0 ? none : out.strides[axisOf(output, row)];
  Value number = flattened(1, keyAxes);
  Tile tile{};
  tile.query = addressOf(0, q, {{row, firstRow}, {contracted, none}}), tile.firstRow = firstRow;
  loop(arith::CeilDivSIOp::create(b, loc, extents[key], constant64(panel)), [&](Value block) {
    Value firstKey = arith::MulIOp::create(b, loc, block, constant64(panel));
    Value present = arith::MinSIOp::create(b, loc, constant64(panel), arith::SubIOp::create(b, loc, extents[key], firstKey));
    Value end = arith::AddIOp::create(b, loc, firstKey, present);
    Value visited = arith::AndIOp::create(b, loc, arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sgt, end, keysSeen.low), arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, firstKey, keysSeen.high));
    auto choose = scf::IfOp::create(b, loc, visited, /*withElse=*/true);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(choose.elseBlock());
    loop(rows, [&](Value i) {
      if (row >= 0) positions[row] = arith::AddIOp::create(b, loc, firstRow, i);
      loop(present, [&](Value j) {
        positions[key] = arith::AddIOp::create(b, loc, firstKey, j);
        store(zeroF, op.getInits().size() - 1);
        positions[key] = {};
      });
      if (row >= 0) positions[row] = {};
    });
    b.setInsertionPointToStart(choose.thenBlock());
    tile.firstKey = firstKey;
    llvm::StringMap<Value> named;
    named["a"] = tile.query, named["a_stride"] = toI32(queryStride), named["depth"] = toI32(extents[contracted]);
    named["b"] = address(pk, {number, arith::MulIOp::create(b, loc, block, constant64(panel / lanes)), none, none}), named["rows"] = toI32(rows), named["columns"] = toI32(present);
    named["i0"] = toI32(firstRow), named["j0"] = toI32(firstKey), named["c_stride"] = toI32(outStride);
    named["c"] = addressOf(output, out, {{row, firstRow}, {key, firstKey}});
    auto call = [&](const leaf::LeafSpec &spec, LeafExpression &inputs) {
      passInputs(inputs, tile, named);
      auto perRow = [&](size_t input, Value values) {
        named["input" + std::to_string(input)] = values, named["input" + std::to_string(input) + "_row_stride"] = toI32(constant64(1));
      };
      perRow(inputs.inputs.size(), address(m, {none, none}));
      perRow(inputs.inputs.size() + 1, address(s, {none}));
      callLeaf(b, loc, spec, named);
    };
    if (!keysSeen.exact) return call(edgeWeights, *edgeInputs);
    auto which = scf::IfOp::create(b, loc, isFull(keysSeen, firstRow, rows, firstKey, present, panel), /*withElse=*/true);
    b.setInsertionPointToStart(which.thenBlock());
    call(wholeWeights, *wholeInputs);
    b.setInsertionPointToStart(which.elseBlock());
    call(edgeWeights, *edgeInputs);
  });
}

leaf::LeafSpec AttendTiler::weightsSpec(const LeafExpression &inputs, leaf::Expression score, std::optional<leaf::Expression> keep, bool edges) {
  using leaf::Expression;
  leaf::LeafSpec spec;
  spec.kind = leaf::LeafSpec::ContractLeaf;
  spec.target = target;
  spec.contract.rows = queries, spec.contract.columns = panel, spec.contract.panel = lanes, spec.contract.edges = edges;
  spec.contract.a = storage(element(op.getQuery()));
  for (const auto &i : inputs.inputs) spec.inputs.push_back(i.leaf);
  int64_t maximum = spec.inputs.size(), scale = maximum + 1;
  spec.inputs.insert(spec.inputs.end(), 2, {leaf::Input::Row, leaf::Type::F32, false});
  spec.lets = inputs.lets;
  std::function<void(Expression &)> ofProduct = [&](Expression &e) {
    if (e.op == "dot") e.op = "acc";
    llvm::for_each(e.args, ofProduct);
  };
  // Rounded as in the pass that found the maximum, or a weight of large scores would not be that of its sum.
  Expression scaled{"mul", 0, 0, {std::move(score), Expression{"f32", 1.4426950408889634}}};
  Expression weight{"mul", 0, 0, {Expression{"weight", 0, 0, {std::move(scaled), Expression{"input", 0, maximum}}}, Expression{"input", 0, scale}}};
  if (keep) weight = Expression{"select", 0, 0, {std::move(*keep), std::move(weight), Expression{"f32"}}};
  ofProduct(weight);
  llvm::for_each(spec.lets, ofProduct);
  spec.contract.epilogue = std::move(weight);
  return spec;
}

}  // namespace fovea
