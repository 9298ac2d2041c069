#include "lowering/LeafExpression.h"

#include "lowering/Slice.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace fovea {

constexpr double mostExpanded = 5e5;  // a T5 bucket is 8e4 and takes half a second; a sigmoid of one is 1e6 and takes minutes

LeafExpression::LeafExpression(attn::AttendOp op) : op(op), body(&op.getBody().front()), row(op.getDimension("row")), key(op.getDimension("key")) {}

bool LeafExpression::dependsOn(Value value, int64_t dimension) {
  if (dimension < 0) return false;
  return anyBehind(value, body, [&](Value v) {
    if (auto argument = dyn_cast<BlockArgument>(v))
      return argument.getOwner() == body && (argument.getArgNumber() == 0 || op.getMap(2 + argument.getArgNumber()).isFunctionOfDim(dimension));
    auto index = v.getDefiningOp<attn::IndexOp>();
    return index && index->getBlock() == body && int64_t(index.getDimension()) == dimension;
  });
}

bool LeafExpression::varies(Value value) { return dependsOn(value, row) || dependsOn(value, key); }

// What an expression computes with: positions are i32 (rule E4), whatever holds them.
static std::optional<leaf::Type> leafType(Type type) {
  if (type.isF32()) return leaf::Type::F32;
  if (type.isInteger(32) || type.isIndex()) return leaf::Type::I32;
  if (type.isInteger(1)) return leaf::Type::Bool;
  return {};
}

// What an input's elements are; a bool is stored as a byte, one that was computed before (i1) as well.
static std::optional<leaf::Type> storedType(Type type, bool truth) {
  if (type.isInteger(1)) return leaf::Type::Bool;
  if (truth) return type.isInteger(8) ? std::optional(leaf::Type::Bool) : std::nullopt;
  if (type.isF16()) return leaf::Type::F16;
  if (type.isBF16()) return leaf::Type::BF16;
  return type.isF32() || type.isInteger(32) ? leafType(type) : std::nullopt;
}

std::optional<leaf::Expression> LeafExpression::input(Value value, leaf::Input kind, unsigned axis) {
  leaf::Expression e{"input"};
  for (auto [k, known] : llvm::enumerate(inputs))
    if (known.value == value && known.leaf.kind == kind.kind && known.axis == axis) {
      e.integer = k;
      return e;
    }
  e.integer = inputs.size();
  inputs.push_back({value, kind, axis});
  return e;
}

// A block argument, widened or compared with 0 by who asks.
std::optional<leaf::Expression> LeafExpression::operand(BlockArgument argument, bool truth) {
  auto type = storedType(argument.getType(), truth);
  if (!type) return {};
  AffineMap map = op.getMap(2 + argument.getArgNumber());
  bool overRow = row >= 0 && map.isFunctionOfDim(row), overKey = map.isFunctionOfDim(key);
  // Each of the two must be a whole axis of the operand.
  for (int64_t d : {row, key})
    if (d >= 0 && map.isFunctionOfDim(d) && axisAlong(map, d) < 0) return {};
  return input(argument, {overRow ? overKey ? leaf::Input::Tile : leaf::Input::Row : leaf::Input::Column, *type, overKey});
}

std::optional<LeafExpression::Read> LeafExpression::readOf(Value value) {
  Operation *def = value.getDefiningOp();
  if (!def || def->getBlock() != body || !isa<memref::LoadOp, tensor::ExtractOp>(def)) return {};
  Read read{def->getOperand(0), {}, {}, {}};
  for (auto [axis, index] : llvm::enumerate(def->getOperands().drop_front())) {
    // Where the position is none, the first place is read, and the value not used.
    if (auto select = index.getDefiningOp<arith::SelectOp>(); select && matchPattern(select.getFalseValue(), m_Zero())) {
      if (varies(select.getCondition()) && read.inside && read.inside != select.getCondition()) return {};
      if (varies(select.getCondition())) read.inside = select.getCondition(), index = select.getTrueValue();
    }
    if (varies(index)) read.along.push_back(axis);
    read.at.push_back(index);
  }
  if (read.along.empty()) return {};
  return read;
}

std::optional<leaf::Expression> LeafExpression::table(Value value, bool truth) {
  auto read = readOf(value);
  auto type = storedType(value.getType(), truth);
  if (!read || !type) return {};
  std::optional<leaf::Expression> index;
  for (unsigned axis : read->along) {
    auto position = translate(read->at[axis]);
    if (!position) return {};
    // The number of elements from one position to the next is a scalar, but along the last axis.
    if (axis + 1 != read->at.size()) position = leaf::Expression{"mul", 0, 0, {std::move(*position), *input(value, {leaf::Input::Scalar, leaf::Type::I32, false}, axis)}};
    index = index ? leaf::Expression{"add", 0, 0, {std::move(*index), std::move(*position)}} : std::move(*position);
  }
  if (read->inside && !llvm::is_contained(assumed, read->inside)) {
    auto inside = translate(read->inside);
    if (!inside) return {};
    index = leaf::Expression{"select", 0, 0, {std::move(*inside), std::move(*index), leaf::Expression{"i32"}}};
  }
  auto place = input(value, {leaf::Input::Table, *type, false});
  place->op = "read";
  place->args.push_back(std::move(*index));
  return place;
}

