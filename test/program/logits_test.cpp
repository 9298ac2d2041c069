// docs/programs.md: what --logits leaves in its folder.
#include "test/program/Execute.h"
#include "test/program/ToyModel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>

namespace {

std::set<std::string> filesIn(const std::string &folder) {
  std::set<std::string> found;
  for (const auto &entry : std::filesystem::directory_iterator(folder))
    found.insert(entry.path().filename().string());
  return found;
}

// The bytes of a .npy file, written out by hand: 10 bytes, a text that fills up 128, and the values.
std::string npy(const std::vector<std::vector<float>> &rows) {
  std::string text = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(rows.size()) + ", 7), }";
  text.resize(117, ' ');
  std::string bytes = std::string("\x93NUMPY\1\0\x76\0", 10) + text + "\n";
  for (const auto &row : rows)
    bytes.append(reinterpret_cast<const char *>(row.data()), row.size() * 4);
  return bytes;
}

TEST(Logits, EveryStepOfTheBestResult) {
  for (const char *beam : {"1", "3"}) {
    std::string folder = temporaryFolder() + "/logits/deep";
    Outcome outcome = execute(toy::model(), {"--logits", folder, "--beam", beam, "--scores"}, "abcde\n\nno\xc3\xa9\nquit\n");
    EXPECT_EQ(outcome.code, 1) << "there is a q";
    EXPECT_EQ(filesIn(folder), (std::set<std::string>{"000001-logits.npy", "000003-logits.npy"}));

    std::string output = outcome.lines()[0].substr(0, outcome.lines()[0].find('\t'));
    std::vector<int32_t> prefix{toy::start};
    for (char letter : output)
      if (letter != ' ')
        prefix.push_back(letter - 'A' + 2);
    // The end token is a step too, unless the limit cut the result off.
    size_t steps = std::min(prefix.size(), size_t(toy::longest));
    std::vector<std::vector<float>> wanted;
    for (size_t step = 0; step < steps; ++step)
      wanted.push_back(toy::logits(toy::encodeLetters("abcde"), {prefix.begin(), prefix.begin() + int64_t(step) + 1}));
    EXPECT_EQ(readFile(folder + "/000001-logits.npy"), npy(wanted)) << "beam " << beam;
  }
}

TEST(Logits, BesideMaps) {
  std::string folder = temporaryFolder();
  EXPECT_EQ(execute(toy::model(), {"--logits", folder, "--maps", folder}, "a\n").code, 0);
  EXPECT_EQ(filesIn(folder).size(), 11u) << "ten of the maps";
  EXPECT_EQ(filesIn(folder).count("000001-logits.npy"), 1u);
}

// --maps and --logits: a folder that cannot be used ends the program before the first line, with one message and no output.
TEST(LineFolder, ThatCannotBe) {
  std::string folder = temporaryFolder();
  writeFile(folder + "/file", "");
  for (const char *option : {"--maps", "--traces", "--logits"})
    for (const std::string &wrong : {folder + "/file", folder + "/file/deeper", std::string("/dev/null"), std::string("/proc/none"), std::string(5000, 'd')}) {
      Outcome outcome = execute(toy::model(), {option, wrong, "--output", folder + "/out"}, "abc\n");
      EXPECT_EQ(outcome.code, 1) << wrong;
      EXPECT_EQ(outcome.lines().size(), 0u);
      EXPECT_EQ(outcome.err.rfind("toy: error: cannot make the folder `" + wrong + "`: ", 0), 0u) << outcome.err;
      EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1);
      EXPECT_EQ(filesIn(folder), std::set<std::string>{"file"});
    }
}

// A folder in which files cannot be made costs each line its answer, and says so.
TEST(LineFolder, ThatTakesNoFiles) {
  Outcome outcome = execute(toy::model(), {"--logits", "/proc/self"}, "abc\n\nde\n");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_TRUE(outcome.out == "\n\n\n" || outcome.out.empty()) << outcome.out;
  EXPECT_NE(outcome.err.find("cannot write"), std::string::npos) << outcome.err;
}

}  // namespace
