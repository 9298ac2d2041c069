// The arguments of one stage as its function wants them: descriptors over buffers that others own.
#ifndef FOVEA_RUNTIME_PROGRAM_STAGECALL_H
#define FOVEA_RUNTIME_PROGRAM_STAGECALL_H

#include "runtime/program/ModelTable.h"

#include <vector>

namespace fovea::program {

// Where a named value lives now.
struct Value {
  void *data = nullptr;
};

class StageCall {
public:
  // `values` gives, in the order of the stage's arguments, where each lives; they must outlive the call object.
  StageCall(const Stage &stage, const char *name, const Table &table, std::vector<const Value *> values);

  // A tensor whose strides are those of a larger one (a cache): `capacity` says the extents of that one.
  void setStrides(size_t argument, const Sizes &capacity);

  // Throws Error, with the stage's own sentence, when it returns a status. Allocates nothing.
  void run(const Sizes &sizes);

private:
  struct Tensor {
    const Argument *argument;
    const Value *value;
    std::vector<int64_t> words;  // allocated, aligned, offset, sizes[rank], strides[rank]
    bool fixed = false;          // shape and strides never change
    bool strided = false;        // strides were set by setStrides
  };
  const Stage &stage;
  const char *name;
  const Table &table;
  std::vector<Tensor> tensors;
  std::vector<void *> arguments;
};

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_STAGECALL_H
