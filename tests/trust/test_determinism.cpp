#include <doctest/doctest.h>
#include <sys/personality.h>

#include <cmath>
#include <cstdio>
#include <memory>
#include <set>
#include <string>

#include "support/long_runs.hpp"
#include "trained_team.hpp"

using namespace retrace;
using namespace retrace::test;

namespace {

std::string output_of(const std::string& command) {
  const auto close = [](FILE* f) { return pclose(f); };
  const std::unique_ptr<FILE, decltype(close)> pipe(popen(command.c_str(), "r"), close);
  REQUIRE(pipe);
  std::string text;
  for (int c; (c = std::fgetc(pipe.get())) != EOF;) text += static_cast<char>(c);
  return text;
}

/// The largest difference of a tensor relative to its largest element.
double difference(const Parameters& a, const Parameters& b) {
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const Tensor x = a[i].value.detach(), y = b[i].value.detach();
    worst = std::max(worst, (max(abs(x - y)) / max(abs(y))).item());
  }
  return worst;
}

}  // namespace

TEST_CASE("determinism: every process trains the same bits wherever its memory lies") {
  const int processes = reduced_or_full(4, 20), steps = reduced_or_full(100, 1000);
  std::set<std::string> places, weights;
  for (int i = 0; i < processes; ++i) {
    const std::string text = output_of(TRAINED_WEIGHTS " " + std::to_string(steps));
    const std::size_t line = text.find('\n');
    REQUIRE(line != std::string::npos);
    places.insert(text.substr(0, line));
    weights.insert(text.substr(line));
  }
  std::string all;
  for (const std::string& w : weights) all += w;
  CAPTURE(all);
  CHECK(weights.size() == 1);
  CHECK(weights.begin()->find("2 threads f64: ") != std::string::npos);
  const bool random_addresses = (personality(0xffffffff) & ADDR_NO_RANDOMIZE) == 0;
  if (random_addresses) CHECK(places.size() > 1);
}

TEST_CASE("determinism: the number of threads changes no more than the last digits") {
  const int steps = reduced_or_full(100, 1000);
  for (const DType dtype : {f32, f64})
    for (const SmallNet::Sizes& sizes : {usual_sizes(), wide_sizes()}) {
      const int count = sizes.units > 100 ? steps / 10 : steps;
      const Parameters one = trained_by_team(sizes, dtype, 1, count);
      for (const int threads : {2, 3, 4}) {
        const double d = difference(trained_by_team(sizes, dtype, threads, count), one);
        CAPTURE(dtype);
        CAPTURE(sizes.units);
        CAPTURE(threads);
        CHECK(d < (dtype == f32 ? 1e-5 : 1e-12));
        if (in_full()) MESSAGE("relative difference ", d);
      }
    }
}
