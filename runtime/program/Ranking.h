// In which order hypotheses that are finished stand, and when nothing better can come. The contract is docs/search.md, S5, S7 and S12.
#ifndef FOVEA_RUNTIME_PROGRAM_RANKING_H
#define FOVEA_RUNTIME_PROGRAM_RANKING_H

#include <cstdint>

namespace fovea::program {

class Ranking {
public:
  struct Options {
    enum Norm : uint8_t {
      Power,     // length^A
      Gnmt,      // ((5 + length) / 6)^A: Wu et al. 2016, equation 14
    } norm = Power;
    double lengthPenalty = 0;          // A; 0: none
    double coveragePenalty = 0;        // B; 0: none
    // The search of a source stops when so many times its width are finished; 0: when nothing better can come. Kasai et al. 2022.
    double patience = 0;
  };

  // `limit`: steps at most.
  Ranking(const Options &options, int64_t limit) : options(options), limit(limit) {}

  // Of a finished hypothesis of `length` tokens, the end token included; `coverage`: what Attention::coverage says, at most 0.
  double rank(double score, int64_t length, double coverage) const;
  // No hypothesis that goes on from one of `length` tokens ranks higher: scores only fall, and coverage is 0 at best.
  double bound(double score, int64_t length) const;
  // How many finished hypotheses end the search of a beam of `width`; 0: no number does.
  int64_t enough(int64_t width) const;

private:
  const Options options;
  const int64_t limit;

  double normalise(double score, int64_t length) const;
};

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_RANKING_H
