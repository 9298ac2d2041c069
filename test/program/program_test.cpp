// The program as a user meets it: lines, errors, order, files, exit codes.
#include "test/program/Execute.h"
#include "test/program/GruModel.h"
#include "test/program/ToyModel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <random>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

Outcome toyRun(std::vector<std::string> arguments, const std::string &input) { return execute(toy::model(), arguments, input); }

std::string greedy(const std::string &word) {
  std::vector<int32_t> source = toy::encodeLetters(word), prefix{toy::start};
  while (int64_t(prefix.size()) <= toy::longest) {
    std::vector<float> logits = toy::logits(source, prefix);
    auto token = int32_t(std::max_element(logits.begin(), logits.end()) - logits.begin());
    if (token == toy::end)
      break;
    prefix.push_back(token);
  }
  return toy::text({prefix.begin() + 1, prefix.end()});
}

std::vector<std::string> randomWords(size_t count) {
  std::mt19937 random(2);
  std::vector<std::string> words;
  while (words.size() < count) {
    std::string word(1 + random() % 12, 'a');
    for (char &letter : word)
      letter = char('a' + random() % 15);
    words.push_back(word);
  }
  return words;
}

std::string joined(const std::vector<std::string> &lines) {
  std::string text;
  for (const std::string &line : lines)
    text += line + "\n";
  return text;
}

TEST(Program, AnswersInOrderWhateverTheBatchAndThreads) {
  std::vector<std::string> words = randomWords(3000), wanted;
  for (const std::string &word : words)
    wanted.push_back(greedy(word));
  for (const char *batch : {"1", "3", "256", "100000"})
    for (const char *threads : {"1", "2", "5"}) {
      Outcome outcome = toyRun({"--batch", batch, "--threads", threads}, joined(words));
      EXPECT_EQ(outcome.code, 0);
      EXPECT_EQ(outcome.err, "");
      EXPECT_EQ(outcome.out, joined(wanted)) << "batch " << batch << " threads " << threads;
    }
  std::string beam = toyRun({"--beam", "3", "--nbest", "2", "--scores"}, joined(words)).out;
  EXPECT_EQ(toyRun({"--beam", "3", "--nbest", "2", "--scores", "--batch", "7", "--threads", "3"}, joined(words)).out, beam);
  EXPECT_EQ(std::count(beam.begin(), beam.end(), '\n'), 6000);
}

TEST(Program, BadLinesAreAnsweredOneByOne) {
  std::string input = "abc\n\nhe\xffllo\nquit\nabc\r\nabx\n" + std::string(1000000, 'a') + "\n!\xC3\xA9\n";
  for (const char *batch : {"1", "256"}) {
    Outcome outcome = toyRun({"--batch", batch}, input);
    EXPECT_EQ(outcome.code, 1);
    EXPECT_EQ(outcome.out, joined({greedy("abc"), "", "", "", greedy("abc"), "", "", greedy("!\xC3\xA9")}));
    EXPECT_EQ(outcome.err, "toy: line 3: the line is not UTF-8 (byte 3)\n"
                           "toy: line 4: encode: no q, please\n"
                           "toy: line 6: step: no x, please\n"
                           "toy: line 7: the line has more than 8192 bytes, too many for 1024 tokens; --max-input sets the limit\n");
  }
}

TEST(Program, LimitOnInput) {
  Outcome outcome = toyRun({"--max-input", "3"}, "abc\nabcd\n");
  EXPECT_EQ(outcome.out, greedy("abc") + "\n\n");
  EXPECT_EQ(outcome.err, "toy: line 2: the line has more than 3 tokens; --max-input sets the limit\n");
  EXPECT_EQ(outcome.code, 1);
  std::string longWord(5000, 'b');
  EXPECT_EQ(toyRun({"--max-input", "5000"}, longWord + "\n").out, greedy(longWord) + "\n");
}

TEST(Program, LineEnds) {
  EXPECT_EQ(toyRun({}, "").out, "");
  EXPECT_EQ(toyRun({}, "abc").out, greedy("abc") + "\n") << "the last line may lack its end";
  EXPECT_EQ(toyRun({}, "\n\n").out, "\n\n");
  EXPECT_EQ(toyRun({}, "\xEF\xBB\xBF" "abc\r\n").out, greedy("abc") + "\n");
  EXPECT_EQ(toyRun({}, std::string("a\0b\n", 4)).out, greedy(std::string("a\0b", 3)) + "\n") << "a NUL is an unknown character";
}

