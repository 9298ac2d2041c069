// The loop around step: greedy search, beam search, sampling, scoring. The contract is docs/search.md.
#ifndef FOVEA_RUNTIME_PROGRAM_SEARCH_H
#define FOVEA_RUNTIME_PROGRAM_SEARCH_H

#include "runtime/program/Attention.h"
#include "runtime/program/Beam.h"
#include "runtime/program/Ensemble.h"
#include "runtime/program/History.h"
#include "runtime/program/Ranking.h"
#include "runtime/program/Rows.h"
#include "runtime/program/Sampling.h"
#include "runtime/program/TokenRules.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace fovea::program {

struct Job;

struct SearchOptions {
  int64_t beam = 1;
  int64_t nbest = 1;
  bool sample = false;
  bool score = false;              // nothing is searched: Job::prefix is the whole output
  bool scores = false;             // log-probabilities are wanted (greedy search does without)
  Kept keep;                       // of the best hypothesis
  uint64_t seed = 0;
  int64_t maxLength = 0;           // steps; 0: what the model declares
  SamplingOptions sampling;
  TokenRules::Options rules;
  Ranking::Options ranking;
  int64_t groups = 1;              // of the beam
  double diversity = 0;
  std::vector<int32_t> required;   // tokens, in ascending order
  std::vector<std::vector<int32_t>> phrases;  // several in a row, no two alike

  bool wantsTokens() const { return !required.empty() || !phrases.empty(); }
  // Called for each token of a line, the end token aside, as soon as it is chosen: in greedy search and for a single sample.
  std::function<void(const Job &, int32_t token)> chosen;
};

struct Hypothesis {
  std::vector<int32_t> tokens;        // without start and end
  bool ended = false;                 // by the end token, not by the limit
  double score = 0;                   // log-probability
  std::vector<double> tokenScores;    // of each token, the end token included
  std::vector<int32_t> alignment;     // with Kept::attention: for each of `tokens` the position in the source, start and end not counted; -1: none
};

// One source line and what becomes of it.
struct Job {
  uint64_t line = 0;              // its number, from 1
  std::vector<int32_t> source;    // with start and end
  std::vector<int32_t> prefix;    // what its output begins with, no longer than the limit
  std::vector<Hypothesis> best;   // best first; for samples in the order drawn
  std::vector<StepRows> traces;   // in the order of the table's traces
  StepRows logits;                // the logits that chose each token
  std::string error;              // not empty: why there is no result
};

class Search {
public:
  // `models`: one, or an ensemble of models with the same table.
  Search(const std::vector<const Model *> &models, const SearchOptions &options);
  Search(const Model &model, const SearchOptions &options) : Search(std::vector<const Model *>{&model}, options) {}

  // Fills in `best`, `traces` and `logits` of every job, or `error` of one that has no result. Throws Error when a stage fails.
  void run(const std::vector<Job *> &jobs);

  const SearchOptions options;

private:
  // A hypothesis in the tree of all of a batch.
  struct Node {
    int32_t parent, token, row;   // row: where it was scored, for what is kept
    double score;                 // log-probability, where it is wanted
  };
  struct Live {
    double score;                 // what is searched by: the log-probability, after the repetition penalty if there is one
    int32_t node, row;
  };
  struct Finished {
    double rank;                  // for samples minus the order of drawing
    int32_t node;
  };
  // The hypotheses of a source that are searched together: all of them, or a group.
  struct Group {
    std::vector<Live> live;           // best first
    std::vector<Finished> finished;   // best first
    int64_t count = 0;                // of all that ever finished
  };

  const Model &model;
  const int64_t limit;                // steps
  const int64_t width;                // of a group
  const TokenRules rules;
  const Ranking ranking;
  Sampling sampling;
  Beam beam;
  std::optional<Attention> attention;
  Ensemble session;
  History history;
  Rows rows;
  std::vector<Node> nodes;
  std::vector<int32_t> tokens, from;
  std::vector<const std::vector<int32_t> *> inputs;
  std::vector<Group> groups;          // [sources, groups]
  std::vector<Live> children;
  std::vector<int32_t *> liveRows;
  std::vector<int32_t> order;         // by node: which sample it belongs to
  std::vector<int32_t> output, path;  // of one hypothesis: its tokens and the rows that scored them
  std::vector<float> changed;         // a row of logits after the rules
  std::vector<double> taken;          // by token: what diversity takes off

  void begin(const std::vector<Job *> &jobs);
  void greedy(const std::vector<Job *> &jobs);
  void expand(const std::vector<Job *> &jobs);
  bool extend(Group &group, const Job &job, const double *penalty);
  bool draw(Group &group, const Job &job);
  void close(Job &job, size_t index);
  void finish(Group &group, const Job &job, double score, int32_t node);
  void place();
  void keepStep();

  const float *row(int32_t row) const { return session.logits() + row * session.vocabulary(); }
  int32_t forced(const Job &job) const;
  void readOutput(int32_t node);
  const float *penalised(const float *logits);
  const float *allowed(const float *penalised);
  const char *whyNone(const Job &job, const float *logits) const;
  Hypothesis hypothesis(int32_t node, const Job &job);
  void readPath(int32_t node);
  void keepPath(int32_t node, Job &job);
  int32_t grow(int32_t parent, int32_t token, int32_t row, double score);
  double scoreOf(int32_t node) const { return node < 0 ? 0 : nodes[size_t(node)].score; }
};

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_SEARCH_H
