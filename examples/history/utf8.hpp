// UTF-8, one code point at a time.
#pragma once

#include <cstddef>
#include <string_view>

namespace history {

/// Bytes of the UTF-8 code point at the start of `text`: 1 to 4, or 0 if `text` is empty or does
/// not start with a well-formed one (Unicode 15, table 3-7: no overlong forms, no surrogates,
/// nothing above U+10FFFF).
std::size_t code_point_length(std::string_view text);

}  // namespace history
