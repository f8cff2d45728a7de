#include "file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "../error.hpp"

namespace retrace {
namespace {

// Systems move at most some 2 GiB in one call; some refuse to be asked for more.
constexpr std::size_t most_at_once = std::size_t{1} << 30;

[[noreturn]] void fail_with(int reason, const std::string& path) {
  fail("cannot write {}: {}", path, std::generic_category().message(reason));
}

/// Writes and flushes to the disk; 0, or the errno of what failed.
int write_all(int descriptor, std::span<const std::string_view> parts) {
  int reason = 0;
  for (std::string_view part : parts)
    while (!part.empty() && reason == 0) {
      const ssize_t n = ::write(descriptor, part.data(), std::min(part.size(), most_at_once));
      if (n < 0 && errno != EINTR) reason = errno;
      if (n > 0) part.remove_prefix(static_cast<std::size_t>(n));
    }
  return reason == 0 && ::fsync(descriptor) != 0 ? errno : reason;
}

bool is_at(int descriptor, const std::string& path) {
  struct stat opened {
  }, named{};
  return ::fstat(descriptor, &opened) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

/// Removes a temporary file that its process, killed, has left: nobody holds its lock.
void remove_if_left(const std::string& temporary) {
  const int descriptor = ::open(temporary.c_str(), O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
  if (descriptor < 0) return;
  if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0 && is_at(descriptor, temporary))
    (void)::unlink(temporary.c_str());
  ::close(descriptor);
}

/// A new file with a lock on it, held until it is closed; -1 and errno, which is EEXIST if such a
/// file is in use.
int create_locked(const std::string& temporary, mode_t mode) {
  const int descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (descriptor < 0) return -1;
  // A file system without locks will do: what killed processes left then stays.
  const bool is_ours = ::flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
  if (is_ours && is_at(descriptor, temporary)) return descriptor;
  // Another process took it for an abandoned one, since it was not locked yet.
  ::close(descriptor);
  errno = EEXIST;
  return -1;
}

/// Where the symbolic links lead, whether or not that exists.
std::filesystem::path follow_links(std::filesystem::path path) {
  std::error_code error;
  for (int links = 0; links < 40; ++links) {
    const std::filesystem::path next = std::filesystem::read_symlink(path, error);
    if (error) break;
    path = path.parent_path() / next;
  }
  return path;
}

}  // namespace

void replace_file(const std::string& path, std::span<const std::string_view> parts) {
  struct stat old {};
  const bool exists = ::stat(path.c_str(), &old) == 0;
  if (!exists && errno != ENOENT) fail_with(errno, path);
  require(!exists || S_ISREG(old.st_mode), "cannot write {}: it is not a regular file", path);
  // A rename asks for no right to the file it replaces.
  if (exists && ::access(path.c_str(), W_OK) != 0) fail_with(errno, path);

  const std::filesystem::path target = follow_links(path);
  const std::filesystem::path directory = target.has_parent_path() ? target.parent_path() : ".";
  // A name has at most 255 bytes.
  const std::string name = target.filename().string().substr(0, 200);
  const auto numbered = [&](unsigned n) {
    return (directory / fmt::format("{}.{}.tmp", name, n)).string();
  };
  for (unsigned n = 0; n < 16; ++n) remove_if_left(numbered(n));
  std::string temporary;
  int descriptor = -1;
  for (unsigned n = 0; descriptor < 0; ++n) {
    temporary = numbered(n);
    descriptor = create_locked(temporary, exists ? 0600 : 0666);
    if (descriptor < 0 && errno != EEXIST) fail_with(errno, path);
  }
  // Some file systems know no permissions; that is no reason to lose the content.
  if (exists) (void)!::fchmod(descriptor, old.st_mode & 0777);
  int reason = write_all(descriptor, parts);
  if (reason == 0 && std::rename(temporary.c_str(), target.c_str()) != 0) reason = errno;
  if (reason != 0) (void)::unlink(temporary.c_str());
  ::close(descriptor);  // the lock goes last: without it the file looks as if it had been left
  if (reason != 0) fail_with(reason, path);
  // Flushing the directory makes the rename last. The file is already replaced, so it is no failure
  // where a directory cannot be flushed.
  const int opened = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (opened < 0) return;
  (void)::fsync(opened);
  ::close(opened);
}

}  // namespace retrace
