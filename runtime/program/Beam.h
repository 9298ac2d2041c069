// One step of beam search for one source, or for one group of its hypotheses: which extensions stay. The contract is docs/search.md, S4, S13 and S14.
#ifndef FOVEA_RUNTIME_PROGRAM_BEAM_H
#define FOVEA_RUNTIME_PROGRAM_BEAM_H

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fovea::program {

class Beam {
public:
  // A live hypothesis and a token behind it.
  struct Candidate {
    double order;                // what candidates are sorted by: the score, less what diversity takes off
    double score;
    int32_t hypothesis, token;
    int32_t met;                 // how many of the required tokens it has, those of phrases among them
  };

  // `required`: tokens that every result must hold, in ascending order, each as often as it is wanted; `phrases`: several in a row. `end`: -1 when there is
  // no end token.
  Beam(int64_t width, int32_t end, const std::vector<int32_t> &required, const std::vector<std::vector<int32_t>> &phrases = {});

  void begin();
  // Extends a hypothesis by every token; hypotheses come in the order of their rank. `logits`: what the next token is chosen by; `total`: the score of
  // the hypothesis less logSumExp of its row; `penalty`: by token, taken off the order, or null; `output`: its tokens so far, read where tokens are required.
  void extend(int32_t hypothesis, const float *logits, int64_t vocabulary, double total, const double *penalty, const std::vector<int32_t> &output);
  // Extends it by one token.
  void force(int32_t hypothesis, int32_t token, double score, const std::vector<int32_t> &output);
  // What ends and what lives on, in order.
  const std::vector<Candidate> &choose();
  // Whether a candidate has all required tokens; only such a one may end.
  bool isComplete(const Candidate &candidate) const { return size_t(candidate.met) + 1 == banks.size(); }

private:
  const int64_t width;
  const int32_t end;
  const std::vector<int32_t> required;
  const std::vector<std::vector<int32_t>> phrases;
  std::vector<std::vector<Candidate>> banks;   // by how many required tokens are met: the 2 * width best, in order
  std::vector<Candidate> chosen;
  std::vector<int32_t> wanted;                 // tokens that may change what is met, in ascending order
  std::vector<int32_t> next;

  int32_t look(const std::vector<int32_t> &output);
  int32_t metBy(const std::vector<int32_t> &output, bool whole);
  int32_t metWith(const std::vector<int32_t> &output, int32_t token);
  void add(const Candidate &candidate);
};

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_BEAM_H
