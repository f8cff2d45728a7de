#include "file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "error.hpp"

namespace retrace {
namespace {

// Systems move at most some 2 GiB in one call; some refuse to be asked for more.
constexpr std::size_t most_at_once = std::size_t{1} << 30;

[[noreturn]] void fail_with(int reason, const char* verb, const std::string& path) {
  fail("cannot {} {}: {}", verb, path, std::generic_category().message(reason));
}

/// Writes and closes; 0, or the errno of what failed.
int write_all(int descriptor, std::span<const std::string_view> parts, bool sync) {
  int reason = 0;
  for (std::string_view part : parts)
    while (!part.empty() && reason == 0) {
      const ssize_t n = ::write(descriptor, part.data(), std::min(part.size(), most_at_once));
      if (n < 0 && errno != EINTR) reason = errno;
      if (n > 0) part.remove_prefix(static_cast<std::size_t>(n));
    }
  if (sync && reason == 0 && ::fsync(descriptor) != 0) reason = errno;
  if (::close(descriptor) != 0 && reason == 0) reason = errno;
  return reason;
}

/// Where the symbolic links lead, whether or not a file is there.
std::filesystem::path follow_links(std::filesystem::path path) {
  std::error_code error;
  for (int links = 0; links < 40; ++links) {
    const std::filesystem::path next = std::filesystem::read_symlink(path, error);
    if (error) break;
    path = path.parent_path() / next;
  }
  return path;
}

/// Makes a rename in the directory last. It is done already, so where that cannot be had is no failure.
void sync_directory(const std::filesystem::path& directory) {
  const detail::Descriptor opened(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (opened.number >= 0) (void)::fsync(opened.number);
}

}  // namespace

void replace_file(const std::string& path, std::span<const std::string_view> parts) {
  struct stat old {};
  const bool exists = ::stat(path.c_str(), &old) == 0;
  if (!exists && errno != ENOENT) fail_with(errno, "write", path);
  if (exists && !S_ISREG(old.st_mode)) {
    const int descriptor = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (const int reason = descriptor < 0 ? errno : write_all(descriptor, parts, false))
      fail_with(reason, "write", path);
    return;
  }
  // A rename asks for no right to the file it replaces.
  if (exists && ::access(path.c_str(), W_OK) != 0) fail_with(errno, "write", path);

  const std::filesystem::path target = follow_links(path);
  const std::filesystem::path directory = target.has_parent_path() ? target.parent_path() : ".";
  const std::string name = target.filename().string().substr(0, 200);  // a name has at most 255 bytes
  std::string temporary;
  int descriptor = -1;
  for (unsigned n = 0; descriptor < 0; ++n) {
    temporary = (directory / fmt::format("{}.{}.tmp", name, n)).string();
    descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, exists ? 0600 : 0666);
    if (descriptor < 0 && errno != EEXIST) fail_with(errno, "write", path);
  }
  // Some file systems know no permissions; that is no reason to lose the content.
  if (exists) (void)!::fchmod(descriptor, old.st_mode & 0777);
  int reason = write_all(descriptor, parts, true);
  if (reason == 0 && std::rename(temporary.c_str(), target.c_str()) != 0) reason = errno;
  if (reason != 0) {
    (void)::unlink(temporary.c_str());
    fail_with(reason, "write", path);
  }
  sync_directory(directory);
}

namespace detail {

Descriptor::~Descriptor() {
  if (number >= 0) (void)::close(number);
}

InputFile::InputFile(const std::string& path)
    : path_(path), file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) {
  struct stat status {};
  if (file_.number < 0 || ::fstat(file_.number, &status) != 0) fail_with(errno, "read", path);
  require(S_ISREG(status.st_mode), "cannot read {}: it is not a regular file", path);
  size_ = static_cast<std::uint64_t>(status.st_size);
}

void InputFile::read(std::uint64_t offset, std::span<std::byte> bytes) const {
  while (!bytes.empty()) {
    const std::size_t wanted = std::min(bytes.size(), most_at_once);
    const ssize_t n = ::pread(file_.number, bytes.data(), wanted, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_with(errno, "read", path_);
    require(n > 0, "cannot read {}: it ends after {} bytes, {} were expected", path_, offset, offset + bytes.size());
    offset += static_cast<std::uint64_t>(n);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}

}  // namespace detail
}  // namespace retrace
