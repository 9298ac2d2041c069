// fovea build: a model becomes a program.
#ifndef FOVEA_TOOLS_BUILD_H
#define FOVEA_TOOLS_BUILD_H

#include "frontend/Core.h"
#include "lowering/Compiler.h"

#include <string>

namespace fovea {

struct BuildOptions {
  std::string weights, config, out, target = "host";
  Timing *timing = nullptr;  // measures, if given
  std::string quantize;      // "int8", or nothing
  Form form = Form::Object;  // another form is text, to `out` or to standard output
};

// Returns the exit code; messages go to standard error. The program is complete or absent. Weights are copied beside it, or written anew, quantised.
int buildModel(const core::Model &model, const core::Module &module, const std::string &path, const BuildOptions &options);

}  // namespace fovea

#endif  // FOVEA_TOOLS_BUILD_H
