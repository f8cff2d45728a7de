#include "split.hpp"

#include <retrace/core.hpp>

#include <cstddef>
#include <numeric>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace words {
namespace {

using retrace::require;

constexpr std::size_t min_words = 10;

/// `word` without a possessive ending, which may have a typewriter or a typographic apostrophe.
std::string_view stem(std::string_view word) {
  for (const std::string_view ending : {"'s", "’s"}) {
    if (word.size() > ending.size() && word.ends_with(ending))
      return word.substr(0, word.size() - ending.size());
  }
  return word;
}

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014). The
/// standard library's distributions and shuffle differ between implementations; this does not.
class SplitMix64 {
 public:
  explicit SplitMix64(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }

  /// Uniform below `n`: the lowest 2^64 mod n values are drawn again, so that the remainder is not
  /// biased.
  std::uint64_t below(std::uint64_t n) {
    std::uint64_t drawn = next();
    while (drawn < (0 - n) % n) drawn = next();
    return drawn % n;
  }

 private:
  std::uint64_t state_;
};

}  // namespace

Split split(const std::vector<std::string>& words, double held_out_share, std::uint64_t seed) {
  require(words.size() >= min_words,
          "{} different words are too few to hold some out; at least {} are needed", words.size(),
          min_words);
  require(held_out_share > 0 && held_out_share < 1,
          "held-out share is {}, but must lie between 0 and 1", held_out_share);

  std::unordered_map<std::string_view, std::size_t> group_of;  // stem -> index into sizes
  std::vector<std::size_t> sizes;
  for (const std::string& word : words) {
    const auto [place, is_new] = group_of.emplace(stem(word), sizes.size());
    if (is_new) sizes.push_back(0);
    ++sizes[place->second];
  }
  std::vector<std::size_t> order(sizes.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  SplitMix64 random(seed);
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);

  const double wanted = held_out_share * static_cast<double>(words.size());
  std::vector<bool> is_held_out(sizes.size(), false);
  std::size_t count = 0;
  for (std::size_t i = 0; i + 1 < order.size() && (i == 0 || static_cast<double>(count) < wanted);
       ++i) {
    is_held_out[order[i]] = true;
    count += sizes[order[i]];
  }

  Split sides;
  for (const std::string& word : words) {
    (is_held_out[group_of.at(stem(word))] ? sides.held_out : sides.training).push_back(word);
  }
  return sides;
}

}  // namespace words
