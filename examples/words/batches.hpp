// Words side by side, as a network takes them.
#pragma once

#include <retrace/core.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace words {

/// Words as `Vocabulary::encode` gives them, without end marks.
using Encoded = std::vector<std::vector<int>>;

/// Rows of symbols. At each step the network sees `input` and is to say `target`: the character
/// after it, at last the end of the word.
struct Batch {
  retrace::Tensor
      input;  ///< i64 [rows, steps]: the end mark, which starts a word too, then the characters
  retrace::Tensor target;  ///< i64 [rows, steps]: the characters, then the end mark

  std::int64_t characters() const { return target.size(); }
};

/// The words of these numbers, a row each. Throws retrace::Error unless all have the same length.
Batch word_batch(const Encoded& words, std::span<const std::size_t> numbers);

/// An endless text of words, in an order that is shuffled anew for every epoch, read in lanes side
/// by side: the lane that has come to the end of its word goes on with the next one that nobody has
/// read.
class Lanes {
 public:
  /// Where a lane stands: before character `at` of a word, or before its end.
  struct Cursor {
    std::int64_t word = 0;
    std::int64_t at = 0;
  };
  /// Where reading stands.
  struct Place {
    std::int64_t epoch = 0;                        ///< epochs begun
    std::int64_t dealt = 0;                        ///< words of this epoch that lanes have begun
    retrace::Generator::State shuffled_from = {};  ///< the generator before it shuffled this epoch
    std::vector<Cursor> cursors;                   ///< of each lane
  };

  /// With `spread` the lanes begin evenly spread over a text that is a single word. Throws
  /// retrace::Error if there are no words. `words` must outlive this object; `generator` is drawn
  /// from.
  Lanes(const Encoded& words, std::int64_t lanes, const retrace::Generator& generator,
        bool spread = false);

  /// The next `steps` characters of each lane.
  Batch read(std::int64_t steps);

  const Place& place() const { return place_; }
  /// Goes on from a place that reading stood at, with the same words and as many lanes. Throws
  /// retrace::Error if that cannot be. The generator stays as it is.
  void go_to(const Place& place);

 private:
  void shuffle();
  Cursor next_word();

  const Encoded& words_;
  retrace::Generator generator_;
  std::vector<std::int64_t> order_;  // numbers of words
  Place place_;
};

}  // namespace words
