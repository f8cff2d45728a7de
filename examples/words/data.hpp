// What a run learns from and is judged by.
#pragma once

#include "batches.hpp"
#include "options.hpp"
#include "split.hpp"
#include "text.hpp"

#include <cstdint>
#include <string>

namespace words {

/// A corpus, split and in numbers.
struct Data {
  TextKind kind = TextKind::word_list;
  std::vector<std::string> items;  ///< all different words of the text, or the text as it is
  std::size_t duplicates = 0;
  Vocabulary vocabulary;
  Encoded training;
  Encoded held_out;
  Encoded probe;  ///< those of the held-out words that are looked at during the run, evenly spread
                  ///< over them

  /// "words", "lines" or "texts".
  std::string noun() const {
    return kind == TextKind::word_list      ? "words"
           : kind == TextKind::running_text ? "lines"
                                            : "texts";
  }
  /// A number that another text would hardly have: FNV-1a (Fowler, Noll, Vo) over the words.
  std::uint64_t fingerprint() const;
};

/// Reads and splits the text of `options`. Throws retrace::Error as `read_corpus` and `split` do.
Data load_data(const RunOptions& options);

/// Characters of `words`, the end of each counted as one.
std::int64_t character_count(const Encoded& words);

}  // namespace words
