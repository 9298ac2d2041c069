// What the reductions of a kernel for target host-count visited.
#ifndef FOVEA_TOOLS_VISITS_H
#define FOVEA_TOOLS_VISITS_H

#include "lowering/Decisions.h"
#include "runtime/include/fovea/counts.h"

#include <cstdint>
#include <string>
#include <vector>

namespace fovea {

// The reductions of one place and name together: a normaliser may run over a row several times.
struct Visits {
  Counter counter;
  int64_t points = 0, total = 0;               // visited, and what would be without masks
  int64_t tiles = 0, full = 0, partial = 0;    // of fused attention

  std::string what() const;                    // "sum[j] at window.attn:9:7"
  std::string words() const;                   // "visited 8,256 of 16,384 points (50.4 %)"
};

// `counts` has one entry for each counter; `extents` are those of core's indices.
std::vector<Visits> visitsOf(const std::vector<Counter> &counters, const fovea_count *counts, const std::vector<int64_t> &extents);

// 16,777,216
std::string grouped(int64_t number);

// "12.5 %" of `total`.
std::string percentage(double part, double total);

}  // namespace fovea

#endif  // FOVEA_TOOLS_VISITS_H
