#include "runtime/support/Text.h"

#include <cstdio>

namespace fovea {

size_t codePointLength(std::string_view text) {
  if (text.empty())
    return 0;
  auto byte = [&](size_t at) { return at < text.size() ? static_cast<unsigned char>(text[at]) : 0u; };
  auto continues = [&](size_t from, size_t to) {
    for (; from < to; ++from)
      if ((byte(from) & 0xC0) != 0x80)
        return false;
    return true;
  };
  unsigned first = byte(0), second = byte(1);
  if (first < 0x80)
    return 1;
  if (first >= 0xC2 && first <= 0xDF)
    return continues(1, 2) ? 2 : 0;
  // No overlong forms, no surrogates, nothing beyond U+10FFFF.
  if (first >= 0xE0 && first <= 0xEF)
    return continues(1, 3) && !(first == 0xE0 && second < 0xA0) && !(first == 0xED && second > 0x9F) ? 3 : 0;
  if (first >= 0xF0 && first <= 0xF4)
    return continues(1, 4) && !(first == 0xF0 && second < 0x90) && !(first == 0xF4 && second > 0x8F) ? 4 : 0;
  return 0;
}

std::string quote(std::string_view text) {
  constexpr size_t most = 80;
  std::string result = "`";
  while (!text.empty()) {
    size_t length = codePointLength(text);
    bool control = length == 1 ? static_cast<unsigned char>(text[0]) < 0x20 || text[0] == 0x7F
                               : length == 2 && text[0] == '\xC2' && static_cast<unsigned char>(text[1]) < 0xA0;
    std::string piece;
    if (length == 0 || control) {
      for (length = length ? length : 1; char byte : text.substr(0, length)) {
        char code[8];
        std::snprintf(code, sizeof code, "\\x%02X", static_cast<unsigned char>(byte));
        piece += code;
      }
    } else {
      piece = text.substr(0, length);
    }
    if (result.size() - 1 + piece.size() > most) {
      result += "...";
      break;
    }
    result += piece;
    text.remove_prefix(length);
  }
  return result + "`";
}

}  // namespace fovea
