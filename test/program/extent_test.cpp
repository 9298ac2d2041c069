#include "runtime/program/Error.h"
#include "runtime/program/Extent.h"

#include <gtest/gtest.h>

using namespace fovea::program;

namespace {

int64_t value(const char *text, Sizes sizes = {4, 2, 7, 3}) { return Extent::parse(text).evaluate(sizes); }

TEST(Extent, Values) {
  EXPECT_EQ(value("12"), 12);
  EXPECT_EQ(value("b"), 4);
  EXPECT_EQ(value("s"), 2);
  EXPECT_EQ(value("i 1 + 2 /"), 4);
  EXPECT_EQ(value("i t %"), 1);
  EXPECT_EQ(value("i 3 min b max"), 4);
  EXPECT_EQ(value("i 0 /"), 0);
  EXPECT_EQ(value("i 0 %"), 0);
  EXPECT_EQ(value("1 t - 2 / 2 +"), 1) << "division is floor division";
}

TEST(Extent, Text) {
  EXPECT_EQ(Extent::parse(" i  1 + 2 / 3 min").text(), "i 1 + 2 / 3 min");
  EXPECT_TRUE(Extent::parse("b").isSymbol('b'));
  EXPECT_FALSE(Extent::parse("b 1 +").isSymbol('b'));
  EXPECT_TRUE(Extent::parse("b 1 +").mentions('b'));
}

TEST(Extent, Wrong) {
  for (const char *text : {"", "x", "1 2", "+", "1 +", "1 2 ++", "1 2 3 +", "99999999999999999999", "i1"})
    EXPECT_THROW(Extent::parse(text), InternalError) << text;
  std::string deep;
  for (int k = 0; k < 40; ++k)
    deep += "1 ";
  EXPECT_THROW(Extent::parse(deep), InternalError);
  EXPECT_THROW(value("b i -"), Error);
  EXPECT_THROW(value("b 4611686018427387904 * 3 *"), Error);
  EXPECT_THROW(elements({Extent::constant(int64_t(1) << 40), Extent::constant(int64_t(1) << 40)}, {}), Error);
}

}  // namespace
