#include "runtime/program/Attention.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace fovea::program {

Attention::Place Attention::find(const Table &table, const std::string &name) {
  Place found;
  for (const Trace &trace : table.traces)
    for (const Argument &argument : table.step.arguments)
      if (argument.what == What::Trace && argument.name == trace.name && (name.empty() || name == trace.name) &&
          TraceCut(argument.shape).kind == TraceCut::Source)
        found.trace = &argument;
  const size_t mark = name.rfind("-h");
  if (found.trace || mark == std::string::npos || mark == 0)
    return found;
  const char *end = name.data() + name.size();
  auto [rest, status] = std::from_chars(name.data() + mark + 2, end, found.head);
  const Place whole = find(table, name.substr(0, mark));
  if (status != std::errc() || rest != end || !whole.trace)
    return {};
  std::vector<int64_t> shape;
  for (const Extent &extent : whole.trace->shape)
    shape.push_back(extent.evaluate({1, 1, 1, 1}));
  shape.erase(shape.begin());
  const int64_t heads = TraceCut(whole.trace->shape).heads(shape);
  return found.head >= 0 && found.head < heads && heads > 1 ? Place{whole.trace, found.head} : Place{};
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
      for (int64_t at = 0; head < 0 && at < heads; ++at)
        sum += double(cut.value(data, shape, at, column));
      step.weights.push_back(head < 0 ? float(sum / double(heads)) : cut.value(data, shape, head, column));
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
