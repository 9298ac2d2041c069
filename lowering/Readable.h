// Texts that the .mlir parser of LLVM 22 does not survive.
#pragma once
#include <cstddef>
#include <string_view>

namespace fovea {

// The line, from 1, of the first properties that are no dictionary written out: `linalg.generic {...} <f32>`. The parser of linalg's operations
// casts them to one unasked, and reads memory that is none; so does that of attributes for `array<index: 3>`. 0: there are none.
size_t unreadableProperties(std::string_view text);

}  // namespace fovea
