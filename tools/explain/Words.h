// What the passes made of a function's masks, in words.
#ifndef FOVEA_TOOLS_EXPLAIN_WORDS_H
#define FOVEA_TOOLS_EXPLAIN_WORDS_H

#include "frontend/Core.h"
#include "lowering/Decisions.h"

#include <string>
#include <vector>

namespace fovea {

// One line for each condition of a mask.
std::vector<std::string> maskWords(const core::Function &f, const std::vector<std::string> &files, const core::Function::MaskInfo &mask, const std::vector<Fate> &fates);

// One line for each loop that is bounded where what it sums or counts is 0 elsewhere: factors, and reads outside a tensor.
std::vector<std::string> factorWords(const core::Function &f, const std::vector<std::string> &files, const std::vector<Fate> &fates);

}  // namespace fovea

#endif  // FOVEA_TOOLS_EXPLAIN_WORDS_H
