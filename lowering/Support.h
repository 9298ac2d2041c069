// What a mask says about the positions of one index (rule M5): inequalities solved for the position, as bounds of its loop.
#ifndef FOVEA_LOWERING_SUPPORT_H
#define FOVEA_LOWERING_SUPPORT_H

#include "mlir/IR/Builders.h"

namespace fovea {

// How the mask of an op is seen from where its bounds are wanted.
struct MaskView {
  virtual ~MaskView() = default;
  virtual bool isPosition(mlir::Value v) = 0;         // the index itself, as index or i32
  virtual bool dependsOn(mlir::Value v) = 0;          // on the index
  virtual mlir::Value outside(mlir::Value v) = 0;     // a value that does not depend on it, computed here; null if it cannot be yet
};

struct Support {
  mlir::Value low, high;  // low <= high
  bool exact;             // the mask holds at every position between them, too
};

// The range of positions within 0 .. extent outside of which `keep` is false. A condition that bounds nothing is left to the test at each
// point, which stays unless the support is exact: bounds may be generous.
Support supportOf(MaskView &mask, mlir::OpBuilder &b, mlir::Location loc, mlir::Value keep, mlir::Value extent);

}  // namespace fovea

#endif  // FOVEA_LOWERING_SUPPORT_H
