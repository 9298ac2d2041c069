#include "lowering/DeviceCode.h"

#include "lowering/halide/NestSpec.h"
#include "lowering/host/LeafCache.h"
#include "lowering/host/Object.h"

namespace fovea {

bool deviceCode(const std::vector<std::string> &nests, std::string &text, std::string &error, Timing *timing) {
  Timing::Phase phase(timing, "device code");
  if (nests.empty()) return true;
  const std::string program = ownProgram("fovea-leaf", error);
  if (program.empty()) return false;
  LeafCache cache(program, "device");
  const std::vector<std::string> sources = cache.texts(nests, error);
  if (sources.empty()) return false;
  for (size_t k = 0; k < nests.size(); k++) {
    std::optional<leaf::NestSpec> spec = leaf::nestFromJson(nests[k], error);
    if (!spec) return false;
    text += "// " + spec->name + "\n" + sources[k] + (sources[k].empty() || sources[k].back() != '\n' ? "\n" : "");
  }
  return true;
}

}  // namespace fovea
