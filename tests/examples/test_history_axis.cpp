#include <doctest/doctest.h>

#include "history/axis.hpp"

#include <cmath>
#include <vector>

using history::nice_ticks;
using history::tick_label;
using history::Ticks;

TEST_CASE("axis: ticks are round and equally far apart and inside the range") {
  const auto values = [](double low, double high, int wanted) {
    return nice_ticks(low, high, wanted).values;
  };
  CHECK(values(0, 6000, 6) == std::vector<double>{0, 1000, 2000, 3000, 4000, 5000, 6000});
  CHECK(values(2.1, 4.3, 5) == std::vector<double>{2.5, 3, 3.5, 4});
  CHECK(values(-1, 1, 4) == std::vector<double>{-1, -0.5, 0, 0.5, 1});
  for (const double high : {1e-7, 0.3, 1.0, 7.0, 1234.0, 1e11}) {
    const Ticks ticks = nice_ticks(0, high, 6);
    CHECK(ticks.values.size() >= 4);
    CHECK(ticks.values.size() <= 10);
    CHECK(ticks.values.back() <= high * (1 + 1e-6));
  }
}

TEST_CASE("axis: a range of no length or made of rounding errors has no ticks") {
  CHECK(nice_ticks(1, 1, 5).values.empty());
  CHECK(nice_ticks(2, 1, 5).values.empty());
  CHECK(nice_ticks(1e12, 1e12 + 1e-3, 5).values.empty());
  CHECK(nice_ticks(std::nan(""), 1, 5).values.empty());
}

TEST_CASE("axis: tick labels have the decimals that tell them apart and thousands separated") {
  CHECK(tick_label(12500, 500) == "12,500");
  CHECK(tick_label(1000000, 500000) == "1,000,000");
  CHECK(tick_label(999, 1) == "999");
  CHECK(tick_label(2.5, 0.5) == "2.5");
  CHECK(tick_label(2.25, 0.05) == "2.25");
  CHECK(tick_label(0.3, 0.1) == "0.3");
  CHECK(tick_label(-0.5, 0.5) == "\u22120.5");
  CHECK(tick_label(0, 0.001) == "0.000");
}
