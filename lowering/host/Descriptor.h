// A kernel's descriptor: what fovea_rt_invoke checks on entry (layout: runtime/kernel/descriptor.h).
#ifndef FOVEA_LOWERING_HOST_DESCRIPTOR_H
#define FOVEA_LOWERING_HOST_DESCRIPTOR_H

#include "frontend/Core.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace fovea {

struct Descriptor {
  std::vector<int32_t> words;   // the global `words`
  std::string strings;          // the global `strings`, its last NUL included
};

// Fails, with `error` set, for what an entry check cannot do: more than 32 axes, exp and the like in an extent, an extent
// that depends on itself.
// `device`: the DLDeviceType that the kernel runs on, 1 the CPU.
std::optional<Descriptor> describe(const core::Function &function, std::string &error, int32_t device = 1);

// A node over extents and scalars as text, `4 * g`.
std::string formatNode(const core::Function &function, core::NodeId node);

}  // namespace fovea

#endif  // FOVEA_LOWERING_HOST_DESCRIPTOR_H
