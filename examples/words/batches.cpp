#include "batches.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace words {
namespace {

using retrace::require;

constexpr int end_mark = 0;

/// What the network sees, and what it is to say, before character `at` of a word.
std::pair<int, int> example(const std::vector<int>& word, std::size_t at) {
  return {at == 0 ? end_mark : word[at - 1], at == word.size() ? end_mark : word[at]};
}

/// Calls fill(row, step) for the input and target of each place.
template <class Fill>
Batch filled(std::size_t rows, std::size_t steps, Fill fill) {
  std::vector<std::int64_t> input(rows * steps), target(rows * steps);
  for (std::size_t step = 0; step < steps; ++step) {
    for (std::size_t row = 0; row < rows; ++row) {
      std::tie(input[row * steps + step], target[row * steps + step]) = fill(row, step);
    }
  }
  const retrace::Shape shape{static_cast<std::int64_t>(rows), static_cast<std::int64_t>(steps)};
  return {retrace::tensor(input, shape), retrace::tensor(target, shape)};
}

}  // namespace

Batch word_batch(const Encoded& words, std::span<const std::size_t> numbers) {
  const std::size_t steps = words[numbers[0]].size() + 1;
  for (const std::size_t number : numbers) {
    require(words[number].size() + 1 == steps, "word batch: words of {} and of {} characters",
            steps - 1, words[number].size());
  }
  return filled(numbers.size(), steps, [&](std::size_t row, std::size_t step) {
    return example(words[numbers[row]], step);
  });
}

Lanes::Lanes(const Encoded& words, std::int64_t lanes, const retrace::Generator& generator,
             bool spread)
    : words_(words), generator_(generator), order_(words.size()) {
  require(!words.empty(), "lanes: there are no words to read");
  shuffle();
  for (std::int64_t i = 0; i < lanes; ++i) {
    place_.cursors.push_back(next_word());
    if (spread) place_.cursors.back().at = i * static_cast<std::int64_t>(words[0].size()) / lanes;
  }
}

/// A new epoch, in an order that depends on the generator alone, whatever the standard library.
void Lanes::shuffle() {
  place_.shuffled_from = generator_.state();
  ++place_.epoch;
  place_.dealt = 0;
  std::iota(order_.begin(), order_.end(), std::int64_t{0});
  for (std::size_t i = order_.size(); i > 1; --i) {
    std::swap(order_[i - 1],
              order_[static_cast<std::size_t>(generator_.below(static_cast<std::int64_t>(i)))]);
  }
}

Lanes::Cursor Lanes::next_word() {
  if (place_.dealt == static_cast<std::int64_t>(order_.size())) shuffle();
  return {order_[static_cast<std::size_t>(place_.dealt++)], 0};
}

Batch Lanes::read(std::int64_t steps) {
  return filled(
      place_.cursors.size(), static_cast<std::size_t>(steps), [&](std::size_t row, std::size_t) {
        Cursor& cursor = place_.cursors[row];
        const std::vector<int>& word = words_[static_cast<std::size_t>(cursor.word)];
        const std::pair<int, int> symbols = example(word, static_cast<std::size_t>(cursor.at));
        if (++cursor.at > static_cast<std::int64_t>(word.size())) cursor = next_word();
        return symbols;
      });
}

void Lanes::go_to(const Place& place) {
  require(place.cursors.size() == place_.cursors.size(),
          "lanes: the place is one of {} lanes, not of {}", place.cursors.size(),
          place_.cursors.size());
  const auto count = static_cast<std::int64_t>(words_.size());
  require(place.epoch > 0 && place.dealt >= 0 && place.dealt <= count,
          "lanes: no place in {} words: {} of epoch {}", count, place.dealt, place.epoch);
  for (const Cursor& c : place.cursors) {
    const bool is_word = c.word >= 0 && c.word < count;
    require(is_word && c.at >= 0 &&
                c.at <= static_cast<std::int64_t>(words_[static_cast<std::size_t>(c.word)].size()),
            "lanes: no place in {} words: character {} of word {}", count, c.at, c.word);
  }
  const retrace::Generator::State now = generator_.state();
  generator_.set_state(place.shuffled_from);
  shuffle();
  generator_.set_state(now);
  place_ = place;
}

}  // namespace words
