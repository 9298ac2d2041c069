// Logits and traces as NumPy files.
#ifndef FOVEA_RUNTIME_PROGRAM_LOGITS_H
#define FOVEA_RUNTIME_PROGRAM_LOGITS_H

#include "runtime/program/Search.h"

#include <string>
#include <vector>

namespace fovea::program {

// The bytes of a .npy file (format 1.0, f32, in C order).
std::string toNpy(const std::vector<int64_t> &shape, const std::vector<float> &values);

// f32 [steps, vocabulary]: what a line's best hypothesis was chosen by.
std::string toNpy(const StepRows &logits);

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_LOGITS_H
