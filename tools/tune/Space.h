// The schedules that `fovea tune` tries for a fused attention.
#ifndef FOVEA_TOOLS_TUNE_SPACE_H
#define FOVEA_TOOLS_TUNE_SPACE_H

#include "frontend/Core.h"
#include "lowering/Decisions.h"
#include "lowering/halide/LeafSpec.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace fovea::tune {

// Settings by path, "queries" or "few.keys", in the order in which a program says them; only what differs from the compiler's choice.
using Settings = std::map<std::string, std::string>;

// "queries = 24; few { keys = 64; }"; nothing: "as the compiler chooses".
std::string words(const Settings &settings);

// One way to compute it: the settings that make a version run at these rows, that version's name ("" is the schedule itself), and the
// sizes that its tile may have, its own first.
struct Route {
  Settings settings;
  std::string version;
  std::vector<int64_t> queries, keys, panels;

  std::string path(const std::string &key) const { return version.empty() ? key : version + "." + key; }
  // This route with another size; the first one is the compiler's choice and is not said.
  Settings with(const std::string &key, int64_t size) const;
};

// The routes that are open to an attention of `rows` queries (-1: not known), the compiler's own first.
std::vector<Route> routes(const Attend &attend, int64_t rows, const leaf::TargetInfo &target);

// What a call of that shape is estimated to take under the settings, in cycles (lowering/Cost.h); nothing where AMX's tile registers compute it.
std::optional<double> estimated(const Attend &attend, const cost::Shape &shape, const Settings &settings, const leaf::TargetInfo &target);

}  // namespace fovea::tune

#endif  // FOVEA_TOOLS_TUNE_SPACE_H
