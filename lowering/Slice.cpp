#include "lowering/Slice.h"

#include "mlir/IR/Operation.h"
#include "llvm/ADT/SmallPtrSet.h"

using namespace mlir;

namespace fovea {

// `ends`: nothing is looked for behind the value.
static void walkBehind(Value value, Block *block, llvm::function_ref<bool(Value)> ends) {
  SmallVector<Value> work{value};
  llvm::SmallPtrSet<Value, 16> seen{value};
  while (!work.empty()) {
    Value v = work.pop_back_val();
    if (ends(v)) continue;
    Operation *def = v.getDefiningOp();
    if (!def || def->getBlock() != block) continue;
    for (Value operand : def->getOperands())
      if (seen.insert(operand).second) work.push_back(operand);
  }
}

bool anyBehind(Value value, Block *block, llvm::function_ref<bool(Value)> which) {
  bool found = false;
  walkBehind(value, block, [&](Value v) { return found = found || which(v); });
  return found;
}

SmallVector<Operation *> sliceOf(Value value, Block *block, llvm::function_ref<bool(Value)> known) {
  llvm::SmallPtrSet<Operation *, 16> ops;
  walkBehind(value, block, [&](Value v) {
    if (known && known(v)) return true;
    if (Operation *def = v.getDefiningOp(); def && def->getBlock() == block) ops.insert(def);
    return false;
  });
  SmallVector<Operation *> slice(ops.begin(), ops.end());
  llvm::sort(slice, [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
  return slice;
}

}  // namespace fovea
