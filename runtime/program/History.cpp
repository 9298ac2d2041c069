#include "runtime/program/History.h"

namespace fovea::program {

namespace {

int64_t count(const std::vector<int64_t> &shape) {
  int64_t count = 1;
  for (int64_t extent : shape)
    count *= extent;
  return count;
}

}  // namespace

History::History(const Table &table, const Kept &kept) {
  auto add = [&](What what, const std::string *name) {
    for (const Argument &argument : table.step.arguments)
      if (argument.what == what && (!name || argument.name == *name))
        results.push_back({&argument, {}, {}});
  };
  if (kept.traces)
    for (const Trace &trace : table.traces)
      add(What::Trace, &trace.name);
  if (kept.logits)
    add(What::Logits, nullptr);
}

void History::begin() {
  for (Result &result : results) {
    result.values.clear();
    result.shapes.clear();
  }
}

void History::keep(const Ensemble &session) {
  for (Result &result : results) {
    Session::Result now = session.result(*result.argument);
    result.values.emplace_back(now.data, now.data + count(now.shape));
    result.shapes.emplace_back(now.shape.begin() + 1, now.shape.end());
  }
}

void History::read(const std::vector<int32_t> &path, std::vector<StepRows> &traces, StepRows &logits) const {
  for (const Result &result : results) {
    StepRows &kept = result.argument->what == What::Logits ? logits : traces.emplace_back();
    for (size_t step = 0; step < path.size(); ++step) {
      const std::vector<int64_t> &shape = result.shapes[step];
      auto begin = result.values[step].begin() + path[step] * count(shape);
      kept.rows.emplace_back(begin, begin + count(shape));
      kept.shapes.push_back(shape);
    }
  }
}

}  // namespace fovea::program
