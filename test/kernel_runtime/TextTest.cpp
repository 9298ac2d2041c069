// A user's text inside a message.
#include "runtime/support/Text.h"

#include <gtest/gtest.h>

using namespace fovea;

namespace {

TEST(Text, QuotesOnOneLine) {
  EXPECT_EQ(quote(""), "``");
  EXPECT_EQ(quote("dec.0.wq"), "`dec.0.wq`");
  EXPECT_EQ(quote("\xC3\xA9\xF0\x9F\x8E\x88"), "`\xC3\xA9\xF0\x9F\x8E\x88`");
  EXPECT_EQ(quote(std::string_view("a\n\x1B[2J\0\x7F", 8)), "`a\\x0A\\x1B[2J\\x00\\x7F`");
  EXPECT_EQ(quote("\xC2\x9B" "31m"), "`\\xC2\\x9B31m`") << "a control character of two bytes";
  EXPECT_EQ(quote("\xFF\xC3"), "`\\xFF\\xC3`");
}

TEST(Text, QuotesAreShort) {
  std::string eighty(80, 'x');
  EXPECT_EQ(quote(eighty), "`" + eighty + "`");
  EXPECT_EQ(quote(eighty + "y"), "`" + eighty + "...`");
  std::string before(79, 'x');
  EXPECT_EQ(quote(before + "\xC3\xA9"), "`" + before + "...`") << "not through a character";
  EXPECT_LT(quote(std::string(1000, '\n')).size(), 100u);
}

}  // namespace
