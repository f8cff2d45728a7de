#include <doctest/doctest.h>

#include <retrace/core.hpp>

#include "words/batches.hpp"
#include "words/data.hpp"

#include <algorithm>
#include <vector>

namespace {

using retrace::Generator;
using words::Batch;
using words::Encoded;
using words::Lanes;

using Symbols = std::vector<std::int64_t>;

Symbols symbols(const retrace::Tensor& x) { return x.to_vector<std::int64_t>(); }

/// 20 words of 1 to 7 characters, no two alike.
Encoded many_words() {
  Encoded words;
  for (int i = 0; i < 20; ++i) words.emplace_back(static_cast<std::size_t>(1 + i % 7), 1 + i);
  return words;
}

}  // namespace

TEST_CASE("batches: the target of a character is the next one and of the last the end") {
  const Encoded words{{5}, {7, 8, 9}, {2, 3, 4}};
  const std::vector<std::size_t> numbers{2, 1};
  const Batch batch = words::word_batch(words, numbers);
  CHECK(batch.input.shape() == retrace::Shape{2, 4});
  CHECK(symbols(batch.input) == Symbols{0, 2, 3, 4, 0, 7, 8, 9});
  CHECK(symbols(batch.target) == Symbols{2, 3, 4, 0, 7, 8, 9, 0});
  CHECK(batch.characters() == 8);
  const std::vector<std::size_t> unequal{0, 1};
  CHECK_THROWS_AS(words::word_batch(words, unequal), retrace::Error);
}

TEST_CASE("batches: a lane reads whole words one after the other over all reads") {
  const Encoded words = many_words();
  Lanes lanes(words, 3, Generator(1));
  std::vector<Symbols> inputs(3), targets(3);
  for (int read = 0; read < 30; ++read) {
    const Batch batch = lanes.read(5);
    CHECK(batch.input.shape() == retrace::Shape{3, 5});
    for (int row = 0; row < 3; ++row) {
      for (const std::int64_t x : symbols(retrace::select(batch.input, 0, row)))
        inputs[row].push_back(x);
      for (const std::int64_t x : symbols(retrace::select(batch.target, 0, row)))
        targets[row].push_back(x);
    }
  }
  for (int row = 0; row < 3; ++row) {
    CHECK(inputs[row][0] == 0);
    for (std::size_t i = 0; i + 1 < inputs[row].size(); ++i)
      CHECK(inputs[row][i + 1] == targets[row][i]);
    // Word i is made of i % 7 + 1 times the symbol i + 1.
    for (std::size_t i = 1, length = 0; i < inputs[row].size(); ++i) {
      if (inputs[row][i] != 0) {
        ++length;
      } else {
        CHECK(static_cast<std::int64_t>(length) == (inputs[row][i - 1] - 1) % 7 + 1);
        length = 0;
      }
    }
  }
}

TEST_CASE("batches: every epoch shows every word once in another order") {
  const Encoded words = many_words();
  const std::int64_t epoch = words::character_count(words);
  Lanes lanes(words, 1, Generator(1));
  const Symbols first = symbols(lanes.read(epoch).input), second = symbols(lanes.read(epoch).input);
  CHECK(lanes.place().epoch == 3);  // the first word of the third has been dealt
  CHECK(lanes.place().dealt == 1);
  CHECK(first != second);
  Symbols a = first, b = second, expected;
  for (const std::vector<int>& word : words) {
    expected.push_back(0);
    expected.insert(expected.end(), word.begin(), word.end());
  }
  for (Symbols* all : {&a, &b, &expected}) std::sort(all->begin(), all->end());
  CHECK(a == expected);
  CHECK(b == expected);
}

TEST_CASE("batches: the generator alone decides the order") {
  const Encoded words = many_words();
  const auto text = [&](std::uint64_t seed) {
    return symbols(Lanes(words, 4, Generator(seed)).read(50).input);
  };
  CHECK(text(1) == text(1));
  CHECK(text(1) != text(2));
}

TEST_CASE("batches: reading goes on from any place") {
  const Encoded words = many_words();
  for (const std::int64_t steps : {1, 7, 30, 100}) {
    CAPTURE(steps);
    const Generator generator(1);
    Lanes lanes(words, 4, generator);
    lanes.read(steps);
    const Lanes::Place place = lanes.place();
    const Generator then = generator.clone();
    const Symbols expected = symbols(lanes.read(100).input);

    Generator other_generator(99);
    Lanes others(words, 4, other_generator);
    others.go_to(place);
    other_generator.set_state(then.state());
    CHECK(symbols(others.read(100).input) == expected);
  }
}

TEST_CASE("batches: a place that cannot be is refused") {
  const Encoded words = many_words();
  Lanes lanes(words, 2, Generator(1));
  const Lanes::Place good = lanes.place();
  const auto refused = [&](auto spoil) {
    Lanes::Place bad = good;
    spoil(bad);
    CHECK_THROWS_AS(lanes.go_to(bad), retrace::Error);
  };
  lanes.go_to(good);
  refused([](Lanes::Place& p) { p.epoch = 0; });
  refused([](Lanes::Place& p) { p.dealt = 21; });
  refused([](Lanes::Place& p) { p.dealt = -1; });
  refused([](Lanes::Place& p) { p.cursors.pop_back(); });
  refused([](Lanes::Place& p) { p.cursors[0].word = 20; });
  refused([](Lanes::Place& p) { p.cursors[1].word = -1; });
  refused([](Lanes::Place& p) { p.cursors[1].at = 8; });
  refused([](Lanes::Place& p) { p.cursors[1].at = -1; });
  const Encoded none;
  CHECK_THROWS_AS(Lanes(none, 2, Generator(1)), retrace::Error);
}

TEST_CASE("lanes: of a single text they begin evenly spread and read it round and round") {
  const words::Encoded text{{1, 2, 3, 4, 5, 6, 7, 8}};
  words::Lanes lanes(text, 2, retrace::Generator(1), true);
  const words::Batch first = lanes.read(3);
  CHECK(first.input.to_vector<std::int64_t>() == std::vector<std::int64_t>{0, 1, 2, 4, 5, 6});
  CHECK(first.target.to_vector<std::int64_t>() == std::vector<std::int64_t>{1, 2, 3, 5, 6, 7});
  const words::Lanes::Place place = lanes.place();
  const std::vector<std::int64_t> next = lanes.read(3).target.to_vector<std::int64_t>();
  CHECK(next == std::vector<std::int64_t>{4, 5, 6, 8, 0, 1});
  lanes.go_to(place);
  CHECK(lanes.read(3).target.to_vector<std::int64_t>() == next);
}
