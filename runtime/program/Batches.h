// How lines are put together: of like length, as many as memory allows.
#ifndef FOVEA_RUNTIME_PROGRAM_BATCHES_H
#define FOVEA_RUNTIME_PROGRAM_BATCHES_H

#include "runtime/program/Model.h"
#include "runtime/program/Search.h"

#include <vector>

namespace fovea::program {

struct BatchLimits {
  int64_t lines;          // --batch
  int64_t rowsPerSource;  // beam or samples
  int64_t bytes;          // what one batch may take
  int64_t workers;        // batches that run at once
  Kept keep;              // of every step
};

// Jobs with tokens, longest first, cut into batches. Jobs that would not fit alone get an error instead.
std::vector<std::vector<Job *>> makeBatches(const Model &model, std::vector<Job *> jobs, const BatchLimits &limits);

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_BATCHES_H
