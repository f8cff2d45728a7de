#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdlib>
#include <string_view>

#include "support/vector_units.hpp"

namespace {

/// RETRACE_VECTOR_UNIT=baseline (or avx2) makes this run as on a machine without better vectors.
bool limited_as_asked() {
  const char* const asked = std::getenv("RETRACE_VECTOR_UNIT");
  if (!asked) return true;
  for (const retrace::VectorUnit unit : retrace::test::vector_units())
    if (asked == retrace::test::name_of(unit)) {
      retrace::limit_vector_unit(unit);
      fmt::print(stderr, "vector unit: {}\n",
                 asked);  // ctest reads the list of test cases from standard output
      return true;
    }
  fmt::print(stderr, "RETRACE_VECTOR_UNIT={}: this machine has no such vector unit\n", asked);
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  return limited_as_asked() ? doctest::Context(argc, argv).run() : 2;
}
