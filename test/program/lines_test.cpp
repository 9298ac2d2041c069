#include "runtime/program/Error.h"
#include "runtime/program/Lines.h"
#include "test/program/Execute.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <random>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace fovea::program;

namespace {

struct Read {
  std::string line;
  bool cut;
  bool operator==(const Read &) const = default;
};

// Everything the reader gives for `text`, which arrives in pieces of `piece` bytes.
std::vector<Read> readAll(const std::string &text, size_t longest, size_t piece) {
  int ends[2];
  if (pipe(ends))
    std::abort();
  std::thread writer([&] {
    for (size_t at = 0; at < text.size(); at += piece) {
      size_t count = std::min(piece, text.size() - at);
      EXPECT_EQ(write(ends[1], text.data() + at, count), ssize_t(count));
    }
    close(ends[1]);
  });
  LineReader reader(ends[0], -1, longest);
  std::vector<Read> result;
  Read read;
  int patience = -1;  // and 5, in turns
  for (LineReader::Status status; (status = reader.next(read.line, read.cut, patience)) != LineReader::End; patience = 4 - patience)
    if (status == LineReader::Line)
      result.push_back(read);
  writer.join();
  close(ends[0]);
  return result;
}

// The same, from the definition.
std::vector<Read> split(const std::string &text, size_t longest) {
  std::vector<Read> result;
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    bool cut = line.size() > longest;
    line.resize(std::min(line.size(), longest));
    if (!line.empty() && line.back() == '\r')
      line.pop_back();
    result.push_back({line, cut});
    at = end + 1;
  }
  return result;
}

TEST(Lines, AnyTextInAnyPieces) {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (size_t count = random() % 200; count-- > 0;)
      text += "a\r\n\n\xff"[random() % 5];
    size_t longest = 1 + random() % 10;
    EXPECT_EQ(readAll(text, longest, 1 + random() % 40), split(text, longest)) << "round " << round;
  }
  std::string large(300000, 'x');
  EXPECT_EQ(readAll(large + "\nb\n", 1000, 50000), split(large + "\nb\n", 1000));
  EXPECT_EQ(readAll(large, 1 << 20, 50000), split(large, 1 << 20));
}

TEST(Lines, GivesUpWhenNothingCame) {
  int ends[2], wake[2];
  ASSERT_EQ(pipe(ends) | pipe(wake), 0);
  LineReader reader(ends[0], wake[0], 100);
  std::string line;
  bool cut;
  EXPECT_EQ(reader.next(line, cut, 5), LineReader::Waiting);
  ASSERT_EQ(write(ends[1], "ab\ncd", 5), 5);
  EXPECT_EQ(reader.next(line, cut, 5), LineReader::Line);
  EXPECT_EQ(line, "ab");
  EXPECT_EQ(reader.next(line, cut, 5), LineReader::Waiting) << "half a line is none";
  ASSERT_EQ(write(wake[1], "", 1), 1);
  EXPECT_EQ(reader.next(line, cut, -1), LineReader::End) << "woken";
  for (int descriptor : {ends[0], ends[1], wake[0], wake[1]})
    close(descriptor);
}

TEST(Lines, OutputIsCompleteOrAbsent) {
  std::string folder = temporaryFolder(), path = folder + "/out";
  {
    LineWriter writer(path);
    writer.write("half");
    EXPECT_TRUE(writer.flush());
    EXPECT_EQ(readFile(path), "");
  }
  EXPECT_NE(access(path.c_str(), F_OK), 0);
  writeFile(path, "before");
  {
    LineWriter writer(path);
    writer.write("whole");
    EXPECT_EQ(readFile(path), "before");
    writer.complete();
  }
  EXPECT_EQ(readFile(path), "whole");
  unlink(path.c_str());
  EXPECT_EQ(rmdir(folder.c_str()), 0) << "nothing else is left";
  EXPECT_THROW(LineWriter(folder + "/none/out"), Error);
}

}  // namespace
