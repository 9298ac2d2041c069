#include "lowering/GivenSchedule.h"

#include "dialect/Attn.h"
#include "lowering/GroupHeads.h"
#include "lowering/TileProduct.h"

using namespace mlir;

namespace fovea {
namespace {

constexpr const char *attributeName = "attn.schedule";
constexpr StringRef versionNames[] = {"few", "grouped", "tiles"};
constexpr StringRef choiceNames[] = {"unpacked", "broadcast", "broadcast_to"};  // of `grouped`: a number or `none`

struct Setting {
  int64_t attend;
  StringRef version, key;
  Attribute value;  // a number or a word
  Location place;
};

// As giveSchedule writes it; a text of MLIR may say anything.
std::optional<Setting> read(Attribute attribute) {
  auto fields = dyn_cast<DictionaryAttr>(attribute);
  if (!fields) return {};
  auto attend = fields.getAs<IntegerAttr>("attend");
  auto version = fields.getAs<StringAttr>("version"), key = fields.getAs<StringAttr>("key");
  Attribute value = fields.get("value");
  auto place = dyn_cast_or_null<LocationAttr>(fields.get("place"));
  bool layout = key && key.getValue() == "key_layout", none = key && llvm::is_contained(versionNames, key.getValue());
  bool choice = key && llvm::is_contained(choiceNames, key.getValue()) && isa_and_nonnull<StringAttr>(value);
  if (!attend || !version || !key || !place || !value || (layout || none || choice ? !isa<StringAttr>(value) : !isa<IntegerAttr>(value))) return {};
  return Setting{attend.getInt(), version.getValue(), key.getValue(), value, Location(place)};
}

// Whether a schedule has what every schedule has.
bool isWhole(DictionaryAttr schedule) {
  return schedule.getAs<StringAttr>("key_layout") && llvm::all_of(ArrayRef<StringRef>{"queries", "keys", "panel"}, [&](StringRef name) { return schedule.getAs<IntegerAttr>(name); });
}

// One attn.attend and the settings that are meant for it.
class Given {
 public:
  Given(attn::AttendOp op, ArrayRef<Setting> settings, const leaf::TargetInfo &target)
      : op(op), settings(settings), target(target), entries(NamedAttrList(*op.getSchedule())), keysMayLieInRows(entries.get("few") || layout(*op.getSchedule()) == "rows") {}

  LogicalResult apply() {
    for (const Setting &s : settings)
      if (failed(s.version.empty() ? set(s) : setOfVersion(s))) return failure();
    DictionaryAttr schedule = entries.getDictionary(op.getContext());
    if (failed(check(schedule, ""))) return failure();
    for (StringRef version : versionNames)
      if (auto other = dyn_cast_or_null<DictionaryAttr>(schedule.get(version)))
        if (failed(check(other, version))) return failure();
    op.setScheduleAttr(schedule);
    return success();
  }

 private:
  static StringRef layout(DictionaryAttr schedule) { return cast<StringAttr>(schedule.get("key_layout")).getValue(); }
  static int64_t number(DictionaryAttr schedule, StringRef name) { return cast<IntegerAttr>(schedule.get(name)).getInt(); }

  LogicalResult set(const Setting &s) {
    if (llvm::is_contained(versionNames, s.key)) return entries.erase(s.key), success();  // none
    if (s.key == "key_layout" && cast<StringAttr>(s.value).getValue() == "rows" && !keysMayLieInRows)
      return emitError(s.place) << (op.getWeights() ? "keys are packed where the weights are a result" : "keys are packed where their innermost axis is not the one that is summed");
    return entries.set(s.key, s.value), success();
  }

  LogicalResult setOfVersion(const Setting &s) {
    auto version = dyn_cast_or_null<DictionaryAttr>(entries.get(s.version));
    if (!version) return emitError(s.place) << "this attention has no version `" << s.version << "` for target `" << target.name << "`";
    NamedAttrList changed(version);
    changed.erase("offered");
    if (StringRef(s.key).starts_with("broadcast") && isa<IntegerAttr>(s.value) && !queriesMayBeLanes(op, target))
      return emitError(s.place) << "the queries of this attention cannot be lanes for target `" << target.name << "`";
    if (isa_and_nonnull<StringAttr>(s.value)) changed.erase(s.key);
    else if (!s.key.empty()) changed.set(s.key, s.value);
    return entries.set(s.version, changed.getDictionary(op.getContext())), success();
  }

