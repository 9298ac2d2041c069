// The body of a linalg op as straight code at one point of its loops, or at several neighbours along one dimension as vectors.
#ifndef FOVEA_LOWERING_LOOPBODY_H
#define FOVEA_LOWERING_LOOPBODY_H

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/SmallPtrSet.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/IRMapping.h"

namespace fovea {

class LoopBody {
 public:
  // `exactRows`: the same element must round the same wherever it stands (a model's stage), so nothing is contracted by chance;
  // `inOrder`: sums are taken in the order of their terms.
  LoopBody(mlir::linalg::LinalgOp op, mlir::OpBuilder &b, bool exactRows, bool inOrder);

  llvm::SmallVector<mlir::Value> positions;  // of the loops entered so far, by dimension; null: not entered

  // ---- at a point
  llvm::SmallVector<mlir::Value> loadOutputs();                                     // what the body starts from; null where it reads none
  llvm::SmallVector<mlir::Value> compute(mlir::ValueRange accumulators);            // what it yields
  void store(llvm::ArrayRef<mlir::Value> values);

  // Conditions that hold wherever the body is computed from now on, beside those of loops around; `release` forgets as many.
  void hold(llvm::ArrayRef<mlir::Value> conditions) { held.append(conditions.begin(), conditions.end()); }
  bool holds(mlir::Value condition) { return llvm::is_contained(held, condition); }
  void release(size_t count) { held.truncate(held.size() - count); }

  // Loads the operands that the loops not yet entered do not move along, for all that is computed from now on.
  void preload();

  // A value of the body computed here, before the loops not yet entered; null if it depends on them, or differs between lanes.
  mlir::Value outside(mlir::Value v);
  bool dependsOn(mlir::Value v, unsigned dim);
  // Whether a value, and all it depends on but `dim` (if given), can be computed here; and that, with `dim` at a position.
  bool isAvailable(mlir::Value v, std::optional<unsigned> dim);
  mlir::Value at(mlir::Value v, unsigned dim, mlir::Value position);
  // Whether a value is an element of a sorted tensor, in order along `dim`.
  bool isSorted(mlir::Value v, unsigned dim);

  // ---- at `lanes` neighbours along one dimension
  // Whether the body can be computed so: what it reads and writes lies along the dimension or does not move, and every operation on
  // it is elementwise. A reduced dimension needs a reduction that may be taken in any order.
  bool vectorises(unsigned dim, bool gathers);
  // From now on along `dim`; of `count` neighbours only the first `valid` exist when that is given.
  void vectors(unsigned dim, int64_t lanes, mlir::Value valid = {});
  void points() { lanes = 0, mask = {}; }
  // For a reduced dimension: lanes to start from, and the result of all lanes and `first`.
  llvm::SmallVector<mlir::Value> identity(llvm::ArrayRef<mlir::Value> first);
  llvm::SmallVector<mlir::Value> combine(llvm::ArrayRef<mlir::Value> a, llvm::ArrayRef<mlir::Value> b);
  llvm::SmallVector<mlir::Value> fold(llvm::ArrayRef<mlir::Value> accumulators, llvm::ArrayRef<mlir::Value> first);

  mlir::Block *block() { return body; }

 private:
  mlir::Value constant(int64_t v);
  mlir::Value load(mlir::OpOperand &operand);
  mlir::Value load(mlir::Value memref, mlir::ValueRange at, mlir::Value guard = {});
  llvm::SmallVector<mlir::Value> subscripts(mlir::AffineMap map);
  mlir::Value evaluate(mlir::AffineExpr e);
  bool moves(mlir::OpOperand &operand) { return lanes && op.getMatchingIndexingMap(&operand).isFunctionOfDim(along); }
  mlir::Value guarded(mlir::Value where, mlir::Value guard);
  mlir::Value gather(mlir::memref::LoadOp read, mlir::IRMapping &mapping);
  bool isZeroOutside(mlir::arith::SelectOp select);
  mlir::Value spread(mlir::Value scalar);
  void relax(mlir::Operation *copy, mlir::Operation &original);
  mlir::Operation *combiner(unsigned result);

  mlir::linalg::LinalgOp op;
  mlir::OpBuilder &b;
  mlir::Location loc;
  mlir::Block *body;
  bool exactRows, inOrder;
  llvm::DenseMap<mlir::OpOperand *, mlir::Value> loaded;
  llvm::SmallVector<mlir::Value> held;
  unsigned along = 0;
  int64_t lanes = 0;  // 0: at a point
  mlir::Value mask;   // of the lanes that exist; null: all
  llvm::SmallPtrSet<mlir::Value, 8> runs;  // positions of `along`, perhaps with something added: lane k is k more
  llvm::DenseMap<mlir::Value, mlir::Value> guards;  // runs that are positions only where a condition holds: a read elsewhere is not done
};

}  // namespace fovea

#endif  // FOVEA_LOWERING_LOOPBODY_H
