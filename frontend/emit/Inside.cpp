// Which reads are surely inside a tensor (rule E6): sums of positions and extents, bounded by what positions and extents are, by what is
// checked on entry, and by masks. A sum is right modulo 2^32, so one that is proven to lie within an extent is computed as it is.
#include "frontend/Walk.h"
#include "frontend/emit/Emitter.h"

#include <map>

namespace fovea::emitter {
namespace {

// constant + factor * atom + ...: atoms are nodes; positions and extents stand for all nodes that say the same.
struct Sum {
  int64_t constant = 0;
  std::map<NodeId, int64_t> factors;

  void add(const Sum &other, int64_t times) {
    constant += other.constant * times;
    for (auto [atom, factor] : other.factors)
      if ((factors[atom] += factor * times) == 0) factors.erase(atom);
  }
  bool isSmall() const {
    constexpr int64_t most = int64_t(1) << 40;
    return std::abs(constant) < most && llvm::all_of(factors, [&](const auto &f) { return std::abs(f.second) < most; });
  }
};

struct Prover {
  const core::Function &f;
  std::vector<Sum> facts = {};  // each is at least 0
  unsigned steps = 0;
  std::map<NodeId, std::optional<Sum>> sums = {};  // of nodes that were read
  struct Range {
    bool exact;
    int64_t low, high;
  };
  std::map<NodeId, Range> ranges = {};

  static constexpr unsigned mostSteps = 4000, mostDepth = 12;

  // An extent by the first of equal ones, or by what defines it.
  Sum extent(IndexId index, unsigned depth) {
    NodeId atom = core::none;
    for (IndexId i = 0; i < f.indices.size(); i++) {
      if (i != index && f.indices[i].extentClass != f.indices[index].extentClass) continue;
      if (f.indices[i].fixed) return {*f.indices[i].fixed, {}};
      if (f.indices[i].extent != core::none && depth < 4)
        if (auto sum = read(f.indices[i].extent, depth + 1)) return *sum;
      if (atom == core::none) atom = extentAtom + i;
    }
    return {0, {{atom, 1}}};
  }

  // Atoms beyond the nodes: the extent and the position of an index.
  static constexpr NodeId extentAtom = 1u << 30, positionAtom = 1u << 31;

  std::optional<Sum> read(NodeId n, unsigned depth = 0) {
    if (auto it = sums.find(n); it != sums.end()) return it->second;
    auto sum = readNow(n, depth);
    sums[n] = sum;
    return sum;
  }

  std::optional<Sum> readNow(NodeId n, unsigned depth) {
    const Node &node = f.nodes[n];
    if (node.type != core::Type::I32) return {};
    auto combined = [&](int64_t times) -> std::optional<Sum> {
      auto left = read(node.args[0], depth), right = read(node.args[1], depth);
      if (!left || !right) return {};
      left->add(*right, times);
      return left->isSmall() ? left : std::nullopt;
    };
    switch (node.op) {
      case Op::ConstI32: return Sum{node.integer, {}};
      case Op::Position: return Sum{0, {{positionAtom + node.ref, 1}}};
      case Op::Extent: return extent(node.ref, depth);
      case Op::Add: return combined(1);
      case Op::Sub: return combined(-1);
      case Op::Mul:
        for (int side : {0, 1})
          if (const Node &by = f.nodes[node.args[side]]; by.op == Op::ConstI32) {
            auto sum = read(node.args[1 - side], depth);
            if (!sum) return {};
            Sum product;
            product.add(*sum, by.integer);
            return product.isSmall() ? std::optional(product) : std::nullopt;
          }
        [[fallthrough]];
      default: return Sum{0, {{n, 1}}};
    }
  }

  // The value of `n` is what its arithmetic says, without overflow.
  bool isExact(NodeId n, int64_t &low, int64_t &high) {
    auto it = ranges.find(n);
    if (it == ranges.end()) {
      Range range;
      range.exact = findRange(n, range.low, range.high);
      it = ranges.emplace(n, range).first;
    }
    low = it->second.low, high = it->second.high;
    return it->second.exact;
  }

  bool findRange(NodeId n, int64_t &low, int64_t &high) {
    constexpr int64_t least = std::numeric_limits<int32_t>::min(), most = std::numeric_limits<int32_t>::max();
    const Node &node = f.nodes[n];
    int64_t l1, h1, l2, h2;
    low = least, high = most;
    auto both = [&] { return isExact(node.args[0], l1, h1) && isExact(node.args[1], l2, h2); };
    switch (node.op) {
      case Op::ConstI32: low = high = node.integer; break;
      case Op::Position: low = 0, high = (f.indices[node.ref].fixed ? *f.indices[node.ref].fixed : f.indices[node.ref].bound.value_or(most)) - 1; break;
      case Op::Extent: low = 0, high = f.indices[node.ref].fixed ? *f.indices[node.ref].fixed : f.indices[node.ref].bound.value_or(most); break;
      case Op::Add: if (!both()) return false; low = l1 + l2, high = h1 + h2; break;
      case Op::Sub: if (!both()) return false; low = l1 - h2, high = h1 - l2; break;
      case Op::Mul: if (!both()) return false; low = std::min({l1 * l2, l1 * h2, h1 * l2, h1 * h2}), high = std::max({l1 * l2, l1 * h2, h1 * l2, h1 * h2}); break;
      case Op::Div: case Op::Mod: case Op::Min: case Op::Max: return both();
      case Op::Scalar: case Op::Load: break;
      default: return false;
    }
    return low >= least && high <= most;
  }

