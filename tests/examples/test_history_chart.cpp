#include <doctest/doctest.h>

#include <retrace/core.hpp>

#include "history/history.hpp"
#include "support/temporary_directory.hpp"

#include <algorithm>
#include <limits>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace {

using history::chart_svg;
using history::History;
using retrace::test::read_bytes;
using retrace::test::TemporaryDirectory;

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

bool has(const std::string& text, const std::string& part) { return count(text, part) > 0; }

History falling(int points) {
  History history;
  for (int i = 1; i <= points; ++i) history.add("training loss", i, 2 + 2.0 / i);
  history.add("held-out loss", 0, 4.25);
  history.add("held-out loss", points / 2.0, 2.5);
  history.add("held-out loss", points, 2.125);
  return history;
}

/// Curves from 2 to 1, every third one long enough to be smoothed.
History many(int curves) {
  History history;
  for (int i = 1; i <= curves; ++i) {
    for (int x = i % 3 == 0 ? 0 : 50; x <= 60; ++x)
      history.add(fmt::format("SGD at a rate of {}", i), x, x < 60 ? 2 : 1);
  }
  return history;
}

std::vector<std::smatch> matches(const std::string& text, const char* pattern) {
  const std::regex regex(pattern);
  return {std::sregex_iterator(text.begin(), text.end(), regex), {}};
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

TEST_CASE(
    "chart: shows a long curve smoothed and a short one as dots and baselines with their values") {
  const std::string svg = falling(100).svg({.title = "Words",
                                            .subtitle = "a subtitle",
                                            .y_label = "nats",
                                            .baselines = {{"bigram", 2.517}, {"trigram", 2.227}}});
  check_well_formed(svg);
  CHECK(count(svg, "<path") == 3);    // training, smoothed, held out
  CHECK(count(svg, "<circle") == 4);  // three points and the legend
  CHECK(count(svg, "dasharray") == 2);
  for (const char* text :
       {">Words<", ">a subtitle<", ">nats<", ">step<", ">bigram 2.517<", ">trigram 2.227<",
        ">training loss<", ">smoothed<", ">held-out loss, 2.125 at the end<"}) {
    CHECK_MESSAGE(has(svg, text), text);
  }
}

TEST_CASE("chart: curves are told apart by their colours") {
  History history;
  for (const char* name : {"one", "two"}) history.add(name, 1, 2);
  const std::string svg = history.svg();
  CHECK(count(svg, "fill=\"#2b6cb0\"") == 2);  // its point and the legend
  CHECK(count(svg, "fill=\"#c2410c\"") == 2);
}

TEST_CASE("chart: more curves than there are colours are told apart by dashes too") {
  for (const int points : {10, 100}) {
    CAPTURE(points);
    History history;
    for (int i = 0; i < 24; ++i) {
      for (int x = 0; x < points; ++x) history.add(fmt::format("curve {}", i), x, i);
    }
    const std::string svg = history.svg();
    std::set<std::string> strokes;
    for (const std::smatch& path : matches(svg, "<path (.*) d=")) strokes.insert(path[1]);
    CHECK(strokes.size() >= 24);
  }
}

TEST_CASE("chart: the legend has as many rows as it needs and the picture grows by them") {
  for (const int curves : {1, 2, 6, 40}) {
    for (const int width : {560, 860}) {
      CAPTURE(curves);
      CAPTURE(width);
      const std::string svg = many(curves).svg({.width = width});
      double right = 0, bottom = 0, highest = 1e9, lowest = 0;  // of the legend, and of the curves
      int labels = 0;
      for (const std::smatch& label :
           matches(svg, "<text x=\"([0-9.]+)\" y=\"([0-9.]+)\">([^<]+)")) {
        const double x = std::stod(label[1]), y = std::stod(label[2]);
        const bool is_in_new_row = y > bottom;
        CHECK((is_in_new_row ? x == 113 : y == bottom && x > right + 29));
        CHECK(y >= bottom);
        CHECK_FALSE((is_in_new_row && label[3] == "smoothed"));
        right = x + 5.8 * static_cast<double>(label.length(3));
        bottom = y;
        CHECK(right < width);
        ++labels;
      }
      CHECK(labels == curves + curves / 3);  // with those of the smoothed curves
      for (const std::smatch& point : matches(svg, "[ML][0-9.]+ ([0-9.]+)")) {
        highest = std::min(highest, std::stod(point[1]));
        lowest = std::max(lowest, std::stod(point[1]));
      }
      CHECK(highest > bottom + 10);
      CHECK(lowest - highest ==
            doctest::Approx(360 / 1.1).epsilon(0.001));  // whatever the legend takes
      CHECK(std::stod(matches(svg, "height=\"([0-9]+)\"")[0][1]) > lowest + 62);
    }
  }
}

TEST_CASE("chart: words are escaped") {
  const std::string svg = falling(3).svg({.title = "a<b & c\x01\xFF"});
  CHECK(has(svg, "a&lt;b &amp; c\uFFFD\uFFFD"));
}

TEST_CASE("chart: no curves or one point or no height make a chart too") {
  const std::string empty = chart_svg({});
  check_well_formed(empty);
  CHECK(has(empty, "no losses to show"));

  const std::string single = chart_svg({{"loss", {{1, 4.25}}}});
  check_well_formed(single);
  CHECK(count(single, "<circle") == 2);
  CHECK(has(single, ">1</text>"));

  check_well_formed(chart_svg({{"flat", {{1, 2.0}, {2, 2.0}, {3, 2.0}}}}));
}

TEST_CASE("chart: values that are not finite leave a gap") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  History history;
  for (const double value : {3.0, nan, 2.0, infinity, 1e300}) history.add("short", 1, value);
  for (int i = 0; i < 100; ++i) history.add("long", i, i == 30 || i > 80 ? nan : 1.0 / (i + 1));
  const std::string svg = history.svg({.baselines = {{"bigram", nan}, {"trigram", 2.5}}});
  check_well_formed(svg);
  CHECK(count(svg, "h0") == 2 + 2 + 2);  // pieces of the curves: short, long, smoothed
  CHECK_FALSE(has(svg, "bigram"));
  CHECK(has(svg, "short, 2.000 at the end"));

  const std::string nothing =
      chart_svg({{"loss", {{1, nan}}}}, {.baselines = {{"bigram", infinity}}});
  check_well_formed(nothing);
  CHECK(has(nothing, "no losses to show"));
}

