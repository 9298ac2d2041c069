// Text to tokens and back.
#ifndef FOVEA_RUNTIME_PROGRAM_VOCABULARY_H
#define FOVEA_RUNTIME_PROGRAM_VOCABULARY_H

#include "runtime/program/ModelTable.h"
#include "runtime/program/Pieces.h"

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace fovea::program {

// Tokens, their numbers, and how text is made of them. A vocabulary's file has one token a line; the line's number, from 0, is the token's id. Tokens
// are kept as written, spaces included; only a carriage return before the line's end is dropped. Or the file is one of pieces, with numbers of its own.
class Vocabulary {
public:
  // `file` is the vocabulary that `format` names; where it names none, the file of its pieces, which is `pieces` otherwise (null for characters and words).
  // Throws Error, naming the file and the line, for an empty file, an empty or repeated line, or one that is not UTF-8;
  // and when a token that `format` declares is missing. The files' bytes must outlive the vocabulary.
  // `reads`: lines are inputs, for which `format` may have a limit; that of outputs is the search's.
  Vocabulary(const File &file, const TextFormat &format, bool reads = true, const File *pieces = nullptr);

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
  // What stands in the line for each of these tokens: for an unknown one more than the token says.
  std::vector<std::string> cut(std::string_view line) const;

  // Words joined by a space, characters joined without, pieces as their model joins them. `instead`: by token what stands for it; empty: the token.
  // `more`: other tokens may follow; this is what the whole text then begins with.
  std::string decode(const std::vector<int32_t> &ids, const std::vector<std::string> &instead = {}, bool more = false) const;

private:
  TextFormat::Unit unit;
  std::deque<std::string> made;                 // tokens that are no line of a file
  std::vector<std::string_view> tokens;
  std::unordered_map<std::string_view, int32_t> ids;
  std::unique_ptr<Pieces> pieces;
  bool ownNumbers = false;                      // those of the pieces
  size_t known = SIZE_MAX;                      // of these numbers; others are scored and mean nothing
  std::unordered_map<std::string_view, int32_t> named;   // tokens that stand in text as they are called
  std::vector<size_t> namedLengths;             // longest first
  std::array<bool, 256> namedBegin{};           // by first byte
  std::vector<bool> silent;                     // by token: has no text
  int32_t startId = -1, endId = -1, unknownId = -1;
  int64_t longest = INT64_MAX;  // tokens of a line

  int32_t idOf(std::string_view token) const;
  void readLines(const File &file);
  void readPieces(const TextFormat &format);
  void name(const TextFormat &format);
  std::pair<size_t, int32_t> nextNamed(std::string_view line, size_t from) const;
  // Calls `add(text, number)` for each token of a line; the number is -1 where the text has to be looked up.
  template <typename F>
  void forTokens(std::string_view line, F add) const;
};

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_VOCABULARY_H
