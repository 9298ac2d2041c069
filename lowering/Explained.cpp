#include "lowering/Explained.h"

#include "dialect/Attn.h"
#include "lowering/halide/NestSpec.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/LoopLikeInterface.h"

#include <map>

using namespace mlir;

namespace fovea {
namespace {

constexpr const char *explainedName = "attn.explain";

Where whereOf(Operation *op) {
  Where where{op->getParentOfType<func::FuncOp>().getName().str(), "", 0, 0};
  if (auto place = op->getLoc()->findInstanceOf<FileLineColLoc>()) where.file = place.getFilename().str(), where.line = place.getLine(), where.column = place.getColumn();
  return where;
}

bool inLoop(Operation *op) { return op->getParentOfType<LoopLikeOpInterface>() != nullptr; }

// A size as a product of numbers and axes of the function's arguments; false where it is computed otherwise.
bool factorsOf(Value size, Temporary &out) {
  if (auto cast = size.getDefiningOp<arith::IndexCastOp>()) return factorsOf(cast.getIn(), out);
  if (auto product = size.getDefiningOp<arith::MulIOp>()) return factorsOf(product.getLhs(), out) && factorsOf(product.getRhs(), out);
  llvm::APInt number;
  if (matchPattern(size, m_ConstantInt(&number))) return out.bytes *= number.getSExtValue(), true;
  auto extent = size.getDefiningOp<memref::DimOp>();
  if (!extent || !extent.getConstantIndex()) return false;
  auto argument = dyn_cast<BlockArgument>(extent.getSource());
  if (!argument || !isa<func::FuncOp>(argument.getOwner()->getParentOp())) return false;
  out.extents.emplace_back(argument.getArgNumber(), unsigned(*extent.getConstantIndex()));
  return true;
}

}  // namespace

void explain(ModuleOp module) { module->setAttr(explainedName, UnitAttr::get(module.getContext())); }
bool explains(Operation *op) { return op->getParentOfType<ModuleOp>()->hasAttr(explainedName); }

void collectUnfused(ModuleOp module, Decisions &out) {
  module.walk([&](Operation *op) {
    if (auto attend = dyn_cast<attn::AttendOp>(op); attend && !attend.getSchedule())
      out.unfused.push_back({whereOf(op), attend.getWeights() ? "its weights are a result too" : "its logsumexp, or the sum of its weights, is a result too"});
    else if (auto why = op->getAttrOfType<StringAttr>("attn.unfused")) out.unfused.push_back({whereOf(op), why.str()});
  });
}

void collectLaunches(ModuleOp module, Decisions &out) {
  std::map<std::string, leaf::NestSpec> nests;
  if (auto listed = module->getAttrOfType<ArrayAttr>("attn.leaves"))
    for (auto text : listed.getAsRange<StringAttr>()) {
      std::string error;
      if (auto spec = leaf::nestFromJson(text.str(), error)) nests[spec->name] = *spec;
    }
  module.walk([&](Operation *op) {
    if (auto call = dyn_cast<func::CallOp>(op); call && call.getCallee() == "fovea_rt_launch") {
      auto nameOf = [](Value function) {
        StringRef name = function.getDefiningOp<func::ConstantOp>().getValue();
        name.consume_back("_argv");
        return name.str();
      };
      Value function = call.getOperand(0);
      Launch launch{whereOf(op)};
      if (auto choice = function.getDefiningOp<arith::SelectOp>()) launch.fewer = nameOf(choice.getTrueValue()), function = choice.getFalseValue();
      launch.nest = nameOf(function), launch.looped = inLoop(op), launch.chosen = isa<scf::IfOp>(op->getParentOp());
      const leaf::NestSpec &spec = nests.at(launch.nest);
      launch.points = unsigned(spec.axes.size()), launch.reduced = unsigned(llvm::count(spec.reduced, true));
      if (const auto &a = spec.attend) launch.blocks = Launch::Blocks{a->queries, a->keys, a->columns, a->part >= 0};
      launch.merge = spec.merge.has_value();
      if (const auto &t = spec.tiles) launch.tile = Launch::Tile{t->rows, t->columns};
      if (const auto &g = spec.groups) launch.threads = g->threads;
      out.launches.push_back(std::move(launch));
    } else if (call && call.getCallee() == "fovea_rt_device_read") {
      out.hostReads.push_back(whereOf(op));
    } else if (auto alloc = dyn_cast<memref::AllocOp>(op)) {
      Temporary memory{whereOf(op), inLoop(op), std::max<int64_t>(1, alloc.getType().getElementTypeBitWidth() / 8), {}, true};
      for (int64_t extent : alloc.getType().getShape())
        if (!ShapedType::isDynamic(extent)) memory.bytes *= extent;
      for (Value size : alloc.getDynamicSizes()) memory.known &= factorsOf(size, memory);
      out.temporaries.push_back(std::move(memory));
    } else if (isa<LoopLikeOpInterface>(op)) {
      out.hostLoops.push_back(whereOf(op));
    }
  });
}

}  // namespace fovea
