#include "runtime/program/Scores.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

using namespace fovea::program;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

int64_t best(std::vector<float> row) { return argmax(row.data(), int64_t(row.size())); }

TEST(Scores, Argmax) {
  EXPECT_EQ(best({1, 3, 2}), 1);
  EXPECT_EQ(best({1, 3, 3, 2, 1, 0, 0, 0, 0, 3, 3}), 1) << "the first of equals";
  EXPECT_EQ(best({nan, 1, nan}), 1);
  EXPECT_EQ(best({nan, nan}), -1);
  EXPECT_EQ(best({-infinity}), -1);
  EXPECT_EQ(best({0, infinity}), 1);
  std::vector<float> row(1003, -2);
  for (size_t at = 0; at < row.size(); ++at) {
    row[at] = -1;
    EXPECT_EQ(best(row), int64_t(at));
    row[at] = -2;
  }
}

TEST(Scores, NextAbove) {
  std::vector<float> row(37, 0);
  row[3] = row[20] = row[36] = 2;
  row[5] = nan;
  auto next = [&](int64_t from, float bound) { return nextAbove(row.data(), from, 37, bound); };
  EXPECT_EQ(next(0, 1), 3);
  EXPECT_EQ(next(3, 1), 3);
  EXPECT_EQ(next(4, 1), 20);
  EXPECT_EQ(next(21, 1), 36);
  EXPECT_EQ(next(37, 1), 37);
  EXPECT_EQ(next(0, 2), 37);
  EXPECT_EQ(next(4, -infinity), 4);
  EXPECT_EQ(next(5, -infinity), 6) << "NaN is above nothing";
  EXPECT_EQ(next(0, nan), 37);
}

TEST(Scores, LogSumExp) {
  std::mt19937 random(1);
  for (int64_t count : {1, 2, 7, 8, 9, 74, 1000, 50257}) {
    for (float width : {0.0f, 1.0f, 30.0f, 300.0f}) {
      std::vector<float> row(static_cast<size_t>(count));
      double sum = 0, most = -infinity;
      for (float &value : row)
        most = std::max(most, double(value = std::uniform_real_distribution<float>(-width, width)(random)));
      for (float value : row)
        sum += std::exp(double(value) - most);
      EXPECT_NEAR(logSumExp(row.data(), count), most + std::log(sum), 1e-6) << count << " " << width;
    }
  }
  std::vector<float> row{-infinity, -infinity};
  EXPECT_EQ(logSumExp(row.data(), 2), -infinity);
  row[1] = 3;
  EXPECT_NEAR(logSumExp(row.data(), 2), 3, 1e-6);
  row[0] = nan;
  EXPECT_TRUE(std::isnan(logSumExp(row.data(), 2)));
}

TEST(Scores, Pick) {
  std::vector<float> row{std::log(1.0f), std::log(2.0f), -infinity, std::log(5.0f)};
  EXPECT_EQ(pick(row.data(), 4, 0), 0);
  EXPECT_EQ(pick(row.data(), 4, 0.12), 0);
  EXPECT_EQ(pick(row.data(), 4, 0.13), 1);
  EXPECT_EQ(pick(row.data(), 4, 0.37), 1);
  EXPECT_EQ(pick(row.data(), 4, 0.38), 3);
  EXPECT_EQ(pick(row.data(), 4, 0.9999999999), 3);
  row[0] = nan;
  EXPECT_EQ(pick(row.data(), 4, 0.5), -1);
  row = {-infinity};
  EXPECT_EQ(pick(row.data(), 1, 0.5), -1);
}

TEST(Scores, UniformNumbers) {
  EXPECT_EQ(uniform(1, 2, 3, 4), uniform(1, 2, 3, 4));
  double mean = 0;
  for (uint64_t line = 0; line < 10000; ++line) {
    double u = uniform(0, line, 0, 0);
    ASSERT_TRUE(u >= 0 && u < 1);
    mean += u / 10000;
    EXPECT_NE(u, uniform(1, line, 0, 0));
    EXPECT_NE(u, uniform(0, line, 1, 0));
    EXPECT_NE(u, uniform(0, line, 0, 1));
  }
  EXPECT_NEAR(mean, 0.5, 0.02);
}

}  // namespace
