#include "tools/Devices.h"

#include "lowering/halide/TargetNeeds.h"
#include "lowering/host/Process.h"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fstream>
#include <sched.h>
#include <stdexcept>
#include <unistd.h>

namespace fovea {
namespace {

using Json = nlohmann::ordered_json;

// A library that is there or not. What it lacks is an exception.
class Library {
 public:
  explicit Library(const std::vector<const char *> &names) {
    for (const char *name : names)
      if (!handle) handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!handle) throw std::runtime_error(fmt::format("there is no {}", names.back()));
  }

  template <typename Function>
  Function *get(const char *name) const {
    void *at = dlsym(handle, name);
    if (!at) throw std::runtime_error(fmt::format("the driver has no {}", name));
    return reinterpret_cast<Function *>(at);
  }

 private:
  void *handle = nullptr;  // stays loaded: drivers have threads
};

// The number that HL_GPU_DEVICE holds, or -1: the device with most units, the last of equals. As Halide's runtime chooses (halide_get_gpu_device).
int chosenDevice(const std::vector<int64_t> &units) {
  const char *wanted = std::getenv("HL_GPU_DEVICE");
  const int number = wanted ? std::atoi(wanted) : -1;
  if (number != -1) return number >= 0 && size_t(number) < units.size() ? number : -1;
  int best = -1;
  for (size_t k = 0; k < units.size(); k++)
    if (best < 0 || units[k] >= units[best]) best = int(k);
  return best;
}

// ---- OpenCL, as of its 1.2 specification

class OpenCL {
 public:
  using Id = void *;
  Json list() const {
    uint32_t count = 0;
    int status = platformIds(0, nullptr, &count);
    if (status == -1001 || (!status && !count)) throw std::runtime_error("the loader lists no platform");  // CL_PLATFORM_NOT_FOUND_KHR
    std::vector<Id> platforms(count);
    if (!status) status = platformIds(count, platforms.data(), nullptr);
    if (status) throw std::runtime_error(fmt::format("clGetPlatformIDs fails with {}", status));
    Json list = Json::array();
    const char *name = std::getenv("HL_OCL_PLATFORM_NAME");
    bool found = false;
    for (size_t k = 0; k < platforms.size(); k++) {
      Json entry{{"name", text(platformInfo, platforms[k], 0x0902)}, {"version", text(platformInfo, platforms[k], 0x0901)}};
      // Halide's runtime looks at four.
      const bool used = !found && k < 4 && (!name || entry["name"].get<std::string>().find(name) != std::string::npos);
      found |= used;
      entry["devices"] = devices(platforms[k], used);
      list.push_back(entry);
    }
    return {{"platforms", list}};
  }

 private:
  using Info = int(Id, uint32_t, size_t, void *, size_t *);
  Library library{{"libOpenCL.so", "libOpenCL.so.1"}};
  int (*platformIds)(uint32_t, Id *, uint32_t *) = library.get<int(uint32_t, Id *, uint32_t *)>("clGetPlatformIDs");
  Info *platformInfo = library.get<Info>("clGetPlatformInfo"), *deviceInfo = library.get<Info>("clGetDeviceInfo");
  int (*deviceIds)(Id, uint64_t, uint32_t, Id *, uint32_t *) = library.get<int(Id, uint64_t, uint32_t, Id *, uint32_t *)>("clGetDeviceIDs");

  static std::string text(Info *info, Id of, uint32_t what) {
    size_t size = 0;
    if (info(of, what, 0, nullptr, &size) || !size) return "";
    std::string value(size, '\0');
    if (info(of, what, size, value.data(), nullptr)) return "";
    value.resize(std::strlen(value.c_str()));
    value.erase(value.find_last_not_of(' ') + 1);
    return value;
  }

  template <typename T>
  T number(Id device, uint32_t what) const {
    T value = 0;
    return deviceInfo(device, what, sizeof value, &value, nullptr) ? T(0) : value;
  }

  // The types that HL_OCL_DEVICE_TYPE names.
  static uint64_t wantedTypes() {
    static const std::pair<const char *, uint64_t> types[] = {{"cpu", 2}, {"gpu", 4}, {"acc", 8}};
    const char *names = std::getenv("HL_OCL_DEVICE_TYPE");
    uint64_t wanted = 0;
    for (auto [name, bit] : types)
      if (names && std::strstr(names, name)) wanted |= bit;
    return wanted ? wanted : 0xFFFFFFFF;
  }

