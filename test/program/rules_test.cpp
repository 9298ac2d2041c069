// The parts of a search by themselves: docs/search.md, S5, S7, S8, S10, S12 to S14, S16.
#include "runtime/program/Attention.h"
#include "runtime/program/Beam.h"
#include "runtime/program/Ranking.h"
#include "runtime/program/Sampling.h"
#include "runtime/program/TokenRules.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

using namespace fovea::program;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();

std::vector<int32_t> forbidden(const TokenRules::Options &options, const std::vector<int32_t> &output) {
  std::vector<float> row(6, 0);
  TokenRules(options, 1).forbid(row.data(), output);
  std::vector<int32_t> tokens;
  for (int32_t token = 0; token < 6; ++token)
    if (row[size_t(token)] == -infinity)
      tokens.push_back(token);
  return tokens;
}

using Tokens = std::vector<int32_t>;

TEST(TokenRules, NgramsComeOnce) {
  auto after = [](int64_t n, const Tokens &output) { return forbidden({.noRepeat = n}, output); };
  EXPECT_EQ(after(1, {}), Tokens{});
  EXPECT_EQ(after(1, {3, 5, 3}), (Tokens{3, 5}));
  EXPECT_EQ(after(2, {3}), Tokens{});
  EXPECT_EQ(after(2, {3, 4, 3}), Tokens{4});
  EXPECT_EQ(after(2, {3, 3}), Tokens{3}) << "the n-gram that ends here counts";
  EXPECT_EQ(after(2, {3, 4, 3, 5, 3}), (Tokens{4, 5}));
  EXPECT_EQ(after(3, {2, 3, 4, 2, 3}), Tokens{4});
  EXPECT_EQ(after(3, {2, 3, 4, 2}), Tokens{});
  EXPECT_EQ(after(100, {2, 3, 4, 2, 3}), Tokens{});
}

TEST(TokenRules, EndAndSuppressed) {
  EXPECT_EQ(forbidden({.minLength = 2}, {4}), Tokens{1});
  EXPECT_EQ(forbidden({.minLength = 2}, {4, 4}), Tokens{});
  EXPECT_EQ(forbidden({.suppressed = {5, 0}}, {}), (Tokens{0, 5}));
  std::vector<float> row(2, 0);
  TokenRules({.minLength = 9}, -1).forbid(row.data(), {});
  EXPECT_EQ(row, (std::vector<float>{0, 0})) << "without an end token there is nothing to hold back";
  EXPECT_FALSE(TokenRules({}, 1).any());
}

TEST(TokenRules, RepetitionLowersWhateverTheSign) {
  std::vector<float> row{4, -4, 0, 8, -infinity, 1};
  TokenRules({.repetitionPenalty = 2}, 1).penalise(row.data(), {0, 1, 0, 0, 2, 4});
  EXPECT_EQ(row, (std::vector<float>{2, -8, 0, 8, -infinity, 1}));
}

// The tokens that some draw gives.
std::set<int64_t> drawn(const SamplingOptions &options, const std::vector<float> &row) {
  Sampling sampling(options);
  sampling.prepare(row.data(), int64_t(row.size()));
  std::set<int64_t> tokens;
  for (int n = 0; n < 1000; ++n)
    tokens.insert(sampling.draw((n + 0.5) / 1000));
  return tokens;
}

using Set = std::set<int64_t>;

TEST(Sampling, WhatIsLeftToDraw) {
  const float a = float(std::log(0.5)), b = float(std::log(0.25)), c = float(std::log(0.125));
  const std::vector<float> row{c, b, a, c};
  EXPECT_EQ(drawn({}, row), (Set{0, 1, 2, 3}));
  EXPECT_EQ(drawn({.topK = 3}, row), (Set{0, 1, 2})) << "of equals the lower token";
  EXPECT_EQ(drawn({.topK = 9}, row), (Set{0, 1, 2, 3}));
  EXPECT_EQ(drawn({.topP = 0.5}, {0, 0}), Set{0}) << "a token that reaches P exactly is the last";
  EXPECT_EQ(drawn({.topP = 0.5001}, {0, 0}), (Set{0, 1}));
  EXPECT_EQ(drawn({.topP = 0.6}, row), (Set{1, 2}));
  EXPECT_EQ(drawn({.topP = 1e-9}, row), Set{2}) << "one always stays";
  EXPECT_EQ(drawn({.topK = 2, .topP = 0.66}, row), Set{2}) << "probabilities are among what top-k left: 2/3 and 1/3";
  EXPECT_EQ(drawn({.temperature = 100, .topP = 0.6}, row), (Set{0, 1, 2})) << "temperature comes first";
  EXPECT_EQ(drawn({.temperature = 0.001}, row), Set{2});
  EXPECT_EQ(drawn({.temperature = 0.001}, {1e30f, -1e30f, -infinity}), Set{0});
}

