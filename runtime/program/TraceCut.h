// What the axes of a trace are.
#ifndef FOVEA_RUNTIME_PROGRAM_TRACECUT_H
#define FOVEA_RUNTIME_PROGRAM_TRACECUT_H

#include "runtime/program/Extent.h"

#include <cstddef>
#include <vector>

namespace fovea::program {

// How a trace is cut into maps: one axis runs along the columns, the others, flattened, are the heads. `shape` below is that of one
// step's row, without the batch axis; only an axis of columns changes from step to step.
struct TraceCut {
  enum Kind : uint8_t { Source, Steps, Numbered, Single } kind = Single;
  size_t axis = 0;              // of the columns, in a step's row
  const Extent *extent = nullptr;

  explicit TraceCut(const Shape &shape) {
    auto choose = [&](Kind wanted, auto test) {
      for (size_t place = 1; kind == Single && place < shape.size(); ++place)
        if (test(place, shape[place])) {
          kind = wanted;
          axis = place - 1;
          extent = &shape[place];
        }
    };
    choose(Source, [](size_t, const Extent &extent) { return extent.isSymbol('i'); });
    choose(Numbered, [](size_t, const Extent &extent) { return extent.mentions('i'); });
    choose(Steps, [](size_t, const Extent &extent) { return extent.isSymbol('t'); });
    choose(Numbered, [&](size_t place, const Extent &) { return place + 1 == shape.size(); });
  }

  int64_t columns(int64_t sourceLength, int64_t steps) const { return extent ? extent->evaluate({1, 1, sourceLength, steps}) : 1; }

  int64_t heads(const std::vector<int64_t> &shape) const {
    int64_t count = 1;
    for (size_t place = 0; place < shape.size(); ++place)
      count *= extent && place == axis ? 1 : shape[place];
    return count;
  }

  // 0 beyond what the step had.
  float value(const float *row, const std::vector<int64_t> &shape, int64_t head, int64_t column) const {
    int64_t stored = extent ? shape[axis] : 1, inner = 1;
    for (size_t place = axis + 1; extent && place < shape.size(); ++place)
      inner *= shape[place];
    return column < stored ? row[(head / inner * stored + column) * inner + head % inner] : 0;
  }
};

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_TRACECUT_H
