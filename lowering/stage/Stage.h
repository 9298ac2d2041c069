// Stages of a model: what is computed at load, at encode and at each step. The user never writes this.
//
// A value of `step` that reads weights alone moves to `load`; one that reads weights and what encode took or gave moves to `encode`
// (the keys and values of cross-attention, `U h_j` of additive scores). Contractions and loops move; an elementwise value moves with
// them only if it is no larger than what it reads. The result of a move is a new result of the earlier stage and a new tensor of the
// later one. Works on core: knows no MLIR.
#ifndef FOVEA_LOWERING_STAGE_STAGE_H
#define FOVEA_LOWERING_STAGE_STAGE_H

#include "frontend/Core.h"

#include <string>
#include <vector>

namespace fovea {

// An argument of a stage's function, in order; the program's table is made from these (docs/program-table.md).
struct StageSlot {
  std::string what, name;
  core::Type type{};
  std::vector<std::string> shape;
};

struct Stage {
  std::string name;                 // "load", "encode", "step"
  core::Function function;
  std::vector<StageSlot> slots;     // the function's arguments: parameters, the map if there is one, results
};

// A value that moved, for `explain`.
struct Moved {
  core::Place place;
  std::string name, from, to;
  std::vector<std::string> axes;
};

struct StagedModel {
  std::vector<Stage> stages;        // load (if anything moved there), encode, step
  std::vector<Moved> moved;
  std::vector<core::Tensor> parameters;  // encode's tensors, weights as the stages want them laid
};

StagedModel stageModel(const core::Model &model);

}  // namespace fovea

#endif  // FOVEA_LOWERING_STAGE_STAGE_H
