#include "tools/tune/Space.h"

#include <fmt/format.h>

#include <algorithm>

namespace fovea::tune {
namespace {

// A few queries may read keys where they lie; beyond, packing them has paid long ago.
constexpr int64_t mostFew = 64;

// `first`, then the others that are allowed, each once.
template <typename Allowed>
std::vector<int64_t> sizes(int64_t first, std::vector<int64_t> others, Allowed allowed) {
  std::vector<int64_t> list{first};
  std::sort(others.begin(), others.end());
  for (int64_t n : others)
    if (allowed(n) && std::find(list.begin(), list.end(), n) == list.end()) list.push_back(n);
  return list;
}

Route route(Settings settings, std::string version, const Attend::Tiles &own, std::vector<int64_t> queries, const leaf::TargetInfo &target) {
  Route r{std::move(settings), std::move(version), {}, {}, {}};
  bool registers = r.version == "tiles";
  r.queries = sizes(own.queries, std::move(queries), [](int64_t n) { return n >= 1 && n <= 1024; });
  r.keys = sizes(own.keys, {own.panel, 64, 128, 256, 512}, [&](int64_t n) { return n % own.panel == 0; });
  r.panels = {own.panel};
  if (!registers) r.panels = sizes(own.panel, {target.lanes, 2 * target.lanes, target.columns / 2, target.columns, 2 * target.columns}, [&](int64_t n) { return n % target.lanes == 0 && own.keys % n == 0; });
  return r;
}

// The settings under which a version that runs at up to `rows` rows leaves out these ones.
void leaveOut(Settings &settings, const std::string &version, int64_t rows) {
  if (rows > 1) settings[version + ".rows"] = std::to_string(rows - 1);
  else settings[version] = "none";
}

}  // namespace

std::string words(const Settings &settings) {
  if (settings.empty()) return "as the compiler chooses";
  std::string text, version;
  for (bool nested : {false, true})
    for (const auto &[path, value] : settings) {
      size_t dot = path.find('.');
      if ((dot != std::string::npos) != nested) continue;
      std::string inside = nested ? path.substr(0, dot) : "";
      if (inside != version) text += (version.empty() ? "" : " }") + std::string(text.empty() ? "" : " ") + inside + " {";
      version = inside;
      text += fmt::format("{}{} = {};", text.empty() ? "" : " ", nested ? path.substr(dot + 1) : path, value);
    }
  return text + (version.empty() ? "" : " }");
}

Settings Route::with(const std::string &key, int64_t size) const {
  Settings changed = settings;
  const std::vector<int64_t> &all = key == "queries" ? queries : key == "keys" ? keys : panels;
  if (size != all.front()) changed[path(key)] = std::to_string(size);
  return changed;
}

std::vector<Route> routes(const Attend &attend, int64_t rows, const leaf::TargetInfo &target) {
  std::vector<Route> list;
  int64_t step = target.rows;
  std::vector<int64_t> many{step, 2 * step, 4 * step, 8 * step, 16 * step}, few{1, 2, 4, step, 8, 2 * step};
  if (!attend.hasRows) {
    Settings without;
    if (attend.grouped) list.push_back(route({}, "grouped", *attend.grouped, few, target)), without["grouped"] = "none";
    list.push_back(route(without, "", attend.many, {}, target));
    if (!attend.many.packed) without["key_layout"] = "packed", list.push_back(route(without, "", attend.many, {}, target));
    return list;
  }
  Settings without;  // what keeps the versions before this one from running
  auto version = [&](const std::string &name, const Attend::Tiles &tiles, int64_t most) {
    bool runs = rows < 0 || rows <= most;
    if (!runs && rows > mostFew) return;
    Settings settings = without;
    if (!runs) settings[name + ".rows"] = std::to_string(rows);
    list.push_back(route(settings, name, tiles, few, target));
    // The ways of heads that share keys: as rows, as rows over keys that are packed tile by tile, all their queries as lanes.
    if (name == "grouped" && rows >= 0) {
      const std::pair<const char *, const char *> none{"broadcast", "none"}, read{"unpacked", "none"}, packed{"unpacked", "0"}, lanes{"broadcast", "1"}, all{"broadcast_to", "none"};
      std::vector<std::vector<std::pair<const char *, const char *>>> ways{{none, read}, {none, packed}};
      if (attend.asked.lanes) ways.push_back({lanes, all});
      for (const auto &way : ways) {
        Settings changed = settings;
        for (const auto &[key, value] : way) changed[name + "." + key] = value;
        list.push_back(route(changed, name, tiles, few, target));
      }
    }
    if (runs && rows >= 0) leaveOut(without, name, rows);
  };
  if (attend.grouped) version("grouped", *attend.grouped, attend.groupedRows);
  if (attend.fewRows) version("few", attend.few, attend.fewRows);
  if (attend.registers) {
    Settings settings = without;
    if (attend.registersOffered) settings["tiles.queries"] = std::to_string(attend.registers->queries);
    else without["tiles"] = "none";
    list.push_back(route(settings, "tiles", *attend.registers, {32, 64, 128}, target));
  }
  list.push_back(route(without, "", attend.many, many, target));
  // What the compiler would take comes first.
  auto own = std::find_if(list.begin(), list.end(), [](const Route &r) { return r.settings.empty(); });
  if (own != list.end()) std::rotate(list.begin(), own, own + 1);
  return list;
}

std::optional<double> estimated(const Attend &attend, const cost::Shape &shape, const Settings &settings, const leaf::TargetInfo &target) {
  auto said = [&](const std::string &path, int64_t otherwise) {
    auto it = settings.find(path);
    return it == settings.end() ? otherwise : it->second == "none" ? 0 : std::stoll(it->second);
  };
  auto tile = [&](const std::string &version, const Attend::Tiles &own, cost::Layout layout) {
    return cost::Candidate{layout, int(said(version + "queries", own.queries)), int(said(version + "keys", own.keys)), int(said(version + "panel", own.panel))};
  };
  auto has = [&](const char *version, int64_t most) { return (!attend.hasRows || shape.rows <= said(version + std::string(".rows"), most)) && !settings.count(version); };
  using cost::Layout;
  cost::Candidate candidate;
  if (attend.grouped && has("grouped", attend.groupedRows)) {
    const int64_t queries = shape.rows * shape.heads, from = said("grouped.broadcast", attend.broadcast.value_or(0)), to = said("grouped.broadcast_to", attend.broadcastTo.value_or(0));
    auto unpacked = settings.find("grouped.unpacked");
    const bool packs = unpacked == settings.end() ? attend.unpacked.has_value() : unpacked->second != "none";
    const bool lanes = attend.hasRows && from && queries >= from && (!to || queries <= to);
    candidate = tile("grouped.", *attend.grouped, lanes ? Layout::Lanes : attend.hasRows && packs && shape.rows > said("grouped.unpacked", attend.unpacked.value_or(0)) ? Layout::Tile : Layout::Heads);
    if (lanes) candidate.queries = target.lanes;
  } else if (attend.fewRows && has("few", attend.fewRows)) {
    candidate = tile("few.", attend.few, Layout::Rows);
  } else {
    if (attend.registers && !settings.count("tiles") && (!attend.registersOffered || settings.count("tiles.queries"))) return {};
    auto layout = settings.find("key_layout");
    candidate = tile("", attend.many, (layout == settings.end() ? attend.many.packed : layout->second == "packed") ? Layout::Packed : Layout::Rows);
  }
  return cost::estimate(target, shape, candidate).total();
}

}  // namespace fovea::tune
