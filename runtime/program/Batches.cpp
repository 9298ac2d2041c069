#include "runtime/program/Batches.h"

#include "runtime/program/Error.h"

#include <algorithm>

namespace fovea::program {

namespace {

// A stage's own memory is not known; it grows with the padded tokens of a batch.
constexpr int64_t mostTokens = 1 << 16;
// Fewer rows than this are not worth a thread of their own: it would wait for the weights, which it reads for them alone.
constexpr int64_t fewestRows = 16;

// How many jobs from `at` on have `tokens` together, to the nearest job.
int64_t linesWith(int64_t tokens, const std::vector<Job *> &jobs, size_t at) {
  size_t end = at;
  for (int64_t rest = tokens; end < jobs.size() && 2 * rest >= int64_t(jobs[end]->source.size()); ++end)
    rest -= int64_t(jobs[end]->source.size());
  return int64_t(end - at);
}

}  // namespace

std::vector<std::vector<Job *>> makeBatches(const Model &model, std::vector<Job *> jobs, const BatchLimits &limits) {
  std::stable_sort(jobs.begin(), jobs.end(), [](const Job *a, const Job *b) { return a->source.size() > b->source.size(); });
  // Fewer lines than the workers could have are shared among them: lines of two batches never wait for each other, as the threads of one batch's
  // loops do. Shares have as many tokens each, since results are about as long as their sources.
  const int64_t count = int64_t(jobs.size());
  int64_t shares = count < limits.workers * limits.lines ? std::min(limits.workers, count * limits.rowsPerSource / fewestRows) : 1, tokens = 0;
  for (const Job *job : jobs)
    tokens += int64_t(job->source.size());
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
    const int64_t lines = shares > 1 ? std::min(limits.lines, linesWith(tokens / shares--, jobs, at)) : limits.lines;
    int64_t size = std::min({lines, limits.bytes / std::max<int64_t>(alone, 1), std::max<int64_t>(1, mostTokens / longest)});
    size = std::clamp<int64_t>(size, 1, int64_t(jobs.size() - at));
    batches.emplace_back(jobs.begin() + int64_t(at), jobs.begin() + int64_t(at) + size);
    for (const Job *job : batches.back())
      tokens -= int64_t(job->source.size());
    at += size_t(size);
  }
  return batches;
}

}  // namespace fovea::program
