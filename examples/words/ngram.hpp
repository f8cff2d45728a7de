// Interpolated n-grams over characters: the baselines that a network has to beat.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace words {

/// An n-gram model with interpolated Witten-Bell smoothing.
///
/// The probability of symbol w after the context h, the n - 1 symbols before it, is
///
///     P(w | h) = (c(h w) + t(h) P(w | h')) / (c(h) + t(h))
///
/// where c counts occurrences in the training words, t(h) is the number of different symbols seen
/// after h, and h' is h without its oldest symbol. A context never seen leaves P(w | h'). The
/// recursion ends below the unigrams at the uniform distribution over the vocabulary, so that
/// nothing has probability zero. Each word is preceded by n - 1 start symbols, which are never
/// predicted, and followed by one end-of-word symbol, which is.
///
/// Source: I. H. Witten and T. C. Bell, "The zero-frequency problem: estimating the probabilities
/// of novel events in adaptive text compression", IEEE Transactions on Information Theory 37(4),
/// 1991, method C; in the interpolated form of S. F. Chen and J. Goodman, "An empirical study of
/// smoothing techniques for language modeling", Harvard University TR-10-98, 1998.
class NGram {
 public:
  /// Counts the n-grams of `words`: symbols as `Vocabulary::encode` gives them, below `vocab_size`
  /// and without end mark. `order` is n: 1 for unigrams, 2 for bigrams, 3 for trigrams. Throws
  /// retrace::Error if `order` or `vocab_size` is below 1, if vocab_size^order does not fit into 64
  /// bits, if a word has a symbol out of range, or if there are no words.
  NGram(int order, int vocab_size, const std::vector<std::vector<int>>& words);

  int order() const { return order_; }

  /// P(symbol | history), where `history` is the word so far, from its first character. Takes the
  /// end mark for `symbol` too. Throws retrace::Error on a symbol out of range.
  double probability(std::span<const int> history, int symbol) const;

  /// Mean of -log P in nats per character of `words`, each word's end counted as a character.
  /// Throws retrace::Error if there are no words or a symbol is out of range.
  double cross_entropy(const std::vector<std::vector<int>>& words) const;

 private:
  using Key =
      std::uint64_t;  // symbols as the digits of a number in base vocab_size, the newest one last

  struct Context {
    std::uint64_t count = 0;     // c(h)
    std::uint64_t distinct = 0;  // t(h)
  };
  struct Level {  // the n-grams of one length
    std::unordered_map<Key, std::uint64_t> count;
    std::unordered_map<Key, Context> contexts;
  };

  /// Calls `visit(context, symbol)` for each prediction of `word`, `context` being the key of the n
  /// - 1 symbols before.
  template <typename Visit>
  void walk(std::span<const int> word, Visit visit) const;

  Key shift(Key context, int symbol) const;
  void count(Key context, int symbol);
  double probability_after(Key context, int symbol) const;

  int order_;
  int vocab_size_;
  std::vector<Key> powers_;    // powers_[k] = vocab_size^k, up to k = order - 1
  std::vector<Level> levels_;  // levels_[k]: contexts of k symbols
};

}  // namespace words
