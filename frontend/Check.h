// Files and what their definitions see (rule T4).
#ifndef FOVEA_FRONTEND_CHECK_H
#define FOVEA_FRONTEND_CHECK_H

#include "frontend/Elaborate.h"

namespace fovea {

// Checks the functions of a file by themselves: names, numbers of arguments, recursion (rules F1, F2). Those of a block or a
// model see more than their parameters and are checked where they are used.
void checkFunctions(const FileScope &scope, SourceManager &sources, Diagnostics &diagnostics);

// Checks the schedules of a file (rule K10).
void checkSchedules(const ast::File &file, SourceManager &sources, Diagnostics &diagnostics);
// Those of one of its kernels, which are right.
std::vector<core::Schedule> schedulesOf(const ast::Kernel &kernel, const ast::File &file, const SourceManager &sources);

}  // namespace fovea

#endif  // FOVEA_FRONTEND_CHECK_H
