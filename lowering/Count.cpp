#include "lowering/Count.h"

#include "lowering/CostOf.h"
#include "lowering/RuntimeCall.h"
#include "lowering/halide/LeafSpec.h"

#include "dialect/Attn.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;

namespace fovea {
namespace {

constexpr const char *countersName = "attn.counters", *fatesName = "attn.fates";

// The number of an entry in one of the module's lists, which gets it if it lacks it.
unsigned entered(ModuleOp module, StringRef list, Attribute entry) {
  SmallVector<Attribute> entries;
  if (auto known = module->getAttrOfType<ArrayAttr>(list)) entries.append(known.begin(), known.end());
  unsigned number = llvm::find(entries, entry) - entries.begin();
  if (number == entries.size()) {
    entries.push_back(entry);
    module->setAttr(list, ArrayAttr::get(module.getContext(), entries));
  }
  return number;
}

FileLineColLoc placeOf(Location loc) {
  if (auto place = loc->findInstanceOf<FileLineColLoc>()) return place;
  return FileLineColLoc::get(loc.getContext(), "-", 0, 0);
}

}  // namespace

std::optional<Counting> Counting::of(Operation *op) {
  DictionaryAttr mark = isCounting(op) ? markOf(op) : DictionaryAttr();
  if (!mark) return {};
  Counting counting;
  counting.module = op->getParentOfType<ModuleOp>();
  counting.place = placeOf(op->getLoc());
  counting.mark = mark;
  return counting;
}

bool Counting::masked() const { return cast<BoolAttr>(mark.get("masked")).getValue(); }

void Counting::add(OpBuilder &b, Location loc, Count what, Value amount) {
  if (cast<StringAttr>(mark.get("text")).empty()) return;
  unsigned number = entered(module, countersName, b.getDictionaryAttr({b.getNamedAttr("file", place.getFilename()), b.getNamedAttr("line", b.getI64IntegerAttr(place.getLine())),
                                                                       b.getNamedAttr("column", b.getI64IntegerAttr(place.getColumn())),
                                                                       b.getNamedAttr("node", mark.get("node")), b.getNamedAttr("text", mark.get("text")), b.getNamedAttr("over", mark.get("over")), b.getNamedAttr("masks", mark.get("masks"))}));
  Value arguments[] = {arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(number)), arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(int32_t(what))), amount};
  callRuntime(b, loc, "fovea_count", {}, arguments);
}

void Counting::note(Location condition, unsigned k, const Became &what) {
  ArrayRef<int64_t> over = cast<DenseI64ArrayAttr>(mark.get("over")).asArrayRef();
  FileLineColLoc at = placeOf(condition);
  if (k >= over.size()) return;
  Builder b(module.getContext());
  entered(module, fatesName, b.getArrayAttr({at.getFilename(), b.getDenseI64ArrayAttr({at.getLine(), at.getColumn(), over[k], what.lower, what.upper, what.searched, what.step, what.tested})}));
}

static std::vector<Counter> countersOf(ModuleOp module) {
  std::vector<Counter> counters;
  if (auto entries = module->getAttrOfType<ArrayAttr>(countersName))
    for (Attribute entry : entries) {
      auto fields = cast<DictionaryAttr>(entry);
      auto number = [&](StringRef name) { return uint32_t(cast<IntegerAttr>(fields.get(name)).getInt()); };
      Counter counter{cast<StringAttr>(fields.get("file")).str(), number("line"), number("column"), number("node"), cast<StringAttr>(fields.get("text")).str(), {}, {}};
      ArrayRef<int64_t> over = cast<DenseI64ArrayAttr>(fields.get("over")).asArrayRef();
      counter.indices.assign(over.begin(), over.end());
      for (int64_t mask : cast<DenseI64ArrayAttr>(fields.get("masks")).asArrayRef()) counter.masks.push_back(uint32_t(mask));
      counters.push_back(std::move(counter));
    }
  return counters;
}

static std::vector<Fate> fatesOf(ModuleOp module) {
  std::vector<Fate> fates;
  if (auto entries = module->getAttrOfType<ArrayAttr>(fatesName))
    for (Attribute entry : entries) {
      auto pair = cast<ArrayAttr>(entry);
      ArrayRef<int64_t> n = cast<DenseI64ArrayAttr>(pair[1]).asArrayRef();
      fates.push_back({cast<StringAttr>(pair[0]).str(), uint32_t(n[0]), uint32_t(n[1]), n[2], bool(n[3]), bool(n[4]), bool(n[5]), n[6], bool(n[7])});
    }
  return fates;
}

void collectCounts(ModuleOp module, Decisions &out) { out.counters = countersOf(module), out.fates = fatesOf(module); }

static std::vector<int64_t> reducedBy(DictionaryAttr mark) {
  ArrayRef<int64_t> over = mark ? cast<DenseI64ArrayAttr>(mark.get("over")).asArrayRef() : ArrayRef<int64_t>();
  return {over.begin(), over.end()};
}

