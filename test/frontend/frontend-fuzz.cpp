// Random mutations of .attn files through the front end: frontend-fuzz SEED COUNT LAST FILE...
// Any bytes must give a module or errors. The text being checked is written to LAST first, so that after a crash it is there.
#include "frontend/Frontend.h"

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>
#include <random>

static std::string mutate(const std::vector<std::string> &corpus, std::mt19937_64 &random) {
  auto below = [&](size_t n) { return n ? random() % n : 0; };
  std::string text = corpus[below(corpus.size())];
  static const char *const pieces[] = {"(", ")", "[", "]", "{", "}", ";", ",", "->", "=", "0", "1", "2147483647", "-", "1e38", "j", "i", "b", "if", "then", "else",
                                       "let", "mask", "dim", "fold i", "scan j", "iterate 3", "sum[j]", "softmax[j]", "concat[c]", "x[i: j]", "|i|", "not", "fn", "kernel",
                                       "block", "model", "true", "0.0", "*", "/", "%", "<", "<=", ":", ".", "\"", "//", "\xff", "\n", "where", "in", "trace", "append", "state"};
  for (size_t n = 1 + below(4); n > 0; --n) {
    size_t at = below(text.size() + 1), length = below(below(2) ? 8 : 60);
    switch (below(6)) {
    case 0: text.erase(at, length); break;
    case 1: text.insert(at, pieces[below(std::size(pieces))]); break;
    case 2: if (at < text.size()) text[at] = static_cast<char>(random()); break;
    case 3: text.insert(at, text.substr(below(text.size() + 1), length)); break;
    case 4: {  // one word for another
      const std::string &other = corpus[below(corpus.size())];
      text.replace(at, std::min(length, text.size() - at), other.substr(below(other.size() + 1), length));
      break;
    }
    default: {  // a name for another name of the file
      auto word = [&](size_t from) {
        while (from < text.size() && !std::isalpha(static_cast<unsigned char>(text[from]))) ++from;
        size_t end = from;
        while (end < text.size() && std::isalnum(static_cast<unsigned char>(text[end]))) ++end;
        return std::pair(from, end - from);
      };
      auto [to, toLength] = word(at);
      auto [from, fromLength] = word(below(text.size() + 1));
      if (toLength && fromLength) text.replace(to, toLength, std::string(text, from, fromLength));
    }
    }
  }
  return text;
}

int main(int argc, char **argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  if (argc < 5) return std::fputs("usage: frontend-fuzz SEED COUNT LAST FILE...\n", stderr), 2;
  std::mt19937_64 random(std::strtoull(argv[1], nullptr, 10));
  std::vector<std::string> corpus;
  for (int k = 4; k < argc; ++k) {
    std::ifstream file(argv[k], std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  unsigned long good = 0, count = std::strtoul(argv[2], nullptr, 10);
  double slowest = 0;
  for (unsigned long n = 0; n < count; ++n) {
    std::string text = mutate(corpus, random);
    std::ofstream(argv[3], std::ios::binary) << text;
    std::clock_t begin = std::clock();
    fovea::SourceManager sources;
    fovea::Diagnostics diagnostics(sources);
    uint32_t file = sources.add(argv[4], text);
    auto module = fovea::check(file, sources, diagnostics);
    if (module) ++good, (void)fovea::printCore(*module);
    if (diagnostics.str().empty() != module.has_value()) return std::puts("neither a module nor an error"), 1;
    double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    slowest = std::max(slowest, seconds);
    if (seconds > 20) return std::printf("%.1f s for one text\n", seconds), 1;
  }
  std::printf("%lu texts, %lu of them right, slowest %.3f s\n", count, good, slowest);
}
