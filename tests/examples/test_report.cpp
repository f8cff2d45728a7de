#include <doctest/doctest.h>

#include "support/temporary_directory.hpp"
#include "tiny_list.hpp"
#include "words/report.hpp"

#include <string>
#include <vector>

namespace {

using retrace::test::TemporaryDirectory;
using Strings = std::vector<std::string>;

words::Data data_of(const TemporaryDirectory& scratch, std::string_view text,
                    const char* as = "list") {
  words::RunOptions options;
  options.as = as;
  options.text = scratch.file("text", text);
  options.held_out = 0.2;
  return words::load_data(options);
}

}  // namespace

TEST_CASE("report: invented words count once and those of the text are no news") {
  const TemporaryDirectory scratch;
  const words::Data data = data_of(scratch, tiny_list());
  CHECK(words::describe_novelty({"kan", "zok", "zok", "", "lora", "kan", "bim"}, data) ==
        "invented   4 different words in 7, 50.0 % of them not in the text\n");
  CHECK(words::describe_novelty({"", ""}, data) ==
        "invented   0 different words in 2, 0.0 % of them not in the text\n");
}

TEST_CASE(
    "report: words are listed with commas in lines of bounded length and lines of text on their "
    "own") {
  const TemporaryDirectory scratch;
  const words::Data list = data_of(scratch, tiny_list());
  CHECK(words::list({"a", "b", "a", "c", "d"}, 3, list) == "a, b, c");
  CHECK(words::list({}, 3, list).empty());
  Strings many;
  for (int i = 0; i < 100; ++i) many.push_back("word" + std::to_string(i));
  const std::string lines = words::list(many, 100, list) + "\n";
  std::size_t begin = 0;
  for (std::size_t end = lines.find('\n'); end != std::string::npos;
       end = lines.find('\n', begin)) {
    CHECK(end - begin <= 100);
    begin = end + 1;
  }
  std::string text;
  for (int i = 0; i < 20; ++i) text += "line " + std::to_string(i) + "\n";
  CHECK(words::list({"a b", "c d"}, 5, data_of(scratch, text)) == "a b\nc d");
  CHECK(words::list({"a b", "c d"}, 5, data_of(scratch, text, "text")) == "a b\n----\nc d");
}

TEST_CASE("report: losses stand in nats and in bits") {
  CHECK(words::describe_losses(2.0, {.bigrams = 2.5, .trigrams = 2.25}) ==
        "held-out   2.0000 nats  2.8854 bits per character\n"
        "trigrams   2.2500 nats  3.2461 bits per character\n"
        "bigrams    2.5000 nats  3.6067 bits per character\n");
}

TEST_CASE("report: curves are lines of blocks with their ends") {
  history::History history;
  CHECK(words::describe_curves(history).empty());
  for (int i = 0; i < 3; ++i) history.add("training loss", i, 3 - i);
  history.add("held-out loss", 2, 1.5);
  CHECK(words::describe_curves(history) ==
        "training loss  █▅▁  3.000 to 1.000\n"
        "held-out loss  ▁  1.500 to 1.500\n");
}

TEST_CASE("report: the held-out words to look at during a run are spread over all of them") {
  const TemporaryDirectory scratch;
  std::string text;
  for (int i = 0; i < 50000; ++i) text += "w" + std::to_string(i) + "\n";
  const words::Data data = data_of(scratch, text);
  CHECK(data.held_out.size() == 10000);
  REQUIRE(data.probe.size() == 2000);
  for (std::size_t i = 0; i < 2000; ++i) CHECK(data.probe[i] == data.held_out[5 * i]);
}
