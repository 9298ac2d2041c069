// Leaves that are compiled in the background, while LLVM works on the host code that calls them.
#ifndef FOVEA_LOWERING_LEAFWORK_H
#define FOVEA_LOWERING_LEAFWORK_H

#include "lowering/Timing.h"

#include <list>
#include <string>
#include <vector>

namespace fovea {

class LeafCache;

class LeafWork {
 public:
  LeafWork();
  ~LeafWork();  // waits
  LeafWork(const LeafWork &) = delete;
  LeafWork &operator=(const LeafWork &) = delete;

  // Begins with those of one more unit.
  void begin(std::vector<std::string> leaves);

  // Waits for all; adds their object files to `objects`, each once. They exist as long as this does.
  bool finish(std::vector<std::string> &objects, LeafTimes &times, std::string &error);

 private:
  struct Unit;
  std::list<Unit> units;
};

}  // namespace fovea

#endif  // FOVEA_LOWERING_LEAFWORK_H
