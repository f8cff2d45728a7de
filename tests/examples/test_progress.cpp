#include <doctest/doctest.h>

#include "words/progress.hpp"

#include <cstdint>
#include <cstdio>
#include <limits>
#include <string>

namespace {

using words::Progress;
using words::ProgressOptions;

/// A file to write to and a clock to turn by hand.
struct Stage {
  std::FILE* file = std::tmpfile();
  double now = 100;

  Stage() { REQUIRE(file != nullptr); }
  ~Stage() { std::fclose(file); }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  ProgressOptions options(bool is_terminal) {
    return {.out = file,
            .clock = [this] { return now; },
            .is_terminal = is_terminal,
            .columns = 100,
            .colour = false};
  }

  std::string text() const {
    std::string all;
    std::rewind(file);
    for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) all += static_cast<char>(c);
    return all;
  }
};

/// What a run without a terminal prints at its first update, so many seconds after it began.
std::string first_line(double seconds, std::int64_t step, std::int64_t characters, auto&& set) {
  Stage stage;
  ProgressOptions options = stage.options(false);
  set(options);
  Progress progress(options);
  stage.now += seconds;
  progress.update(step, 2.5, characters);
  return stage.text();
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

}  // namespace

TEST_CASE("progress: without a terminal there is a plain line at each tenth of the run") {
  Stage stage;
  ProgressOptions options = stage.options(false);
  options.steps = 1000;
  {
    Progress progress(options);
    for (int step = 1; step <= 1000; ++step) {
      stage.now += 0.01;
      progress.update(step, 3.0 - step / 1000.0, std::int64_t{50} * step);
    }
  }
  const std::string text = stage.text();
  CHECK(count(text, "\n") == 10);
  CHECK(count(text, "\x1b") == 0);
  CHECK(count(text, "\r") == 0);
  CHECK(text.starts_with(" 10%  step 100/1,000  loss 2.900  5.0k chars/s  0:09 left\n"));
  CHECK(text.ends_with("\n100%  step 1,000/1,000  loss 2.000  5.0k chars/s  0:10 taken\n"));
}

TEST_CASE("progress: without a terminal a long run prints a line every so many seconds") {
  Stage stage;
  ProgressOptions options = stage.options(false);
  options.steps = 1000000;
  options.line_every = 30;
  Progress progress(options);
  for (int step = 1; step <= 91; ++step) {
    stage.now += 1;
    progress.update(step, 1, step);
  }
  CHECK(count(stage.text(), "\n") == 3);
}

TEST_CASE("progress: a time budget is a limit too and the nearer of two counts") {
  CHECK(first_line(30, 7, 0, [](ProgressOptions& options) { options.seconds = 60; }) ==
        " 50%  step 7  loss 2.500  0 chars/s  0:30 left\n");
  CHECK(first_line(30, 8, 0, [](ProgressOptions& options) {
          options.seconds = 60;
          options.steps = 10;
        }) == " 80%  step 8/10  loss 2.500  0 chars/s  0:08 left\n");
}

TEST_CASE("progress: a run without a limit has neither percentage nor time left") {
  CHECK(first_line(11, 3, 11000, [](ProgressOptions&) {}) == "step 3  loss 2.500  1.0k chars/s\n");
}

TEST_CASE("progress: the bar on a terminal is redrawn in place at most ten times a second") {
  Stage stage;
  ProgressOptions options = stage.options(true);
  options.steps = 1000;
  {
    Progress progress(options);
    for (int step = 1; step <= 500; ++step) {
      stage.now += 0.001;
      progress.update(step, 2, step);
    }
    const std::size_t drawn = count(stage.text(), "\r");
    CHECK(drawn >= 4);
    CHECK(drawn <= 5);
    CHECK(count(stage.text(), "\n") == 0);
    stage.now += 1;
    progress.update(500, 2, 750);
  }
  const std::string text = stage.text();
  CHECK(count(text,
              "\r━━━━━━━━━━━━━━━━━━━━────────────────────  50%  step 500/1,000  loss 2.000  500 "
              "chars/s  0:02 "
              "left\x1b[K") == 1);
  CHECK(text.ends_with("0:02 taken\x1b[K\n"));
}

