#include "lowering/Slice.h"

#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/SetVector.h"

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

Value cloneBehind(OpBuilder &b, Value value, Block *block, llvm::function_ref<Value(Value)> here) {
  IRMapping mapping;
  llvm::SmallSetVector<Operation *, 16> found;
  walkBehind(value, block, [&](Value v) {
    if (Value known = here(v)) return mapping.map(v, known), true;
    if (Operation *def = v.getDefiningOp(); def && def->getBlock() == block) found.insert(def);
    return false;
  });
  SmallVector<Operation *> slice = found.takeVector();
  llvm::sort(slice, [](Operation *x, Operation *y) { return x->isBeforeInBlock(y); });
  for (Operation *op : slice) b.clone(*op, mapping);
  return mapping.lookupOrDefault(value);
}

}  // namespace fovea