  // Comparisons that hold; what is checked on entry is computed in 64 bits.
  void learn(NodeId all, bool checked) {
    core::walkBehind(f, all, [&](NodeId, const Node &node) -> std::span<const NodeId> {
      if (node.op == Op::And) return node.args;
      return learn(node, checked), std::span<const NodeId>();
    });
  }

  void learn(const Node &node, bool checked) {
    if (node.op < Op::Lt || node.op > Op::Eq || f.nodes[node.args[0]].type != core::Type::I32) return;
    int64_t low, high;
    auto left = read(node.args[0]), right = read(node.args[1]);
    if (!left || !right || !(checked || (isExact(node.args[0], low, high) && isExact(node.args[1], low, high)))) return;
    auto fact = [&](const Sum &larger, const Sum &smaller, int64_t by) {
      Sum sum = larger;
      sum.add(smaller, -1);
      sum.constant -= by;
      if (!sum.factors.empty() && facts.size() < 32) facts.push_back(sum);
    };
    if (node.op == Op::Lt || node.op == Op::Le || node.op == Op::Eq) fact(*right, *left, node.op == Op::Lt);
    if (node.op == Op::Gt || node.op == Op::Ge || node.op == Op::Eq) fact(*left, *right, node.op == Op::Gt);
  }

  // Whether a sum is at least 0.
  bool holds(const Sum &sum, unsigned depth = 0, size_t from = 0) {
    if (++steps > mostSteps || depth > mostDepth || !sum.isSmall()) return false;
    if (replaced(sum, depth, from)) return true;
    if (depth >= 2) return false;
    for (size_t k = from; k < facts.size(); k++) {
      Sum less = sum;
      less.add(facts[k], -1);
      if (holds(less, depth + 1, k + 1)) return true;
    }
    return false;
  }

  // Every atom but extents by what it is at least or at most.
  bool replaced(const Sum &sum, unsigned depth, size_t from) {
    if (++steps > mostSteps || depth > mostDepth || !sum.isSmall()) return false;
    for (auto [atom, factor] : sum.factors) {
      if (atom >= extentAtom && atom < positionAtom) continue;
      Sum rest = sum;
      rest.factors.erase(atom);
      if (atom >= positionAtom) {
        if (factor < 0) rest.add(extent(atom - positionAtom, 0), factor), rest.constant -= factor;
        return replaced(rest, depth + 1, from);
      }
      const Node &node = f.nodes[atom];
      int64_t low, high;
      switch (node.op) {
        case Op::Div: case Op::Mod: {
          const Node &by = f.nodes[node.args[1]];
          if (by.op != Op::ConstI32 || by.integer <= 0) return false;
          if (node.op == Op::Mod) {
            if (factor < 0) rest.constant += factor * (by.integer - 1);
            return replaced(rest, depth + 1, from);
          }
          auto x = read(node.args[0]);
          if (!x || !isExact(node.args[0], low, high)) return false;
          if (factor > 0 && replaced(*x, depth + 1, from) && replaced(rest, depth + 1, from)) return true;
          // c * (x / c) is x or up to c - 1 less; and what is more than -1 is at least 0.
          Sum scaled;
          scaled.add(rest, by.integer);
          scaled.add(*x, factor);
          scaled.constant += by.integer - 1;
          if (factor > 0) scaled.constant -= factor * (by.integer - 1);
          return replaced(scaled, depth + 1, from);
        }
        case Op::Min: case Op::Max: {
          bool any = (node.op == Op::Min) == (factor < 0);  // either one is a bound; else both must do
          bool all = true;
          for (NodeId a : node.args) {
            auto x = read(a);
            Sum with = rest;
            if (x) with.add(*x, factor);
            bool done = x && isExact(a, low, high) && replaced(with, depth + 1, from);
            if (done && any) return true;
            all &= done;
          }
          return !any && all;
        }
        default: return false;
      }
    }
    return sum.constant >= 0 && llvm::all_of(sum.factors, [](const auto &f) { return f.second >= 0; });
  }
};

}  // namespace

bool Emitter::provenInside(NodeId sub, IndexId axis, const MaskSet &masks) {
  const core::Index &a = f.indices[axis];
  if (f.nodes[sub].op == Op::ConstI32) return a.fixed && f.nodes[sub].integer >= 0 && f.nodes[sub].integer < *a.fixed;
  if (f.nodes[sub].free.empty() && !a.fixed) return false;  // the axis may be empty, and no position says that it is not
  Prover prover{f};
  for (const core::Check &check : f.checks) prover.learn(check.condition, true);
  for (NodeId mask : masks) prover.learn(mask, false);
  for (IndexId i : f.nodes[sub].free) {  // an index that stands somewhere has a position
    Sum some = prover.extent(i, 0);
    some.constant -= 1;
    if (!some.factors.empty()) prover.facts.push_back(some);
  }
  auto sum = prover.read(sub);
  if (!sum) return false;
  Sum below = prover.extent(axis, 0);
  below.add(*sum, -1);
  below.constant -= 1;
  return prover.holds(*sum) && prover.holds(below);
}

}  // namespace fovea::emitter
