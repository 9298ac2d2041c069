// Text to tokens and back, as programs do it: for each line of standard input the numbers of its tokens, TAB, the text of these numbers, TAB, what that begins
// with for sure after each token; or `error: ...`.
//
//   text-check UNIT PIECES VOCABULARY [--with TOKEN | --without TOKEN | --unknown TOKEN | --tokens N | --numbers ""]...     VOCABULARY: a file of lines, or - for the pieces' own numbers
#include "runtime/program/Error.h"
#include "runtime/program/Vocabulary.h"

#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>

using namespace fovea::program;

static std::string readAll(const char *path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

int main(int argc, char **argv) {
  if (argc < 4) return (std::cerr << "usage: text-check UNIT PIECES VOCABULARY [OPTION VALUE]...\n", 2);
  TextFormat format;
  format.unit = std::string(argv[1]) == "sentencepiece" ? TextFormat::SentencePiece : TextFormat::BytePairs;
  const std::string pieces = readAll(argv[2]), lines = std::string(argv[3]) == "-" ? "" : readAll(argv[3]);
  format.pieces = "pieces";
  if (!lines.empty()) format.vocabulary = "vocabulary";
  bool numbers = false;  // lines are numbers of tokens
  for (int k = 4; k + 1 < argc; k += 2) {
    const std::string option = argv[k], value = argv[k + 1];
    if (option == "--with") format.with.push_back(value);
    if (option == "--without") format.without.push_back(value);
    if (option == "--unknown") format.unknown = value;
    if (option == "--numbers") numbers = true;
    if (option == "--tokens") format.tokens = std::stoll(value);
  }
  try {
    const File pieceFile{"pieces", pieces}, lineFile{"vocabulary", lines};
    const Vocabulary vocabulary(lines.empty() ? pieceFile : lineFile, format, true, &pieceFile);
    for (std::string line; std::getline(std::cin, line);) {
      std::vector<int32_t> ids, before;
      try {
        if (numbers) {
          std::istringstream text(line);
          for (int32_t id; text >> id;) ids.push_back(id);
        } else {
          vocabulary.encode(line, INT64_MAX, ids);
        }
      } catch (const Error &error) {
        std::cout << "error: " << error.what() << "\n";
        continue;
      }
      for (size_t at = 0; at < ids.size(); ++at) std::cout << (at ? " " : "") << ids[at];
      const std::string text = vocabulary.decode(ids);
      bool begins = true;
      for (int32_t id : ids) before.push_back(id), begins &= text.starts_with(vocabulary.decode(before, {}, true));
      std::cout << "\t" << text << "\t" << (begins ? "begins" : "DIFFERS") << "\n";
    }
  } catch (const Error &error) {
    std::cerr << "error: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
