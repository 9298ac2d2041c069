#include "runtime/program/Beam.h"

#include "runtime/program/Scores.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace fovea::program {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

}  // namespace

Beam::Beam(int64_t width, int32_t end, const std::vector<int32_t> &required, const std::vector<std::vector<int32_t>> &phrases)
    : width(width), end(end), required(required), phrases(phrases) {
  size_t most = required.size();
  for (const auto &phrase : phrases)
    most += phrase.size();
  banks.resize(most + 1);
}

void Beam::begin() {
  for (auto &bank : banks)
    bank.clear();
}

// How many required tokens `output` has: single ones, those of phrases that stand in it, and, unless only the `whole` ones count, those with which it ends of
// the phrase that has got furthest.
int32_t Beam::metBy(const std::vector<int32_t> &output, bool whole) {
  int64_t met = 0, furthest = 0;
  for (auto from = required.begin(); from != required.end();) {
    auto to = std::find_if(from, required.end(), [&](int32_t token) { return token != *from; });
    met += std::min<int64_t>(to - from, std::count(output.begin(), output.end(), *from));
    from = to;
  }
  for (const auto &phrase : phrases) {
    if (std::search(output.begin(), output.end(), phrase.begin(), phrase.end()) != output.end()) {
      met += int64_t(phrase.size());
      continue;
    }
    auto count = int64_t(std::min(phrase.size(), output.size()));
    while (count > 0 && !std::equal(output.end() - count, output.end(), phrase.begin()))
      --count;
    furthest = std::max(furthest, count);
  }
  return int32_t(met + (whole ? 0 : furthest));
}

int32_t Beam::metWith(const std::vector<int32_t> &output, int32_t token) {
  next = output;
  next.push_back(token);
  return metBy(next, false);
}

// Puts into `wanted` the tokens after which `output` may have other required tokens than before, and returns how many it has after any other token.
int32_t Beam::look(const std::vector<int32_t> &output) {
  wanted.clear();
  for (int32_t token : required)
    if (std::count(output.begin(), output.end(), token) < std::count(required.begin(), required.end(), token))
      wanted.push_back(token);
  for (const auto &phrase : phrases)
    if (std::search(output.begin(), output.end(), phrase.begin(), phrase.end()) == output.end())
      wanted.insert(wanted.end(), phrase.begin(), phrase.end());
  std::sort(wanted.begin(), wanted.end());
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  return metBy(output, true);
}

// Hypotheses and tokens come in order, so a candidate goes behind its equals.
void Beam::add(const Candidate &candidate) {
  std::vector<Candidate> &bank = banks[size_t(candidate.met)];
  const bool full = int64_t(bank.size()) == 2 * width;
  if (full && !(candidate.order > bank.back().order))
    return;
  auto place = std::upper_bound(bank.begin(), bank.end(), candidate.order, [](double order, const Candidate &other) { return order > other.order; });
  if (full) {
    std::move_backward(place, bank.end() - 1, bank.end());
    *place = candidate;
  } else
    bank.insert(place, candidate);
}

void Beam::extend(int32_t hypothesis, const float *logits, int64_t vocabulary, double total, const double *penalty, const std::vector<int32_t> &output) {
  const int32_t met = banks.size() == 1 ? 0 : look(output);
  const std::vector<Candidate> &bank = banks[size_t(met)];
  // What is not above `bound` cannot be better than the worst candidate, whatever rounding does.
  auto findBound = [&] {
    if (int64_t(bank.size()) < 2 * width)
      return -std::numeric_limits<float>::infinity();
    double gain = bank.back().order - total;
    return float(gain - 1e-5 * (1 + std::abs(gain)));
  };
  float bound = findBound();
  for (int64_t token = nextAbove(logits, 0, vocabulary, bound); token < vocabulary; token = nextAbove(logits, token + 1, vocabulary, bound)) {
    double score = total + double(logits[token]), order = penalty ? score - penalty[token] : score;
    if (!wanted.empty() && (token == end || std::binary_search(wanted.begin(), wanted.end(), int32_t(token))))
      continue;
    if (!(order > -infinity))
      continue;
    add({order, score, hypothesis, int32_t(token), met});
    bound = findBound();
  }
  for (int32_t token : wanted) {
    double score = total + double(logits[token]), order = penalty ? score - penalty[token] : score;
    if (order > -infinity)
      add({order, score, hypothesis, token, metWith(output, token)});
  }
}

void Beam::force(int32_t hypothesis, int32_t token, double score, const std::vector<int32_t> &output) {
  add({score, score, hypothesis, token, banks.size() == 1 ? 0 : metWith(output, token)});
}

const std::vector<Beam::Candidate> &Beam::choose() {
  chosen.clear();
  const int64_t each = width / int64_t(banks.size());
  int64_t left = width;
  std::vector<Candidate> others;
  for (size_t met = banks.size(); met-- > 0;) {
    const bool complete = met + 1 == banks.size();
    int64_t seats = complete ? width - each * int64_t(banks.size() - 1) : each;
    const std::vector<Candidate> &bank = banks[met];
    for (size_t place = 0; place < bank.size(); ++place) {
      if (bank[place].token == end) {
        if (int64_t(place) < width)
          chosen.push_back(bank[place]);
      } else if (seats > 0) {
        --seats;
        --left;
        chosen.push_back(bank[place]);
      } else if (banks.size() > 1)
        others.push_back(bank[place]);
    }
  }
  if (banks.size() == 1)
    return chosen;
  auto before = [](const Candidate &a, const Candidate &b) {
    return a.order != b.order ? a.order > b.order : a.hypothesis != b.hypothesis ? a.hypothesis < b.hypothesis : a.token < b.token;
  };
  std::sort(others.begin(), others.end(), before);
  chosen.insert(chosen.end(), others.begin(), others.begin() + std::min<int64_t>(left, int64_t(others.size())));
  std::sort(chosen.begin(), chosen.end(), before);
  return chosen;
}

}  // namespace fovea::program
