// How a nest is laid out on a device's threads. Knows neither MLIR nor Halide; throws nothing.
#ifndef FOVEA_LOWERING_HALIDE_NESTPLAN_H
#define FOVEA_LOWERING_HALIDE_NESTPLAN_H

#include "lowering/halide/NestSpec.h"

namespace fovea::leaf {

// A step of a contraction's body that reads tensors and is not computed anew for each point of a tile.
struct TilePart {
  int step = 0;
  bool reduced = false;      // on a reduced loop: in shared memory, for some reduced steps at a time; else in a thread's registers
  bool down = false, across = false;  // on loops along rows, along columns; what is reduced depends on one of them at most
};

// The parts of a nest with tiles. `zeros`: where all that is reduced is 0, a reduced step changes nothing (but the sign of a zero), so that steps beyond
// the last one do no harm.
struct TileParts {
  std::vector<TilePart> parts;
  bool zeros = false;
};
TileParts tileParts(const NestSpec &spec);

// How an output is folded: `added` is the step whose value joins what has been folded, which it does not depend on. Visited: it is true after any step.
enum class Fold : uint8_t { Sum, Product, Maximum, Minimum, All, Any, Visited };
struct Folded {
  Fold fold{};
  int added = 0;
};
// Of each output; nothing where one is folded in another way.
std::optional<std::vector<Folded>> foldsOf(const NestSpec &spec);

// A nest as its threads compute it, and another one for where `loops` run at most `most` times together.
struct NestPlan {
  NestSpec usual;
  std::optional<NestSpec> small;
  std::vector<int> loops;
  int64_t most = 0;
};

// A plan for a nest whose loops run `extents` times (-1: known only when it runs):
//   tiles   where there are two tensors of which each depends on parallel loops that the other does not; small where there are few rows. A point's
//           reduced steps are taken in order in both.
//   groups  where several threads can fold a point together: 32 side by side where tensors lie along the reduced loops, else 8; small where there are few
//           reduced steps, unless it is `exact`: then how a point is summed does not depend on them.
//   as it is  otherwise.
NestPlan planNest(const NestSpec &spec, const std::vector<int64_t> &extents, bool exact);

}  // namespace fovea::leaf

#endif  // FOVEA_LOWERING_HALIDE_NESTPLAN_H
