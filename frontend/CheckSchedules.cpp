// Schedules (rule K10): names and values, as far as neither the target nor the kernel's code is needed.
#include "frontend/Check.h"
#include "frontend/NearMiss.h"

#include <algorithm>
#include <set>
#include <tuple>

namespace fovea {
namespace {

struct Number {
  std::string_view name;
  int64_t least, most;
  std::string_view version = {};  // the only one that has it, where it may be `none` too
};
struct Word {
  std::string_view name, value;
};
struct Version {
  std::string_view name;
  bool hasRows;
};
#define NUMBER(name, least, most) {#name, least, most},
#define WORD(name, value)
#define VERSION(name, hasRows)
#define CHOICE(version, name, least, most) {#name, least, most, #version},
const Number numbers[] = {
#include "frontend/schedule.def"
};
#define NUMBER(name, least, most)
#define WORD(name, value) {#name, #value},
#define VERSION(name, hasRows)
#define CHOICE(version, name, least, most)
const Word words[] = {
#include "frontend/schedule.def"
};
#define NUMBER(name, least, most)
#define WORD(name, value)
#define VERSION(name, hasRows) {#name, hasRows},
#define CHOICE(version, name, least, most)
const Version versions[] = {
#include "frontend/schedule.def"
};
const std::string_view targets[] = {"cpu",
#define LEAF_TARGET(name, halide, lanes, rows, columns, dots, needs) name,
#include "lowering/halide/Targets.def"
};

template <typename T, size_t N>
const T *find(const T (&table)[N], std::string_view name) {
  for (const T &row : table)
    if (row.name == name) return &row;
  return nullptr;
}

// "`a`, `b` or `c`"
std::string choice(const std::vector<std::string_view> &names) {
  std::string text;
  for (size_t k = 0; k < names.size(); ++k) text += (k == 0 ? "`" : k + 1 < names.size() ? ", `" : " or `") + std::string(names[k]) + "`";
  return text;
}

class ScheduleChecker {
public:
  ScheduleChecker(const ast::Schedule &schedule, Diagnostics &diagnostics) : schedule(schedule), diagnostics(diagnostics) {}

  void run() {
    for (const ast::Setting &s : schedule.settings) setting(s);
  }

private:
  void setting(const ast::Setting &s) {
    const Version *within = s.version ? find(versions, s.version->text()) : nullptr;
    if (s.version && !within) return unknown(*s.version, versionNames());
    if (s.block) return;
    const Version *version = within ? nullptr : find(versions, s.key.text());
    const Number *number = find(numbers, s.key.text());
    if (number && !number->version.empty() && (!within || within->name != number->version)) number = nullptr;
    std::vector<std::string_view> values;
    for (const Word &word : words)
      if (!within && word.name == s.key.text()) values.push_back(word.value);
    bool isRows = s.key.text() == "rows";
    if (isRows && !(within && within->hasRows)) return diagnostics.error(Diag::UnknownSetting, s.key.range, {s.key.text(), "; the number of rows chooses among versions, as in `few { rows = 4; }`"});
    if (!version && !number && values.empty()) return unknown(s.key, settingNames(within));
    if (!given.insert({s.attend, s.version ? s.version->symbol : nullptr, s.key.symbol}).second) return diagnostics.error(Diag::SettingTwice, s.key.range, {s.key.text()});
    if (version && !(s.word && *s.word == "none")) return diagnostics.error(Diag::SettingValue, s.value, {s.key.text(), "a block of settings, or `none`"});
    bool none = number && !number->version.empty() && s.word && *s.word == "none";
    if (number && !none && (s.word || s.number < number->least || s.number > number->most))
      return diagnostics.error(Diag::SettingValue, s.value,
                               {s.key.text(), "a number from " + std::to_string(number->least) + " to " + std::to_string(number->most) + (number->version.empty() ? "" : ", or `none`")});
    if (!values.empty() && !(s.word && std::find(values.begin(), values.end(), *s.word) != values.end())) return diagnostics.error(Diag::SettingValue, s.value, {s.key.text(), choice(values)});
  }

  void unknown(const ast::Name &name, const std::vector<std::string_view> &known) {
    std::string near = nearMiss(name.text(), known);
    diagnostics.error(Diag::UnknownSetting, name.range, {name.text(), near.empty() ? "; there are " + choice(known) : near});
  }

  static std::vector<std::string_view> versionNames() {
    std::vector<std::string_view> names;
    for (const Version &v : versions) names.push_back(v.name);
    return names;
  }

  static std::vector<std::string_view> settingNames(const Version *within) {
    std::vector<std::string_view> names;
    for (const Number &n : numbers)
      if ((n.name != "rows" || (within && within->hasRows)) && (n.version.empty() || (within && within->name == n.version))) names.push_back(n.name);
    if (within) return names;
    for (const Word &word : words)
      if (names.back() != word.name) names.push_back(word.name);
    for (std::string_view version : versionNames()) names.push_back(version);
    return names;
  }

  const ast::Schedule &schedule;
  Diagnostics &diagnostics;
  std::set<std::tuple<int64_t, Symbol, Symbol>> given;
};

}  // namespace

void checkSchedules(const ast::File &file, SourceManager &sources, Diagnostics &diagnostics) {
  for (size_t k = 0; k < file.schedules.size() && !diagnostics.full(); ++k) {
    const ast::Schedule &schedule = file.schedules[k];
    std::vector<std::string_view> kernels;
    bool known = false;
    for (const ast::Kernel *kernel : file.kernels) kernels.push_back(kernel->name.text()), known |= kernel->name.symbol == schedule.kernel.symbol;
    if (!known) diagnostics.error(Diag::UnknownKernel, schedule.kernel.range, {schedule.kernel.text(), nearMiss(schedule.kernel.text(), kernels)});
    std::string_view target = sources.text(schedule.target);
    std::vector<std::string_view> all(std::begin(targets), std::end(targets));
    if (std::find(all.begin(), all.end(), target) == all.end()) diagnostics.error(Diag::UnknownTarget, schedule.target, {target, "; there are " + choice(all)});
    for (size_t other = 0; other < k; ++other)
      if (file.schedules[other].kernel.symbol == schedule.kernel.symbol && sources.text(file.schedules[other].target) == target) {
        diagnostics.error(Diag::ScheduleTwice, schedule.kernel.range, {schedule.kernel.text(), target});
        diagnostics.note(Diag::FirstDefinition, file.schedules[other].kernel.range, {schedule.kernel.text()});
        break;
      }
    ScheduleChecker(schedule, diagnostics).run();
  }
}

std::vector<core::Schedule> schedulesOf(const ast::Kernel &kernel, const ast::File &file, const SourceManager &sources) {
  std::vector<core::Schedule> found;
  for (const ast::Schedule &schedule : file.schedules) {
    if (schedule.kernel.symbol != kernel.name.symbol) continue;
    core::Schedule out{std::string(sources.text(schedule.target)), sources.place(schedule.range), {}};
    for (const ast::Setting &s : schedule.settings)
      out.settings.push_back({s.attend, s.version ? s.version->text() : "", s.block ? "" : s.key.text(), s.word ? *s.word : "", s.number, sources.place(s.block ? s.key.range : s.value)});
    found.push_back(std::move(out));
  }
  return found;
}

}  // namespace fovea