std::optional<leaf::Expression> LeafExpression::translate(Value value) {
  using leaf::Expression;
  Attribute constant;
  if (matchPattern(value, m_Constant(&constant))) {
    if (auto f = dyn_cast<FloatAttr>(constant)) return Expression{"f32", f.getValueAsDouble()};
    if (auto i = dyn_cast<IntegerAttr>(constant)) {
      if (i.getType().isInteger(1)) return Expression{"bool", 0, i.getValue().getBoolValue()};
      if (i.getType().isInteger(32) || i.getType().isIndex()) return Expression{"i32", 0, i.getInt()};
    }
    return {};
  }
  if (llvm::is_contained(assumed, value)) return Expression{"bool", 0, 1};
  if (auto select = value.getDefiningOp<arith::SelectOp>(); select && llvm::is_contained(assumed, select.getCondition())) return translate(select.getTrueValue());
  if (!varies(value)) {
    auto type = leafType(value.getType());
    if (!type) return {};
    return input(value, {leaf::Input::Scalar, *type, false});
  }
  if (auto argument = dyn_cast<BlockArgument>(value)) {
    if (argument.getArgNumber() == 0) return Expression{"dot"};
    return argument.getType().isF32() || argument.getType().isInteger(32) || argument.getType().isInteger(1) ? operand(argument, false) : std::nullopt;
  }
  // Once for all that use it: an expression is a tree, and would grow with every use of a use.
  if (value.hasOneUse()) return operation(value);
  if (auto it = known.find(value); it != known.end()) return it->second;
  auto e = operation(value);
  if (e) e = known[value] = shared(std::move(*e));
  return e;
}

void LeafExpression::assumeInside() {
  for (Operation &inner : *body) {
    auto compare = dyn_cast<arith::CmpIOp>(inner);
    int looks = 100;
    if (compare && compare.getPredicate() == arith::CmpIPredicate::ult && varies(compare.getLhs()) && !varies(compare.getRhs()) && growsEvenly(compare.getLhs(), looks))
      assumed.push_back(compare);
  }
}

bool LeafExpression::growsEvenly(Value value, int &looks) {
  Operation *def = value.getDefiningOp();
  if (!varies(value)) return true;
  if (--looks < 0 || !def || def->getBlock() != body) return false;
  if (isa<attn::IndexOp>(def)) return true;
  return isa<arith::IndexCastOp, arith::AddIOp, arith::SubIOp>(def) && llvm::all_of(def->getOperands(), [&](Value v) { return growsEvenly(v, looks); });
}

leaf::Expression LeafExpression::shared(leaf::Expression e) {
  if (e.args.empty()) return e;
  lets.push_back(std::move(e));
  return {"let", 0, int64_t(lets.size()) - 1};
}

