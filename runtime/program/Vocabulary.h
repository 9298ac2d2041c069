// Text to tokens and back.
#ifndef FOVEA_RUNTIME_PROGRAM_VOCABULARY_H
#define FOVEA_RUNTIME_PROGRAM_VOCABULARY_H

#include "runtime/program/ModelTable.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace fovea::program {

// One token a line; the line's number, from 0, is the token's id. Tokens are kept as written, spaces included; only a
// carriage return before the line's end is dropped.
class Vocabulary {
public:
  // Throws Error, naming the file and the line, for an empty file, an empty or repeated line, or one that is not UTF-8;
  // and when a token that `format` declares is missing. The file's bytes must outlive the vocabulary.
  // `reads`: lines are inputs, for which `format` may have a limit; that of outputs is the search's.
  Vocabulary(const File &file, const TextFormat &format, bool reads = true);

  int64_t size() const { return int64_t(tokens.size()); }
  // The token's text; for an id beyond the vocabulary its number in angle brackets.
  std::string text(int32_t id) const;
  // -1 when not declared.
  int32_t start() const { return startId; }
  int32_t end() const { return endId; }
  int32_t unknown() const { return unknownId; }

  // Appends the tokens of a line, without start and end, to `ids`. Text never yields the start or end token: written out
  // they are unknown. Throws Error for invalid UTF-8, for an unknown token where none is declared, and
  // after `most` tokens, or what the format allows.
  void encode(std::string_view line, int64_t most, std::vector<int32_t> &ids) const;

  // Words joined by a space, characters joined without.
  std::string decode(const std::vector<int32_t> &ids) const;

private:
  TextFormat::Unit unit;
  std::vector<std::string_view> tokens;
  std::unordered_map<std::string_view, int32_t> ids;
  int32_t startId = -1, endId = -1, unknownId = -1;
  int64_t longest = INT64_MAX;  // tokens of a line

  int32_t idOf(std::string_view token) const;
};

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_VOCABULARY_H
