// Nodes, their free indices, hash-consing, and folds. See Rewrite.cpp for substitution, masks and loops.
#include "frontend/Builder.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace fovea {

using namespace core;

bool isElementwise(Op op) { return op >= Op::Neg && op <= Op::ToI32; }
bool isReduction(Op op) { return op >= Op::Sum && op <= Op::ArgMin; }

static void unite(std::vector<IndexId> &into, const std::vector<IndexId> &more) {
  std::vector<IndexId> all;
  std::set_union(into.begin(), into.end(), more.begin(), more.end(), std::back_inserter(all));
  into = std::move(all);
}

// --- indices --------------------------------------------------------------------------------------------------------

IndexId Builder::addIndex(Index index) {
  function.indices.push_back(std::move(index));
  parents.push_back(static_cast<IndexId>(parents.size()));
  return parents.back();
}

IndexId Builder::root(IndexId index) const {
  while (parents[index] != index) index = parents[index];
  return index;
}

void Builder::same(IndexId a, IndexId b) {
  a = root(a), b = root(b);
  parents[std::max(a, b)] = std::min(a, b);
}

std::optional<int64_t> Builder::fixed(IndexId index) const {
  if (function.indices[index].fixed) return function.indices[index].fixed;
  if (auto &f = function.indices[root(index)].fixed) return f;
  for (IndexId k = 0; k < parents.size(); ++k)
    if (function.indices[k].fixed && sameExtent(k, index)) return function.indices[k].fixed;
  return std::nullopt;
}

// --- hash-consing ---------------------------------------------------------------------------------------------------

NodeId Builder::intern(Node n) {
  size_t hash = static_cast<size_t>(n.op) * 31 + static_cast<size_t>(n.type);
  auto mix = [&](uint64_t value) { hash = (hash ^ value) * 0x9e3779b97f4a7c15ull, hash ^= hash >> 29; };
  mix(n.ref), mix(static_cast<uint64_t>(n.integer)), mix(std::bit_cast<uint64_t>(n.real));
  for (NodeId arg : n.args) mix(arg);
  mix(~0ull);
  for (IndexId index : n.indices) mix(index);
  auto &bucket = table[hash];
  for (NodeId id : bucket) {
    const Node &o = function.nodes[id];
    if (o.op == n.op && o.type == n.type && o.ref == n.ref && o.integer == n.integer && std::bit_cast<uint64_t>(o.real) == std::bit_cast<uint64_t>(n.real) &&
        o.args == n.args && o.indices == n.indices)
      return id;
  }

  Info info;
  bool elementwise = isElementwise(n.op);
  info.structural = elementwise || n.op <= Op::Read || n.op == Op::State;
  info.hasKeep = n.op == Op::Keep;
  for (NodeId arg : n.args) {
    info.structural &= infos[arg].structural || (n.op == Op::Read && arg == n.args[0]);
    info.hasKeep |= (elementwise || isReduction(n.op)) && infos[arg].hasKeep;
    info.weight = std::min(info.weight + infos[arg].weight, 1u << 20);
    info.depth = std::max(info.depth, infos[arg].depth + 1);
  }
  switch (n.op) {
  case Op::Position: n.free = {n.ref}; break;
  case Op::State:
  case Op::Normal:
    n.free = n.indices;
    std::sort(n.free.begin(), n.free.end());
    n.free.erase(std::unique(n.free.begin(), n.free.end()), n.free.end());
    break;
  case Op::Loop:
  case Op::LoopResult: break;  // set by the maker
  default:
    for (size_t k = n.op == Op::Read ? 1 : 0; k < n.args.size(); ++k) unite(n.free, function.nodes[n.args[k]].free);
    if (isReduction(n.op) || n.op == Op::Sample)
      std::erase_if(n.free, [&](IndexId index) { return std::find(n.indices.begin(), n.indices.end(), index) != n.indices.end(); });
  }
  depth = std::max(depth, info.depth);
  n.place = place;
  auto id = static_cast<NodeId>(function.nodes.size());
  function.nodes.push_back(std::move(n));
  infos.push_back(info);
  bucket.push_back(id);
  return id;
}

// --- leaves ---------------------------------------------------------------------------------------------------------

NodeId Builder::real(double value) {
  Node n{.op = Op::ConstF32};
  n.real = static_cast<double>(static_cast<float>(value));
  return intern(n);
}
NodeId Builder::integer(int64_t value) {
  Node n{.op = Op::ConstI32, .type = Type::I32};
  n.integer = value;
  return intern(n);
}
NodeId Builder::boolean(bool value) {
  Node n{.op = Op::ConstBool, .type = Type::Bool};
  n.integer = value;
  return intern(n);
}
NodeId Builder::position(IndexId index) {
  Node n{.op = Op::Position, .type = Type::I32};
  n.ref = index;
  return intern(n);
}
NodeId Builder::extent(IndexId index) { return rawExtent(root(index)); }
NodeId Builder::rawExtent(IndexId index) {
  Node n{.op = Op::Extent, .type = Type::I32};
  n.ref = index;
  return intern(n);
}
NodeId Builder::scalar(ScalarId id, Type type) {
  Node n{.op = Op::Scalar, .type = type};
  n.ref = id;
  return intern(n);
}

