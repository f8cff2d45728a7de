#pragma once

#include <span>
#include <string>
#include <string_view>

namespace retrace {

/// Makes `parts`, one after the other, the content of the file `path`. They go to a new file beside
/// it, which is flushed to the disk and then renamed: whoever opens `path` finds the old content or
/// the new one, whole, even after a crash. A failure removes the new file and throws Error, which
/// has the path and the system's reason. A killed process may leave it, named like the path with
/// .N.tmp added, until the next replacement of `path` removes it.
///
/// An existing file keeps its permissions, and one that may not be written is refused. A symbolic
/// link stays, and what it leads to is replaced. What is no regular file, such as /dev/stdout or a
/// pipe, is refused.
void replace_file(const std::string& path, std::span<const std::string_view> parts);

}  // namespace retrace