  Json devices(Id platform, bool used) const {
    uint32_t count = 0;
    if (deviceIds(platform, 0xFFFFFFFF, 0, nullptr, &count)) count = 0;
    std::vector<Id> ids(count);
    if (count && deviceIds(platform, 0xFFFFFFFF, count, ids.data(), nullptr)) ids.clear();
    std::vector<int64_t> units;  // of those that may be chosen
    std::vector<size_t> among;
    for (size_t k = 0; k < ids.size(); k++)
      if (number<uint64_t>(ids[k], 0x1000) & wantedTypes()) among.push_back(k), units.push_back(number<uint32_t>(ids[k], 0x1002));
    const int chosen = used ? chosenDevice(units) : -1;
    Json list = Json::array();
    for (size_t k = 0; k < ids.size(); k++) {
      const uint64_t type = number<uint64_t>(ids[k], 0x1000);
      list.push_back({{"name", text(deviceInfo, ids[k], 0x102B)},
                      {"type", type & 4 ? "gpu" : type & 2 ? "cpu" : type & 8 ? "accelerator" : "other"},
                      {"compute_units", number<uint32_t>(ids[k], 0x1002)},
                      {"memory_bytes", number<uint64_t>(ids[k], 0x101F)},
                      {"local_memory_bytes", number<uint64_t>(ids[k], 0x1023)},
                      {"version", text(deviceInfo, ids[k], 0x102F)},
                      {"driver", text(deviceInfo, ids[k], 0x102D)},
                      {"used", chosen >= 0 && among[chosen] == k}});
    }
    return list;
  }
};

// ---- CUDA's driver

class Cuda {
 public:
  Json list() const {
    int version = 0, count = 0;
    must(library.get<int(unsigned)>("cuInit")(0), "cuInit");
    must(library.get<int(int *)>("cuDriverGetVersion")(&version), "cuDriverGetVersion");
    must(library.get<int(int *)>("cuDeviceGetCount")(&count), "cuDeviceGetCount");
    if (count < 1) throw std::runtime_error("the driver lists no device");
    std::vector<int64_t> units;
    Json devices = Json::array();
    for (int n = 0; n < count; n++) {
      int device = 0;
      size_t bytes = 0;
      char name[256] = "";
      must(library.get<int(int *, int)>("cuDeviceGet")(&device, n), "cuDeviceGet");
      must(library.get<int(char *, int, int)>("cuDeviceGetName")(name, sizeof name - 1, device), "cuDeviceGetName");
      must(library.get<int(size_t *, int)>("cuDeviceTotalMem_v2")(&bytes, device), "cuDeviceTotalMem");
      units.push_back(attribute(device, 16));
      devices.push_back({{"name", name}, {"compute_units", units.back()}, {"memory_bytes", bytes}, {"local_memory_bytes", attribute(device, 8)},
                         {"capability", fmt::format("{}.{}", attribute(device, 75), attribute(device, 76))}, {"used", false}});
    }
    if (int chosen = chosenDevice(units); chosen >= 0) devices[chosen]["used"] = true;
    return {{"driver", fmt::format("{}.{}", version / 1000, version % 1000 / 10)}, {"devices", devices}};
  }

 private:
  Library library{{"libcuda.so", "libcuda.so.1"}};

  static void must(int status, const char *what) {
    if (status) throw std::runtime_error(fmt::format("{} fails with {}", what, status));
  }

