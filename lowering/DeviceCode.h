// What a GPU runs, as text: PTX or OpenCL C.
#ifndef FOVEA_LOWERING_DEVICECODE_H
#define FOVEA_LOWERING_DEVICECODE_H

#include "lowering/Timing.h"

#include <string>
#include <vector>

namespace fovea {

// The sources of nests (lowering/halide/NestSpec.h), one after the other, each under the line `// NAME` and, for each of its functions, one
// `// launch FUNCTION: threads X x Y x Z, shared memory BYTES`. Each is a module by itself.
bool deviceCode(const std::vector<std::string> &nests, std::string &text, std::string &error, Timing *timing);

}  // namespace fovea

#endif  // FOVEA_LOWERING_DEVICECODE_H