TEST(Program, NbestAndScores) {
  Outcome outcome = toyRun({"--nbest", "3", "--scores"}, "abc\n\nq\nde\n");
  std::vector<std::string> lines = outcome.lines();
  ASSERT_EQ(lines.size(), 8u);
  EXPECT_EQ(lines[0].substr(0, 2), "1\t");
  EXPECT_EQ(lines[3], "") << "an empty line";
  EXPECT_EQ(lines[4], "") << "a line that cannot be processed";
  double before = 0;
  for (size_t k = 5; k < 8; ++k) {
    EXPECT_EQ(lines[k].substr(0, 2), "4\t");
    double score = std::stod(lines[k].substr(lines[k].rfind('\t') + 1));
    EXPECT_LE(score, before);
    before = score;
  }
  std::string one = toyRun({"--scores"}, "abc\n").out;
  EXPECT_EQ(one.substr(0, one.find('\t')), greedy("abc"));
}

TEST(Program, SamplingIsSeededByLine) {
  std::string input = joined(randomWords(300));
  std::string all = toyRun({"--sample", "--seed", "5"}, input).out;
  EXPECT_EQ(toyRun({"--sample", "--seed", "5", "--batch", "9", "--threads", "3"}, input).out, all);
  EXPECT_NE(toyRun({"--sample", "--seed", "6"}, input).out, all);
}

TEST(Program, Usage) {
  Outcome help = toyRun({"--help"}, "");
  EXPECT_EQ(help.code, 0);
  for (const char *part : {"reads text by characters (`letters.vocab`, 29 tokens)", "writes text by words (`sounds.vocab`, 7 tokens)", "at most 6 tokens",
                           "--weights", "--beam", "--nbest", "--sample", "--seed", "--scores", "--maps", "--logits", "--threads", "--input", "--output", "--batch",
                           "--max-input", "--version", "--temperature", "--top-k", "--top-p", "--min-length", "--max-length", "--length-norm", "--coverage-penalty",
                           "--attention", "--patience", "--early-stop", "--groups", "--diversity", "--suppress", "--repetition-penalty", "--no-repeat-ngram", "--prefix",
                           "--prefix-column", "--require", "--score", "--token-scores", "--align", "--json", "--replace-unknown", "--stream"})
    EXPECT_NE(help.out.find(part), std::string::npos) << part;
  EXPECT_EQ(toyRun({"--version"}, "").out, "toy, compiled by Fovea 0.1.0, table 3\n");
  std::vector<std::vector<std::string>> wrong = {{"--bean"},        {"--beam"},           {"--beam", "0"},          {"--beam", "x"},
                                                 {"--threads", "0"}, {"--threads", "-1"}, {"--beam", "2", "--nbest", "3"}, {"--sample", "--beam", "2"},
                                                 {"word"},          {"--length-penalty", "-1"}, {"--batch", "0"}, {"--max-input", "0"}, {"--seed", "-1"}};
  for (const auto &arguments : wrong) {
    Outcome outcome = toyRun(arguments, "abc\n");
    EXPECT_EQ(outcome.code, 2) << arguments[0];
    EXPECT_EQ(outcome.out, "");
    EXPECT_NE(outcome.err, "");
  }
}

TEST(Program, WhatAModelDoesNotHave) {
  auto said = [](const fovea_model &model, const std::vector<std::string> &arguments) {
    Outcome outcome = execute(model, arguments, "abc\n");
    EXPECT_EQ(outcome.code, 2) << arguments[0];
    EXPECT_EQ(outcome.out, "");
    return outcome.err.substr(0, outcome.err.find('\n'));
  };
  for (const std::vector<std::string> arguments : {std::vector<std::string>{"--align"}, {"--coverage-penalty", "1"}})
    EXPECT_EQ(said(gru::model(), arguments), arguments[0] + ": needs an attention map over the input, and the model traces none (`trace p;` in its text)");
  EXPECT_EQ(said(toy::model(), {"--replace-unknown"}), "--replace-unknown: the output's vocabulary declares no unknown token");
  EXPECT_EQ(said(toy::model(), {"--prefix", "A X"}), "toy: error: --prefix: the word `X` is not in the vocabulary");
}

// Where results are written by characters, a text of tokens has no spaces, and what is replaced stands without them too.
TEST(Program, TokensThatAreCharacters) {
  std::string json(toy::wide().json, toy::wide().json_length);
  json.replace(json.find("\"unit\": \"words\""), 15, "\"unit\": \"characters\"");
  fovea_model model = toy::wide();
  model.json = json.data();
  model.json_length = json.size();
  auto text = [&](std::vector<std::string> arguments) { return execute(model, arguments, "abcdef\n").out; };
  std::string words = execute(toy::wide(), {"--suppress", "A B <unk>", "--prefix", "C D"}, "abcdef\n").out;
  words.erase(std::remove(words.begin(), words.end(), ' '), words.end());
  EXPECT_EQ(text({"--suppress", "AB", "--suppress", "<unk>", "--prefix", "CD"}), words);
  std::string replaced = text({"--suppress", "ABCDEFGH", "--replace-unknown", "--beam", "4", "--min-length", "3"});
  EXPECT_EQ(replaced.find_first_not_of("abcdefI\n"), std::string::npos) << replaced;
  EXPECT_NE(replaced.find_first_of("abcdef"), std::string::npos) << "some token is unknown: " << replaced;
}

