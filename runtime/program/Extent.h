// An entry of a shape: a number, or an expression over the sizes that change from batch to batch and from step to step.
#ifndef FOVEA_RUNTIME_PROGRAM_EXTENT_H
#define FOVEA_RUNTIME_PROGRAM_EXTENT_H

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::program {

// The sizes that shapes are made of.
struct Sizes {
  int64_t b = 0;  // sources in encode, hypotheses in step
  int64_t s = 0;  // sources
  int64_t i = 0;  // source tokens with start and end, the batch's longest
  int64_t t = 0;  // steps done + 1
};

// `b`, `s`, `i`, `t`, numbers and `+ - * / % min max` in reverse Polish notation, words separated by spaces. Division is
// floor division, x/0 and x%0 are 0, as in the language (rule E3).
class Extent {
public:
  static Extent constant(int64_t value);
  // Throws InternalError for text that is no expression.
  static Extent parse(std::string_view text);

  // Throws Error when the value does not fit or is negative.
  int64_t evaluate(const Sizes &sizes) const;

  bool isConstant() const { return words.size() == 1 && words[0].kind == Word::Number; }
  bool isSymbol(char symbol) const { return words.size() == 1 && words[0].kind == Word::Symbol && words[0].value == symbol; }
  bool mentions(char symbol) const;
  std::string text() const;

private:
  struct Word {
    enum Kind : uint8_t { Number, Symbol, Operator } kind;
    int64_t value;  // Symbol: its letter. Operator: one of + - * / % and < for min, > for max
  };
  std::vector<Word> words;
};

using Shape = std::vector<Extent>;

// Product of the extents; throws Error on overflow.
int64_t elements(const Shape &shape, const Sizes &sizes);

// a * b for sizes; throws Error on overflow.
int64_t product(int64_t a, int64_t b);

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_EXTENT_H
