/// trained_weights STEPS: trains small models and prints a digest of the bits of each, and first
/// where in memory things lie. test_determinism.cpp runs it many times over.
#include <cstdlib>
#include <cstring>

#include "trust/trained_team.hpp"

using namespace retrace;

namespace {

/// FNV-1a.
std::uint64_t digest(const Parameters& parameters) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const double v : test::elements_of(parameters)) {
    std::uint64_t bits;
    std::memcpy(&bits, &v, sizeof bits);
    for (int i = 0; i < 64; i += 8) hash = (hash ^ (bits >> i & 0xff)) * 0x100000001b3;
  }
  return hash;
}

}  // namespace

int main(int, char** argv) {
  const int steps = std::atoi(argv[1]);
  const Tensor somewhere = ones({1000});
  fmt::print("{} {}\n", static_cast<const void*>(&steps),
             static_cast<const void*>(somewhere.span<float>().data()));
  for (const int threads : {1, 2})
    for (const DType dtype : {f32, f64}) {
      const auto usual = test::trained_by_team(test::usual_sizes(), dtype, threads, steps);
      const auto wide = test::trained_by_team(test::wide_sizes(), dtype, threads, steps / 10);
      fmt::print("{} threads {}: {:016x} {:016x}\n", threads, dtype, digest(usual), digest(wide));
    }
}
