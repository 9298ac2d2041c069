// Compiled kernels in this process: their arguments from a safetensors file, their results, and how the oracle's are compared.
#ifndef FOVEA_TOOLS_EXECUTE_H
#define FOVEA_TOOLS_EXECUTE_H

#include "frontend/Core.h"
#include "lowering/Compiler.h"
#include "runtime/include/fovea/counts.h"
#include "runtime/include/fovea/dlpack.h"
#include "runtime/support/File.h"
#include "runtime/support/SafeTensors.h"

#include <memory>
#include <string>
#include <vector>

namespace fovea {

struct TypeInfo {
  core::Type type;
  const char *safetensors;
  DLDataType dlpack;
};
const TypeInfo &info(core::Type type);

struct Buffer {
  std::vector<int64_t> shape;
  std::vector<unsigned char> bytes;
  DLTensor tensor{};

  // False where that is too much.
  bool allocate(const std::vector<int64_t> &extents, DLDataType type, int64_t size) {
    shape = extents;
    int64_t total = size;
    for (int64_t e : shape)
      if (__builtin_mul_overflow(total, e, &total)) return false;
    if (total > (int64_t(1) << 36)) return false;
    bytes.resize(size_t(std::max<int64_t>(total, 1)) + 64);
    bind(bytes.data() + (64 - reinterpret_cast<uintptr_t>(bytes.data()) % 64) % 64, type);
    return true;
  }
  void bind(void *data, DLDataType type) {
    tensor = {};
    tensor.data = data;
    tensor.device = {kDLCPU, 0};
    tensor.ndim = int32_t(shape.size());
    tensor.dtype = type;
    tensor.shape = shape.data();
  }
  int64_t count() const {
    int64_t n = 1;
    for (int64_t e : shape) n *= e;
    return n;
  }
};

union ScalarValue {
  float f;
  int32_t i;
  uint8_t b;
};

// The kernel's arguments by name, from the file and --set.
struct Arguments {
  std::unique_ptr<SafeTensors> file;
  std::vector<Buffer> tensors;
  std::vector<ScalarValue> scalars;
  std::vector<void *> pointers;  // in the C signature's order, without results
  std::vector<bool> given;       // of each; the others have no value
};

// `set` are scalars as "name=value", which win over the file's (rule C2).
// `all`: a missing one is an error.
bool bindArguments(const core::Function &kernel, const std::string &in, const std::vector<std::string> &set, Arguments &a, std::string &error,
                   bool all = true);

// A compiled kernel in this process.
struct Loaded {
  TemporaryFolder folder;
  void *library = nullptr;
  int (*call)(void **) = nullptr;
  const char *(*lastError)() = nullptr;
  // Of target host-count.
  std::vector<Counter> counters;
  fovea_count *counts = nullptr;    // one for each counter
  std::vector<int64_t> reads;
  ~Loaded();
};

// After a failure `internal` says whether it is our fault. 0 threads: all.
bool load(const core::Function &kernel, const std::vector<std::string> &files, const CompileOptions &options, int threads, Loaded &out, std::string &error, bool &internal);
// The second half of it: what has been compiled is linked and loaded. A failure is our fault.
bool loadCompiled(const core::Function &kernel, const Compiled &compiled, int threads, Loaded &out, std::string &error);

// The bytes of one element of a result: those of the f64 oracle are f64 where they are floating.
int64_t elementSize(core::Type type, CompileOptions::Arithmetic arithmetic);

// The extent of every index.
bool extentsOf(const core::Function &kernel, const Arguments &arguments, std::vector<int64_t> &extents, std::string &error);

// Memory for the results.
bool allocateResults(const core::Function &kernel, const Arguments &arguments, CompileOptions::Arithmetic arithmetic, std::vector<Buffer> &results, std::string &error);

// Runs one version of the kernel; gives its results.
bool execute(const core::Function &kernel, Loaded &loaded, const Arguments &arguments, CompileOptions::Arithmetic arithmetic, std::vector<Buffer> &results, std::string &error);

// The f64 results of the oracle in their declared types.
void roundResult(Buffer &result, core::Type type);

struct Difference {
  double worst = 0;       // |kernel - oracle| as a multiple of the tolerance
  double absolute = 0;
  int64_t compared = 0, left = 0;
};

Difference compareResults(const Buffer &kernel, const Buffer &f64, const Buffer &f32, core::Type type);

// An element of a tensor as it is stored.
double elementOf(const Buffer &buffer, core::Type type, int64_t n);

// Compares all results and prints a line for each; false if one disagrees.
bool printComparison(const core::Function &kernel, const std::vector<Buffer> &results, const std::vector<Buffer> &f64, const std::vector<Buffer> &f32);

}  // namespace fovea

#endif  // FOVEA_TOOLS_EXECUTE_H
