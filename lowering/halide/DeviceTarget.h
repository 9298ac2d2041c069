// The rows of runtime/device/Devices.def.
#ifndef FOVEA_LOWERING_HALIDE_DEVICETARGET_H
#define FOVEA_LOWERING_HALIDE_DEVICETARGET_H

#include <cstdint>
#include <string_view>

namespace fovea::leaf {

struct DeviceTarget {
  const char *name;
  int32_t dlpack;       // DLDeviceType
  const char *words, *halide;
  bool unroll;
};

inline constexpr DeviceTarget deviceTargets[] = {
#define DEVICE_TARGET(name, kind, dlpack, words, library, halide, unroll) {name, dlpack, words, halide, bool(unroll)},
#include "runtime/device/Devices.def"
};

// Null: it is none.
inline constexpr const DeviceTarget *findDevice(std::string_view name) {
  for (const DeviceTarget &target : deviceTargets)
    if (name == target.name) return &target;
  return nullptr;
}

}  // namespace fovea::leaf

#endif  // FOVEA_LOWERING_HALIDE_DEVICETARGET_H
