// Programs whose stages run on a device: the same answers, and nothing but tokens and results on the way.
#include "test/program/Execute.h"
#include "test/program/ToyDevice.h"
#include "test/program/ToyModel.h"

#include <gtest/gtest.h>

namespace {

std::string words() {
  std::string text;
  for (unsigned n = 0; n < 300; ++n) {
    for (unsigned letter = 0; letter <= n % 11; ++letter)
      text += char('a' + (n * 7 + letter * 5 + n * letter) % 15);
    text += "\n";
  }
  return text;
}

TEST(Device, AnswersAreThoseOfTheHost) {
  const std::vector<std::vector<std::string>> ways = {{}, {"--beam", "4", "--nbest", "3", "--scores"}, {"--sample", "--nbest", "3"}, {"--beam", "3", "--coverage-penalty", "0.3"},
                                                      {"--batch", "7", "--beam", "2"}, {"--align", "--token-scores"}, {"--weights-of-ensemble"}};
  for (const auto &way : ways) {
    std::vector<std::string> arguments = way;
    if (way == ways.back()) {  // two models that are the same
      const std::string file = temporaryFolder() + "/bias.safetensors";
      const auto &files = toy::wide().files;
      writeFile(file, std::string(reinterpret_cast<const char *>(files[2]), 8 + files[2][0] + 48));
      arguments = {"--weights", file, "--weights", file, "--beam", "2"};
    }
    toy::clearDevice();
    const Outcome host = execute(toy::wide(), arguments, words()), device = execute(toy::onDevice(), arguments, words());
    EXPECT_EQ(host.code, 0) << host.err;
    EXPECT_EQ(device.code, 0) << device.err;
    EXPECT_EQ(device.out, host.out);
    EXPECT_GT(toy::traffic().steps, 0);
    EXPECT_EQ(toy::traffic().live, 0) << "all memory is given back";
    if (arguments.size() > 2 && arguments[0] == "--beam") {
      EXPECT_GT(toy::traffic().moved, 0) << "rows are moved where they are";
    }
  }
}

TEST(Device, StreamsAndThreads) {
  for (const std::vector<std::string> &arguments : {std::vector<std::string>{"--stream"}, {"--threads", "1", "--batch", "1"}})
    EXPECT_EQ(execute(toy::onDevice(), arguments, words()).out, execute(toy::wide(), arguments, words()).out);
}

TEST(Device, TracesAndLogitsAreRead) {
  const std::string there = temporaryFolder(), here = temporaryFolder();
  ASSERT_EQ(execute(toy::onDevice(), {"--beam", "3", "--traces", there, "--logits", there}, "abc\nhello\n").code, 0);
  ASSERT_EQ(execute(toy::wide(), {"--beam", "3", "--traces", here, "--logits", here}, "abc\nhello\n").code, 0);
  for (const char *file : {"/000001-logits.npy", "/000002-p.npy", "/000002-dec.1.heads.npy", "/000001-self.npy"}) {
    EXPECT_EQ(readFile(there + file), readFile(here + file)) << file;
    EXPECT_GT(readFile(there + file).size(), 128u) << file;
  }
}

// 300 words in batches of 64. Weights once; of a batch its tokens, lengths and zeros of states; of a step a token and a source a row, and its logits.
TEST(Device, OnlyTokensAndResultsAreCopied) {
  toy::clearDevice();
  ASSERT_EQ(execute(toy::onDevice(), {}, words()).code, 0);
  const toy::Traffic &traffic = toy::traffic();
  const int64_t weights = toy::wideVocabulary * 4, sources = 300 * (12 + 1) * 4;
  EXPECT_EQ(traffic.read, traffic.rows * toy::wideVocabulary * 4);
  EXPECT_LE(traffic.written, weights + sources + traffic.rows * 8);
  EXPECT_GE(traffic.written, weights + traffic.rows * 4);
}

TEST(Device, OutOfMemoryIsAnErrorWithTheSize) {
  toy::clearDevice(40);  // not even the weights
  Outcome outcome = execute(toy::onDevice(), {}, "abc\n");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.err.find("out of memory: no 48 bytes on the toy"), std::string::npos) << outcome.err;

  // A batch that does not fit is tried in halves.
  toy::clearDevice(20000);
  outcome = execute(toy::onDevice(), {"--beam", "4"}, words());
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, execute(toy::wide(), {"--beam", "4"}, words()).out);

  toy::clearDevice(1000);
  outcome = execute(toy::onDevice(), {"--beam", "4"}, "abc\n");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.err.find("line 1: out of memory: no "), std::string::npos) << outcome.err;
  EXPECT_EQ(toy::traffic().live, 0);
}

TEST(Device, StagesFailAsOnTheHost) {
  for (const char *word : {"aqb\n", "axb\n"}) {
    const Outcome device = execute(toy::onDevice(), {}, word), host = execute(toy::wide(), {}, word);
    EXPECT_EQ(device.code, host.code);
    EXPECT_EQ(device.err.substr(device.err.find(": ")), host.err.substr(host.err.find(": ")));
  }
}

TEST(Device, ProfileWaits) {
  toy::clearDevice();
  ASSERT_EQ(execute(toy::onDevice(), {"--profile"}, "abc\n").code, 0);
  EXPECT_EQ(toy::traffic().waits, toy::traffic().steps + 1);
}

TEST(Device, IsNamed) {
  EXPECT_NE(execute(toy::onDevice(), {"--version"}, "").out.find(" for toy"), std::string::npos);
  EXPECT_EQ(execute(toy::wide(), {"--version"}, "").out.find(" for "), std::string::npos);
}

}  // namespace
