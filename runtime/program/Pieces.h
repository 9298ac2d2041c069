// Text cut into pieces of words, and put together again. Programs whose text is cut so carry the code that it takes; the others do not.
#ifndef FOVEA_RUNTIME_PROGRAM_PIECES_H
#define FOVEA_RUNTIME_PROGRAM_PIECES_H

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::program {

class Pieces {
public:
  struct Piece {
    std::string text;    // as it stands in a vocabulary; of a part of the line that is no piece: that part
    int32_t number;      // in the file of pieces; -1: it has no numbers
  };

  virtual ~Pieces() = default;

  // The pieces of a text, which is UTF-8.
  virtual std::vector<Piece> cut(std::string_view text) const = 0;
  // The text of pieces. `more`: others may follow, and what they may change is left out.
  virtual std::string join(const std::vector<std::string_view> &pieces, bool more) const = 0;
  // All pieces in the order of their numbers, and the number of the one for all else (-1: there is none). Empty: a vocabulary has the numbers.
  virtual std::vector<std::string> all() const { return {}; }
  virtual int32_t unknown() const { return -1; }
};

// What reads the files. Null in programs that do not need them. Throw Error, saying what is wrong, for bytes that are none; those must outlive the object.
[[gnu::weak]] std::unique_ptr<Pieces> openSentencePiece(std::string_view bytes);
[[gnu::weak]] std::unique_ptr<Pieces> openBytePairs(std::string_view bytes);

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_PIECES_H
