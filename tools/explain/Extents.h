// The extents that `fovea explain` counts with.
#ifndef FOVEA_TOOLS_EXPLAIN_EXTENTS_H
#define FOVEA_TOOLS_EXPLAIN_EXTENTS_H

#include "tools/Execute.h"
#include "tools/explain/Explain.h"

namespace fovea {

// What is known of a call: its arguments, as far as they are given, and the extent of every index.
struct Call {
  Arguments arguments;
  std::vector<int64_t> extents;   // empty: some are not known
};

// From --extent, the tensors of --in, the program, its constraints and dims. Not to know them is an error only where any option is given.
bool resolveCall(const core::Function &kernel, const ExplainOptions &options, Call &call, std::string &error);

}  // namespace fovea

#endif  // FOVEA_TOOLS_EXPLAIN_EXTENTS_H
