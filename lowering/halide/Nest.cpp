#include "lowering/halide/Nest.h"

#include "lowering/halide/DeviceTarget.h"
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
  return Target(std::string("x86-64-linux-no_runtime-no_bounds_query-no_asserts-") + findDevice(name)->halide);
}

}  // namespace fovea::leaf
