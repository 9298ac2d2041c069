#include "tools/Explain.h"

#include "lowering/stage/Stage.h"

#include <fmt/core.h>

namespace fovea {

int explain(const core::Module &module) {
  for (const core::Function &k : module.kernels) {
    fmt::print("kernel {}\n", k.name);
    for (const auto &mask : k.masks) fmt::print("  mask {}\n", mask.text);
  }
  for (const core::Model &m : module.models) {
    fmt::print("model {}\n", m.name);
    for (const Stage &stage : stageModel(m).stages) {
      fmt::print("  stage {}\n", stage.name);
      for (const StageSlot &slot : stage.slots) {
        std::string shape;
        for (const std::string &e : slot.shape) shape += (shape.empty() ? "" : ", ") + e;
        fmt::print("    {:<10} {} [{}]\n", slot.what, slot.name, shape);
      }
    }
  }
  return 0;
}

}  // namespace fovea
