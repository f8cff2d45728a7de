#include <doctest/doctest.h>

#include <retrace/core.hpp>

#include "words/split.hpp"

#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace {

using Strings = std::vector<std::string>;

/// 200 words in 100 pairs of a word and its possessive.
Strings pairs() {
  Strings all;
  for (int i = 0; i < 100; ++i) {
    all.push_back("word" + std::to_string(i));
    all.push_back(all.back() + "'s");
  }
  return all;
}

}  // namespace

TEST_CASE("split: a word and its possessive fall on the same side") {
  Strings all = pairs();
  all.push_back("Hawai’i");
  all.push_back("Hawai’i’s");
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const words::Split sides = words::split(all, 0.3, seed);
    const std::set<std::string> held_out(sides.held_out.begin(), sides.held_out.end());
    for (std::size_t i = 0; i < all.size(); i += 2)
      CHECK(held_out.count(all[i]) == held_out.count(all[i + 1]));
  }
}

TEST_CASE("split: every word is on one side (in order) and the share is met") {
  const Strings all = pairs();
  const words::Split sides = words::split(all, 0.1, 1);
  CHECK(sides.held_out.size() == 20);
  CHECK(sides.training.size() == 180);
  Strings merged;
  std::size_t taken = 0;
  for (const std::string& word : all) {
    const bool is_next = taken < sides.held_out.size() && sides.held_out[taken] == word;
    taken += is_next ? 1 : 0;
    if (!is_next) merged.push_back(word);
  }
  CHECK(merged == sides.training);
}

TEST_CASE("split: the seed decides and decides alone") {
  Strings letters;
  for (char c = 'a'; c <= 'z'; ++c) letters.emplace_back(1, c);
  // Fixed, and computed by a program in another language: the split must not depend on a standard
  // library.
  CHECK(words::split(letters, 0.2, 1).held_out == Strings{"d", "i", "j", "m", "n", "v"});
  CHECK(words::split(letters, 0.2, 2).held_out == Strings{"a", "r", "u", "x", "y", "z"});
}

TEST_CASE("split: neither side is ever empty") {
  const Strings all = pairs();
  CHECK(words::split(all, 1e-9, 1).held_out.size() == 2);
  CHECK(words::split(all, 1 - 1e-9, 1).training.size() == 2);
}

TEST_CASE("split: too few words and a share out of range are refused") {
  const Strings nine{"a", "b", "c", "d", "e", "f", "g", "h", "i"};
  CHECK_THROWS_WITH_AS(words::split(nine, 0.1, 1),
                       "9 different words are too few to hold some out; at least 10 are needed",
                       retrace::Error);
  CHECK_THROWS_AS(words::split(pairs(), 0, 1), retrace::Error);
  CHECK_THROWS_AS(words::split(pairs(), 1, 1), retrace::Error);
}