TEST(Program, Files) {
  std::string folder = temporaryFolder();
  writeFile(folder + "/in", "abc\n");
  Outcome outcome = toyRun({"--input", folder + "/in", "--output", folder + "/out"}, "");
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(readFile(folder + "/out"), greedy("abc") + "\n");

  outcome = toyRun({"--input", folder + "/none"}, "");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_EQ(outcome.err, "toy: error: cannot read `" + folder + "/none`: No such file or directory\n");
  outcome = toyRun({"--input", folder}, "");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_EQ(toyRun({"--output", folder + "/none/out"}, "abc\n").code, 1);
  outcome = toyRun({"--input", folder, "--output", folder + "/fresh"}, "");
  struct stat status;
  EXPECT_NE(stat((folder + "/fresh").c_str(), &status), 0) << "an output is complete or absent";
  outcome = toyRun({"--output", "/dev/null"}, "abc\n");
  EXPECT_EQ(outcome.code, 0);
  ASSERT_EQ(stat("/dev/null", &status), 0);
  EXPECT_TRUE(S_ISCHR(status.st_mode));
  outcome = toyRun({"--output", "/dev/full"}, "abc\n");
  EXPECT_EQ(outcome.code, 1);
}

// A child with pipes, to watch it while it runs.
struct Piped {
  pid_t child;
  int in, out;
  explicit Piped(std::vector<const char *> arguments = {}) {
    int to[2], from[2];
    if (pipe(to) || pipe(from))
      std::abort();
    child = fork();
    if (child == 0) {
      dup2(to[0], 0);
      dup2(from[1], 1);
      for (int descriptor : {to[0], to[1], from[0], from[1]})
        close(descriptor);
      arguments.insert(arguments.begin(), "fovea-toy-program");
      arguments.push_back(nullptr);
      std::string self = "/proc/self/exe";
      std::string folder(4096, '\0');
      folder.resize(size_t(std::max<ssize_t>(readlink(self.c_str(), folder.data(), folder.size()), 0)));
      folder = folder.substr(0, folder.rfind('/'));
      execv((folder + "/fovea-toy-program").c_str(), const_cast<char **>(arguments.data()));
      _exit(98);
    }
    close(to[0]);
    close(from[1]);
    in = to[1];
    out = from[0];
  }
  void say(const std::string &text) { EXPECT_EQ(write(in, text.data(), text.size()), ssize_t(text.size())); }
  std::string hear() {
    std::string line;
    for (char c; read(out, &c, 1) == 1;) {
      line += c;
      if (c == '\n')
        break;
    }
    return line;
  }
  int wait() {
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
};

TEST(Program, AnswersALineBeforeTheNextIsThere) {
  Piped piped;
  for (const char *word : {"abc", "", "hello"}) {
    piped.say(std::string(word) + "\n");
    EXPECT_EQ(piped.hear(), (*word ? greedy(word) : "") + "\n");
  }
  close(piped.in);
  EXPECT_EQ(piped.wait(), 0);
}

TEST(Program, InterruptLetsFinishedLinesOut) {
  Piped piped;
  piped.say("abc\n");
  EXPECT_EQ(piped.hear(), greedy("abc") + "\n");
  kill(piped.child, SIGINT);
  EXPECT_EQ(piped.wait(), -SIGINT);

  std::string folder = temporaryFolder(), output = folder + "/out";
  Piped aside({"--output", output.c_str()});
  aside.say("abc\n");
  usleep(100000);
  kill(aside.child, SIGINT);
  EXPECT_EQ(aside.wait(), -SIGINT);
  EXPECT_EQ(rmdir(folder.c_str()), 0) << "nothing is left in the folder";
}

TEST(Program, StopsWhenNobodyReads) {
  Piped piped;
  close(piped.out);
  piped.say("abc\n");
  EXPECT_EQ(piped.wait(), -SIGPIPE);
}

TEST(Program, BrokenTablesAreInternalErrors) {
  fovea_model broken = toy::model();
  broken.abi = 77;
  EXPECT_EQ(execute(broken, {}, "abc\n").code, 3);
  broken = toy::model();
  broken.json_length = 10;
  Outcome outcome = execute(broken, {}, "abc\n");
  EXPECT_EQ(outcome.code, 3);
  EXPECT_NE(outcome.err.find("internal error"), std::string::npos);
}

}  // namespace
