// How many points the masks of a kernel keep, and how many its loops will visit.
#ifndef FOVEA_TOOLS_EXPLAIN_POINTS_H
#define FOVEA_TOOLS_EXPLAIN_POINTS_H

#include "tools/explain/Extents.h"

namespace fovea {

// One line for each reduction that runs under a mask: "sum[j] at window.attn:9:7: support 12.5 % ...". What is visited comes from the
// kernel's own loops, compiled for target host-count without what they compute; the support from the masks at each point, by the oracle.
bool pointLines(const core::Function &kernel, const std::vector<std::string> &files, Call &call, std::vector<std::string> &lines, std::string &error, bool &internal);

}  // namespace fovea

#endif  // FOVEA_TOOLS_EXPLAIN_POINTS_H
