#pragma once

#include <fstream>

/// What the system says about this process.
namespace retrace::test {

#ifndef __has_feature
#define __has_feature(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool is_sanitized = true;  // memory and time are then those of the sanitizer
#else
inline constexpr bool is_sanitized = false;
#endif

/// Resident memory in bytes.
inline double resident_memory() {
  std::ifstream statm("/proc/self/statm");
  double pages = 0;
  statm >> pages >> pages;
  return pages * 4096;
}

}  // namespace retrace::test
