// The loop around step: greedy search, beam search, sampling. The contract is docs/search.md.
#ifndef FOVEA_RUNTIME_PROGRAM_SEARCH_H
#define FOVEA_RUNTIME_PROGRAM_SEARCH_H

#include "runtime/program/Session.h"

#include <cstdint>
#include <string>
#include <vector>

namespace fovea::program {

struct SearchOptions {
  int64_t beam = 1;
  int64_t nbest = 1;
  bool sample = false;
  bool scores = false;       // log-probabilities are wanted (greedy search does without)
  Kept keep;                 // of the best hypothesis
  uint64_t seed = 0;
  double lengthPenalty = 0;
};

struct Hypothesis {
  std::vector<int32_t> tokens;  // without start and end
  bool ended = false;           // by the end token, not by the limit
  double score = 0;             // log-probability
};

// What is kept of the best hypothesis: one row a step.
struct StepRows {
  std::vector<std::vector<float>> rows;
  std::vector<std::vector<int64_t>> shapes;  // of each row; only an axis `t` changes from step to step
};

// One source line and what becomes of it.
struct Job {
  uint64_t line = 0;              // its number, from 1
  std::vector<int32_t> source;    // with start and end
  std::vector<Hypothesis> best;   // best first; for samples in the order drawn
  std::vector<StepRows> traces;   // in the order of the table's traces
  StepRows logits;                // the logits that chose each token
  std::string error;              // not empty: why there is no result
};

class Search {
public:
  Search(const Model &model, const SearchOptions &options);

  // Fills in `best`, `traces` and `logits` of every job, or `error` of one whose scores are no numbers. Throws Error when a stage fails.
  void run(const std::vector<Job *> &jobs);

  const SearchOptions options;

private:
  // A hypothesis in the tree of all of a batch.
  struct Node {
    int32_t parent, token, row;   // row: where it was scored, for what is kept
  };
  struct Live {
    double score;
    int32_t node, row;
  };
  struct Finished {
    double rank, score;           // rank: score after the length penalty, or for samples minus the order of drawing
    int32_t node;
  };
  struct Candidate {
    double score;
    int32_t hypothesis, token;
  };
  struct Source {
    std::vector<Live> live;           // best first
    std::vector<Finished> finished;   // best first
  };

  const Model &model;
  Session session;
  std::vector<Node> nodes;
  std::vector<int32_t> tokens, from;
  std::vector<const std::vector<int32_t> *> inputs;
  std::vector<Source> sources;
  std::vector<Live> children;
  std::vector<Candidate> candidates;
  std::vector<Live *> owner, pending;
  std::vector<int32_t> order;         // by node: which sample it belongs to
  // A result of step, of every step and all rows.
  struct History {
    const Argument *argument;
    std::vector<std::vector<float>> values;     // [step]
    std::vector<std::vector<int64_t>> shapes;   // [step], of a row
  };
  std::vector<History> histories;               // the traces in the table's order, then the logits

  void begin(const std::vector<Job *> &jobs);
  void greedy(const std::vector<Job *> &jobs);
  void expand(const std::vector<Job *> &jobs);
  bool extend(Source &source, bool last);
  bool draw(Source &source, const Job &job, bool last);
  void finish(Source &source, double score, int32_t node, int64_t length);
  void place();
  void keepStep();
  Hypothesis hypothesis(int32_t node, double score) const;
  void keepPath(int32_t node, Job &job) const;
  int32_t grow(int32_t parent, int32_t token, int32_t row);
};

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_SEARCH_H
