// A weight file seen through a model's parameters: each found, checked, and laid out as the model wants it.
#ifndef FOVEA_RUNTIME_PROGRAM_WEIGHTS_H
#define FOVEA_RUNTIME_PROGRAM_WEIGHTS_H

#include "runtime/program/Buffer.h"
#include "runtime/program/ModelTable.h"
#include "runtime/program/WeightMemory.h"
#include "runtime/support/SafeTensors.h"

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::program {

class Weights {
public:
  // Maps a safetensors file into memory. Throws Error for one that is missing or malformed.
  explicit Weights(const std::string &path);
  // The same for a file inside the program.
  explicit Weights(const File &file);

  // The parameter's elements, permuted, reshaped and converted as it wants: large ones in place where the file already holds just that.
  // Valid while this lives. Throws Error, naming the file and the tensor, when it is missing or does not fit.
  const void *find(const Parameter &parameter);

  // After the last parameter was found: what was laid out anew is no longer needed as the file has it.
  void settle() const;
  // The parameter as its `quantised` says: where the file already holds it so, in place; else made of the floats that it holds.
  struct Quantised {
    const int8_t *codes;    // [panels, groups, columns * group]
    const float *scales;    // [panels, columns]
    const int32_t *sums;    // [panels, columns]
  };
  Quantised findQuantised(const Parameter &parameter);

  // Writes a file of what the parameters need, quantised where they are: what `find` and `findQuantised` then read in place.
  void writeFor(const std::vector<Parameter> &parameters, const std::string &path);

  // Throws the same Errors, without laying anything out.
  void check(const Parameter &parameter) const;

private:
  const SafeTensor &stored(const Parameter &parameter) const;
  bool isZeros(const Parameter &parameter) const;
  std::string nameInFile(const Parameter &parameter, const char *part = "") const;
  std::string name;
  std::unique_ptr<SafeTensors> file;
  WeightMemory memory;
  std::vector<const SafeTensor *> copied;
};

// The work of `find` on one tensor, without naming it in errors. `take` gives memory for so many bytes, if it needs any.
const void *layOut(const Parameter &parameter, const SafeTensor &stored, const std::function<void *(size_t)> &take);
inline const void *layOut(const Parameter &parameter, const SafeTensor &stored, Buffer &buffer) {
  return layOut(parameter, stored, [&](size_t bytes) { return buffer.reserve(bytes), buffer.data(); });
}

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_WEIGHTS_H
