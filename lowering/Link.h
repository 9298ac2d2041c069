// From compiled parts to files: sealed objects for users, shared libraries for the compiler's own runs.
#ifndef FOVEA_LOWERING_LINK_H
#define FOVEA_LOWERING_LINK_H

#include "lowering/Compiler.h"

namespace fovea {

// Waits for the leaves and seals everything with the kernels' runtime into `outPath`; only `publicNames` are global.
bool linkObject(const Compiled &compiled, const std::vector<std::string> &publicNames, const std::string &outPath, std::string &error, Timing *timing = nullptr);

// The same parts as a shared library, all names visible: for `fovea run`.
bool linkShared(const Compiled &compiled, const std::string &outPath, std::string &error, Timing *timing = nullptr);

}  // namespace fovea

#endif  // FOVEA_LOWERING_LINK_H
