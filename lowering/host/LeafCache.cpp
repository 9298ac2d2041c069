#include "lowering/host/LeafCache.h"

#include "lowering/host/Process.h"
#include "runtime/support/File.h"

#include <atomic>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <map>
#include <mutex>
#include <sched.h>
#include <thread>
#include <unistd.h>

namespace fovea {
namespace {

// Two rounds of a 64-bit multiply-and-fold hash with different seeds. It guards against accidents, not against forgers; a
// collision of keys is harmless, because an entry carries its spec.
uint64_t hash(std::string_view bytes, uint64_t seed) {
  auto fold = [](uint64_t a, uint64_t b) {
    unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  };
  uint64_t state = seed ^ bytes.size() * 0x9E3779B97F4A7C15u;
  for (size_t at = 0; at < bytes.size(); at += 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, std::min<size_t>(8, bytes.size() - at));
    state = fold(state ^ word ^ 0xA0761D6478BD642Fu, 0xE7037ED1A0B428DBu + at) + word * 0x8EBC6AF09C88C6E3u;
  }
  return fold(state ^ 0x589965CC75374CC3u, 0x1D8E4E27C47D124Fu);
}

std::string fingerprint(std::string_view bytes) { return fmt::format("{:016x}{:016x}", hash(bytes, 1), hash(bytes, 0x5DEECE66D)); }

// An entry is the object (linkers ignore what follows an ELF file's sections), then its spec, then this line's worth of facts.
constexpr std::string_view magic = "\nfovea leaf 1 ";
constexpr size_t trailerSize = magic.size() + 16 + 1 + 32 + 1;

std::string trailer(std::string_view object, std::string_view spec) {
  return fmt::format("{}{:016x} {}\n", magic, spec.size(), fingerprint(fmt::format("{}{}", object, spec)));
}

bool isIntact(const std::string &path, std::string_view spec) {
  std::string error;
  std::optional<std::string> bytes = readFile(path, error);
  if (!bytes || bytes->size() < trailerSize + spec.size())
    return false;
  std::string_view all = *bytes, object = all.substr(0, all.size() - trailerSize - spec.size());
  return all.substr(object.size(), spec.size()) == spec && all.substr(all.size() - trailerSize) == trailer(object, spec);
}

int processors() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? std::max(1, CPU_COUNT(&set)) : 1;
}

// Several caches may be at work: all of them run as many processes as there are processors.
class Turn {  // no std::counting_semaphore: GCC 12's may sleep for ever (GCC bug 104928)
public:
  Turn() {
    std::unique_lock guard(turns().lock);
    turns().given.wait(guard, [] { return turns().left > 0; });
    --turns().left;
  }
  ~Turn() {
    {
      std::lock_guard guard(turns().lock);
      ++turns().left;
    }
    turns().given.notify_one();
  }
  Turn(const Turn &) = delete;
  Turn &operator=(const Turn &) = delete;

private:
  struct Turns {
    std::mutex lock;
    std::condition_variable given;
    int left = processors();
  };
  static Turns &turns() {
    static Turns all;
    return all;
  }
};

// A folder that exists and can be written to; empty if none of the usual places can.
std::string cacheFolder() {
  auto usable = [](const std::filesystem::path &folder) {
    std::error_code fault;
    std::filesystem::create_directories(folder, fault);
    return !fault && access(folder.c_str(), W_OK | X_OK) == 0;
  };
  auto variable = [](const char *name) {
    const char *value = std::getenv(name);
    return std::string(value ? value : "");
  };
  std::string folder = variable("FOVEA_CACHE");
  if (folder.empty() && !variable("XDG_CACHE_HOME").empty())
    folder = variable("XDG_CACHE_HOME") + "/fovea";
  if (folder.empty() && !variable("HOME").empty())
    folder = variable("HOME") + "/.cache/fovea";
  folder += folder.empty() ? "" : "/leaves";
  return !folder.empty() && usable(folder) ? folder : std::string();
}

}  // namespace

struct LeafCache::State {
  std::string program, form, programKey;   // fovea-leaf, what it is asked for, and a fingerprint of both
  std::string folder;
  std::unique_ptr<TemporaryFolder> temporary;

  std::string entry(std::string_view spec) const {
    return fmt::format("{}/{}.o", folder, fingerprint(fmt::format("{}\n{}", programKey, spec)));
  }

  // Falls back to a folder of our own.
  void useTemporary() {
    temporary = std::make_unique<TemporaryFolder>();
    folder = temporary->path();
  }

