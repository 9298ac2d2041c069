#include "runtime/program/Batches.h"

#include "runtime/program/Error.h"

#include <algorithm>

namespace fovea::program {

namespace {

// A stage's own memory is not known; it grows with the padded tokens of a batch.
constexpr int64_t mostTokens = 1 << 16;
// Fewer lines than this are not worth a thread of their own.
constexpr int64_t fewest = 32;

}  // namespace

std::vector<std::vector<Job *>> makeBatches(const Model &model, std::vector<Job *> jobs, const BatchLimits &limits) {
  std::stable_sort(jobs.begin(), jobs.end(), [](const Job *a, const Job *b) { return a->source.size() > b->source.size(); });
  int64_t lines = limits.lines, count = int64_t(jobs.size());
  if (count < limits.workers * lines && count >= limits.workers * fewest)
    lines = (count + limits.workers - 1) / limits.workers;
  std::vector<std::vector<Job *>> batches;
  for (size_t at = 0; at < jobs.size();) {
    int64_t longest = int64_t(jobs[at]->source.size());
    int64_t alone = 0;
    try {
      alone = Session::bytesNeeded(model, 1, longest, limits.rowsPerSource, limits.keep);
    } catch (const Error &) {
      alone = limits.bytes + 1;
    }
    if (alone > limits.bytes) {
      jobs[at++]->error = "the line needs more memory than there is (" + std::to_string(longest) + " tokens, " + std::to_string(limits.rowsPerSource) + " hypotheses)";
      continue;
    }
    int64_t size = std::min({lines, limits.bytes / std::max<int64_t>(alone, 1), std::max<int64_t>(1, mostTokens / longest)});
    size = std::clamp<int64_t>(size, 1, int64_t(jobs.size() - at));
    batches.emplace_back(jobs.begin() + int64_t(at), jobs.begin() + int64_t(at) + size);
    at += size_t(size);
  }
  return batches;
}

}  // namespace fovea::program
