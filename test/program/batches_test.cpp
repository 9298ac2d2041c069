#include "runtime/program/Batches.h"
#include "runtime/program/Padding.h"
#include "runtime/program/Workers.h"
#include "test/program/ToyModel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <set>
#include <stdexcept>

using namespace fovea::program;

namespace {

const Model &model() {
  static const Model model(readTable(toy::model()), "", ".");
  return model;
}

std::vector<Job> jobsOf(const std::vector<size_t> &lengths) {
  std::vector<Job> jobs(lengths.size());
  for (size_t k = 0; k < lengths.size(); ++k)
    jobs[k].source.assign(lengths[k], 2);
  return jobs;
}

std::vector<std::vector<size_t>> cut(std::vector<Job> &jobs, BatchLimits limits) {
  std::vector<Job *> all;
  for (Job &job : jobs)
    all.push_back(&job);
  std::vector<std::vector<size_t>> lengths;
  for (const auto &batch : makeBatches(model(), all, limits)) {
    lengths.emplace_back();
    for (const Job *job : batch)
      lengths.back().push_back(job->source.size());
  }
  return lengths;
}

constexpr int64_t plenty = int64_t(1) << 40;

TEST(Batches, LongestFirst) {
  std::vector<Job> jobs = jobsOf({3, 9, 4, 7, 1});
  EXPECT_EQ(cut(jobs, {2, 1, plenty, 1, {}}), (std::vector<std::vector<size_t>>{{9, 7}, {4, 3}, {1}}));
  EXPECT_TRUE(cut(jobs, {2, 1, 0, 1, {}}).empty());
  for (const Job &job : jobs)
    EXPECT_NE(job.error.find("needs more memory than there is"), std::string::npos) << job.error;
}

TEST(Batches, MemoryBoundsThem) {
  std::vector<Job> jobs = jobsOf(std::vector<size_t>(100, 10));
  int64_t alone = Session::bytesNeeded(model(), 1, 10, 4, {});
  EXPECT_GT(Session::bytesNeeded(model(), 1, 10, 4, {true, false}), alone) << "traces are kept";
  EXPECT_EQ(Session::bytesNeeded(model(), 1, 10, 4, {false, true}), alone + 4 * toy::longest * toy::vocabulary * int64_t(sizeof(float)));
  for (const auto &batch : cut(jobs, {256, 4, 7 * alone, 1, {}}))
    EXPECT_LE(batch.size(), 7u);
  jobs = jobsOf({1 << 17, 1 << 15, 1 << 15, 1 << 15, 1});
  EXPECT_EQ(cut(jobs, {256, 1, plenty, 1, {}}), (std::vector<std::vector<size_t>>{{1 << 17}, {1 << 15, 1 << 15}, {1 << 15, 1}})) << "65,536 padded tokens";
}

TEST(Batches, OneForEveryWorker) {
  std::vector<Job> jobs = jobsOf(std::vector<size_t>(200, 10));
  EXPECT_EQ(cut(jobs, {256, 1, plenty, 1, {}}).size(), 1u);
  EXPECT_EQ(cut(jobs, {256, 1, plenty, 4, {}}).size(), 4u);
  EXPECT_EQ(cut(jobs, {256, 1, plenty, 64, {}}).size(), 12u) << "16 lines are worth a thread";
  EXPECT_EQ(cut(jobs, {256, 4, plenty, 64, {}}).size(), 50u) << "or as many hypotheses";
  EXPECT_EQ(cut(jobs, {10, 1, plenty, 4, {}}).size(), 20u) << "every worker has several batches anyway";
  jobs = jobsOf({3, 40, 2, 2, 3, 4, 5, 6, 4, 2, 9});
  EXPECT_EQ(cut(jobs, {64, 16, plenty, 2, {}}), (std::vector<std::vector<size_t>>{{40}, {9, 6, 5, 4, 4, 3, 3, 2, 2, 2}})) << "shares of as many tokens";
}

// What a division into groups costs, in tokens.
int64_t costOf(const std::vector<int64_t> &lengths, const std::vector<size_t> &ends) {
  int64_t cost = 0;
  size_t first = 0;
  for (size_t end : ends) {
    cost += int64_t(end - first) * *std::max_element(lengths.begin() + int64_t(first), lengths.begin() + int64_t(end)) + tokensPerGroup;
    first = end;
  }
  return cost;
}

TEST(Groups, LeastPadding) {
  EXPECT_EQ(groupsByLength({7}), (std::vector<size_t>{1}));
  EXPECT_EQ(groupsByLength({9, 9, 9, 9}), (std::vector<size_t>{4}));
  EXPECT_EQ(groupsByLength({40, 3, 3, 3}), (std::vector<size_t>{1, 4}));
  EXPECT_EQ(groupsByLength({5, 4, 3, 2}), (std::vector<size_t>{4})) << "14 padded tokens are less than another group";
  uint32_t state = 1;
  for (int round = 0; round < 300; ++round) {
    std::vector<int64_t> lengths(1 + round % 12);
    for (int64_t &length : lengths)
      length = 1 + int64_t((state = state * 1664525 + 1013904223) >> 16) % 40;
    if (round % 3)
      std::sort(lengths.rbegin(), lengths.rend());
    std::vector<size_t> ends = groupsByLength(lengths);
    ASSERT_EQ(ends.back(), lengths.size());
    int64_t least = std::numeric_limits<int64_t>::max();
    for (uint32_t cuts = 0; cuts < 1u << (lengths.size() - 1); ++cuts) {
      std::vector<size_t> some;
      for (size_t at = 1; at < lengths.size(); ++at)
        if (cuts >> (at - 1) & 1)
          some.push_back(at);
      some.push_back(lengths.size());
      least = std::min(least, costOf(lengths, some));
    }
    EXPECT_EQ(costOf(lengths, ends), least);
  }
}

TEST(Workers, EveryPieceOnce) {
  Workers workers(4);
  for (int64_t pieces : {0, 1, 3, 4, 100}) {
    std::vector<std::atomic<int>> done(100);
    std::atomic<bool> beyond = false;
    workers.run(pieces, [&](int64_t worker, int64_t piece) {
      ++done[size_t(piece)];
      beyond = beyond || worker >= 4;
    });
    for (int64_t piece = 0; piece < 100; ++piece)
      EXPECT_EQ(done[size_t(piece)], piece < pieces);
    EXPECT_FALSE(beyond);
  }
}

TEST(Workers, AnExceptionEndsTheRound) {
  Workers workers(3);
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> done = 0;
    EXPECT_THROW(workers.run(1000, [&](int64_t, int64_t piece) {
      ++done;
      if (piece == 5)
        throw std::runtime_error("five");
    }), std::runtime_error);
    EXPECT_GE(done, 6);
    workers.run(10, [&](int64_t, int64_t) { ++done; });
    EXPECT_GE(done, 16);
  }
}

}  // namespace