  int attribute(int device, int which) const {
    int value = 0;
    must(library.get<int(int *, int, int)>("cuDeviceGetAttribute")(&value, which, device), "cuDeviceGetAttribute");
    return value;
  }
};

// What the drivers of one interface say, asked in this process: one line on what was standard output. Drivers that write there write to standard error.
int probe(const std::string &interface) {
  const int out = dup(STDOUT_FILENO);
  dup2(STDERR_FILENO, STDOUT_FILENO);
  Json answer;
  try {
    answer = interface == "opencl" ? OpenCL().list() : Cuda().list();
  } catch (const std::exception &e) {
    answer = {{"error", e.what()}};
  }
  const std::string line = answer.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  const bool written = write(out, line.data(), line.size()) == ssize_t(line.size());
  _exit(written ? 0 : 1);  // drivers may fail at their end
}

Json ask(const std::string &interface) {
  ProcessLimits limits;
  limits.time = std::chrono::seconds(60);
  ProcessResult result = runProcess({"/proc/self/exe", "devices", "--probe=" + interface}, {}, limits);
  Json answer = Json::parse(result.good() ? result.out : "", nullptr, false);
  if (answer.is_object()) return answer;
  return {{"error", result.signal ? fmt::format("a driver died of signal {}", result.signal) : fmt::format("the drivers do not answer: {}", result.complaint())}};
}

// ---- the CPU

Json cpu() {
  std::ifstream info("/proc/cpuinfo");
  std::string line, name = "unknown";
  while (std::getline(info, line))
    if (line.rfind("model name", 0) == 0) {
      name = line.substr(std::min(line.size(), line.find(':') + 2));
      break;
    }
  cpu_set_t set;
  const int processors = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  const std::vector<std::string> features = leaf::hostFeatures();
  const leaf::TargetInfo *best = leaf::bestTarget(features);
  Json targets = Json::array();
  for (const leaf::TargetInfo &target : leaf::targets())
    if (leaf::runsOn(target, features)) targets.push_back(target.name);
  return {{"name", name}, {"compute_units", processors}, {"memory_bytes", uint64_t(sysconf(_SC_PHYS_PAGES)) * uint64_t(sysconf(_SC_PAGE_SIZE))}, {"host", best ? Json(best->name) : Json()}, {"targets", targets}};
}

// ---- in words

std::string word(const Json &of, const char *key) { return of.value(key, ""); }

std::string size(const Json &of) { return fmt::format("{:.1f} GiB", double(of.value("memory_bytes", uint64_t(0))) / double(1 << 30)); }

void printDevices(const Json &devices) {
  for (size_t n = 0; n < devices.size(); n++) {
    const Json &d = devices[n];
    std::string details = d.contains("capability") ? ", capability " + word(d, "capability") : fmt::format(", {}, driver {}", word(d, "version"), word(d, "driver"));
    if (d.contains("type")) details = ", " + word(d, "type") + details;
    fmt::print("  {} {}: {}, {} compute units, {}, {} KiB local{}\n", d.value("used", false) ? '*' : ' ', n, word(d, "name"), d.value("compute_units", 0), size(d),
               d.value("local_memory_bytes", uint64_t(0)) / 1024, details);
  }
}

void print(const Json &all) {
  const Json &processor = all["cpu"], &opencl = all["opencl"], &cuda = all["cuda"];
  fmt::print("cpu: {}, {} processors, {}\n  runs", word(processor, "name"), processor.value("compute_units", 0), size(processor));
  for (const Json &target : processor["targets"]) fmt::print(" {}{}", target.get<std::string>(), target == processor["host"] ? " (host)" : "");
  fmt::print("{}\n", processor["targets"].empty() ? " no target" : "");
  if (opencl.contains("error")) fmt::print("opencl: none: {}\n", word(opencl, "error"));
  else
    for (const Json &platform : opencl["platforms"]) {
      fmt::print("opencl: {}, {}\n", word(platform, "name"), word(platform, "version"));
      printDevices(platform["devices"]);
    }
  if (cuda.contains("error")) fmt::print("cuda: none: {}\n", word(cuda, "error"));
  else {
    fmt::print("cuda: driver for CUDA {}\n", word(cuda, "driver"));
    printDevices(cuda["devices"]);
  }
  if (opencl.contains("error") && cuda.contains("error")) return;
  fmt::print("* is what a kernel runs on: of the first platform, the device with most compute units. HL_OCL_PLATFORM_NAME (a part of its name), HL_OCL_DEVICE_TYPE (cpu, gpu,\n"
             "acc) and HL_GPU_DEVICE (the number of a device, of that type) choose another.\n");
}

}  // namespace

int listDevices(const DevicesOptions &options) {
  if (!options.probe.empty()) return probe(options.probe);
  const Json all{{"cpu", cpu()}, {"opencl", ask("opencl")}, {"cuda", ask("cuda")}};
  if (options.json) fmt::print("{}\n", all.dump(2, ' ', false, Json::error_handler_t::replace));
  else print(all);
  return 0;
}

}  // namespace fovea
