// Files read as a whole.
#pragma once

#include <cstddef>
#include <string>

namespace words {

/// The bytes of the file `path`. Throws retrace::Error if it cannot be read, saying why, or has
/// more than `limit` bytes.
std::string read_file(const std::string& path, std::size_t limit);

}  // namespace words