static Type valueType(Type storage) {
  switch (storage) {
  case Type::F32:
  case Type::F16:
  case Type::BF16: return Type::F32;
  case Type::Bool: return Type::Bool;
  default: return Type::I32;
  }
}

NodeId Builder::load(TensorId tensor, std::vector<NodeId> args) {
  Node n{.op = Op::Load, .type = valueType(function.tensors[tensor].type), .args = std::move(args)};
  n.ref = tensor;
  return intern(std::move(n));
}

NodeId Builder::loadBare(TensorId tensor) {
  std::vector<NodeId> args;
  for (IndexId axis : function.tensors[tensor].axes) args.push_back(position(axis));
  return load(tensor, std::move(args));
}

NodeId Builder::state(uint32_t tag, unsigned number, std::vector<IndexId> axes, Type type) {
  Node n{.op = Op::State, .type = type, .indices = std::move(axes)};
  n.ref = tag;
  n.integer = number;
  return intern(std::move(n));
}

// --- elementwise ----------------------------------------------------------------------------------------------------

static int64_t floorDiv(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }
static bool fits(int64_t v) { return v >= INT32_MIN && v <= INT32_MAX; }

// The value of an integer operation, if it neither overflows nor is unknown.
static std::optional<int64_t> foldInteger(Op op, int64_t a, int64_t b) {
  int64_t v;
  switch (op) {
  case Op::Add: v = a + b; break;
  case Op::Sub: v = a - b; break;
  case Op::Mul: v = a * b; break;
  case Op::Div: v = b ? floorDiv(a, b) : 0; break;
  case Op::Mod: v = b ? a - b * floorDiv(a, b) : 0; break;
  case Op::Min: v = std::min(a, b); break;
  case Op::Max: v = std::max(a, b); break;
  default: return std::nullopt;
  }
  return fits(v) ? std::optional(v) : std::nullopt;
}

NodeId Builder::unary(Op op, NodeId a, Type type) {
  const Node &x = node(a);
  if (op == Op::Neg && x.op == Op::ConstF32) return real(-x.real);
  if (op == Op::Neg && x.op == Op::ConstI32 && fits(-x.integer)) return integer(-x.integer);
  if (op == Op::Neg && x.op == Op::Neg) return x.args[0];
  if (op == Op::Abs && x.op == Op::ConstI32 && fits(std::abs(x.integer))) return integer(std::abs(x.integer));
  return intern({.op = op, .type = type, .args = {a}});
}

NodeId Builder::binary(Op op, NodeId a, NodeId b) {
  const Node &x = node(a), &y = node(b);
  Type type = x.type;
  auto is = [](const Node &n, int64_t v) {
    return n.op == Op::ConstI32 ? n.integer == v : n.op == Op::ConstF32 && n.real == static_cast<double>(v) && !(v == 0 && std::signbit(n.real));
  };
  if (x.op == Op::ConstI32 && y.op == Op::ConstI32)
    if (auto v = foldInteger(op, x.integer, y.integer)) return integer(*v);
  if (op == Op::Mul && is(y, 1)) return a;
  if (op == Op::Mul && is(x, 1)) return b;
  if (op == Op::Div && is(y, 1)) return a;
  if (op == Op::Sub && is(y, 0)) return a;
  if (type == Type::I32) {
    if (op == Op::Add && is(y, 0)) return a;
    if (op == Op::Add && is(x, 0)) return b;
    if (op == Op::Mul && (is(x, 0) || is(y, 0))) return integer(0);
    if (op == Op::Sub && a == b) return integer(0);
  }
  if ((op == Op::Min || op == Op::Max) && a == b) return a;
  if (op == Op::And || op == Op::Or) {
    bool neutral = op == Op::And;
    if (x.op == Op::ConstBool) return (x.integer != 0) == neutral ? b : a;
    if (y.op == Op::ConstBool) return (y.integer != 0) == neutral ? a : b;
    if (a == b) return a;
  }
  return intern({.op = op, .type = type, .args = {a, b}});
}

NodeId Builder::compare(Op op, NodeId a, NodeId b) {
  const Node &x = node(a), &y = node(b);
  auto decide = [&](auto u, auto v) {
    switch (op) {
    case Op::Lt: return boolean(u < v);
    case Op::Le: return boolean(u <= v);
    case Op::Gt: return boolean(u > v);
    case Op::Ge: return boolean(u >= v);
    case Op::Eq: return boolean(u == v);
    default: return boolean(u != v);
    }
  };
  if ((x.op == Op::ConstI32 && y.op == Op::ConstI32) || (x.op == Op::ConstBool && y.op == Op::ConstBool)) return decide(x.integer, y.integer);
  if (x.op == Op::ConstF32 && y.op == Op::ConstF32) return decide(x.real, y.real);
  if (a == b && x.type != Type::F32) return decide(0, 0);
  return intern({.op = op, .type = Type::Bool, .args = {a, b}});
}