static Attend::Tiles tilesOf(DictionaryAttr schedule) {
  auto number = [&](StringRef name) { return cast<IntegerAttr>(schedule.get(name)).getInt(); };
  std::string target = cast<StringAttr>(schedule.get("target")).str();
  const leaf::TargetInfo *info = leaf::findTarget(target);
  return {target, number("queries"), number("keys"), number("panel"), info ? info->lanes : 1, cast<StringAttr>(schedule.get("key_layout")).getValue() == "packed"};
}

// Where the extent of a dimension stands among the function's arguments.
static Attend::Axis axisOf(attn::AttendOp op, int64_t dimension) {
  if (dimension < 0) return {};
  AffineExpr row = getAffineDimExpr(dimension, op.getContext());
  for (unsigned k = 0; k < op->getNumOperands(); k++)
    for (auto [axis, e] : llvm::enumerate(op.getMap(k).getResults())) {
      if (e != row) continue;
      Value from = op->getOperand(k);
      if (auto tensor = from.getDefiningOp<bufferization::ToTensorOp>()) from = tensor.getBuffer();
      auto argument = dyn_cast<BlockArgument>(from);
      if (argument && isa<func::FuncOp>(argument.getOwner()->getParentOp())) return std::pair(argument.getArgNumber(), unsigned(axis));
    }
  return {};
}

void collectAttends(ModuleOp module, Decisions &out) {
  module.walk([&](attn::AttendOp op) {
    Attend attend;
    attend.function = op->getParentOfType<func::FuncOp>().getName().str();
    attend.indices = reducedBy(markOf(op));
    attend.pointwise = op.getPointwise(), attend.sinks = !op.getSinks().empty();
    if (auto schedule = op.getSchedule()) {
      attend.many = tilesOf(*schedule);
      if (auto few = dyn_cast_or_null<DictionaryAttr>(schedule->get("few"))) attend.few = tilesOf(few), attend.fewRows = cast<IntegerAttr>(few.get("rows")).getInt();
      if (auto grouped = dyn_cast_or_null<DictionaryAttr>(schedule->get("grouped"))) attend.grouped = tilesOf(grouped), attend.groupedRows = cast<IntegerAttr>(grouped.get("rows")).getInt();
      if (auto grouped = dyn_cast_or_null<DictionaryAttr>(schedule->get("grouped")))
        for (auto [name, place] : {std::pair{"unpacked", &attend.unpacked}, {"broadcast", &attend.broadcast}, {"broadcast_to", &attend.broadcastTo}})
          if (auto number = grouped.getAs<IntegerAttr>(name)) *place = number.getInt();
      if (auto tiles = dyn_cast_or_null<DictionaryAttr>(schedule->get("tiles"))) attend.registers = tilesOf(tiles), attend.registersOffered = tiles.contains("offered");
    }
    attend.hasRows = op.getDimension("row") >= 0;
    attend.rows = axisOf(op, op.getDimension("row")), attend.keys = axisOf(op, op.getDimension("key"));
    attend.features = axisOf(op, op.getDimension("contracted")), attend.columns = axisOf(op, op.getDimension("value"));
    for (auto [d, role] : llvm::enumerate(op.getRoles()))
      if (cast<StringAttr>(role).getValue() == "batch") attend.batch.push_back(axisOf(op, d));
    if (const leaf::TargetInfo *target = leaf::findTarget(attend.many.target)) attend.asked = askedOf(op, *target);
    out.attends.push_back(std::move(attend));
  });
  module.walk<WalkOrder::PreOrder>([&](scf::ForallOp loop) {
    RowLoop rows{loop->getParentOfType<func::FuncOp>().getName().str(), {}};
    loop->walk([&](Operation *op) {
      DictionaryAttr mark = markOf(op);
      if (mark && !cast<StringAttr>(mark.get("text")).empty()) rows.reductions.push_back({uint32_t(cast<IntegerAttr>(mark.get("node")).getInt()), reducedBy(mark)});
    });
    out.rowLoops.push_back(std::move(rows));
    return WalkResult::skip();
  });
}

