// fovea explain --target opencl or cuda: what a kernel asks of the device.
#ifndef FOVEA_TOOLS_EXPLAIN_DEVICE_H
#define FOVEA_TOOLS_EXPLAIN_DEVICE_H

#include "frontend/Core.h"
#include "lowering/Compiler.h"

#include <string>
#include <vector>

namespace fovea {

// Lines of explain, without the two blanks in front. `compiled` is the kernel's device code (--emit=asm), explained; `extents`, if there are any, one
// for each index.
std::vector<std::string> deviceLines(const core::Function &kernel, const Compiled &compiled, const std::vector<int64_t> &extents);

// "12: 1 attention in blocks, 4 contractions in tiles, 7 with a thread a point"
std::string launchWords(const std::vector<Launch> &launches);

}  // namespace fovea

#endif  // FOVEA_TOOLS_EXPLAIN_DEVICE_H
