// Where the model looked in the source, step by step: one of its traces, as one row of weights a hypothesis. The contract is docs/search.md, S12 and S16.
#ifndef FOVEA_RUNTIME_PROGRAM_ATTENTION_H
#define FOVEA_RUNTIME_PROGRAM_ATTENTION_H

#include "runtime/program/Session.h"
#include "runtime/program/TraceCut.h"

#include <cstdint>
#include <string>
#include <vector>

namespace fovea::program {

class Attention {
public:
  // step's argument of a trace, and which of its heads; -1: their mean.
  struct Place {
    const Argument *trace = nullptr;
    int64_t head = -1;
  };
  // The trace of this name, one head of it ("dec.1.p-h0", as its map is called), or for "" the last trace over the source. Null where there is none over the source.
  static Place find(const Table &table, const std::string &name);

  explicit Attention(const Place &place) : trace(*place.trace), head(place.head), cut(trace.shape) {}

  void begin() { steps.clear(); }
  // After a step, what the trace is then.
  void keep(const Session::Result &result);

  // Of the hypothesis that was scored in row rows[n] at step n, over a source of `length` tokens:
  // sum over the source of log(min(sum of the weights, 1)), where no sum is taken for less than 1e-6. Wu et al. 2016, equation 14.
  double coverage(const std::vector<int32_t> &rows, int64_t length) const;
  // The position from `from` up to `to` with the largest weight at a step, the first of equals; -1 where no weight is a number.
  int32_t largest(int64_t step, int32_t row, int64_t from, int64_t to) const;

private:
  struct Step {
    int64_t columns;
    std::vector<float> weights;   // [rows, columns]
  };
  const Argument &trace;
  const int64_t head;
  const TraceCut cut;
  std::vector<Step> steps;
};

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_ATTENTION_H
