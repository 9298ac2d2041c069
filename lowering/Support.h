// What a mask says about the positions of one index (rule M5): inequalities solved for the position, as bounds of its loop.
#ifndef FOVEA_LOWERING_SUPPORT_H
#define FOVEA_LOWERING_SUPPORT_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/AffineMap.h"
#include "mlir/IR/Builders.h"

#include <optional>

namespace fovea {

// What a condition of a mask became for one index.
struct Became {
  bool lower = false, upper = false;  // it bounds the index's loop
  bool searched = false;              // for the elements of a sorted tensor
  int64_t step = 1;                   // of that loop
  bool tested = false;                // at each position visited, too
};

// How the mask of an op is seen from where its bounds are wanted.
struct MaskView {
  virtual ~MaskView() = default;
  virtual bool isPosition(mlir::Value v) = 0;         // the index itself, as index or i32
  virtual bool dependsOn(mlir::Value v) = 0;          // on the index
  virtual mlir::Value outside(mlir::Value v) = 0;     // a value that does not depend on it, computed here; null if it cannot be yet
  virtual bool isSorted(mlir::Value v) = 0;           // an operand's element at the position, which does not decrease along the index
  virtual bool isAvailable(mlir::Value v) = 0;        // all but the position that a value depends on is known here
  virtual mlir::Value at(mlir::Value v, mlir::Value position) = 0;  // such a value, computed with the index at `position`
  virtual bool holds(mlir::Value) { return false; }   // a condition that bounds of loops around see to
  virtual mlir::Value guess() { return {}; }          // memref<index>: where a search ended the last time; null: it is the only one
  virtual void became(mlir::Value, const Became &) {} // told of each condition of the mask
};

// Whether a buffer's elements do not decrease along its last axis: an argument declared `sorted` (attn.sorted), perhaps through views.
bool isSorted(mlir::Value buffer);
// Whether that is the order of a dimension: the last subscript of `map`, and no other one moves with it.
bool isSortedAlong(mlir::Value operand, mlir::AffineMap map, unsigned dim);

// A sum as coefficient * position + factor * a term that does not depend on it + ...
struct Linear {
  int64_t coefficient = 0;
  llvm::SmallVector<std::pair<int64_t, mlir::Value>> terms;

  bool add(MaskView &mask, mlir::Value v, int64_t factor);  // false if it is no such sum, or a long one

 private:
  unsigned looks = 0;
};

// The remainder of a sum by a constant, which is written as that of floor division: x - x / c * c.
struct Class {
  Linear form;
  int64_t by;
};
std::optional<Class> remainderOf(MaskView &mask, mlir::Value v);
// What `compare` finds equal to a value that does not depend on the position, if that is a remainder.
std::optional<Class> classOf(MaskView &mask, mlir::arith::CmpIOp compare);

struct Support {
  mlir::Value low, high;               // low <= high
  bool exact;                          // the mask holds at every position visited, too
  int64_t step = 1;                    // visited are low, low + step, ...
  llvm::SmallVector<mlir::Value> held; // conditions of the mask that hold at every position visited
};

// The range of positions within 0 .. extent outside of which `keep` is false. A condition that bounds nothing is left to the test at each
// point, which stays unless the support is exact: bounds may be generous.
// `steps`: a condition on the remainder of the position may become a step.
Support supportOf(MaskView &mask, mlir::OpBuilder &b, mlir::Location loc, mlir::Value keep, mlir::Value extent, bool steps = false);

// The step that the mask leaves; 1 where it leaves none.
int64_t stepOf(MaskView &mask, mlir::Value keep);

}  // namespace fovea

#endif  // FOVEA_LOWERING_SUPPORT_H
