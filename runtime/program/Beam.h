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
    int32_t met;                 // how many of the required tokens it has
  };

  // `required`: tokens that every result must hold, in ascending order, each as often as it is wanted. `end`: -1 when there is no end token.
  Beam(int64_t width, int32_t end, const std::vector<int32_t> &required);

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
  std::vector<std::vector<Candidate>> banks;   // by how many required tokens are met: the 2 * width best, in order
  std::vector<Candidate> chosen;
  std::vector<int32_t> missing;

  int32_t look(const std::vector<int32_t> &output);
  void add(const Candidate &candidate);
};

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_BEAM_H
