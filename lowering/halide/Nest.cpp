#include "lowering/halide/Nest.h"

#include "lowering/halide/DeviceTarget.h"
#include "lowering/halide/NestBody.h"

using namespace Halide;

namespace fovea::leaf {

Module buildNest(const NestSpec &spec, const Target &target) {
  NestBody body(spec);
  return spec.attend ? compileBlocks(body, target) : compilePoints(body, target);
}

Target nestTarget(const std::string &name) {
  return Target(std::string("x86-64-linux-no_runtime-no_bounds_query-no_asserts-") + findDevice(name)->halide);
}

}  // namespace fovea::leaf
