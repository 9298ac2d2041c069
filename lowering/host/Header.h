// The C header of an object: prototypes, the shapes and types of arguments, DLPack's structs, status codes.
#ifndef FOVEA_LOWERING_HOST_HEADER_H
#define FOVEA_LOWERING_HOST_HEADER_H

#include "frontend/Core.h"

#include <string>
#include <vector>

namespace fovea {

// The text of a header that compiles alone in C99 and C++; `fileName` (its last part) gives the include guard. `counts`: of target host-count, with
// how its counts are read; `device`: of a GPU, with how its tensors are passed.
std::string writeHeader(const std::vector<const core::Function *> &kernels, const std::string &fileName, bool counts = false, bool device = false);

}  // namespace fovea

#endif  // FOVEA_LOWERING_HOST_HEADER_H
