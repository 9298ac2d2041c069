// fovea explain: what becomes of a program, in words and, for given extents, in numbers.
#ifndef FOVEA_TOOLS_EXPLAIN_EXPLAIN_H
#define FOVEA_TOOLS_EXPLAIN_EXPLAIN_H

#include "frontend/Core.h"

#include <string>
#include <vector>

namespace fovea {

struct ExplainOptions {
  std::vector<std::string> extents;  // "i=4096"
  std::string in;                    // tensors that masks read; extents of the others
  std::vector<std::string> set;      // "past=3"
  std::string target = "host";       // or a GPU's
  bool asked() const { return !extents.empty() || !in.empty() || !set.empty(); }
};

// All of a module, or one kernel of it.
int explain(const core::Module &module, const core::Function *kernel, const ExplainOptions &options);

}  // namespace fovea

#endif  // FOVEA_TOOLS_EXPLAIN_EXPLAIN_H
