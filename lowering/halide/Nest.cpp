#include "lowering/halide/Nest.h"

#include "lowering/halide/NestBody.h"

using namespace Halide;

namespace fovea::leaf {

Module buildNest(const NestSpec &spec, const Target &target) {
  NestBody body(spec);
  if (spec.tiles) return compileTiles(body, target);
  if (spec.groups) return compileGroups(body, target);
  return spec.attend ? compileBlocks(body, target) : spec.merge ? compileMerge(body, target) : compilePoints(body, target);
}

Target nestTarget(const std::string &name) {
  const std::string host = "x86-64-linux-no_runtime-no_bounds_query-no_asserts-";
  return Target(host + (name == "cuda" ? "cuda-cuda_capability_80" : "opencl-cl_doubles"));
}

}  // namespace fovea::leaf
