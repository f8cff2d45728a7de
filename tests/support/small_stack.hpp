#pragma once

#include <doctest/doctest.h>
#include <pthread.h>

#include <exception>

namespace retrace::test {

/// Runs f in a thread whose stack is 128 KiB, glibc's share for thread-local data included.
template <class F>
void with_small_stack(F f) {
  struct Call {
    F f;
    std::exception_ptr error;
  } call{f, nullptr};
  pthread_attr_t attributes;
  REQUIRE(pthread_attr_init(&attributes) == 0);
  REQUIRE(pthread_attr_setstacksize(&attributes, 128 * 1024) == 0);
  pthread_t thread;
  const auto body = [](void* p) -> void* {
    auto& c = *static_cast<Call*>(p);
    try {
      c.f();
    } catch (...) {
      c.error = std::current_exception();
    }
    return nullptr;
  };
  REQUIRE(pthread_create(&thread, &attributes, body, &call) == 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  if (call.error) std::rethrow_exception(call.error);
}

}  // namespace retrace::test
