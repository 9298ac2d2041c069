#include "runtime/program/Extent.h"

#include "runtime/program/Error.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace fovea::program {

namespace {

constexpr size_t deepest = 16;

int64_t floorDivide(int64_t a, int64_t b) {
  if (b == 0)
    return 0;
  if (b == -1)
    return -a;
  int64_t quotient = a / b;
  return quotient - (a % b != 0 && (a < 0) != (b < 0));
}

[[noreturn]] void tooLarge() { throw Error("a tensor would be too large"); }

int64_t apply(char op, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflow = false;
  switch (op) {
  case '+': overflow = __builtin_add_overflow(a, b, &result); break;
  case '-': overflow = __builtin_sub_overflow(a, b, &result); break;
  case '*': overflow = __builtin_mul_overflow(a, b, &result); break;
  case '/': result = floorDivide(a, b); break;
  case '%': result = b == 0 ? 0 : a - b * floorDivide(a, b); break;
  case '<': result = std::min(a, b); break;
  default: result = std::max(a, b); break;
  }
  if (overflow)
    tooLarge();
  return result;
}

}  // namespace

Extent Extent::constant(int64_t value) {
  Extent extent;
  extent.words.push_back({Word::Number, value});
  return extent;
}

Extent Extent::parse(std::string_view text) {
  Extent extent;
  size_t depth = 0;
  auto wrong = [&]() { return InternalError("`" + std::string(text) + "` is no extent"); };
  for (size_t at = 0; at < text.size();) {
    if (text[at] == ' ') {
      ++at;
      continue;
    }
    size_t end = std::min(text.find(' ', at), text.size());
    std::string_view word = text.substr(at, end - at);
    at = end;
    int64_t number = 0;
    auto [last, status] = std::from_chars(word.data(), word.data() + word.size(), number);
    if (status == std::errc() && last == word.data() + word.size()) {
      extent.words.push_back({Word::Number, number});
      ++depth;
    } else if (word == "b" || word == "s" || word == "i" || word == "t") {
      extent.words.push_back({Word::Symbol, word[0]});
      ++depth;
    } else {
      char op = word == "min" ? '<' : word == "max" ? '>' : word.size() == 1 ? word[0] : ' ';
      if (std::string_view("+-*/%<>").find(op) == std::string_view::npos || depth < 2)
        throw wrong();
      extent.words.push_back({Word::Operator, op});
      --depth;
    }
    if (depth > deepest)
      throw wrong();
  }
  if (depth != 1)
    throw wrong();
  return extent;
}

int64_t Extent::evaluate(const Sizes &sizes) const {
  std::array<int64_t, deepest + 1> stack;
  size_t top = 0;
  for (const Word &word : words) {
    switch (word.kind) {
    case Word::Number: stack[top++] = word.value; break;
    case Word::Symbol: stack[top++] = word.value == 'b' ? sizes.b : word.value == 's' ? sizes.s : word.value == 'i' ? sizes.i : sizes.t; break;
    case Word::Operator: --top; stack[top - 1] = apply(char(word.value), stack[top - 1], stack[top]); break;
    }
  }
  if (stack[0] < 0)
    throw Error("an axis would have the negative extent " + std::to_string(stack[0]));
  return stack[0];
}

bool Extent::mentions(char symbol) const {
  return std::any_of(words.begin(), words.end(), [&](const Word &word) { return word.kind == Word::Symbol && word.value == symbol; });
}

std::string Extent::text() const {
  std::string result;
  for (const Word &word : words) {
    if (!result.empty())
      result += ' ';
    if (word.kind == Word::Number)
      result += std::to_string(word.value);
    else if (word.kind == Word::Operator && (word.value == '<' || word.value == '>'))
      result += word.value == '<' ? "min" : "max";
    else
      result += char(word.value);
  }
  return result;
}

int64_t product(int64_t a, int64_t b) {
  int64_t result;
  if (__builtin_mul_overflow(a, b, &result))
    tooLarge();
  return result;
}

int64_t elements(const Shape &shape, const Sizes &sizes) {
  int64_t count = 1;
  for (const Extent &extent : shape)
    count = product(count, extent.evaluate(sizes));
  return count;
}

}  // namespace fovea::program
