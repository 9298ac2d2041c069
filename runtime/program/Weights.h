// A weight file seen through a model's parameters: each found, checked, and laid out as the model wants it.
#ifndef FOVEA_RUNTIME_PROGRAM_WEIGHTS_H
#define FOVEA_RUNTIME_PROGRAM_WEIGHTS_H

#include "runtime/program/Buffer.h"
#include "runtime/program/ModelTable.h"

#include <deque>
#include <memory>
#include <string>
#include <string_view>

namespace fovea::program {

// A tensor as a file stores it.
struct StoredTensor {
  std::string type;            // safetensors' spelling: "F32", "BF16", "I64"
  std::vector<int64_t> shape;
  const unsigned char *data;
  size_t bytes;
};

// A parameter's elements, permuted, reshaped and converted. In place where the file already holds just that, else in
// `buffer`. Throws Error, without naming the file, when the stored tensor does not fit.
void *layOut(const Parameter &parameter, const StoredTensor &stored, Buffer &buffer);

class Weights {
public:
  // Maps a safetensors file into memory. Throws Error for one that is missing or malformed.
  static std::unique_ptr<Weights> open(const std::string &path);
  // The same for one that is already in memory and stays there; `name` is for messages.
  static std::unique_ptr<Weights> embedded(const std::string &name, std::string_view bytes);
  virtual ~Weights() = default;

  // Throws Error, naming the file and the tensor, when it is missing or does not fit.
  virtual void *find(const Parameter &parameter) = 0;
};

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_WEIGHTS_H
