// Candidates that are compiled, compared and timed side by side.
#ifndef FOVEA_TOOLS_TUNE_RACE_H
#define FOVEA_TOOLS_TUNE_RACE_H

#include "tools/Execute.h"
#include "tools/tune/Space.h"

#include <chrono>
#include <deque>
#include <memory>

namespace fovea::tune {

// Settings for each attention of the kernel, in their order.
using Plan = std::vector<Settings>;

struct Candidate {
  Plan plan;
  bool asItIs = false;           // the program's own schedules, whatever they say
  std::unique_ptr<Loaded> loaded;
  bool refused = false;          // a call failed: for want of memory, say
  int calls = 1;                 // of one sample: enough for the clock
  std::vector<double> samples;   // milliseconds of a call
  double best() const;
};

class Race {
 public:
  using Clock = std::chrono::steady_clock;

  // `kernel`, `files` and `arguments` must outlive it. `target` is the row of Targets.def that schedules are for.
  Race(const core::Function &kernel, const std::vector<std::string> &files, const Arguments &arguments, const CompileOptions &options, const std::string &target, int threads,
       Clock::time_point end)
      : kernel(kernel), files(files), arguments(arguments), options(options), target(target), threads(threads), end(end) {}

  // The candidate with that plan; it is compiled by `prepare`.
  Candidate *add(const Plan &plan, bool asItIs = false);

  // Compiles those that are not yet, runs each once and compares its results with the first candidate's: a difference beyond rule E10 is our
  // fault, a call that fails takes the candidate out. When time is up the rest stay as they are. False after a failure.
  bool prepare(const std::vector<Candidate *> &candidates, std::string &error);

  // The fastest of those that are compiled: all but the hopeless take turns, then the better half does, with twice the samples, until one is left.
  Candidate *fastest(std::vector<Candidate *> candidates);

  // One more sample of each, in turns.
  void sample(const std::vector<Candidate *> &candidates);

  bool over() const { return Clock::now() >= end; }
  // All, in the order in which they were added.
  const std::deque<Candidate> &all() const { return candidates; }

 private:
  bool compare(Candidate &candidate, std::string &error);
  core::Function withPlan(const Plan &plan) const;

  const core::Function &kernel;
  const std::vector<std::string> &files;
  const Arguments &arguments;
  CompileOptions options;
  std::string target;
  int threads;
  Clock::time_point end;
  std::deque<Candidate> candidates;
  std::vector<Buffer> wanted, results;
};

// The schedule that a plan is, in core.
core::Schedule scheduleOf(const Plan &plan, const std::string &target);

}  // namespace fovea::tune

#endif  // FOVEA_TOOLS_TUNE_RACE_H