TEST(Sampling, RowsThatAreNoNumbers) {
  for (const SamplingOptions &options : {SamplingOptions{}, {.temperature = 2}, {.topK = 1}, {.topP = 0.5}, {.temperature = 0.5, .topK = 2, .topP = 0.1}})
    for (const std::vector<float> &row : {std::vector<float>{-infinity, -infinity, -infinity}, {0, nan, 0}, {0, infinity, 0}, {nan, nan, nan}})
      EXPECT_EQ(drawn(options, row), Set{-1});
  EXPECT_EQ(drawn({.topK = 3, .topP = 0.9}, {-infinity, 0, -infinity}), Set{1});
}

// S5: the bound is above the rank of everything that a hypothesis may become.
TEST(Ranking, NothingRanksAboveItsBound) {
  for (auto norm : {Ranking::Options::Power, Ranking::Options::Gnmt})
    for (double penalty : {0.0, 0.5, 1.0, 3.0})
      for (double coverage : {0.0, 0.5})
        for (double score : {-20.0, -1.0, -1e-9, 0.0, 1e-7}) {
          Ranking ranking({norm, penalty, coverage, 0}, 12);
          for (int64_t length = 0; length < 12; ++length)
            for (int64_t longer = length + 1; longer <= 12; ++longer)
              for (double lost : {0.0, 0.1, 5.0})
                EXPECT_LE(ranking.rank(score - lost, longer, -lost), ranking.bound(score, length));
        }
  Ranking gnmt({Ranking::Options::Gnmt, 2, 0.5, 0}, 12);
  EXPECT_DOUBLE_EQ(gnmt.rank(-8, 7, -3), -8 / 4.0 - 1.5);
  EXPECT_DOUBLE_EQ(gnmt.bound(-17.0 * 17, 3), -36);
}

TEST(Ranking, PatienceIsRoundedUp) {
  auto enough = [](double patience, int64_t width) { return Ranking({.patience = patience}, 9).enough(width); };
  EXPECT_EQ(enough(0, 4), 0);
  EXPECT_EQ(enough(1, 4), 4);
  EXPECT_EQ(enough(0.3, 4), 2);
  EXPECT_EQ(enough(0.1, 10), 1);
  EXPECT_EQ(enough(1.5, 3), 5);
}

// S12, S16: two hypotheses, two heads before or behind the axis over the source, two steps.
TEST(Attention, MeanOverHeadsOfTheRowsOnAPath) {
  for (const std::vector<const char *> &axes : {std::vector<const char *>{"b", "2", "i"}, {"b", "i", "2"}}) {
    Argument trace{What::Trace, "p", Type::F32, {}};
    for (const char *axis : axes)
      trace.shape.push_back(Extent::parse(axis));
    const bool headsFirst = axes[1][0] == '2';
    const std::vector<int64_t> shape = headsFirst ? std::vector<int64_t>{2, 2, 3} : std::vector<int64_t>{2, 3, 2};
    const std::vector<float> first = headsFirst ? std::vector<float>{0, .5f, .5f, 1, 0, 0, 0, 0, 0, 0, 1, 1} : std::vector<float>{0, 1, .5f, 0, .5f, 0, 0, 0, 0, 1, 0, 1};
    const std::vector<float> second(12, nan);
    Attention attention({&trace, -1});
    attention.begin();
    attention.keep({first.data(), shape});
    attention.keep({second.data(), shape});
    EXPECT_EQ(attention.largest(0, 0, 0, 3), 0);
    EXPECT_EQ(attention.largest(0, 0, 1, 3), 1) << "of equals the first";
    EXPECT_EQ(attention.largest(0, 1, 0, 3), 1);
    EXPECT_EQ(attention.largest(0, 1, 0, 1), 0);
    EXPECT_EQ(attention.largest(0, 1, 0, 0), -1);
    EXPECT_EQ(attention.largest(1, 0, 0, 3), -1) << "no weight is a number";
    EXPECT_NEAR(attention.coverage({0}, 3), std::log(0.5) + 2 * std::log(0.25), 1e-6);
    EXPECT_NEAR(attention.coverage({1, 0}, 2), std::log(1e-6) + std::log(0.5), 1e-6) << "a weight that is no number is 0, and no sum is less than 1e-6";
    attention.begin();
    const std::vector<float> much(12, 9);
    attention.keep({much.data(), shape});
    EXPECT_EQ(attention.coverage({1}, 3), 0) << "more than 1 is as good as 1";
    for (int64_t head : {0, 1}) {
      Attention one({&trace, head});
      one.begin();
      one.keep({first.data(), shape});
      EXPECT_EQ(one.largest(0, 0, 0, 3), head == 0 ? 1 : 0);
      EXPECT_EQ(one.largest(0, 1, 0, 3), head == 0 ? 0 : 1);
    }
  }
}

