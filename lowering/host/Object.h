// From the compiler's parts to one object that links beside any other (docs/design.md, "An object is sealed").
#ifndef FOVEA_LOWERING_HOST_OBJECT_H
#define FOVEA_LOWERING_HOST_OBJECT_H

#include <string>
#include <vector>

namespace fovea {

// Joins host code, leaves and the kernels' runtime (see kernelRuntimeObject) into `outPath`, in which only `publicNames` and
// the three weak functions of status.h are global. The file is complete or untouched; on failure `error` says why.
bool seal(const std::vector<std::string> &objects, const std::vector<std::string> &publicNames, const std::string &outPath, std::string &error);

// Joins objects and changes no name.
bool join(const std::vector<std::string> &objects, const std::string &outPath, std::string &error);

// fovea_kernel_runtime.o, in ../lib beside the running program's folder, else where it was built. Empty, with `error` set: missing.
std::string kernelRuntimeObject(std::string &error);

// fovea_device_runtime.o, which objects for a GPU carry too: found in the same way.
std::string deviceRuntimeObject(std::string &error);

// A library that programs are linked with (`libFoveaProgram.a` has main()): found in the same way.
std::string programLibrary(const std::string &name, std::string &error);

// A program of Fovea's own (`fovea-leaf`): beside the running program, else on PATH. Empty, with `error` set: missing.
std::string ownProgram(const std::string &name, std::string &error);

}  // namespace fovea

#endif  // FOVEA_LOWERING_HOST_OBJECT_H
