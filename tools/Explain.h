// fovea explain: what becomes of a program, in words.
#ifndef FOVEA_TOOLS_EXPLAIN_H
#define FOVEA_TOOLS_EXPLAIN_H

#include "frontend/Core.h"

namespace fovea {

int explain(const core::Module &module);

}  // namespace fovea

#endif  // FOVEA_TOOLS_EXPLAIN_H
