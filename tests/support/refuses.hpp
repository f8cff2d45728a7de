#pragma once

#include <doctest/doctest.h>

#include <initializer_list>
#include <retrace/core.hpp>
#include <string>

namespace retrace::test {

/// The call is refused by an Error that begins with the first text and holds the others, and leaves
/// nothing behind.
template <class Call>
void refuses(Call call, std::initializer_list<std::string> texts) {
  const std::string& op = *texts.begin();
  INFO("expected the message of '", op, "'");
  const std::int64_t nodes = live_nodes();
  std::string message;
  try {
    call();
    FAIL_CHECK("nothing was refused");
    return;
  } catch (const Error& e) {
    message = e.what();
  }
  CAPTURE(message);
  CHECK(message.rfind(op, 0) == 0);
  for (const std::string& text : texts) {
    CAPTURE(text);
    CHECK(message.find(text) != std::string::npos);
  }
  CHECK(live_nodes() == nodes);
}

}  // namespace retrace::test
