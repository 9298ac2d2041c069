// What a call of fused attention costs under a schedule, in cycles of one core: an analytic model over the target's row of lowering/halide/Targets.def, and the
// schedule that is cheapest by it. Plain numbers, without MLIR. It follows the leaves (halide/Attend.cpp, AttendLanes.cpp) and the loops around them (attend/): the
// micro-tiles they are made of, and the caches that keys and values come from. bench/schedules.py holds it against measurements.
#ifndef FOVEA_LOWERING_COST_H
#define FOVEA_LOWERING_COST_H

#include "lowering/halide/LeafSpec.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fovea::cost {

// One attention, and one call of it.
struct Shape {
  int64_t rows = 1, keys = 1;            // queries of a head, and keys
  int64_t features = 64, columns = 64;   // of queries and keys, and of values
  int64_t sets = 1, heads = 1;           // keys and values that a call visits one after the other; heads of queries that share one
  leaf::Type query = leaf::Type::F32, key = leaf::Type::F32, value = leaf::Type::F32;
  double scoreWork = 1, maskWork = 0;    // operations of a score and of its mask, beside the dot product and the softmax; a transcendental one counts as `transcendental`
  int64_t visited = 1;                   // keys that the mask keeps for a row
  bool moves = false;                    // they are others for each row, by one
  bool pointwise = false;                // weights are scores: no maximum, no exponential
  bool contiguous = true;                // keys' innermost axis is contracted
  double share = 1;                      // of what the third cache and memory give, for this core: others read too
};

// How keys lie, and what a tile's rows are.
enum class Layout : uint8_t {
  Packed,   // keys in panels, packed once a call; rows are queries of a head
  Rows,     // keys where they lie; rows are queries of a head
  Heads,    // the same; rows are the heads that share keys, query by query
  Tile,     // rows are heads; keys in panels, packed where a tile is visited
  Lanes,    // keys where they lie; all queries of the heads that share them are lanes
};
struct Candidate {
  Layout layout = Layout::Packed;
  int queries = 1, keys = 1, panel = 1;  // a tile's; of Lanes, queries are the target's lanes
};

// Cycles of a call.
struct Parts {
  double products = 0;  // multiplications at their peak
  double loads = 0;     // what the micro-kernels take beside them: loads, widening, sums that wait for each other, folds of lanes
  double scores = 0;    // score, mask, softmax
  double packing = 0;
  double state = 0;     // maxima, sums and accumulators, from tile to tile
  double starts = 0;    // of tiles and micro-tiles
  double waste = 0;     // rows and keys that are computed and masked, or do not exist
  double traffic = 0;   // waiting for caches and memory, beyond what the rest hides
  double total() const { return products + loads + scores + packing + state + starts + waste + traffic; }
  // The largest: "products", "scores", "packing", "memory", "tiles" or "masked ends".
  const char *bound() const;
};
Parts estimate(const leaf::TargetInfo &target, const Shape &shape, const Candidate &candidate);

// The version of an attention that runs at up to `rows` rows.
struct Version {
  Candidate tile;
  int64_t rows = 0;
};
struct Choice {
  Candidate many;
  std::optional<Version> few;               // Rows
  std::optional<Version> grouped;           // Heads, and in its place
  std::optional<int64_t> unpacked;          // Tile from this many rows + 1 on
  std::optional<int64_t> broadcast, broadcastTo;  // Lanes from so many queries of all heads on, up to so many
};

// What is asked of a schedule, as far as a program says it; extents that it does not say are -1.
struct Asked {
  int64_t features = -1, columns = -1;
  int64_t heads = 1;                        // that share keys
  leaf::Type query = leaf::Type::F32, key = leaf::Type::F32, value = leaf::Type::F32;
  double scoreWork = 1, maskWork = 0;
  bool masked = false, bothSides = false;   // the mask bounds the keys of a row, from both sides
  bool pointwise = false, contiguous = true;
  bool oneRow = false;                      // there is no axis of rows
  bool weights = false;                     // weights are a result: keys are packed
  bool lanes = false;                       // queries may be lanes
};
// The shape of a call; features and columns that are not known are assumed, and so is what a mask keeps.
Shape shapeOf(const Asked &asked, int64_t rows, int64_t keys, int64_t sets);
// The shape that a call of `rows` queries is assumed to have.
Shape assumed(const Asked &asked, int64_t rows);
Choice choose(const leaf::TargetInfo &target, const Asked &asked);

// "packed", "rows", "heads", "tile", "lanes"
const char *nameOf(Layout layout);
std::optional<Layout> layoutOf(std::string_view name);

// What an operation that is a polynomial or a gather counts as.
inline constexpr double transcendental = 12;

}  // namespace fovea::cost

#endif  // FOVEA_LOWERING_COST_H