TEST_CASE("progress: the line fits the window and gives up the bar first") {
  for (const int columns : {100, 72, 60, 20, 1}) {
    Stage stage;
    ProgressOptions options = stage.options(true);
    options.steps = 1000;
    options.columns = columns;
    Progress progress(options);
    stage.now += 1;
    progress.update(500, 2, 1000);
    const std::string text = stage.text();
    std::size_t width = 0;  // code points but for "\r" and "\x1b[K"
    for (const char c : text.substr(1, text.size() - 4))
      width += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    CHECK(width <= static_cast<std::size_t>(columns - 1));
    CHECK((count(text, "━") > 0) == (columns > 70));
  }
}

TEST_CASE("progress: a note stands above the bar and the bar comes back") {
  Stage stage;
  ProgressOptions options = stage.options(true);
  options.steps = 10;
  Progress progress(options);
  progress.note("before");
  CHECK(stage.text() == "\r\x1b[Kbefore\n");
  stage.now += 1;
  progress.update(5, 2, 100);
  const std::string bar = stage.text().substr(std::string("\r\x1b[Kbefore\n").size());
  progress.note("brillance");
  CHECK(stage.text() == "\r\x1b[Kbefore\n" + bar + "\r\x1b[Kbrillance\n" + bar);
}

TEST_CASE("progress: a note without a terminal is a plain line") {
  Stage stage;
  Progress progress(stage.options(false));
  progress.note("brillance");
  CHECK(stage.text() == "brillance\n");
}

TEST_CASE("progress: colour is used only where it is wanted") {
  for (const bool colour : {false, true}) {
    Stage stage;
    ProgressOptions options = stage.options(true);
    options.steps = 10;
    options.colour = colour;
    Progress progress(options);
    stage.now += 1;
    progress.update(5, 2, 100);
    CHECK((count(stage.text(), "\x1b[32m") == 1) == colour);
  }
}

TEST_CASE("progress: finish is done once and a run that never began prints nothing") {
  Stage stage;
  {
    Progress progress(stage.options(false));
    progress.finish();
  }
  CHECK(stage.text().empty());
  {
    Progress progress(stage.options(false));
    stage.now += 2;
    progress.update(1, std::numeric_limits<double>::quiet_NaN(), 10);
    progress.finish();
    progress.finish();
  }
  CHECK(stage.text() == "step 1  loss nan  5 chars/s  0:02 taken\n");
}

TEST_CASE("progress: the speed shown is that of the last seconds") {
  Stage stage;
  ProgressOptions options = stage.options(false);
  options.line_every = 20;
  Progress progress(options);
  int characters = 0;
  for (int second = 1; second <= 20; ++second) {
    stage.now += 1;
    characters += second <= 10 ? 1000 : 10;
    progress.update(second, 2, characters);
  }
  CHECK(stage.text() == "step 20  loss 2.000  10 chars/s\n");
}

TEST_CASE("progress: durations and large numbers are short") {
  CHECK(words::clock_text(0) == "0:00");
  CHECK(words::clock_text(59.7) == "1:00");
  CHECK(words::clock_text(754) == "12:34");
  CHECK(words::clock_text(3723) == "1:02:03");
  CHECK(words::clock_text(std::numeric_limits<double>::infinity()) == "?");
  CHECK(words::short_number(0) == "0");
  CHECK(words::short_number(987) == "987");
  CHECK(words::short_number(999.7) == "1.0k");
  CHECK(words::short_number(9940) == "9.9k");
  CHECK(words::short_number(9990) == "10k");
  CHECK(words::short_number(412345) == "412k");
  CHECK(words::short_number(1.3e6) == "1.3M");
}

TEST_CASE("progress: a resumed run counts its earlier steps and times only the later ones") {
  CHECK(first_line(10, 60, 1000, [](ProgressOptions& options) {
          options.steps = 100;
          options.steps_before = 50;
        }) == " 60%  step 60/100  loss 2.500  100 chars/s  0:40 left\n");
  CHECK(first_line(10, 1, 1000, [](ProgressOptions& options) {
          options.seconds = 100;
          options.seconds_before = 70;
        }) == " 80%  step 1  loss 2.500  100 chars/s  0:20 left\n");
}

TEST_CASE("progress: a resumed run that has nothing left to do prints nothing") {
  Stage stage;
  ProgressOptions options = stage.options(false);
  options.steps = options.steps_before = 100;
  Progress(options).finish();
  CHECK(stage.text().empty());
}
