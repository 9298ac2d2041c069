// fovea tune: the fastest schedule for the shapes of an input, as a `schedule` block (rule K10).
#ifndef FOVEA_TOOLS_TUNE_TUNE_H
#define FOVEA_TOOLS_TUNE_TUNE_H

#include "frontend/Core.h"
#include "frontend/Source.h"

#include <string>
#include <vector>

namespace fovea {

struct TuneOptions {
  std::string in, out;           // out: the program with its new schedule; empty: standard output
  std::vector<std::string> set;  // "name=value": scalars
  std::string target = "host";   // one that this machine runs
  int threads = 0;               // 0: all
  int seconds = 60;              // for the search
};

// Returns the exit code (0, 1 or 3); the table of what was tried and messages go to standard error. `sources` has the program as file 0.
int tuneKernel(const core::Function &kernel, const std::vector<std::string> &files, SourceManager &sources, const TuneOptions &options);

}  // namespace fovea

#endif  // FOVEA_TOOLS_TUNE_TUNE_H
