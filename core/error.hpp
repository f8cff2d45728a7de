#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <utility>

namespace retrace {

/// Every refusal of the library: the text says what was expected and what came.
class __attribute__((visibility("default"))) Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

namespace detail {
[[noreturn]] void fail(fmt::string_view text, fmt::format_args args);

/// The Error of a check that many operations share: `named` adds the operation to its text.
class __attribute__((visibility("default"))) Unnamed : public Error {
 public:
  using Error::Error;
};
[[noreturn]] void fail_unnamed(fmt::string_view text, fmt::format_args args);

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

namespace detail {
/// The same for a check that many operations share: throws Unnamed.
template <class... Args>
void expect(bool ok, fmt::format_string<Args...> text, Args&&... args) {
  if (!ok) [[unlikely]]
    fail_unnamed(text, fmt::make_format_args(args...));
}

/// The result of f(), whose errors have the name of this operation in front unless one within it
/// gave them its own.
template <class F>
decltype(auto) named(const char* op, F&& f) {
  try {
    return std::forward<F>(f)();
  } catch (const Unnamed& e) {
    retrace::fail("{}: {}", op, e.what());
  }
}
}  // namespace detail

}  // namespace retrace
