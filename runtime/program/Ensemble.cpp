#include "runtime/program/Ensemble.h"

#include "runtime/program/Scores.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace fovea::program {

Ensemble::Ensemble(const std::vector<const Model *> &models) : wholes(models.size()) {
  for (const Model *model : models)
    sessions.push_back(std::make_unique<Session>(*model));
}

void Ensemble::encode(const std::vector<const std::vector<int32_t> *> &sources, int64_t most) {
  for (auto &session : sessions)
    session->encode(sources, most);
}

void Ensemble::step(const int32_t *tokens) {
  for (auto &session : sessions)
    session->step(tokens);
  if (sessions.size() > 1)
    combine();
}

void Ensemble::arrange(const std::vector<int32_t> &from) {
  for (auto &session : sessions)
    session->arrange(from);
}

void Ensemble::advance() {
  for (auto &session : sessions)
    session->advance();
}

Session::Result Ensemble::result(const Argument &argument) const {
  Session::Result result = sessions[0]->result(argument);
  if (argument.what == What::Logits)
    result.data = logits();
  return result;
}

void Ensemble::combine() {
  const int64_t count = vocabulary();
  const double infinity = std::numeric_limits<double>::infinity(), share = std::log(double(sessions.size()));
  combined.resize(size_t(rows() * count));
  for (int64_t row = 0; row < rows(); ++row) {
    float *out = combined.data() + row * count;
    bool numbers = true;
    for (size_t model = 0; model < sessions.size(); ++model) {
      wholes[model] = logSumExp(sessions[model]->logits() + row * count, count);
      numbers &= std::isfinite(wholes[model]);
    }
    for (int64_t token = 0; token < count; ++token) {
      auto gain = [&](size_t model) { return double(sessions[model]->logits()[row * count + token]) - wholes[model]; };
      double best = -infinity, sum = 0;
      for (size_t model = 0; model < sessions.size(); ++model)
        best = std::max(best, gain(model));
      for (size_t model = 0; model < sessions.size() && best > -infinity; ++model)
        sum += std::exp(gain(model) - best);
      out[token] = !numbers ? std::numeric_limits<float>::quiet_NaN() : best > -infinity ? float(best + std::log(sum) - share) : -std::numeric_limits<float>::infinity();
    }
  }
}

}  // namespace fovea::program
