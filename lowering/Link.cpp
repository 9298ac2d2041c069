#include "lowering/Link.h"

#include "lowering/host/Object.h"
#include "lowering/host/Process.h"
#include "runtime/support/File.h"

namespace fovea {
namespace {

// Calls `use` with the files of all parts.
template <typename F>
bool withParts(const Compiled &compiled, Timing *timing, std::string &error, F use) {
  TemporaryFolder scratch;
  if (scratch.path().empty()) return error = "cannot make a temporary folder", false;
  std::vector<std::string> parts;
  for (const std::string &code : compiled.code) {
    parts.push_back(scratch.path() + "/host" + std::to_string(parts.size()) + ".o");
    if (!writeFileAtomically(parts.back(), code, error)) return false;
  }
  Timing::Phase making(timing, "leaves");
  LeafTimes times;
  if (!compiled.leaves->finish(parts, times, error)) return false;
  if (timing) timing->leaves = times;
  making.end();
  Timing::Phase linking(timing, "link");
  std::string runtime = kernelRuntimeObject(error);
  if (runtime.empty()) return false;
  parts.push_back(runtime);
  if (compiled.onDevice) {
    std::string device = deviceRuntimeObject(error);
    if (device.empty()) return false;
    parts.push_back(device);
  }
  return use(parts);
}

}  // namespace

bool linkObject(const Compiled &compiled, const std::vector<std::string> &publicNames, const std::string &outPath, std::string &error, Timing *timing) {
  return withParts(compiled, timing, error, [&](const std::vector<std::string> &parts) { return seal(parts, publicNames, outPath, error); });
}

bool linkShared(const Compiled &compiled, const std::string &outPath, std::string &error, Timing *timing) {
  return withParts(compiled, timing, error, [&](const std::vector<std::string> &parts) {
    std::vector<std::string> command{"ld", "-shared", "-o", outPath};
    command.insert(command.end(), parts.begin(), parts.end());
    ProcessResult linked = runProcess(command);
    if (!linked.good()) return error = linked.complaint(), false;
    return true;
  });
}

}  // namespace fovea
