#pragma once

#include <doctest/doctest.h>

#include <retrace/core.hpp>
#include <string>
#include <vector>

/// CHECK_REFUSED(call, "begins so", "holds this"...): the call throws an Error that begins with the
/// first text and holds the others, and leaves no node behind. A macro, as doctest's checks are, so
/// that a failure shows the line and the call.
#define CHECK_REFUSED(call, ...)                       \
  do {                                                 \
    retrace::test::Refusal refusal_({__VA_ARGS__});    \
    try {                                              \
      static_cast<void>(call);                         \
    } catch (const retrace::Error& error_) {           \
      refusal_.came_as(error_);                        \
    }                                                  \
    const std::string wrong_ = refusal_.wrong();       \
    CHECK_MESSAGE(wrong_.empty(), #call, " ", wrong_); \
  } while (false)

namespace retrace::test {

/// What is expected of a call, made before it.
class Refusal {
 public:
  explicit Refusal(std::vector<std::string> texts) : texts_(std::move(texts)) {}
  void came_as(const Error& error);
  /// In which way it is another one than expected, or empty.
  std::string wrong() const;

 private:
  std::vector<std::string> texts_;
  std::int64_t nodes_ = live_nodes();
  bool came_ = false;
  std::string message_;
};

}  // namespace retrace::test
