#include <doctest/doctest.h>

#include <retrace/core.hpp>

#include "words/ngram.hpp"
#include "words/split.hpp"
#include "words/text.hpp"

#include <cmath>
#include <filesystem>
#include <vector>

namespace {

using words::NGram;
using Word = std::vector<int>;

// Three symbols: 0 the end, 1 "a", 2 "b"; the words "ab" and "a".
const std::vector<Word> two_words{{1, 2}, {1}};
constexpr int end = words::Vocabulary::end;

}  // namespace

TEST_CASE("n-gram: a unigram model as computed by hand") {
  // Predictions: a b end, a end. c(a) = 2, c(b) = 1, c(end) = 2, in all 5; 3 different symbols;
  // uniform 1/3.
  const NGram unigram(1, 3, two_words);
  CHECK(unigram.probability({}, 1) == doctest::Approx((2 + 3.0 / 3) / 8));
  CHECK(unigram.probability({}, 2) == doctest::Approx((1 + 3.0 / 3) / 8));
  CHECK(unigram.probability({}, end) == doctest::Approx((2 + 3.0 / 3) / 8));
}

TEST_CASE("n-gram: a bigram model as computed by hand") {
  // After the start: a twice, one symbol. After a: b once, end once, two symbols. After b: end
  // once, one symbol.
  const NGram bigram(2, 3, two_words);
  const double a = 3.0 / 8;
  const double b = 2.0 / 8;
  const double stop = 3.0 / 8;
  CHECK(bigram.probability({}, 1) == doctest::Approx((2 + 1 * a) / 3));
  CHECK(bigram.probability({}, 2) == doctest::Approx((0 + 1 * b) / 3));
  CHECK(bigram.probability(Word{1}, 2) == doctest::Approx((1 + 2 * b) / 4));
  CHECK(bigram.probability(Word{1}, end) == doctest::Approx((1 + 2 * stop) / 4));
  CHECK(bigram.probability(Word{1, 2}, end) == doctest::Approx((1 + 1 * stop) / 2));

  const double nats = std::log((2 + a) / 3) + std::log((1 + 2 * b) / 4) + std::log((1 + stop) / 2);
  CHECK(bigram.cross_entropy({{1, 2}}) == doctest::Approx(-nats / 3));
}

TEST_CASE("n-gram: a context never seen leaves the shorter one") {
  const NGram trigram(3, 3, two_words);
  const NGram bigram(2, 3, two_words);
  CHECK(trigram.probability(Word{2, 2}, 1) == doctest::Approx(bigram.probability(Word{2}, 1)));
  CHECK(trigram.probability(Word{1, 2, 2}, end) ==
        doctest::Approx(bigram.probability(Word{2}, end)));
}

TEST_CASE("n-gram: probabilities are positive and sum to 1 after every history") {
  const std::vector<Word> some{{1, 2, 3}, {2, 2, 1}, {3}, {1, 1, 1, 2}};
  for (int order = 1; order <= 4; ++order) {
    const NGram model(order, 5, some);  // symbol 4 never occurs
    std::vector<Word> histories{{}};
    for (std::size_t i = 0; i < 85; ++i) {  // all up to four characters long
      for (int symbol = 1; symbol < 5; ++symbol) {
        Word longer = histories[i];
        longer.push_back(symbol);
        histories.push_back(longer);
      }
    }
    for (const Word& history : histories) {
      double sum = 0;
      for (int symbol = 0; symbol < 5; ++symbol) {
        CHECK(model.probability(history, symbol) > 0);
        sum += model.probability(history, symbol);
      }
      CHECK(sum == doctest::Approx(1).epsilon(1e-12));
    }
  }
}

TEST_CASE("n-gram: cross entropy is the mean over characters and word ends") {
  const NGram trigram(3, 3, two_words);
  double nats = 0;
  for (const Word& word : std::vector<Word>{{2, 1}, {1}}) {
    for (std::size_t i = 0; i <= word.size(); ++i) {
      const Word history(word.begin(), word.begin() + static_cast<std::ptrdiff_t>(i));
      nats -= std::log(trigram.probability(history, i < word.size() ? word[i] : end));
    }
  }
  CHECK(trigram.cross_entropy({{2, 1}, {1}}) == doctest::Approx(nats / 5));
}

TEST_CASE("n-gram: what makes no model is refused") {
  CHECK_THROWS_WITH_AS(NGram(0, 3, two_words), "n-gram: order is 0, but must be at least 1",
                       retrace::Error);
  CHECK_THROWS_WITH_AS(NGram(2, 3, {}), "n-gram: no words to count", retrace::Error);
  CHECK_THROWS_WITH_AS(NGram(2, 2, two_words),
                       "n-gram: symbol 2 is not below the vocabulary size 2", retrace::Error);
  CHECK_THROWS_WITH_AS(NGram(60, 3, two_words), "n-gram: order 60 is too high for 3 symbols",
                       retrace::Error);
  const NGram bigram(2, 3, two_words);
  CHECK_THROWS_AS(bigram.probability({}, 3), retrace::Error);
  CHECK_THROWS_AS(bigram.probability(Word{-1}, 1), retrace::Error);
  CHECK_THROWS_WITH_AS(bigram.cross_entropy({}), "n-gram: no words to judge", retrace::Error);
}

TEST_CASE("n-gram: the figures of the Debian word list") {
  if (!std::filesystem::exists(words::default_word_list)) {
    MESSAGE("not checked: there is no ", words::default_word_list);
    return;
  }
  const words::Corpus corpus = words::read_corpus(words::default_word_list);
  const words::Vocabulary vocabulary = words::Vocabulary::of(corpus.items);
  const words::Split sides = words::split(corpus.items, 0.1, 1);
  const auto training = vocabulary.encode(sides.training);
  const auto held_out = vocabulary.encode(sides.held_out);
  // The list changes a little between releases of Debian.
  CHECK(NGram(2, vocabulary.size(), training).cross_entropy(held_out) ==
        doctest::Approx(2.52).epsilon(0.01));
  CHECK(NGram(3, vocabulary.size(), training).cross_entropy(held_out) ==
        doctest::Approx(2.23).epsilon(0.01));
}
