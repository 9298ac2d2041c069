#include "runtime/program/Attention.h"

#include <algorithm>
#include <cmath>

namespace fovea::program {

const Argument *Attention::find(const Table &table, const std::string &name) {
  const Argument *found = nullptr;
  for (const Trace &trace : table.traces)
    for (const Argument &argument : table.step.arguments)
      if (argument.what == What::Trace && argument.name == trace.name && (name.empty() || name == trace.name) &&
          TraceCut(argument.shape).kind == TraceCut::Source)
        found = &argument;
  return found;
}

void Attention::keep(const Session::Result &result) {
  const std::vector<int64_t> shape(result.shape.begin() + 1, result.shape.end());
  const int64_t columns = shape[cut.axis], heads = cut.heads(shape), rows = result.shape[0];
  Step &step = steps.emplace_back();
  step.columns = columns;
  const float *data = result.data;
  for (int64_t row = 0; row < rows; ++row, data += heads * columns)
    for (int64_t column = 0; column < columns; ++column) {
      double sum = 0;
      for (int64_t head = 0; head < heads; ++head)
        sum += double(cut.value(data, shape, head, column));
      step.weights.push_back(float(sum / double(heads)));
    }
}

double Attention::coverage(const std::vector<int32_t> &rows, int64_t length) const {
  double coverage = 0;
  for (int64_t column = 0; column < length; ++column) {
    double sum = 0;
    for (size_t step = 0; step < rows.size(); ++step) {
      float weight = steps[step].weights[size_t(rows[step] * steps[step].columns + column)];
      sum += std::isnan(weight) ? 0 : double(weight);
    }
    coverage += std::log(std::clamp(sum, 1e-6, 1.0));
  }
  return coverage;
}

int32_t Attention::largest(int64_t step, int32_t row, int64_t from, int64_t to) const {
  const Step &kept = steps[size_t(step)];
  const float *weights = kept.weights.data() + row * kept.columns;
  int32_t best = -1;
  for (int64_t column = from; column < to; ++column)
    if (!std::isnan(weights[column]) && (best < 0 || weights[column] > weights[best]))
      best = int32_t(column);
  return best;
}

}  // namespace fovea::program
