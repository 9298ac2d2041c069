// Inside fovea-leaf: nests of loops for a GPU.
#ifndef FOVEA_LOWERING_HALIDE_NEST_H
#define FOVEA_LOWERING_HALIDE_NEST_H

#include "Halide.h"
#include "lowering/halide/NestSpec.h"

namespace fovea::leaf {

// The Halide target of `opencl` or `cuda`: device code inside code for any x86-64.
Halide::Target nestTarget(const std::string &name);
Halide::Module buildNest(const NestSpec &spec, const Halide::Target &target);

// MoveRows.cpp: functions of the devices' runtime for one target, fovea_move_rows_TARGET_SIZE for elements of 1 and 4 bytes.
Halide::Module buildMoveRows(const std::string &device);

}  // namespace fovea::leaf

#endif  // FOVEA_LOWERING_HALIDE_NEST_H
