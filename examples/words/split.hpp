// The seeded split of a word list into what is learnt and what is held out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace words {

/// Words to learn from and words to judge by; both keep the order of the corpus.
struct Split {
  std::vector<std::string> training;
  std::vector<std::string> held_out;
};

/// Holds out about `held_out_share` (between 0 and 1, exclusive) of `words`, chosen by `seed`.
///
/// A word and its possessive ("ox", "ox's") fall on the same side, since the one gives the other
/// away. The same words and seed give the same split with every compiler and standard library.
/// Neither side is empty. Throws retrace::Error if there are fewer than 10 words or the share is
/// out of range.
Split split(const std::vector<std::string>& words, double held_out_share, std::uint64_t seed);

}  // namespace words
