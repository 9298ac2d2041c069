// Moving parts of core graphs between functions.
#ifndef FOVEA_LOWERING_STAGE_GRAPH_H
#define FOVEA_LOWERING_STAGE_GRAPH_H

#include "frontend/Core.h"

#include <map>

namespace fovea {

// Copies nodes of one function into another. Indices and tensors that are not given in the maps are copied too.
class GraphCopy {
 public:
  GraphCopy(const core::Function &from, core::Function &to) : from(from), to(to) {}

  std::map<core::IndexId, core::IndexId> indices;
  std::map<core::TensorId, core::TensorId> tensors;
  // Tensors of `from` that stand for a value of `to`: a Load of one becomes the value, read at the subscripts.
  std::map<core::TensorId, core::Result> values;

  core::NodeId node(core::NodeId n);
  core::IndexId index(core::IndexId i);

 private:
  core::NodeId valueOf(const core::Result &result, const core::Node &load);

  const core::Function &from;
  core::Function &to;
  std::map<core::NodeId, core::NodeId> done;
  std::map<uint32_t, uint32_t> loops, tags;
};

// Adds a node with its free indices computed from its arguments.
core::NodeId addPosition(core::Function &f, core::IndexId index);

// Renumbers a function's nodes so that arguments come before users, and drops those that nothing uses.
void tidy(core::Function &f);

}  // namespace fovea

#endif  // FOVEA_LOWERING_STAGE_GRAPH_H
