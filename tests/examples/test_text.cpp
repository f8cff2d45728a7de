#include <doctest/doctest.h>

#include <retrace/core.hpp>

#include "words/file.hpp"
#include "words/text.hpp"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace {

using Strings = std::vector<std::string>;
using words::Corpus;
using words::parse_corpus;
using words::TextKind;
using words::Vocabulary;

Strings items(std::string_view text) { return parse_corpus(text, "list").items; }

}  // namespace

TEST_CASE("text: a file with one word per line is a word list") {
  const Corpus corpus = parse_corpus("ant\nbee\ncat", "list");
  CHECK(corpus.kind == TextKind::word_list);
  CHECK(corpus.items == Strings{"ant", "bee", "cat"});
  CHECK(corpus.duplicates == 0);
}

TEST_CASE("text: white space inside a line makes it running text with lines for items") {
  const Corpus corpus = parse_corpus("ant\nthe  bee\tflies\n", "list");
  CHECK(corpus.kind == TextKind::running_text);
  CHECK(corpus.items == Strings{"ant", "the bee flies"});
}

TEST_CASE(
    "text: blank lines and a byte order mark and the line ends of every system leave no trace") {
  const Corpus corpus = parse_corpus(
      "\xEF\xBB\xBF"
      "ant\r\n\r\n  bee \n\t\n\ncat\rdog",
      "list");
  CHECK(corpus.kind == TextKind::word_list);
  CHECK(corpus.items == Strings{"ant", "bee", "cat", "dog"});
}

TEST_CASE("text: a duplicate is dropped and counted") {
  const Corpus corpus = parse_corpus("ant\nbee\nant\nant\n", "list");
  CHECK(corpus.items == Strings{"ant", "bee"});
  CHECK(corpus.duplicates == 2);
}

TEST_CASE("text: control characters do not reach the items") {
  CHECK(items("a\x1b[31mb\x7f\n\xC2\x9B"
              "cd\n") == Strings{"a [31mb", "cd"});
}

TEST_CASE(
    "text: a long line is cut after a sentence or else at a space or else at the longest length") {
  const std::string filler(60, 'x');
  const std::string other(60, 'o');
  CHECK(items("Pi is 3.14. " + filler + " " + other) == Strings{"Pi is 3.14.", filler, other});
  CHECK(items(filler + "! " + filler) == Strings{filler + "!", filler});
  CHECK(items(filler + "。" + filler) == Strings{filler + "。", filler});
  CHECK(items(std::string(100, 'y') + " z") == Strings{std::string(100, 'y'), "z"});
  CHECK(items(std::string(101, 'y') + "z") == Strings{std::string(100, 'y'), "yz"});
}

TEST_CASE("text: the longest length counts characters and not bytes") {
  std::string line;
  for (int i = 0; i < 100; ++i) line += i % 2 ? "é" : "ü";
  CHECK(items(line) == Strings{line});
}

TEST_CASE("text: malformed UTF-8 is refused with the byte offset") {
  const auto refused = [](std::string_view bytes) {
    CHECK_THROWS_WITH_AS(items("ab\n" + std::string(bytes) + "\ncd\n"),
                         "list: not UTF-8 text: malformed character at byte offset 3",
                         retrace::Error);
  };
  refused("\xE9");              // Latin-1
  refused("\xC3");              // cut short
  refused("\xC0\xAF");          // overlong, two bytes
  refused("\xE0\x80\xAF");      // overlong, three bytes
  refused("\xF0\x80\x80\xAF");  // overlong, four bytes
  refused("\xED\xA0\x80");      // surrogate
  refused("\xF4\x90\x80\x80");  // above U+10FFFF
  refused("\x80");              // a continuation with nothing to continue
  CHECK_THROWS_WITH_AS(items(std::string_view("ab\0c", 4)),
                       "list: not a text file: zero byte at byte offset 2", retrace::Error);
  CHECK(items("\U0010FFFF\n\uD7FF\n\uE000\n").size() == 3);
}

TEST_CASE("text: a text with nothing to learn from is refused") {
  CHECK_THROWS_WITH_AS(items(""), "list: the file is empty", retrace::Error);
  CHECK_THROWS_WITH_AS(items("\xEF\xBB\xBF"), "list: the file holds only blank lines",
                       retrace::Error);
  CHECK_THROWS_WITH_AS(items(" \r\n\t\n"), "list: the file holds only blank lines", retrace::Error);
  CHECK_THROWS_WITH_AS(
      items("é\néé\n"),
      "list: 'é' is the only character in the file; at least 2 different ones are needed",
      retrace::Error);
}