  std::vector<std::string> command(const std::vector<std::string> &arguments) const {
    std::vector<std::string> all{program};
    if (form != "obj")
      all.push_back("--emit=" + form);
    all.insert(all.end(), arguments.begin(), arguments.end());
    return all;
  }

  bool compile(const std::string &spec, const std::string &path, std::string &error) const {
    TemporaryFile made(path);
    if (made.path().empty()) {
      error = fmt::format("{}: cannot write: {}", path, std::strerror(errno));
      return false;
    }
    ProcessLimits limits;
    limits.time = std::chrono::minutes(10);   // a leaf takes about 0.3 s
    ProcessResult result = runProcess(command({"-o", made.path()}), spec, limits);
    // Halide's LLVM 21 may want all ones in one of the registers 16 to 31, which its instruction for that cannot name, and stop at an assertion. AVX2
    // does not have these registers: such a leaf is slower, and the others stay as they are.
    if (result.signal == SIGABRT)
      result = runProcess(command({"--without-avx512", "-o", made.path()}), spec, limits);
    if (!result.good()) {
      error = fmt::format("a leaf failed to compile: {}", result.complaint());
      return false;
    }
    std::optional<std::string> object = readFile(made.path(), error);
    if (!object)
      return false;
    if (object->empty()) {
      error = "a leaf failed to compile: `fovea-leaf` wrote nothing";
      return false;
    }
    return writeFileAtomically(path, {*object, spec, trailer(*object, spec)}, error);
  }
};

LeafCache::LeafCache(const std::string &leafProgram, const std::string &form) : state(std::make_unique<State>()) {
  state->program = leafProgram;
  state->form = form;
  std::string ignored;
  state->programKey = fingerprint(readFile(leafProgram, ignored).value_or(leafProgram)) + (form == "obj" ? "" : " " + form);
  state->folder = cacheFolder();
  if (state->folder.empty())
    state->useTemporary();
}

LeafCache::~LeafCache() = default;

std::vector<std::string> LeafCache::objects(const std::vector<std::string> &specs, std::string &error) {
  counts = {};
  std::map<std::string_view, std::string> paths;   // of each distinct spec
  std::vector<std::string_view> missing;
  for (const std::string &spec : specs) {
    auto [at, isNew] = paths.try_emplace(spec, state->entry(spec));
    if (!isNew)
      continue;
    if (isIntact(at->second, spec))
      ++counts.found;
    else
      missing.push_back(spec);
  }

  // A folder that only looked writable (a full disk, a quota): once more in one of our own.
  for (bool again : {!state->temporary, false}) {
    std::atomic<size_t> next{0};
    std::vector<std::string> faults(missing.size());
    std::vector<double> seconds(missing.size());
    std::vector<std::thread> threads;
    auto work = [&] {
      for (size_t k; (k = next++) < missing.size();) {
        Turn turn;
        auto start = std::chrono::steady_clock::now();
        state->compile(std::string(missing[k]), paths[missing[k]], faults[k]);
        seconds[k] = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      }
    };
    counts.workers = int(std::min<size_t>(missing.size(), processors()));
    for (int k = 1; k < counts.workers; ++k)
      threads.emplace_back(work);
    work();
    for (std::thread &thread : threads)
      thread.join();
    std::vector<std::string_view> failed;
    std::string fault;
    for (size_t k = 0; k < missing.size(); ++k) {
      if (faults[k].empty()) {
        ++counts.compiled;
        counts.seconds.push_back(seconds[k]);
        continue;
      }
      fault = fault.empty() ? faults[k] : fault;
      failed.push_back(missing[k]);
    }
    if (failed.empty())
      break;
    if (!again || fault.find("cannot write") == std::string::npos) {
      error = fault;
      return {};
    }
    state->useTemporary();
    for (std::string_view spec : failed)
      paths[spec] = state->entry(spec);
    missing = failed;
  }

  std::vector<std::string> result;
  for (const std::string &spec : specs)
    result.push_back(paths[spec]);
  return result;
}

std::vector<std::string> LeafCache::texts(const std::vector<std::string> &specs, std::string &error) {
  std::vector<std::string> result = objects(specs, error);
  for (size_t k = 0; k < result.size(); ++k) {
    std::optional<std::string> entry = readFile(result[k], error);
    if (!entry)
      return {};
    result[k] = entry->substr(0, entry->size() - trailerSize - specs[k].size());
  }
  return result;
}

}  // namespace fovea
