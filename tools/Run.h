// fovea run: one kernel on tensors from a safetensors file.
#ifndef FOVEA_TOOLS_RUN_H
#define FOVEA_TOOLS_RUN_H

#include "frontend/Core.h"
#include "lowering/Compiler.h"

#include <map>
#include <string>
#include <vector>

namespace fovea {

struct RunOptions {
  std::string in, out;
  std::vector<std::string> set;  // "name=value": scalars; wins over the file (rule C2)
  std::string target = "host";
  int threads = 0;
  int time = 0;                  // N: also print the minimum and median of N runs
  bool oracle = false;           // run the oracle (f64) instead
  bool compare = false;          // run the kernel and both oracles, print the largest error; status 1 if they disagree
};

// Returns the exit code (0, 1 or 3); messages go to standard error.
int runKernel(const core::Function &kernel, const std::vector<std::string> &files, const RunOptions &options);

}  // namespace fovea

#endif  // FOVEA_TOOLS_RUN_H
