#include "runtime/program/Error.h"
#include "runtime/program/Vocabulary.h"

#include <gtest/gtest.h>

using namespace fovea::program;

namespace {

TextFormat words{TextFormat::Words, "v", "<s>", "</s>", "<unk>", 0};
TextFormat characters{TextFormat::Characters, "v", "", "</s>", "<unk>", 0};
TextFormat strict{TextFormat::Characters, "v", "", "", "", 0};

std::string errorOf(auto action) {
  try {
    action();
  } catch (const Error &error) {
    return error.what();
  }
  return "";
}

std::string fileError(const char *bytes, const TextFormat &format) { return errorOf([&] { Vocabulary({"v", bytes}, format); }); }

std::vector<int32_t> encode(const Vocabulary &vocabulary, const std::string &line, int64_t most = 100) {
  std::vector<int32_t> ids;
  vocabulary.encode(line, most, ids);
  return ids;
}

using Ids = std::vector<int32_t>;

TEST(Vocabulary, Words) {
  Vocabulary v({"v", "<unk>\n<s>\n</s>\nhello\r\nworld"}, words);
  EXPECT_EQ(v.size(), 5);
  EXPECT_EQ(v.start(), 1);
  EXPECT_EQ(v.end(), 2);
  EXPECT_EQ(encode(v, "  hello\tworld  there "), (Ids{3, 4, 0}));
  EXPECT_EQ(encode(v, "hello </s> <s> <unk>"), (Ids{3, 0, 0, 0})) << "text never ends or starts a sequence";
  EXPECT_EQ(encode(v, "   "), Ids{});
  EXPECT_EQ(v.decode({3, 4, 3}), "hello world hello");
  EXPECT_EQ(v.text(9), "<9>");
}

TEST(Vocabulary, Characters) {
  Vocabulary v({"v", "</s>\n<unk>\na\n \n\xC3\xA9\n\xE2\x82\xAC\n\xF0\x9F\x8E\x88\n"}, characters);
  EXPECT_EQ(encode(v, "a \xC3\xA9\xE2\x82\xAC\xF0\x9F\x8E\x88z"), (Ids{2, 3, 4, 5, 6, 1}));
  EXPECT_EQ(encode(v, "</s>"), (Ids{1, 1, 1, 1}));
  EXPECT_EQ(v.decode({2, 3, 4}), "a \xC3\xA9");
}

TEST(Vocabulary, NumbersOfTokens) {
  TextFormat format{TextFormat::Words, "v", "", "", "<unk>", 4, 1, 2};
  Vocabulary v({"v", "<unk>\nx\ny\nz\n"}, format);
  EXPECT_EQ(v.start(), 1);
  EXPECT_EQ(v.end(), 2);
  EXPECT_EQ(encode(v, "x z"), (Ids{0, 3}));
  EXPECT_EQ(errorOf([&] { encode(v, "z z z"); }), "the line has more than 2 tokens, the most that this model reads");
  format.endId = 4;
  EXPECT_EQ(fileError("<unk>\nx\ny\nz\n", format), "vocabulary `v`: the end token is number 4, and there are 4");
}

TEST(Vocabulary, InvalidUtf8) {
  Vocabulary v({"v", "</s>\n<unk>\na\n"}, characters);
  for (const char *text : {"a\xff", "\x80", "\xC3", "\xC0\xAF", "\xE0\x80\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xF0\x9F\x8E", "\xE2\x82"})
    EXPECT_NE(errorOf([&] { encode(v, text); }).find("not UTF-8"), std::string::npos) << text;
  EXPECT_EQ(errorOf([&] { encode(v, "aa\xff"); }), "the line is not UTF-8 (byte 3)");
}

TEST(Vocabulary, UnknownAndLimit) {
  Vocabulary v({"v", "a\n\xC3\xA9\n"}, strict);
  EXPECT_EQ(errorOf([&] { encode(v, "ab"); }), "the character `b` is not in the vocabulary");
  EXPECT_EQ(errorOf([&] { encode(v, "aaaa", 3); }), "the line has more than 3 tokens; --max-input sets the limit");
  EXPECT_EQ(encode(v, "aaa", 3).size(), 3u);
}

TEST(Vocabulary, BadFiles) {
  EXPECT_EQ(fileError("", strict), "vocabulary `v`: it is empty");
  EXPECT_EQ(fileError("a\nb\na\n", strict), "vocabulary `v`: line 3 repeats `a` of line 1");
  EXPECT_EQ(fileError("a\n\nb\n", strict), "vocabulary `v`: line 2 is empty");
  EXPECT_EQ(fileError("a\n\xff\n", strict), "vocabulary `v`: line 2 is not UTF-8");
  EXPECT_EQ(fileError("a\n", words), "vocabulary `v`: the start token `<s>` is not in it");
  EXPECT_EQ(fileError("a\n</s>\n", characters), "vocabulary `v`: the unknown token `<unk>` is not in it");
}

}  // namespace
