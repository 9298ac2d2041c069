#include "lowering/Specialise.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;

namespace fovea {

constexpr size_t mostVersions = 8;

static bool isListed(const core::Index &index) { return !index.choices.empty() && !index.fixed; }

// A parameter and its axis that has the extent of an index.
static std::optional<std::pair<unsigned, unsigned>> findAxis(const core::Function &kernel, core::IndexId index) {
  for (auto [number, p] : llvm::enumerate(kernel.parameters)) {
    if (p.scalar) continue;
    for (auto [axis, i] : llvm::enumerate(kernel.tensors[p.id].axes))
      if (i == index) return std::pair(unsigned(number), unsigned(axis));
  }
  return {};
}

std::vector<core::Function> specialised(const core::Function &kernel) {
  std::vector<core::Function> versions{kernel};
  for (core::IndexId i = 0; i < kernel.indices.size(); i++) {
    const core::Index &index = kernel.indices[i];
    if (!isListed(index)) continue;
    if (!findAxis(kernel, i)) return {};
    std::vector<core::Function> next;
    for (const core::Function &version : versions)
      for (int64_t extent : index.choices) {
        next.push_back(version);
        for (core::Index &other : next.back().indices)
          if (other.extentClass == index.extentClass) other.fixed = extent;
      }
    versions = std::move(next);
    if (versions.size() > mostVersions) return {};
  }
  return llvm::any_of(kernel.indices, isListed) ? versions : std::vector<core::Function>();
}

bool takesOtherExtents(const core::Function &kernel) {
  return llvm::any_of(kernel.indices, [](const core::Index &index) { return isListed(index) && !index.choicesOnly; });
}

func::FuncOp addDispatch(ModuleOp module, const core::Function &kernel, const std::vector<core::Function> &versions, ArrayRef<func::FuncOp> functions,
                         func::FuncOp any) {
  OpBuilder b(module.getContext());
  b.setInsertionPointToEnd(module.getBody());
  SmallVector<func::FuncOp> all(functions);
  if (any) all.push_back(any);
  Location loc = all[0].getLoc();
  // The entry's types know what all versions agree on.
  SmallVector<Type> types(all[0].getArgumentTypes());
  for (func::FuncOp version : all)
    for (auto [k, type] : llvm::enumerate(version.getArgumentTypes())) {
      auto memref = dyn_cast<MemRefType>(type);
      if (!memref) continue;
      SmallVector<int64_t> shape(cast<MemRefType>(types[k]).getShape());
      for (auto [known, extent] : llvm::zip(shape, memref.getShape()))
        if (known != extent) known = ShapedType::kDynamic;
      types[k] = MemRefType::get(shape, memref.getElementType(), memref.getLayout());
    }
  auto entry = func::FuncOp::create(b, loc, kernel.name, b.getFunctionType(types, {}));
  b.setInsertionPointToStart(entry.addEntryBlock());
  auto done = func::ReturnOp::create(b, loc);
  b.setInsertionPoint(done);
  auto call = [&](func::FuncOp version) {
    version.setPrivate();
    SmallVector<Value> arguments;
    for (auto [argument, type] : llvm::zip(entry.getArguments(), version.getArgumentTypes()))
      arguments.push_back(argument.getType() == type ? Value(argument) : Value(memref::CastOp::create(b, loc, type, argument)));
    func::CallOp::create(b, loc, version, arguments);
  };
  for (size_t k = 0; k < versions.size(); k++) {
    Value fits = arith::ConstantOp::create(b, loc, b.getBoolAttr(true));
    for (core::IndexId i = 0; i < kernel.indices.size(); i++) {
      if (!isListed(kernel.indices[i])) continue;
      auto [number, axis] = *findAxis(kernel, i);
      Value extent = memref::DimOp::create(b, loc, entry.getArgument(number), axis);
      Value wanted = arith::ConstantIndexOp::create(b, loc, *versions[k].indices[i].fixed);
      fits = arith::AndIOp::create(b, loc, fits, arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, extent, wanted));
    }
    bool last = k + 1 == versions.size() && !any;
    auto branch = scf::IfOp::create(b, loc, fits, /*withElse=*/!last);
    b.setInsertionPointToStart(branch.thenBlock());
    call(functions[k]);
    if (!last) b.setInsertionPointToStart(branch.elseBlock());
  }
  if (any) call(any);
  return entry;
}

}  // namespace fovea
