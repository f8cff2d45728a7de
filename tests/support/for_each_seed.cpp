#include "for_each_seed.hpp"

#include <doctest/doctest.h>

#include <cstdlib>

namespace retrace::test {

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* given = std::getenv(name);
  return given ? std::strtoull(given, nullptr, 10) : otherwise;
}

void for_each_seed(std::uint64_t draws, const std::function<void(std::uint64_t seed)>& f) {
  const std::uint64_t first = from_environment("RETRACE_SEED", 1),
                      count = from_environment("RETRACE_DRAWS", draws);
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    INFO("RETRACE_SEED=", seed);
    f(seed);
  }
}

}  // namespace retrace::test
