// Which operations are reductions of the program, for target host-count: the emitter marks them, and the passes that make their loops
// count what those visit (lowering/Count.h).
#ifndef FOVEA_DIALECT_MARK_H
#define FOVEA_DIALECT_MARK_H

#include "mlir/IR/BuiltinOps.h"

#include <string>

namespace fovea {

// Whether the module is compiled for counting; else nothing is marked.
void countIn(mlir::ModuleOp module);
bool isCounting(mlir::Operation *op);

// `over` are core's indices, in the order of the op's reduced dimensions. An empty text: what the masks become is told, nothing is
// counted. `masked`: under masks that the op's body need not show.
struct Mark {
  uint32_t node = 0;  // core's
  std::string text;   // "sum[j]"
  llvm::SmallVector<int64_t> over;
  llvm::SmallVector<int64_t> masks;  // core's nodes: what it runs under, and what holds wherever its value is used
  bool masked = false;
};
void setMark(mlir::Operation *op, const Mark &mark);
void copyMark(mlir::Operation *from, mlir::Operation *to);
mlir::DictionaryAttr markOf(mlir::Operation *op);  // node, text, over, masks, masked; null: none

}  // namespace fovea

#endif  // FOVEA_DIALECT_MARK_H
