// Builds a core::Function: equal expressions become one node, constants fold where the result is exact, and a value that is kept
// by masks (rule M3) loses them where a reduction or another Keep implies them.
#ifndef FOVEA_FRONTEND_BUILDER_H
#define FOVEA_FRONTEND_BUILDER_H

#include "frontend/Core.h"

#include <optional>
#include <unordered_map>
#include <utility>

namespace fovea {

class Builder {
public:
  using NodeId = core::NodeId;
  using IndexId = core::IndexId;
  // What an index becomes, for substitutions.
  using Substitution = std::vector<std::pair<IndexId, NodeId>>;

  core::Function function;
  core::Place place;  // given to new nodes

  // Indices. `same` says that two have equal extents.
  IndexId addIndex(core::Index index);
  IndexId root(IndexId index) const;
  void same(IndexId a, IndexId b);
  bool sameExtent(IndexId a, IndexId b) const { return root(a) == root(b); }
  std::optional<int64_t> fixed(IndexId index) const;  // of any index of its class

  // Leaves.
  NodeId real(double value);
  NodeId integer(int64_t value);
  NodeId boolean(bool value);
  NodeId position(IndexId index);
  NodeId extent(IndexId index);     // of the first index of its class, so that equal extents are one node
  NodeId rawExtent(IndexId index);  // of this very index
  NodeId scalar(core::ScalarId scalar, core::Type type);
  NodeId load(core::TensorId tensor, std::vector<NodeId> args);
  NodeId loadBare(core::TensorId tensor);  // at its own axes
  NodeId state(uint32_t tag, unsigned number, std::vector<IndexId> axes, core::Type type);

  // Elementwise. Arguments of binary and comparing ops have one type.
  NodeId unary(core::Op op, NodeId a, core::Type type);
  NodeId binary(core::Op op, NodeId a, NodeId b);
  NodeId compare(core::Op op, NodeId a, NodeId b);
  NodeId logicNot(NodeId a);
  NodeId select(NodeId condition, NodeId then, NodeId otherwise);
  NodeId toF32(NodeId a);
  NodeId toI32(NodeId a);
  NodeId keep(NodeId value, std::vector<NodeId> masks);

  // `masks` are those that apply (rule M2).
  NodeId reduce(core::Op op, std::vector<IndexId> indices, NodeId operand, std::vector<NodeId> masks);
  NodeId random(core::Op op, std::vector<IndexId> indices, std::vector<NodeId> args, core::Type type);
  // The value with indices replaced; 0 where a replacement lies outside (rules E5, E6).
  NodeId read(NodeId value, Substitution substitution);
  // Adds a loop, or finds an equal one; its results are made by `loopResult`.
  NodeId addLoop(core::Loop loop);
  NodeId loopResult(NodeId loop, unsigned number);

  const core::Node &node(NodeId id) const { return function.nodes[id]; }
  core::Type type(NodeId id) const { return node(id).type; }
  bool isFree(NodeId id, IndexId index) const;
  // Values of an i32 node known to lie within the extent of `index`, respectively known to be at least 0.
  bool inside(NodeId id, IndexId index) const;
  bool notNegative(NodeId id) const;
  // The value of an i32 node whose extents are fixed.
  std::optional<int64_t> constant(NodeId id, unsigned depth = 0) const;
  bool tooLarge() const { return function.nodes.size() > largest; }
  // A value that is computed from one that is computed from one, and so on, for longer than what walks over it has stack for.
  bool tooDeep() const { return depth > deepest; }

  // Drops nodes and loops that nothing uses and numbers extent classes.
  void finish();

private:
  struct Info {
    bool structural = false;  // elementwise over loads, reads, positions, scalars and states
    bool hasKeep = false;     // a Keep is reachable through elementwise nodes and reductions
    uint32_t weight = 1;      // size as a tree, bounded
    uint32_t depth = 1;       // as a tree
  };

  NodeId intern(core::Node node);
  NodeId replace(NodeId value, const Substitution &substitution);
  NodeId readNode(NodeId value, const Substitution &substitution);
  NodeId strip(NodeId value, const std::vector<NodeId> &masks);
  std::vector<NodeId> simplifyMasks(std::vector<NodeId> masks) const;
  bool equalLoops(const core::Loop &a, const core::Loop &b, unsigned depth);
  bool equalNodes(NodeId a, NodeId b, unsigned depth);

  static constexpr size_t largest = 300'000;
  static constexpr uint32_t deepest = 10'000;
  uint32_t depth = 0;  // of the deepest node

  std::vector<Info> infos;
  std::unordered_map<size_t, std::vector<NodeId>> table;
  std::vector<IndexId> parents;
  std::vector<std::pair<uint32_t, uint32_t>> equalTags;  // while comparing loops
  std::unordered_map<uint64_t, bool> compared;
  uint32_t nextTag = 0;

public:
  uint32_t freshTag() { return nextTag++; }
};

bool isElementwise(core::Op op);
bool isReduction(core::Op op);

}  // namespace fovea

#endif  // FOVEA_FRONTEND_BUILDER_H
