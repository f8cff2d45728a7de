#include "file.hpp"

#include <retrace/core.hpp>

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <system_error>

namespace words {
namespace {

/// Whether all of `text` reached the file; errno tells why not.
bool write_all(const std::string& path, std::string_view text) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (!file) return false;
  const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size() && std::fflush(file) == 0;
  const int reason = errno;
  const bool closed = std::fclose(file) == 0;
  if (!written) errno = reason;
  return written && closed;
}

}  // namespace

std::string read_file(const std::string& path, std::size_t limit) {
  const auto reason = [] { return std::generic_category().message(errno); };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file) retrace::fail("cannot read {}: {}", path, reason());
  std::string text;
  char buffer[1 << 16];
  while (const std::size_t n = std::fread(buffer, 1, sizeof buffer, file.get())) {
    text.append(buffer, n);
    retrace::require(text.size() <= limit, "cannot read {}: it is larger than {} MiB", path, limit >> 20);
  }
  if (std::ferror(file.get())) retrace::fail("cannot read {}: {}", path, reason());
  return text;
}

void replace_file(const std::string& path, std::string_view text) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const fs::file_status status = fs::status(path, ignored);
  const bool replaceable = !fs::exists(status) || fs::is_regular_file(status);
  // A symbolic link stays; what it leads to is replaced.
  const fs::path resolved = fs::canonical(path, ignored);
  const std::string target = replaceable && !ignored ? resolved.string() : path;
  const std::string temporary = replaceable ? fmt::format("{}.{}.tmp", target, ::getpid()) : target;

  bool done = write_all(temporary, text);
  if (replaceable) {
    done = done && std::rename(temporary.c_str(), target.c_str()) == 0;
    const int reason = errno;
    if (!done) std::remove(temporary.c_str());
    errno = reason;
  }
  if (!done) retrace::fail("cannot write {}: {}", path, std::generic_category().message(errno));
}

}  // namespace words
