#include "lowering/LeafWork.h"

#include "lowering/host/LeafCache.h"
#include "lowering/host/Object.h"

#include <algorithm>
#include <memory>
#include <thread>

namespace fovea {

struct LeafWork::Unit {
  std::vector<std::string> leaves, objects;
  std::unique_ptr<LeafCache> cache;
  std::string error;
  std::thread thread;

  void run() {
    std::string program = ownProgram("fovea-leaf", error);
    if (program.empty()) return;
    cache = std::make_unique<LeafCache>(program);
    objects = cache->objects(leaves, error);
  }
};

LeafWork::LeafWork() = default;

LeafWork::~LeafWork() {
  for (Unit &unit : units)
    if (unit.thread.joinable()) unit.thread.join();
}

void LeafWork::begin(std::vector<std::string> leaves) {
  if (leaves.empty()) return;
  Unit &unit = units.emplace_back();
  unit.leaves = std::move(leaves);
  unit.thread = std::thread([&unit] { unit.run(); });
}

bool LeafWork::finish(std::vector<std::string> &objects, LeafTimes &times, std::string &error) {
  for (Unit &unit : units) {
    if (unit.thread.joinable()) unit.thread.join();
    if (!unit.error.empty()) return error = unit.error, false;
    for (const std::string &object : unit.objects)
      if (std::find(objects.begin(), objects.end(), object) == objects.end()) objects.push_back(object);
    times.asked += int(unit.leaves.size()), times.found += unit.cache->counts.found;
    times.workers = std::max(times.workers, unit.cache->counts.workers);
    times.seconds.insert(times.seconds.end(), unit.cache->counts.seconds.begin(), unit.cache->counts.seconds.end());
  }
  return true;
}

}  // namespace fovea
