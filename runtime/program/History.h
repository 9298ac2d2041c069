// What is kept of every step of a batch for --maps and --logits, until it is known which hypothesis is the best.
#ifndef FOVEA_RUNTIME_PROGRAM_HISTORY_H
#define FOVEA_RUNTIME_PROGRAM_HISTORY_H

#include "runtime/program/Ensemble.h"

#include <cstdint>
#include <vector>

namespace fovea::program {

// What is kept of the best hypothesis: one row a step.
struct StepRows {
  std::vector<std::vector<float>> rows;
  std::vector<std::vector<int64_t>> shapes;  // of each row; only an axis `t` changes from step to step
};

class History {
public:
  History(const Table &table, const Kept &kept);

  void begin();
  // After a step.
  void keep(const Ensemble &session);
  // Of the hypothesis that was scored in row path[n] at step n: appends to `traces`, in the table's order, and fills `logits`, as far as they are kept.
  void read(const std::vector<int32_t> &path, std::vector<StepRows> &traces, StepRows &logits) const;

private:
  // A result of step, of every step and all rows.
  struct Result {
    const Argument *argument;
    std::vector<std::vector<float>> values;     // [step]
    std::vector<std::vector<int64_t>> shapes;   // [step], of a row
  };
  std::vector<Result> results;                  // the traces in the table's order, then the logits
};

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_HISTORY_H