void addCounterTable(ModuleOp module) {
  std::vector<Counter> counters = countersOf(module);
  OpBuilder b = OpBuilder::atBlockEnd(module.getBody());
  Location loc = b.getUnknownLoc();
  Type pointer = LLVM::LLVMPointerType::get(b.getContext()), i64 = b.getI64Type(), i32 = b.getI32Type();
  constexpr unsigned fields = unsigned(Count::Partial) + 1;
  SmallVector<Type> members{pointer, pointer};
  members.append(fields, i64);
  Type count = LLVM::LLVMStructType::getLiteral(b.getContext(), members), counts = LLVM::LLVMArrayType::get(count, counters.size());
  Type list = LLVM::LLVMStructType::getLiteral(b.getContext(), {pointer, i64, pointer});

  // A global with an initial value that `build` makes in its region.
  auto global = [&](StringRef name, Type type, LLVM::Linkage linkage, function_ref<Value(Value)> build) {
    auto op = LLVM::GlobalOp::create(b, loc, type, /*isConstant=*/false, linkage, name, Attribute());
    OpBuilder::InsertionGuard guard(b);
    b.createBlock(&op.getInitializerRegion());
    LLVM::ReturnOp::create(b, loc, build(LLVM::ZeroOp::create(b, loc, type)));
    return op;
  };
  unsigned texts = 0;
  auto text = [&](const std::string &value) {
    return LLVM::GlobalOp::create(b, loc, LLVM::LLVMArrayType::get(b.getI8Type(), value.size() + 1), true, LLVM::Linkage::Internal,
                                  "fovea.count.text" + std::to_string(texts++), b.getStringAttr(value + '\0'));
  };
  SmallVector<std::pair<LLVM::GlobalOp, LLVM::GlobalOp>> names;
  for (const Counter &c : counters) {
    LLVM::GlobalOp place = text(c.file + ":" + std::to_string(c.line) + ":" + std::to_string(c.column));
    names.push_back({place, text(c.text)});
  }
  LLVM::GlobalOp table = global("fovea.count.table", counts, LLVM::Linkage::Internal, [&](Value all) {
    for (auto [k, name] : llvm::enumerate(names)) {
      all = LLVM::InsertValueOp::create(b, loc, all, LLVM::AddressOfOp::create(b, loc, name.first), ArrayRef<int64_t>{int64_t(k), 0});
      all = LLVM::InsertValueOp::create(b, loc, all, LLVM::AddressOfOp::create(b, loc, name.second), ArrayRef<int64_t>{int64_t(k), 1});
    }
    return all;
  });
  LLVM::GlobalOp entry = global("fovea.count.list", list, LLVM::Linkage::Internal, [&](Value all) {
    all = LLVM::InsertValueOp::create(b, loc, all, LLVM::ConstantOp::create(b, loc, b.getI64IntegerAttr(counters.size())), ArrayRef<int64_t>{1});
    return Value(LLVM::InsertValueOp::create(b, loc, all, LLVM::AddressOfOp::create(b, loc, table), ArrayRef<int64_t>{2}));
  });
  LLVM::GlobalOp head = global("fovea_counts", pointer, LLVM::Linkage::Weak, [](Value null) { return null; });

  auto none = LLVM::LLVMVoidType::get(b.getContext());
  auto atLoad = [&](StringRef name, StringRef runtime) {
    auto called = LLVM::LLVMFuncOp::create(b, loc, runtime, LLVM::LLVMFunctionType::get(none, {pointer, pointer}));
    auto f = LLVM::LLVMFuncOp::create(b, loc, name, LLVM::LLVMFunctionType::get(none, {}), LLVM::Linkage::Internal);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(f.addEntryBlock(b));
    Value arguments[] = {LLVM::AddressOfOp::create(b, loc, head), LLVM::AddressOfOp::create(b, loc, entry)};
    LLVM::CallOp::create(b, loc, called, arguments);
    LLVM::ReturnOp::create(b, loc, ValueRange{});
    return b.getArrayAttr({FlatSymbolRefAttr::get(f)});
  };
  Attribute zero = LLVM::ZeroAttr::get(b.getContext());
  ArrayAttr enter = atLoad("fovea.count.enter", "fovea_rt_enter_counts"), leave = atLoad("fovea.count.leave", "fovea_rt_leave_counts");
  LLVM::GlobalCtorsOp::create(b, loc, enter, b.getI32ArrayAttr({65535}), b.getArrayAttr({zero}));
  LLVM::GlobalDtorsOp::create(b, loc, leave, b.getI32ArrayAttr({65535}), b.getArrayAttr({zero}));

  // fovea_count(number, what, amount), atomic for all threads.
  auto add = module.lookupSymbol<LLVM::LLVMFuncOp>("fovea_count");
  if (!add) return;
  add.setLinkage(LLVM::Linkage::Internal);
  b.setInsertionPointToStart(add.addEntryBlock(b));
  Value number = add.getArgument(0), what = LLVM::AddOp::create(b, loc, add.getArgument(1), LLVM::ConstantOp::create(b, loc, i32, b.getI32IntegerAttr(2)));
  // The fields of a count are all of eight bytes.
  Value at = LLVM::AddOp::create(b, loc, LLVM::MulOp::create(b, loc, number, LLVM::ConstantOp::create(b, loc, i32, b.getI32IntegerAttr(fields + 2))), what);
  Value place = LLVM::GEPOp::create(b, loc, pointer, i64, LLVM::AddressOfOp::create(b, loc, table), ArrayRef<LLVM::GEPArg>{at});
  LLVM::AtomicRMWOp::create(b, loc, LLVM::AtomicBinOp::add, place, add.getArgument(2), LLVM::AtomicOrdering::monotonic);
  LLVM::ReturnOp::create(b, loc, ValueRange{});
}

}  // namespace fovea
