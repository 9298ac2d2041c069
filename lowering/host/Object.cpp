#include "lowering/host/Object.h"

#include "lowering/host/Process.h"
#include "runtime/support/File.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <unistd.h>

namespace fovea {
namespace {

constexpr const char *weakNames[] = {"fovea_last_error", "fovea_set_threads", "fovea_abi_version", "fovea_counts", "fovea_set_device_stream", "fovea_device_stream"};

// Runs a tool of binutils.
bool runTool(std::vector<std::string> args, std::string &error) {
  ProcessResult result = runProcess(args);
  if (result.good())
    return true;
  error = result.error.rfind("the program", 0) == 0
              ? fmt::format("{}: it is part of binutils, and must be on PATH", result.error)
              : fmt::format("`{}` failed: {}", args[0], result.complaint());
  return false;
}

std::filesystem::path programFolder() {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
}

bool linkParts(const std::vector<std::string> &objects, const std::string &to, std::string &error) {
  std::vector<std::string> args = {"ld", "-r", "--force-group-allocation", "-z", "noexecstack", "-o", to};
  // After "-o" so that a file named like an option stays a file.
  for (const std::string &object : objects)
    args.push_back(object.rfind('-', 0) == 0 ? "./" + object : object);
  return runTool(args, error);
}

}  // namespace

bool join(const std::vector<std::string> &objects, const std::string &outPath, std::string &error) {
  TemporaryFile joined(outPath);
  if (joined.path().empty()) {
    error = fmt::format("{}: cannot write: {}", outPath, std::strerror(errno));
    return false;
  }
  if (!linkParts(objects, joined.path(), error) || !renameInto(joined.path(), outPath, error))
    return false;
  joined.keep();
  return true;
}

bool seal(const std::vector<std::string> &objects, const std::vector<std::string> &publicNames, const std::string &outPath,
          std::string &error) {
  TemporaryFolder folder;
  TemporaryFile sealed(outPath);
  if (folder.path().empty() || sealed.path().empty()) {
    error = fmt::format("{}: cannot write: {}", outPath, std::strerror(errno));
    return false;
  }
  std::string joined = folder.path() + "/joined.o";
  if (!linkParts(objects, joined, error))
    return false;
  std::vector<std::string> args = {"objcopy", "--remove-section=.llvm_addrsig", "--remove-section=.comment"};
  for (const std::string &name : publicNames)
    args.push_back("--keep-global-symbol=" + name);
  for (const char *name : weakNames)
    args.push_back(fmt::format("--keep-global-symbol={}", name));
  args.push_back(joined);
  args.push_back(sealed.path());
  if (!runTool(args, error) || !renameInto(sealed.path(), outPath, error))
    return false;
  sealed.keep();
  return true;
}

// A part of every object: in lib beside the running program's folder, else where it was built.
static std::string runtimePart(const std::string &name, const char *built, std::string &error) {
  for (std::filesystem::path path : {programFolder() / "../lib" / name, std::filesystem::path(built)})
    if (access(path.c_str(), R_OK) == 0)
      return path.string();
  error = name + " is missing: it belongs into lib beside the folder of this program";
  return {};
}

std::string kernelRuntimeObject(std::string &error) { return runtimePart("fovea_kernel_runtime.o", FOVEA_KERNEL_RUNTIME_OBJECT, error); }
std::string deviceRuntimeObject(std::string &error) { return runtimePart("fovea_device_runtime.o", FOVEA_DEVICE_RUNTIME_OBJECT, error); }

std::string programLibrary(const std::string &name, std::string &error) {
  std::filesystem::path path = programFolder() / "../lib" / name;
  if (access(path.c_str(), R_OK) == 0)
    return path.string();
  error = name + " is missing: it belongs into lib beside the folder of this program";
  return {};
}

std::string ownProgram(const std::string &name, std::string &error) {
  std::filesystem::path beside = programFolder() / name;
  if (access(beside.c_str(), X_OK) == 0)
    return beside.string();
  if (std::optional<std::string> found = findProgram(name))
    return *found;
  error = fmt::format("the program `{}` is missing: it belongs beside `fovea`", name);
  return {};
}

}  // namespace fovea
