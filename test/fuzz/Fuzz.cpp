#include "test/fuzz/Fuzz.h"

#include <cctype>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <unistd.h>
#include <vector>

namespace fovea {
namespace {

std::string readAll(const char *path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

struct Mutator {
  std::mt19937_64 random;
  std::vector<std::string> corpus, words;

  size_t below(size_t n) { return n ? random() % n : 0; }

  // The place and length of the first word from `from` on.
  static std::pair<size_t, size_t> word(const std::string &text, size_t from) {
    auto inside = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; };
    while (from < text.size() && !inside(text[from])) ++from;
    size_t end = from;
    while (end < text.size() && inside(text[end])) ++end;
    return {from, end - from};
  }

  std::string next() {
    std::string text = corpus[below(corpus.size())];
    for (size_t n = 1 + below(4); n > 0; --n) {
      size_t at = below(text.size() + 1), length = below(below(2) ? 8 : 60);
      switch (below(7)) {
      case 0: text.erase(at, length); break;
      case 1: text.insert(at, words[below(words.size())]); break;
      case 2: if (at < text.size()) text[at] = static_cast<char>(random()); break;
      case 3: text.insert(at, text.substr(below(text.size() + 1), length)); break;
      case 4: {  // a piece of another text
        const std::string &other = corpus[below(corpus.size())];
        text.replace(at, std::min(length, text.size() - at), other.substr(below(other.size() + 1), length));
        break;
      }
      case 5: {  // a word of the dictionary for a word
        auto [to, size] = word(text, at);
        text.replace(to, size, words[below(words.size())]);
        break;
      }
      default: {  // a word of the text for a word
        auto [to, toSize] = word(text, at);
        auto [from, fromSize] = word(text, below(text.size() + 1));
        if (toSize && fromSize) text.replace(to, toSize, std::string(text, from, fromSize));
      }
      }
    }
    return text;
  }
};

}  // namespace

int fuzz(int argc, char **argv, FuzzCheck check) {
  std::string fault;
  if (argc == 3 && std::string(argv[1]) == "--check") {
    alarm(60);
    Verdict verdict = check(readAll(argv[2]), fault);
    std::printf("%s\n", !fault.empty() ? fault.c_str() : verdict == Verdict::Right ? "right" : verdict == Verdict::Wrong ? "wrong" : "lost");
    return !fault.empty();
  }
  if (argc < 6) return std::fprintf(stderr, "usage: %s SEED SECONDS LAST DICTIONARY FILE... | --check FILE\n", argv[0]), 2;
  Mutator mutator;
  mutator.random.seed(std::strtoull(argv[1], nullptr, 10));
  std::ifstream dictionary(argv[4]);
  for (std::string line; std::getline(dictionary, line);)
    if (!line.empty()) mutator.words.push_back(line);
  mutator.words.insert(mutator.words.end(), {"\n", "\xff", std::string(1, '\0'), "\xef\xbb\xbf", "\r\n"});
  for (int k = 5; k < argc; ++k) mutator.corpus.push_back(readAll(argv[k]));

  using Clock = std::chrono::steady_clock;
  auto end = Clock::now() + std::chrono::seconds(std::strtoul(argv[2], nullptr, 10));
  unsigned long count = 0, right = 0, lost = 0;
  double slowest = 0;
  for (; Clock::now() < end; ++count) {
    std::string text = mutator.next();
    std::ofstream(argv[3], std::ios::binary) << text;
    auto begin = Clock::now();
    alarm(60);
    Verdict verdict = check(text, fault);
    alarm(0);
    right += verdict == Verdict::Right, lost += verdict == Verdict::Lost;
    if (lost > 3 + count / 1000) fault = "upstream's parser is lost in more than one text in a thousand";
    if (!fault.empty()) return std::printf("%s\n", fault.c_str()), 1;
    double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    if (seconds <= slowest) continue;
    slowest = seconds;
    if (slowest > 1) std::ofstream(std::string(argv[3]) + ".slow", std::ios::binary) << text;
  }
  std::printf("%lu texts, %lu of them right, %lu lost by upstream's parser, slowest %.3f s\n", count, right, lost, slowest);
  return 0;
}

}  // namespace fovea
