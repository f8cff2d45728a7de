#pragma once

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>

namespace retrace::test {

inline void write_bytes(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

inline std::string read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("there is no file " + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A directory of the test's own, gone with all its files when the test ends.
class TemporaryDirectory {
 public:
  TemporaryDirectory() : TemporaryDirectory(std::filesystem::temp_directory_path()) {}
  /// For files that are saved so often that flushing them to a disk would take all the time.
  static TemporaryDirectory in_memory() {
    const std::filesystem::path shared_memory = "/dev/shm";
    if (!std::filesystem::is_directory(shared_memory)) return {};
    return TemporaryDirectory(shared_memory);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::filesystem::path& path() const { return path_; }
  std::string path(const std::string& name) const { return (path_ / name).string(); }
  /// Writes a file and returns its path.
  std::string file(const std::string& name, std::string_view bytes) const {
    write_bytes(path(name), bytes);
    return path(name);
  }
  /// How many files are in it.
  std::ptrdiff_t files() const {
    return std::distance(std::filesystem::directory_iterator(path_), {});
  }

 private:
  explicit TemporaryDirectory(const std::filesystem::path& parent) {
    std::string name = (parent / "retrace-test-XXXXXX").string();
    if (!::mkdtemp(name.data()))
      throw std::runtime_error("there is no directory for temporary files");
    path_ = name;
  }

  std::filesystem::path path_;
};

}  // namespace retrace::test
