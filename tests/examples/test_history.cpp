#include <doctest/doctest.h>

#include <retrace/core.hpp>

#include "history/history.hpp"
#include "support/temporary_directory.hpp"

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

namespace {

using history::History;
using retrace::test::read_bytes;
using retrace::test::TemporaryDirectory;

constexpr double no_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

History of(const std::vector<double>& values) {
  History history;
  for (const double value : values)
    history.add("loss", static_cast<double>(history["loss"].size()), value);
  return history;
}

std::string sparkline(const std::vector<double>& values, int width = 60) {
  return of(values).sparkline("loss", width);
}

}  // namespace

TEST_CASE("history: curves keep their points and their order") {
  History history;
  history.add("b", 1, 0.5);
  history.add("a", 1, 2);
  history.add("b", 1, 0.25);
  history.add("b", 3, no_number);
  REQUIRE(history.curves().size() == 2);
  CHECK(history.curves()[0].name == "b");
  CHECK(history.curves()[1].name == "a");
  REQUIRE(history["b"].size() == 3);
  CHECK(history["b"][1].x == 1);
  CHECK(history["b"][1].y == 0.25);
  CHECK(history["c"].empty());
}

TEST_CASE("history: a step that goes back or is no number is refused and changes nothing") {
  History history = of({1, 2});
  CHECK_THROWS_WITH_AS(history.add("loss", 0.5, 3),
                       "history: step 0.5 of 'loss' comes after step 1", retrace::Error);
  CHECK_THROWS_AS(history.add("loss", no_number, 3), retrace::Error);
  CHECK_THROWS_AS(history.add("new", infinity, 3), retrace::Error);
  CHECK(history["loss"].size() == 2);
  CHECK(history.curves().size() == 1);
}

TEST_CASE("history: a sparkline is scaled from the lowest to the highest") {
  CHECK(sparkline({0, 1, 2, 3, 4, 5, 6, 7}) == "▁▂▃▄▅▆▇█");
  CHECK(sparkline({-1, 3, 1}) == "▁█▅");
  CHECK(sparkline({2, 2}) == "▁▁");
  CHECK(sparkline({5}) == "▁");
  CHECK(sparkline({}).empty());
  CHECK(History().sparkline("unknown").empty());
}

TEST_CASE("history: a sparkline fits its width and shows means") {
  CHECK(sparkline({0, 2, 2, 4, 8, 8}, 3) == "▁▃█");
  CHECK(sparkline({0, 2, 2, 4, 8, 8}, 1) == "▁");
  CHECK(sparkline({1, 1, 1, 1, 1}, 2) == "▁▁");  // of two points and of three
  CHECK(sparkline({0, 2}, 0).empty());
  CHECK(sparkline({0, 2}, -5).empty());
  for (const int points : {59, 60, 61, 119, 1000}) {
    std::vector<double> values;
    for (int i = 0; i < points; ++i) values.push_back(i);
    CHECK(sparkline(values).size() ==
          3U * static_cast<unsigned>(std::min(points, 60)));  // three bytes each
  }
}

TEST_CASE("history: a sparkline marks what is not finite and scales the rest") {
  CHECK(sparkline({no_number, 1, infinity, 2, -infinity, 1e300}) == "×▁×█××");
  CHECK(sparkline({no_number, no_number}) == "××");
  CHECK(sparkline({no_number, 1, 2, infinity}, 2) == "▁█");
}

TEST_CASE("history: a table has a row for each step and a column for each curve") {
  CHECK(History().csv() == "step\n");
  History history;
  for (const double step : {1.0, 2.0, 3.0}) history.add("training, \"raw\"", step, step / 10);
  history.add("held-out", 0, infinity);
  history.add("held-out", 2, no_number);
  history.add("held-out", 2, -infinity);
  CHECK(history.csv() ==
        "step,\"training, \"\"raw\"\"\",held-out\n"
        "0,,inf\n1,0.1,\n2,0.2,-inf\n3,0.3,\n");
  CHECK(of({1.0 / 3}).csv() == "step,loss\n0,0.3333333333333333\n");
}

TEST_CASE("history: a table replaces a file as a whole") {
  const TemporaryDirectory folder;
  const std::string file = folder.file("history.csv", "older");
  of({1, 2}).write_csv(file);
  CHECK(read_bytes(file) == "step,loss\n0,1\n1,2\n");
  CHECK(folder.files() == 1);
  CHECK_THROWS_AS(of({1}).write_csv(folder.path("missing/history.csv")), retrace::Error);
}
