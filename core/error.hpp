#pragma once

#include <fmt/core.h>

#include <stdexcept>

namespace retrace {

/// Every refusal of the library: the text says what was expected and what came.
class __attribute__((visibility("default"))) Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

namespace detail {
[[noreturn]] void fail(fmt::string_view text, fmt::format_args args);

/// Base of the library's formatters: text with fmt's fill, width and alignment. Out of line, so
/// that public headers need no more than fmt/core.h.
struct TextFormatter : fmt::formatter<fmt::string_view> {
  fmt::format_context::iterator write(fmt::string_view text, fmt::format_context& context) const;
};
}  // namespace detail

/// Throws Error with the formatted text.
template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> text, Args&&... args) {
  detail::fail(text, fmt::make_format_args(args...));
}

/// Throws Error with the formatted text unless `ok`.
template <class... Args>
void require(bool ok, fmt::format_string<Args...> text, Args&&... args) {
  if (!ok) [[unlikely]]
    detail::fail(text, fmt::make_format_args(args...));
}

}  // namespace retrace
