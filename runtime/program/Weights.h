// A weight file seen through a model's parameters: each found, checked, and laid out as the model wants it.
#ifndef FOVEA_RUNTIME_PROGRAM_WEIGHTS_H
#define FOVEA_RUNTIME_PROGRAM_WEIGHTS_H

#include "runtime/program/Buffer.h"
#include "runtime/program/ModelTable.h"
#include "runtime/support/SafeTensors.h"

#include <deque>
#include <memory>
#include <string>
#include <string_view>

namespace fovea::program {

class Weights {
public:
  // Maps a safetensors file into memory. Throws Error for one that is missing or malformed.
  explicit Weights(const std::string &path);
  // The same for a file inside the program.
  explicit Weights(const File &file);

  // The parameter's elements, permuted, reshaped and converted as it wants: in place where the file already holds just that.
  // Valid while this lives. Throws Error, naming the file and the tensor, when it is missing or does not fit.
  const void *find(const Parameter &parameter);

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
  std::string name;
  std::unique_ptr<SafeTensors> file;
  std::deque<Buffer> buffers;
};

// The work of `find` on one tensor, without naming it in errors.
const void *layOut(const Parameter &parameter, const SafeTensor &stored, Buffer &buffer);

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_WEIGHTS_H
