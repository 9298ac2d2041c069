// Work and traffic of a function as sums of products of extents.
#ifndef FOVEA_TOOLS_EXPLAIN_FORMULA_H
#define FOVEA_TOOLS_EXPLAIN_FORMULA_H

#include "frontend/Core.h"

#include <string>

namespace fovea {

// Arithmetic and comparisons on floats, one a point; a bounded loop does only its part of it.
std::string flops(const core::Function &f);

// Of the interface: what is read once and written once.
std::string bytesRead(const core::Function &f);
std::string bytesWritten(const core::Function &f);

int64_t bytesOf(core::Type type);

}  // namespace fovea

#endif  // FOVEA_TOOLS_EXPLAIN_FORMULA_H