TEST_CASE("text: a file that cannot be read is refused with the reason") {
  const std::filesystem::path folder = std::filesystem::temp_directory_path();
  const std::string missing = (folder / "retrace-no-such-file").string();
  CHECK_THROWS_WITH_AS(words::read_corpus(missing),
                       ("cannot read " + missing + ": No such file or directory").c_str(),
                       retrace::Error);
  CHECK_THROWS_WITH_AS(words::read_corpus(folder.string()),
                       ("cannot read " + folder.string() + ": Is a directory").c_str(),
                       retrace::Error);
}

TEST_CASE("text: a file is read whole") {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("retrace-test-text-" + std::to_string(::getpid())))
          .string();
  Strings expected;
  {
    std::ofstream file(path, std::ios::binary);
    for (int i = 0; i < 20000; ++i) {  // more than one buffer
      expected.push_back("é" + std::to_string(i));
      file << expected.back() << '\n';
    }
  }
  CHECK(words::read_corpus(path).items == expected);
  CHECK_THROWS_WITH_AS(words::read_file(path, 0),
                       ("cannot read " + path + ": it is larger than 0 MiB").c_str(),
                       retrace::Error);
  std::filesystem::remove(path);
}

TEST_CASE("text: one that is no list is read as it is but for line ends and control characters") {
  const std::string poem = "\xEF\xBB\xBF\tif x:\r\n    y\r\r\r\n    y\n\x1b[1m\xC2\x85 end  ";
  const Strings as_it_is{"\tif x:\n    y\n\n\n    y\n[1m end  "};
  for (const char* as : {"auto", "text"}) {
    CHECK(parse_corpus(poem, "poem", as).items == as_it_is);
    CHECK(parse_corpus(poem, "poem", as).kind == TextKind::as_it_is);
  }
  CHECK(parse_corpus(poem, "poem", "list").kind == TextKind::running_text);
  CHECK(parse_corpus("ant\n\n bee\nant\n", "list", "auto").items == Strings{"ant", "bee"});
  CHECK(parse_corpus("ant\n\n bee\nant\n", "list", "text").items == Strings{"ant\n\n bee\nant\n"});
}

TEST_CASE("vocabulary: characters are code points in their order after the end mark") {
  const Vocabulary vocabulary = Vocabulary::of({"éb", "aé", "語"});
  CHECK(vocabulary.size() == 5);
  CHECK(vocabulary.symbols() == Strings{"", "a", "b", "é", "語"});
  CHECK(vocabulary.encode("bé語") == std::vector<int>{2, 3, 4});
  CHECK(vocabulary.encode("").empty());
}

TEST_CASE("vocabulary: decode undoes encode and stops at the end mark") {
  const Vocabulary vocabulary = Vocabulary::of({"déjà", "vu"});
  CHECK(vocabulary.decode(vocabulary.encode("vudéjà")) == "vudéjà");
  const int v = vocabulary.encode("v")[0];
  CHECK(vocabulary.decode({v, v, Vocabulary::end, v}) == "vv");
  CHECK_THROWS_WITH_AS(vocabulary.decode({7}), "decode: 7 is no symbol of a vocabulary of 7",
                       retrace::Error);
}

TEST_CASE("vocabulary: its symbols are enough to build it again") {
  const Vocabulary vocabulary = Vocabulary::of({"Boötes", "ant"});
  const Vocabulary again(vocabulary.symbols());
  CHECK(again.symbols() == vocabulary.symbols());
  CHECK(again.encode("tanö") == vocabulary.encode("tanö"));
}

TEST_CASE("vocabulary: an unknown character is refused by name") {
  const Vocabulary vocabulary = Vocabulary::of({"ab"});
  CHECK_THROWS_WITH_AS(vocabulary.encode("aéb"),
                       "encode: the character 'é' of 'aéb' is not in the vocabulary",
                       retrace::Error);
  CHECK_THROWS_WITH_AS(vocabulary.encode("a\xFF"), "encode: the word is not UTF-8", retrace::Error);
}

TEST_CASE("vocabulary: symbols that are no vocabulary are refused") {
  CHECK_THROWS_AS(Vocabulary({}), retrace::Error);
  CHECK_THROWS_AS(Vocabulary({""}), retrace::Error);
  CHECK_THROWS_AS(Vocabulary({"a", "b"}), retrace::Error);
  CHECK_THROWS_AS(Vocabulary({"", "ab"}), retrace::Error);
  CHECK_THROWS_AS(Vocabulary({"", "a", ""}), retrace::Error);
  CHECK_THROWS_WITH_AS(Vocabulary({"", "a", "a"}), "vocabulary: 'a' occurs twice", retrace::Error);
}
