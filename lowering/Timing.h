// Where the time of a compilation goes: the table of `--time-passes`. MLIR's timers (mlir/Support/Timing.h) measure the phases and, inside them,
// its passes; leaves run in processes of their own, side by side, and are summed up beside the table.
#ifndef FOVEA_LOWERING_TIMING_H
#define FOVEA_LOWERING_TIMING_H

#include <memory>
#include <string>
#include <vector>

namespace mlir {
class PassManager;
}  // namespace mlir

namespace fovea {

// What became of the leaves that a compilation needs.
struct LeafTimes {
  int asked = 0;                // before equal ones are joined
  int found = 0;                // in the cache
  int workers = 0;              // processes that ran at a time
  std::vector<double> seconds;  // of each process that compiled one
};

class Timing {
 public:
  Timing();
  ~Timing();
  Timing(const Timing &) = delete;
  Timing &operator=(const Timing &) = delete;

  // A phase, inside the one that is open, until it goes. Phases of one name in one place are one row. Nothing where `timing` is null.
  class Phase {
   public:
    Phase(Timing *timing, const std::string &name);
    ~Phase() { end(); }
    Phase(const Phase &) = delete;
    Phase &operator=(const Phase &) = delete;
    void end();

   private:
    Timing *timing;
  };

  // From here on the passes of `pm`, which is complete, are rows of the open phase.
  void watch(mlir::PassManager &pm);

  LeafTimes leaves;

  // Ends the measurement, once: a row for each phase and pass, with milliseconds and percent of the whole.
  std::string text();
  // The same for programs: {"total_ms", "parts": [{"name", "ms", "parts"}], "leaves": {"asked", "found", "compiled", "workers", "process_ms", "slowest_ms"}}.
  std::string json();

 private:
  struct State;
  std::unique_ptr<State> state;
};

}  // namespace fovea

#endif  // FOVEA_LOWERING_TIMING_H
