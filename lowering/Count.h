// Counters of target host-count: how many points each reduction visits that runs under a mask, counted where its loops are made.
#ifndef FOVEA_LOWERING_COUNT_H
#define FOVEA_LOWERING_COUNT_H

#include "dialect/Mark.h"
#include "lowering/Decisions.h"
#include "lowering/Support.h"

#include "mlir/IR/Builders.h"

#include <optional>

namespace fovea {

// What is counted of a reduction. Rows are the outer points that it runs at, so rows times the extents of its indices is what it would
// visit without masks. Tiles are those of fused attention: all there are, and the ones that were computed.
enum class Count { Points, Rows, Tiles, Full, Partial };

// An op that is marked as a reduction, in a module that is compiled for counting.
class Counting {
 public:
  static std::optional<Counting> of(mlir::Operation *op);
  bool masked() const;
  void add(mlir::OpBuilder &b, mlir::Location loc, Count what, mlir::Value amount);  // an index
  // What a condition became for the reduction's index number `k`.
  void note(mlir::Location condition, unsigned k, const Became &what);

 private:
  mlir::ModuleOp module;
  mlir::FileLineColLoc place;
  mlir::DictionaryAttr mark;
};

// After the schedules are made, respectively after the loops.
void collectAttends(mlir::ModuleOp module, Decisions &out);
void collectCounts(mlir::ModuleOp module, Decisions &out);

// In the LLVM dialect: the table that the counters are in (runtime/include/fovea/counts.h), and its entry into the program's list.
void addCounterTable(mlir::ModuleOp module);

}  // namespace fovea

#endif  // FOVEA_LOWERING_COUNT_H
