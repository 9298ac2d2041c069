#ifndef FOVEA_LOWERING_HALIDE_TARGETNEEDS_H
#define FOVEA_LOWERING_HALIDE_TARGETNEEDS_H

#include "lowering/halide/LeafSpec.h"

namespace fovea::leaf {

// Whether a CPU with these flags (as /proc/cpuinfo names them) has all that the target needs.
bool runsOn(const TargetInfo &target, const std::vector<std::string> &flags);

}  // namespace fovea::leaf

#endif  // FOVEA_LOWERING_HALIDE_TARGETNEEDS_H
