// What a reduction's support (attn.support) says about the bounds of one of its loops (rule M5).
#ifndef FOVEA_LOWERING_LOOPBOUNDS_H
#define FOVEA_LOWERING_LOOPBOUNDS_H

#include "lowering/LoopBody.h"

namespace fovea {

struct LoopRange {
  mlir::Value low, high;  // low <= high
};

// The range of positions along `dim` outside of which the support is false, given the loops that `body` has entered. A condition that
// bounds nothing is left to the test at each point, which stays in any case: bounds may be generous.
LoopRange supportRange(LoopBody &body, mlir::OpBuilder &b, mlir::Location loc, unsigned dim, mlir::Value extent);

}  // namespace fovea

#endif  // FOVEA_LOWERING_LOOPBOUNDS_H
