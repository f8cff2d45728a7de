#include <doctest/doctest.h>

#include <retrace/core.hpp>

#include "support/temporary_directory.hpp"
#include "words/chart.hpp"

#include <limits>
#include <string>
#include <vector>

namespace {

using retrace::test::read_bytes;
using retrace::test::TemporaryDirectory;
using words::chart_svg;
using words::ChartSeries;

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

bool has(const std::string& text, const std::string& part) { return count(text, part) > 0; }

ChartSeries falling(int points) {
  ChartSeries series;
  for (int i = 1; i <= points; ++i) series.training.push_back({static_cast<double>(i), 2 + 2.0 / i});
  series.held_out = {{0.0, 4.25}, {points / 2.0, 2.5}, {static_cast<double>(points), 2.125}};
  series.baselines = {{"bigram", 2.517}, {"trigram", 2.227}};
  return series;
}

/// No number of the picture is NaN or infinite, and every element is closed.
void check_well_formed(const std::string& svg) {
  CHECK_FALSE(has(svg, "nan"));
  CHECK_FALSE(has(svg, "inf"));
  CHECK(svg.starts_with("<svg "));
  CHECK(svg.ends_with("</svg>\n"));
  CHECK(count(svg, "<text") == count(svg, "</text>"));
}

}  // namespace

TEST_CASE("chart: shows the curves and held-out points and baselines with their values") {
  const std::string svg = chart_svg(falling(100), {.title = "Words", .subtitle = "a subtitle", .y_label = "loss"});
  check_well_formed(svg);
  CHECK(count(svg, "<path") == 3);    // training, smoothed, held out
  CHECK(count(svg, "<circle") == 4);  // three points and the legend
  CHECK(count(svg, "dasharray") == 2);
  for (const char* text : {">Words<", ">a subtitle<", ">loss<", ">step<", ">bigram 2.517<", ">trigram 2.227<",
                           ">training loss<", ">smoothed<", ">held-out loss, 2.125 at the end<"}) {
    CHECK_MESSAGE(has(svg, text), text);
  }
}

TEST_CASE("chart: words are escaped") {
  const std::string svg = chart_svg(falling(3), {.title = "a<b & c\x01\xFF"});
  CHECK(has(svg, "a&lt;b &amp; c\uFFFD\uFFFD"));
}

TEST_CASE("chart: no points or one point or no baselines make a chart too") {
  const std::string empty = chart_svg({});
  check_well_formed(empty);
  CHECK(has(empty, "no losses to show"));

  ChartSeries one;
  one.training = {{1, 4.25}};
  const std::string single = chart_svg(one);
  check_well_formed(single);
  CHECK(count(single, "<circle") == 1);
  CHECK(has(single, ">1</text>"));

  ChartSeries flat;
  flat.training = {{1, 2.0}, {2, 2.0}, {3, 2.0}};
  check_well_formed(chart_svg(flat));
}

TEST_CASE("chart: values that are not finite leave a gap") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  ChartSeries series;
  series.training = {{1, 3}, {2, nan}, {3, 2}, {4, infinity}, {5, 1e300}};
  series.held_out = {{1, nan}, {2, 3}, {nan, 3}, {4, -infinity}};
  series.baselines = {{"bigram", nan}, {"trigram", 2.5}};
  const std::string svg = chart_svg(series);
  check_well_formed(svg);
  CHECK(count(svg, "h0") == 2 + 2 + 1);  // pieces of the curves: training, smoothed, held out
  CHECK_FALSE(has(svg, "bigram"));
  CHECK(has(svg, "held-out loss, 3.000 at the end"));

  series = {{{1, nan}}, {{1, nan}}, {{"bigram", infinity}}};
  const std::string nothing = chart_svg(series);
  check_well_formed(nothing);
  CHECK(has(nothing, "no losses to show"));
}

TEST_CASE("chart: the file stays small however long the run was") {
  CHECK(chart_svg(falling(1000000)).size() < 100000);
}

TEST_CASE("chart: too small a picture is refused") {
  CHECK_THROWS_WITH_AS(chart_svg({}, {.width = 100}), "chart: 100 x 500 pixels is below 560 x 240", retrace::Error);
}

TEST_CASE("chart: a file is replaced as a whole and nothing is left beside it") {
  const TemporaryDirectory folder;
  const std::string file = folder.file("loss.svg", "older");
  words::write_chart(file, falling(10), {.title = "newer"});
  CHECK(read_bytes(file) == chart_svg(falling(10), {.title = "newer"}));
  CHECK(folder.files() == 1);
}

TEST_CASE("chart: a symbolic link is followed and not replaced") {
  const TemporaryDirectory folder;
  const std::string file = folder.file("loss.svg", "older"), link = folder.path("link.svg");
  std::filesystem::create_symlink(file, link);
  words::write_chart(link, {});
  CHECK(std::filesystem::is_symlink(link));
  CHECK(read_bytes(file) == chart_svg({}));
}

TEST_CASE("chart: what is no regular file is refused and not replaced") {
  CHECK_THROWS_WITH_AS(words::write_chart("/dev/null", {}), "cannot write /dev/null: it is not a regular file",
                       retrace::Error);
  CHECK(std::filesystem::is_character_file("/dev/null"));
}

TEST_CASE("chart: a file that cannot be written is refused with the reason") {
  const TemporaryDirectory folder;
  const std::string path = folder.path("missing/loss.svg");
  CHECK_THROWS_WITH_AS(words::write_chart(path, {}), ("cannot write " + path + ": No such file or directory").c_str(),
                       retrace::Error);
  CHECK_THROWS_WITH_AS(words::write_chart(folder.path(""), {}),
                       ("cannot write " + folder.path("") + ": it is not a regular file").c_str(), retrace::Error);
}
