// A whole program: command line, weights, lines in, lines out.
#ifndef FOVEA_RUNTIME_PROGRAM_PROGRAM_H
#define FOVEA_RUNTIME_PROGRAM_PROGRAM_H

#include "runtime/program/table.h"

namespace fovea::program {

// Runs the model's program and returns its exit code: 0; 1 for a wrong input or file; 2 for wrong usage; 3 for an internal
// error. Throws nothing.
int run(const fovea_model &model, int argc, const char *const *argv);

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_PROGRAM_H
