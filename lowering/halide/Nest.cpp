#include "lowering/halide/Nest.h"

#include "lowering/halide/NestBody.h"

using namespace Halide;

namespace fovea::leaf {

Module buildNest(const NestSpec &spec, const Target &target) {
  NestBody body(spec);
  Pipeline pipeline(spec.attend ? buildBlocks(body) : buildPoints(body));
  std::unique_ptr<Internal::IRMutator> registers = registersOfThreads();
  if (spec.attend) pipeline.add_custom_lowering_pass(registers.get(), [] {});
  return pipeline.compile_to_module(body.arguments, spec.name, target, LinkageType::ExternalPlusArgv);
}

Target nestTarget(const std::string &name) {
  const std::string host = "x86-64-linux-no_runtime-no_bounds_query-no_asserts-";
  return Target(host + (name == "cuda" ? "cuda-cuda_capability_80" : "opencl-cl_doubles"));
}

}  // namespace fovea::leaf
