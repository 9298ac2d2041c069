// UTF-8, and texts from a user's file inside a message.
#ifndef FOVEA_RUNTIME_SUPPORT_TEXT_H
#define FOVEA_RUNTIME_SUPPORT_TEXT_H

#include <cstddef>
#include <string>
#include <string_view>

namespace fovea {

// Length of the UTF-8 sequence at the beginning of `text`; 0 if there is no valid one.
size_t codePointLength(std::string_view text);

// The text in backticks, on one line of UTF-8: control characters and bytes that are not UTF-8 become `\x1B`, and what is longer
// than 80 bytes is cut at a character and ends in `...`.
std::string quote(std::string_view text);

}  // namespace fovea

#endif  // FOVEA_RUNTIME_SUPPORT_TEXT_H
