#include "file.hpp"

#include <retrace/core.hpp>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>

namespace words {
std::string read_file(const std::string& path, std::size_t limit) {
  const auto reason = [] { return std::generic_category().message(errno); };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             &std::fclose);
  if (!file) retrace::fail("cannot read {}: {}", path, reason());
  std::string text;
  char buffer[1 << 16];
  while (const std::size_t n = std::fread(buffer, 1, sizeof buffer, file.get())) {
    text.append(buffer, n);
    retrace::require(text.size() <= limit, "cannot read {}: it is larger than {} MiB", path,
                     limit >> 20);
  }
  if (std::ferror(file.get())) retrace::fail("cannot read {}: {}", path, reason());
  return text;
}

}  // namespace words
