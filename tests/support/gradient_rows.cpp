#include "gradient_rows.hpp"

#include <doctest/doctest.h>

#include <cstdlib>

namespace retrace::test {
namespace {

std::string listed_shapes(const std::vector<Tensor>& xs) {
  std::string shapes;
  for (const Tensor& x : xs) shapes += fmt::format(" {}", x.shape());
  return shapes;
}

/// The largest relative difference of one draw.
double worst_of(const OpRow& row, std::uint64_t seed) {
  Draw draw(seed);
  const OpCase made = draw.with_views(row.draw(draw));
  INFO("inputs", listed_shapes(made.inputs));
  GradcheckOptions options = row.options;
  options.seed = seed;
  const GradcheckReport report = gradcheck(made.f, made.inputs, options);
  CHECK(report);
  CHECK(report.worst < 1e-7);
  return report.worst;
}

}  // namespace

void for_each_draw(const std::vector<OpRow>& rows, std::uint64_t draws,
                   const std::function<void(const OpRow& row, std::uint64_t seed)>& f) {
  const std::uint64_t first = from_environment("RETRACE_SEED", 1);
  for (const OpRow& row : rows)
    for (std::uint64_t seed = first; seed < first + draws; ++seed) {
      INFO("row '", row.name, "', RETRACE_SEED=", seed);
      f(row, seed);
    }
}

void check_gradients(const std::vector<OpRow>& rows) {
  const std::uint64_t draws = from_environment("RETRACE_DRAWS", 100);
  for (const OpRow& row : rows) {
    double worst = 0;
    std::uint64_t unusual = 0;
    for_each_draw({row}, draws, [&](const OpRow&, std::uint64_t seed) {
      const double difference = worst_of(row, seed);
      worst = std::max(worst, difference);
      unusual += difference >= row.usual;
    });
    INFO("row '", row.name, "': ", unusual, " of ", draws, " draws are off by ", row.usual,
         " or more");
    CHECK(100 * unusual <= draws);
    if (std::getenv("RETRACE_DRAWS"))
      MESSAGE(row.name, ": ", draws, " draws, worst ", worst, ", ", unusual, " from ", row.usual);
  }
}

}  // namespace retrace::test