  // Whether a leaf of that shape can be.
  LogicalResult check(DictionaryAttr schedule, StringRef version) {
    leaf::LeafSpec spec;
    spec.kind = leaf::LeafSpec::AttendStepLeaf;
    spec.name = "leaf", spec.target = target.name;
    spec.attend.queries = number(schedule, "queries"), spec.attend.keys = number(schedule, "keys"), spec.attend.panel = number(schedule, "panel");
    spec.attend.score.op = "dot";
    std::string wrong = leaf::check(spec);
    if (wrong.empty() && layout(schedule) == "pairs")
      for (StringRef key : {"queries", "keys", "panel"})
        if (number(schedule, key) % tileBlock || (key == "panel" && number(schedule, key) != tileBlock))
          wrong = (Twine("`") + key + "` of `tiles` is " + (key == "panel" ? "" : "a multiple of ") + Twine(tileBlock)).str();
    if (wrong.empty()) return success();
    Location place = op.getLoc();
    for (const Setting &s : settings)
      if (s.version == version && StringRef(wrong).contains(s.key)) place = s.place;
    return emitError(place) << wrong << ", for target `" << target.name << "`";
  }

  attn::AttendOp op;
  ArrayRef<Setting> settings;
  const leaf::TargetInfo &target;
  NamedAttrList entries;
  bool keysMayLieInRows;
};

}  // namespace

void giveSchedule(func::FuncOp function, const core::Function &kernel, const std::vector<std::string> &files, StringRef target) {
  const core::Schedule *found = nullptr;
  for (const core::Schedule &s : kernel.schedules)
    if (s.target == target || (s.target == "cpu" && !found)) found = &s;
  if (!found) return;
  Builder b(function.getContext());
  SmallVector<Attribute> settings;
  for (bool ofOne : {false, true})  // what is said of one attention comes after what is said of all
    for (const core::Schedule::Setting &s : found->settings) {
      if ((s.attend > 0) != ofOne) continue;
      Attribute value = s.word.empty() ? Attribute(b.getI64IntegerAttr(s.number)) : b.getStringAttr(s.word);
      LocationAttr place = FileLineColLoc::get(b.getContext(), files[s.place.file], s.place.line, s.place.column);
      settings.push_back(b.getDictionaryAttr({b.getNamedAttr("attend", b.getI64IntegerAttr(s.attend)), b.getNamedAttr("version", b.getStringAttr(s.version)),
                                              b.getNamedAttr("key", b.getStringAttr(s.key)), b.getNamedAttr("value", value), b.getNamedAttr("place", place)}));
    }
  function->setAttr(attributeName, b.getArrayAttr(settings));
}

LogicalResult applyGivenSchedules(ModuleOp module, const leaf::TargetInfo &target) {
  for (func::FuncOp function : module.getOps<func::FuncOp>()) {
    auto given = function->getAttrOfType<ArrayAttr>(attributeName);
    if (!given) continue;
    function->removeAttr(attributeName);
    SmallVector<Setting> settings;
    for (Attribute setting : given) {
      std::optional<Setting> one = read(setting);
      if (!one) return function.emitError() << "`" << attributeName << "`: not a setting: " << setting;
      settings.push_back(*one);
    }
    SmallVector<attn::AttendOp> ops;
    function.walk([&](attn::AttendOp op) { ops.push_back(op); });
    for (attn::AttendOp op : ops)
      if (!isWhole(*op.getSchedule())) return op.emitError() << "the schedule lacks an entry";
    for (const Setting &s : settings)
      if (s.attend > int64_t(ops.size()) || ops.empty())
        return emitError(s.place) << "the kernel has " << ops.size() << " fused attention" << (ops.size() == 1 ? "" : "s") << (ops.empty() ? ", so there is nothing to schedule" : "");
    for (auto [k, op] : llvm::enumerate(ops)) {
      SmallVector<Setting> meant;
      for (const Setting &s : settings)
        if (!s.attend || s.attend == int64_t(k) + 1) meant.push_back(s);
      if (!meant.empty() && failed(Given(op, meant, target).apply())) return failure();
    }
  }
  return success();
}

}  // namespace fovea
