#include "dialect/Mark.h"

#include "mlir/IR/Builders.h"

using namespace mlir;

namespace fovea {

static constexpr const char *countingName = "attn.counting", *markName = "attn.reduction";

void countIn(ModuleOp module) { module->setAttr(countingName, UnitAttr::get(module.getContext())); }

bool isCounting(Operation *op) {
  auto module = dyn_cast<ModuleOp>(op);
  if (!module) module = op->getParentOfType<ModuleOp>();
  return module && module->hasAttr(countingName);
}

void setMark(Operation *op, const Mark &mark) {
  if (!isCounting(op)) return;
  Builder b(op->getContext());
  op->setAttr(markName, b.getDictionaryAttr({b.getNamedAttr("node", b.getI64IntegerAttr(mark.node)), b.getNamedAttr("text", b.getStringAttr(mark.text)), b.getNamedAttr("over", b.getDenseI64ArrayAttr(mark.over)),
                                             b.getNamedAttr("masks", b.getDenseI64ArrayAttr(mark.masks)), b.getNamedAttr("masked", b.getBoolAttr(mark.masked))}));
}

void copyMark(Operation *from, Operation *to) {
  if (DictionaryAttr mark = markOf(from)) to->setAttr(markName, mark);
}

DictionaryAttr markOf(Operation *op) { return op->getAttrOfType<DictionaryAttr>(markName); }

}  // namespace fovea