TEST_CASE("chart: the file stays small however long the run was") {
  CHECK(falling(1000000).svg().size() < 100000);
}

TEST_CASE("chart: too small a picture is refused") {
  CHECK_THROWS_WITH_AS(chart_svg({}, {.width = 100}), "chart: 100 x 500 pixels is below 560 x 240",
                       retrace::Error);
}

TEST_CASE("chart: a file is replaced as a whole and nothing is left beside it") {
  const TemporaryDirectory folder;
  const std::string file = folder.file("loss.svg", "older");
  falling(10).write_svg(file, {.title = "newer"});
  CHECK(read_bytes(file) == falling(10).svg({.title = "newer"}));
  CHECK(folder.files() == 1);
}

TEST_CASE("chart: a symbolic link is followed and not replaced") {
  const TemporaryDirectory folder;
  const std::string file = folder.file("loss.svg", "older"), link = folder.path("link.svg");
  std::filesystem::create_symlink(file, link);
  History().write_svg(link);
  CHECK(std::filesystem::is_symlink(link));
  CHECK(read_bytes(file) == chart_svg({}));
}

TEST_CASE("chart: what is no regular file is refused and not replaced") {
  CHECK_THROWS_WITH_AS(History().write_svg("/dev/null"),
                       "cannot write /dev/null: it is not a regular file", retrace::Error);
  CHECK(std::filesystem::is_character_file("/dev/null"));
}

TEST_CASE("chart: a file that cannot be written is refused with the reason") {
  const TemporaryDirectory folder;
  const std::string path = folder.path("missing/loss.svg");
  CHECK_THROWS_WITH_AS(History().write_svg(path),
                       ("cannot write " + path + ": No such file or directory").c_str(),
                       retrace::Error);
  CHECK_THROWS_WITH_AS(History().write_svg(folder.path("")),
                       ("cannot write " + folder.path("") + ": it is not a regular file").c_str(),
                       retrace::Error);
}
