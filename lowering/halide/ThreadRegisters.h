// Inside fovea-leaf: what Halide's schedules cannot say of a nest in blocks, at the end of its lowering.
#ifndef FOVEA_LOWERING_HALIDE_THREADREGISTERS_H
#define FOVEA_LOWERING_HALIDE_THREADREGISTERS_H

#include "Halide.h"

#include <memory>
#include <set>
#include <string>

namespace fovea::leaf {

// A serial loop of a kernel that need not begin at 0 or go on to its end: `from` <= loop < `to`, over parameters, images and a variable `block` that
// stands for the loop over blocks.
struct BlockRange {
  std::string loop;      // how its name begins: "accumulator.s1."
  std::string block;
  Halide::Expr from, to;
};

// Gives each thread its own elements of the Funcs `held`, which Halide would let every thread hold whole, and bounds a loop (`range`; null: none).
std::unique_ptr<Halide::Internal::IRMutator> threadRegisters(std::set<std::string> held, const BlockRange *range);

}  // namespace fovea::leaf

#endif  // FOVEA_LOWERING_HALIDE_THREADREGISTERS_H