NodeId Builder::logicNot(NodeId a) {
  if (node(a).op == Op::ConstBool) return boolean(!node(a).integer);
  if (node(a).op == Op::Not) return node(a).args[0];
  return intern({.op = Op::Not, .type = Type::Bool, .args = {a}});
}

NodeId Builder::select(NodeId condition, NodeId then, NodeId otherwise) {
  if (node(condition).op == Op::ConstBool) return node(condition).integer ? then : otherwise;
  if (then == otherwise) return then;
  return intern({.op = Op::Select, .type = type(then), .args = {condition, then, otherwise}});
}

NodeId Builder::toF32(NodeId a) {
  if (type(a) == Type::F32) return a;
  if (node(a).op == Op::ConstI32 || node(a).op == Op::ConstBool) return real(static_cast<double>(node(a).integer));
  return intern({.op = Op::ToF32, .type = Type::F32, .args = {a}});
}

NodeId Builder::toI32(NodeId a) {
  if (type(a) == Type::I32) return a;
  if (node(a).op == Op::ConstBool) return integer(node(a).integer);
  return intern({.op = Op::ToI32, .type = Type::I32, .args = {a}});
}

NodeId Builder::reduce(Op op, std::vector<IndexId> indices, NodeId operand, std::vector<NodeId> masks) {
  masks = simplifyMasks(std::move(masks));
  operand = strip(operand, masks);
  std::sort(indices.begin(), indices.end());
  if (op == Op::Count && masks.empty() && node(operand).op == Op::ConstBool) {  // every point, or none
    NodeId points = integer(node(operand).integer);
    for (IndexId index : indices) points = binary(Op::Mul, points, extent(index));
    return points;
  }
  bool boolean = op == Op::Any || op == Op::All;
  Type type = boolean ? Type::Bool : op == Op::Count || op == Op::ArgMax || op == Op::ArgMin ? Type::I32 : this->type(operand);
  Node n{.op = op, .type = type, .args = {operand}, .indices = std::move(indices)};
  n.args.insert(n.args.end(), masks.begin(), masks.end());
  return intern(std::move(n));
}

NodeId Builder::random(Op op, std::vector<IndexId> indices, std::vector<NodeId> args, Type type) {
  Node n{.op = op, .type = type, .args = std::move(args), .indices = std::move(indices)};
  n.integer = freshTag();  // two draws are never one
  return intern(std::move(n));
}

// --- what is known about a node -------------------------------------------------------------------------------------

bool Builder::isFree(NodeId id, IndexId index) const {
  const auto &free = node(id).free;
  return std::binary_search(free.begin(), free.end(), index);
}

bool Builder::notNegative(NodeId id) const {
  const Node &n = node(id);
  switch (n.op) {
  case Op::ConstI32: return n.integer >= 0;
  case Op::Position:
  case Op::Extent: return true;
  case Op::Div:
  case Op::Min: return n.type == Type::I32 && notNegative(n.args[0]) && notNegative(n.args[1]);
  case Op::Mod: return notNegative(n.args[1]);
  case Op::Max: return notNegative(n.args[0]) || notNegative(n.args[1]);
  default: return false;  // sums and products may overflow
  }
}

bool Builder::inside(NodeId id, IndexId index) const {
  const Node &n = node(id);
  if (n.op == Op::Position) {
    if (sameExtent(n.ref, index)) return true;
    auto here = fixed(n.ref), there = fixed(index);
    return here && there && *here <= *there;
  }
  auto size = fixed(index);
  if (n.op == Op::ConstI32) return size && n.integer >= 0 && n.integer < *size;
  return false;
}

std::optional<int64_t> Builder::constant(NodeId id, unsigned depth) const {
  const Node &n = node(id);
  if (n.op == Op::ConstI32) return n.integer;
  if (n.op == Op::Extent) return fixed(n.ref);
  if (n.type != Type::I32 || !isElementwise(n.op) || depth > 100) return std::nullopt;
  if (n.args.size() == 1 && n.op == Op::Neg) {
    auto a = constant(n.args[0], depth + 1);
    return a && fits(-*a) ? std::optional(-*a) : std::nullopt;
  }
  if (n.args.size() != 2) return std::nullopt;
  auto a = constant(n.args[0], depth + 1), b = constant(n.args[1], depth + 1);
  return a && b ? foldInteger(n.op, *a, *b) : std::nullopt;
}

}  // namespace fovea
