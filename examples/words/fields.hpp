// The metadata of a file, by name and as numbers.
#pragma once

#include <retrace/core.hpp>

#include <charconv>
#include <string>
#include <type_traits>

namespace words {

/// Adds a field that `Fields` reads back to the same value.
template <class T>
void put(retrace::Metadata& metadata, const std::string& name, const T& value) {
  metadata[name] = fmt::format("{}", value);
}

/// Reads the metadata of the file `source`, with errors that name it.
class Fields {
 public:
  /// `metadata` must outlive this object.
  Fields(const retrace::Metadata& metadata, std::string source)
      : metadata_(metadata), source_(std::move(source)) {}

  const std::string& source() const { return source_; }

  /// The text of a field. Throws retrace::Error if there is none of that name.
  const std::string& text(const std::string& name) const {
    const auto found = metadata_.find(name);
    retrace::require(found != metadata_.end(), "cannot use {}: '{}' is missing in its metadata",
                     source_, name);
    return found->second;
  }

  /// Reads a field. Throws retrace::Error if there is none of that name or it is not of that type.
  template <class T>
  void read(const std::string& name, T& value) const {
    const std::string& written = text(name);
    if constexpr (std::is_same_v<T, std::string>) {
      value = written;
    } else {
      const char* end = written.data() + written.size();
      const auto [rest, error] = std::from_chars(written.data(), end, value);
      retrace::require(error == std::errc() && rest == end,
                       "cannot use {}: '{}' is '{}' in its metadata, no number", source_, name,
                       written);
    }
  }

 private:
  const retrace::Metadata& metadata_;
  std::string source_;
};

}  // namespace words