// Candidates as `hypothesis token`, in order.
std::vector<std::pair<int32_t, int32_t>> chosen(Beam &beam) {
  std::vector<std::pair<int32_t, int32_t>> result;
  for (const Beam::Candidate &candidate : beam.choose())
    result.push_back({candidate.hypothesis, candidate.token});
  return result;
}

using Pairs = std::vector<std::pair<int32_t, int32_t>>;

TEST(Beam, EqualsStandByHypothesisThenToken) {
  Beam beam(3, 1, {});
  const std::vector<float> even{0, 0, 0, 0};
  beam.begin();
  beam.extend(0, even.data(), 4, -1, nullptr, {});
  beam.extend(1, even.data(), 4, -1, nullptr, {});
  EXPECT_EQ(chosen(beam), (Pairs{{0, 0}, {0, 1}, {0, 2}, {0, 3}}));
  const std::vector<double> taken{0.5, 0, 0, 0.25};
  beam.begin();
  beam.extend(0, even.data(), 4, -1, taken.data(), {});
  EXPECT_EQ(chosen(beam), (Pairs{{0, 1}, {0, 2}, {0, 3}, {0, 0}}));
  EXPECT_EQ(beam.choose()[2].score, -1) << "diversity is not in the score";
}

TEST(Beam, BanksKeepSeats) {
  Beam beam(3, 1, {3, 4});   // three banks, a seat each
  const std::vector<float> row{5, 9, 4, 0, -1};
  beam.begin();
  beam.extend(0, row.data(), 5, 0, nullptr, {});
  EXPECT_EQ(chosen(beam), (Pairs{{0, 0}, {0, 2}, {0, 3}})) << "the end is not open yet; the seat that nobody takes goes to the best";
  beam.begin();
  beam.extend(0, row.data(), 5, 0, nullptr, {0});
  beam.extend(1, row.data(), 5, -4, nullptr, {3});
  EXPECT_EQ(chosen(beam), (Pairs{{0, 0}, {1, 0}, {1, 4}})) << "one of each bank";
  beam.begin();
  beam.extend(0, row.data(), 5, 0, nullptr, {3, 4});
  EXPECT_EQ(chosen(beam), (Pairs{{0, 1}, {0, 0}, {0, 2}, {0, 3}}));
  EXPECT_TRUE(beam.isComplete(beam.choose()[0]));
  Beam twice(3, 1, {3, 3});
  twice.begin();
  twice.extend(0, row.data(), 5, 0, nullptr, {3});
  EXPECT_EQ(twice.choose().back().token, 3);
  EXPECT_EQ(twice.choose().back().met, 2);
}

TEST(Beam, NothingFollowsWhatIsNoNumber) {
  Beam beam(2, 1, {});
  const std::vector<float> row{nan, -infinity, nan};
  beam.begin();
  beam.extend(0, row.data(), 3, 0, nullptr, {});
  EXPECT_EQ(chosen(beam), Pairs{});
}

}  // namespace