std::optional<leaf::Expression> LeafExpression::operation(Value value) {
  using leaf::Expression;
  Operation *def = value.getDefiningOp();
  auto node = [&](std::string name) -> std::optional<Expression> {
    Expression e{std::move(name)};
    for (Value operand : def->getOperands()) {
      auto argument = translate(operand);
      if (!argument) return {};
      e.args.push_back(std::move(*argument));
    }
    return e;
  };
  if (auto cast = dyn_cast<arith::IndexCastOp>(def)) return translate(cast.getIn());
  if (auto index = dyn_cast<attn::IndexOp>(def)) {
    if (int64_t(index.getDimension()) == row) return Expression{"row"};
    if (int64_t(index.getDimension()) == key) return Expression{"column"};
    return {};
  }
  if (isa<memref::LoadOp, tensor::ExtractOp>(def)) return def->getResult(0).getType().isF32() || def->getResult(0).getType().isInteger(32) ? table(value, false) : std::nullopt;
  if (isa<arith::ExtFOp>(def)) {
    auto argument = dyn_cast<BlockArgument>(def->getOperand(0));
    return argument && argument.getOwner() == body ? operand(argument, false) : table(def->getOperand(0), false);
  }
  if (auto compare = dyn_cast<arith::CmpIOp>(def)) {
    // A bool is stored as a byte; loaded, it is compared with 0.
    if (compare.getLhs().getType().isInteger(8)) {
      if (compare.getPredicate() != arith::CmpIPredicate::ne || !matchPattern(compare.getRhs(), m_Zero())) return {};
      auto argument = dyn_cast<BlockArgument>(compare.getLhs());
      return argument && argument.getOwner() == body ? operand(argument, true) : table(compare.getLhs(), true);
    }
    // A position inside an axis: neither negative, nor too large.
    if (compare.getPredicate() == arith::CmpIPredicate::ult) {
      auto position = translate(compare.getLhs()), size = translate(compare.getRhs());
      if (!position || !size) return {};
      position = shared(std::move(*position));
      Expression notNegative{"ge", 0, 0, {*position, Expression{"i32"}}};
      return Expression{"and", 0, 0, {std::move(notNegative), Expression{"lt", 0, 0, {std::move(*position), std::move(*size)}}}};
    }
    using P = arith::CmpIPredicate;
    switch (compare.getPredicate()) {
      case P::slt: return node("lt");
      case P::sle: return node("le");
      case P::sgt: return node("gt");
      case P::sge: return node("ge");
      case P::eq: return node("eq");
      case P::ne: return node("ne");
      default: return {};
    }
  }
  if (auto compare = dyn_cast<arith::CmpFOp>(def)) {
    using P = arith::CmpFPredicate;
    switch (compare.getPredicate()) {
      case P::OLT: return node("lt");
      case P::OLE: return node("le");
      case P::OGT: return node("gt");
      case P::OGE: return node("ge");
      case P::OEQ: return node("eq");
      case P::UNE: return node("ne");
      case P::UNO: return compare.getLhs() == compare.getRhs() ? node("ne") : std::nullopt;
      default: return {};
    }
  }
  if (isa<math::Log1pOp>(def)) {
    auto argument = translate(def->getOperand(0));
    if (!argument) return {};
    return Expression{"log", 0, 0, {Expression{"add", 0, 0, {Expression{"f32", 1.0}, std::move(*argument)}}}};
  }
  if (isa<arith::XOrIOp>(def) && def->getResult(0).getType().isInteger(1)) return node("ne");
  struct Name {
    StringRef mlir;
    const char *leaf;
  };
  static const Name names[] = {
      {"arith.addf", "add"},      {"arith.subf", "sub"},     {"arith.mulf", "mul"},        {"arith.divf", "div"},       {"arith.negf", "neg"},
      {"arith.addi", "add"},      {"arith.subi", "sub"},     {"arith.muli", "mul"},        {"arith.maxsi", "max"},      {"arith.minsi", "min"},
      {"arith.maximumf", "max"},  {"arith.minimumf", "min"}, {"arith.maxnumf", "max"},     {"arith.minnumf", "min"},    {"arith.floordivsi", "div"},
      {"arith.select", "select"}, {"arith.andi", "and"},     {"arith.ori", "or"},          {"arith.sitofp", "to_f32"},  {"arith.uitofp", "to_f32"},
      {"arith.extui", "to_i32"},  {"math.exp", "exp"},       {"math.log", "log"},          {"math.exp2", "exp2"},       {"math.tanh", "tanh"},
      {"math.erf", "erf"},        {"math.sqrt", "sqrt"},     {"math.floor", "floor"},      {"math.ceil", "ceil"},       {"math.roundeven", "round"},
      {"arith.fptosi", "to_i32"}, {"math.sin", "sin"},        {"math.cos", "cos"},       {"math.powf", "pow"},         {"math.absf", "abs"},
  };
  for (const Name &name : names) {
    if (def->getName().getStringRef() != name.mlir) continue;
    Type type = def->getResult(0).getType();
    if (!leafType(type)) return {};
    if ((name.leaf == StringRef("and") || name.leaf == StringRef("or")) && !type.isInteger(1)) return {};
    if (name.mlir == "arith.extui" && !def->getOperand(0).getType().isInteger(1)) return {};
    if (name.mlir == "arith.select" && !def->getOperand(0).getType().isInteger(1)) return {};
    return node(name.leaf);
  }
  return {};
}

int axisAlong(AffineMap map, unsigned dimension) {
  AffineExpr d = getAffineDimExpr(dimension, map.getContext());
  for (auto [axis, e] : llvm::enumerate(map.getResults())) {
    if (e == d) return axis;
    auto sum = dyn_cast<AffineBinaryOpExpr>(e);
    if (sum && sum.getKind() == AffineExprKind::Add && ((sum.getLHS() == d && !sum.getRHS().isFunctionOfDim(dimension)) || (sum.getRHS() == d && !sum.getLHS().isFunctionOfDim(dimension))))
      return axis;
  }
  return -1;
}

// About how large an expression is once functions stand for their polynomials, which use their arguments several times. Halide simplifies
// expressions as trees.
static double expanded(const leaf::Expression &e, ArrayRef<double> lets) {
  if (e.op == "let") return lets[e.integer];
  double size = 1;
  for (const leaf::Expression &argument : e.args) size += expanded(argument, lets);
  return leaf::isSlow(e.op) ? 4 * size : size;
}

bool isLeafExpression(attn::AttendOp op) {
  LeafExpression e(op);
  auto yield = cast<attn::YieldOp>(op.getBody().front().getTerminator());
  auto score = e.translate(yield.getValue()), keep = score ? e.translate(yield.getKeep()) : std::nullopt;
  if (!keep) return false;
  SmallVector<double> lets;
  for (const leaf::Expression &let : e.lets) lets.push_back(expanded(let, lets));
  return expanded(*score, lets) <= mostExpanded && expanded(*keep, lets) <= mostExpanded;
}

}  // namespace fovea
