#include "runtime/program/Scores.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace fovea::program {

namespace {

// A program is built for one kind of machine, and this library for all: the loops below once for each kind of vectors, which all give the same bits
// (sums are by lane, and nothing is contracted).
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define FOVEA_FOR_EACH_MACHINE __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOVEA_FOR_EACH_MACHINE
#endif

constexpr int lanes = 16;
constexpr float infinity = std::numeric_limits<float>::infinity();

FOVEA_FOR_EACH_MACHINE float largest(const float *values, int64_t count) {
  float best[lanes];
  std::fill(best, best + lanes, -infinity);
  int64_t at = 0;
  for (; at + lanes <= count; at += lanes)
    for (int lane = 0; lane < lanes; ++lane)
      best[lane] = values[at + lane] > best[lane] ? values[at + lane] : best[lane];
  for (; at < count; ++at)
    best[0] = values[at] > best[0] ? values[at] : best[0];
  return *std::max_element(best, best + lanes);
}

// exp(x) for x <= 0 with a relative error of 2e-7; 1e-38 or so below -87, NaN for NaN. Written so that loops over it vectorise.
inline float exponential(float x) {
  x = x < -87.0f ? -87.0f : x;
  float shifted = x * 1.44269504f + 12582912.0f;  // rounds to the nearest integer in the low bits
  float n = shifted - 12582912.0f;
  float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  return p * std::bit_cast<float>((std::bit_cast<int32_t>(shifted) << 23) + (127 << 23));
}

// Of the logits less `best`; partial sums in f32 are short.
FOVEA_FOR_EACH_MACHINE double sumOfExponentials(const float *logits, int64_t count, float best) {
  double sum = 0;
  for (int64_t begin = 0; begin < count;) {
    int64_t end = std::min<int64_t>(begin + 512, count);
    float partial[lanes] = {};
    int64_t at = begin;
    for (; at + lanes <= end; at += lanes)
      for (int lane = 0; lane < lanes; ++lane)
        partial[lane] += exponential(logits[at + lane] - best);
    for (; at < end; ++at)
      partial[0] += exponential(logits[at] - best);
    for (float lane : partial)
      sum += double(lane);
    begin = end;
  }
  return sum;
}

}  // namespace

int64_t argmax(const float *logits, int64_t count) {
  float best = largest(logits, count);
  if (best == -infinity)
    return -1;
  return nextAbove(logits, 0, count, std::nextafter(best, -infinity));  // the first that is `best`
}

FOVEA_FOR_EACH_MACHINE int64_t nextAbove(const float *logits, int64_t from, int64_t count, float bound) {
  for (; from + lanes <= count; from += lanes) {
    int above[lanes];
    for (int lane = 0; lane < lanes; ++lane)
      above[lane] = logits[from + lane] > bound;
    int any = 0;
    for (int lane : above)
      any |= lane;
    if (any)
      break;
  }
  while (from < count && !(logits[from] > bound))
    ++from;
  return from;
}

double logSumExp(const float *logits, int64_t count) {
  float best = largest(logits, count);
  if (!(best > -infinity) || best == infinity)
    return best;
  return double(best) + std::log(sumOfExponentials(logits, count, best));
}

int64_t pick(const float *logits, int64_t count, double u) {
  float best = largest(logits, count);
  if (!(best > -infinity) || best == infinity)
    return -1;
  double sum = 0;
  for (int64_t at = 0; at < count; ++at)
    sum += double(exponential(logits[at] - best));
  if (!(sum > 0))
    return -1;
  double passed = 0, wanted = u * sum;
  int64_t last = -1;
  for (int64_t at = 0; at < count; ++at) {
    if (logits[at] == -infinity)
      continue;
    last = at;
    passed += double(exponential(logits[at] - best));
    if (passed > wanted)
      break;
  }
  return last;
}

double uniform(uint64_t seed, uint64_t line, uint64_t hypothesis, uint64_t step) {
  uint64_t state = 0;
  for (uint64_t part : {seed, line, hypothesis, step}) {
    // Steele, Lea, Flood 2014: SplitMix64.
    state = (state ^ part) + 0x9E3779B97F4A7C15u;
    state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9u;
    state = (state ^ state >> 27) * 0x94D049BB133111EBu;
    state ^= state >> 31;
  }
  return double(state >> 11) * 0x1p-53;
}

}  // namespace fovea::program
