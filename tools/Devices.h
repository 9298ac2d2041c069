// fovea devices: what is there to run on.
#ifndef FOVEA_TOOLS_DEVICES_H
#define FOVEA_TOOLS_DEVICES_H

#include <string>

namespace fovea {

struct DevicesOptions {
  bool json = false;
  std::string probe;  // "opencl" or "cuda": this process asks its drivers, and prints what they say as JSON
};

// Prints the CPU, each OpenCL platform with its devices, and each CUDA device. Drivers are loaded in a process of their own: what they do to it, or
// that they do not answer, is said where their devices would stand. Returns the exit code: 1 where a probe fails.
int listDevices(const DevicesOptions &options);

}  // namespace fovea

#endif  // FOVEA_TOOLS_DEVICES_H
