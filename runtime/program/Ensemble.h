// One model, or several of the same kind with other weights, that choose each token together. The contract is docs/search.md, S18.
#ifndef FOVEA_RUNTIME_PROGRAM_ENSEMBLE_H
#define FOVEA_RUNTIME_PROGRAM_ENSEMBLE_H

#include "runtime/program/Session.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace fovea::program {

// Sessions in step with each other: what Session says holds for each of them.
class Ensemble {
public:
  explicit Ensemble(const std::vector<const Model *> &models);

  void encode(const std::vector<const std::vector<int32_t> *> &sources, int64_t most);
  void step(const int32_t *tokens);
  void arrange(const std::vector<int32_t> &from);
  void advance();

  // [rows, V]: of one model its own; of several the log of the mean of their probabilities, NaN in a row in which one has none.
  const float *logits() const { return sessions.size() == 1 ? sessions[0]->logits() : combined.data(); }
  // A trace is the first model's.
  Session::Result result(const Argument &argument) const;

  int64_t rows() const { return sessions[0]->rows(); }
  int64_t sourceOf(int64_t row) const { return sessions[0]->sourceOf(row); }
  int64_t stepsDone() const { return sessions[0]->stepsDone(); }
  int64_t vocabulary() const { return sessions[0]->vocabulary(); }

private:
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<float> combined;
  std::vector<double> wholes;   // [models], of a row

  void combine();
};

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_ENSEMBLE_H
