// Files as a whole: read, or written entirely or not at all.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace words {

/// The bytes of the file `path`. Throws retrace::Error if it cannot be read, saying why, or has more than `limit`
/// bytes.
std::string read_file(const std::string& path, std::size_t limit);

/// Makes `text` the content of the file `path`, by way of a temporary file beside it that is then renamed, so that
/// nobody sees a part of it and a failure leaves an older file as it was. What is no regular file, such as /dev/stdout,
/// is written to directly. Throws retrace::Error, saying why, if that fails.
void replace_file(const std::string& path, std::string_view text);

}  // namespace words
