#include "ngram.hpp"

#include "text.hpp"

#include <retrace/core.hpp>

#include <cmath>
#include <limits>

namespace words {

using retrace::require;

NGram::NGram(int order, int vocab_size, const std::vector<std::vector<int>>& words)
    : order_(order), vocab_size_(vocab_size) {
  require(order >= 1, "n-gram: order is {}, but must be at least 1", order);
  require(vocab_size >= 1, "n-gram: vocabulary size is {}, but must be at least 1", vocab_size);
  require(!words.empty(), "n-gram: no words to count");
  const Key base = static_cast<Key>(vocab_size);
  Key power = 1;
  for (int k = 0; k < order; ++k) {
    powers_.push_back(power);
    require(power <= std::numeric_limits<Key>::max() / base,
            "n-gram: order {} is too high for {} symbols", order, vocab_size);
    power *= base;
  }
  levels_.resize(powers_.size());
  for (const std::vector<int>& word : words) {
    walk(word, [this](Key context, int symbol) { count(context, symbol); });
  }
}

/// The context after one more symbol: the oldest of its n - 1 digits drops out.
NGram::Key NGram::shift(Key context, int symbol) const {
  return (context * static_cast<Key>(vocab_size_) + static_cast<Key>(symbol)) % powers_.back();
}

template <typename Visit>
void NGram::walk(std::span<const int> word, Visit visit) const {
  static_assert(Vocabulary::end == 0, "the key of n - 1 start symbols is 0");
  Key context = 0;
  for (const int symbol : word) {
    require(symbol >= 0 && symbol < vocab_size_,
            "n-gram: symbol {} is not below the vocabulary size {}", symbol, vocab_size_);
    visit(context, symbol);
    context = shift(context, symbol);
  }
  visit(context, Vocabulary::end);
}

void NGram::count(Key context, int symbol) {
  for (std::size_t k = 0; k < levels_.size(); ++k) {
    const Key shorter = context % powers_[k];
    Context& seen = levels_[k].contexts[shorter];
    if (levels_[k].count[shorter * static_cast<Key>(vocab_size_) + static_cast<Key>(symbol)]++ == 0)
      ++seen.distinct;
    ++seen.count;
  }
}

double NGram::probability_after(Key context, int symbol) const {
  double p = 1.0 / vocab_size_;
  for (std::size_t k = 0; k < levels_.size(); ++k) {
    const Level& level = levels_[k];
    const Key shorter = context % powers_[k];
    const auto seen = level.contexts.find(shorter);
    if (seen == level.contexts.end()) break;  // then no longer context has been seen either
    const auto ngram =
        level.count.find(shorter * static_cast<Key>(vocab_size_) + static_cast<Key>(symbol));
    const double count = ngram == level.count.end() ? 0.0 : static_cast<double>(ngram->second);
    const double distinct = static_cast<double>(seen->second.distinct);
    p = (count + distinct * p) / (static_cast<double>(seen->second.count) + distinct);
  }
  return p;
}

double NGram::probability(std::span<const int> history, int symbol) const {
  require(symbol >= 0 && symbol < vocab_size_,
          "n-gram: symbol {} is not below the vocabulary size {}", symbol, vocab_size_);
  Key context = 0;
  walk(history, [&](Key before, int) {
    context = before;
  });  // the last visit, for the end mark, has seen all of it
  return probability_after(context, symbol);
}

double NGram::cross_entropy(const std::vector<std::vector<int>>& words) const {
  require(!words.empty(), "n-gram: no words to judge");
  double nats = 0;
  std::size_t characters = 0;
  for (const std::vector<int>& word : words) {
    walk(word, [&](Key context, int symbol) {
      nats -= std::log(probability_after(context, symbol));
      ++characters;
    });
  }
  return nats / static_cast<double>(characters);
}

}  // namespace words
