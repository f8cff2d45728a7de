#include "data.hpp"

#include <utility>

namespace words {
namespace {

/// Held-out words to look at during a run: enough for an error of about 0.01 nats, quick enough to do often.
constexpr std::size_t probe_size = 2000;

Encoded evenly_spread(const Encoded& words, std::size_t most) {
  Encoded some;
  const std::size_t count = std::min(most, words.size());
  for (std::size_t i = 0; i < count; ++i) some.push_back(words[i * words.size() / count]);
  return some;
}

}  // namespace

std::uint64_t Data::fingerprint() const {
  std::uint64_t hash = 0xCBF29CE484222325;
  for (const std::string& item : items) {
    for (const char c : item + '\n') hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  }
  return hash;
}

Data load_data(const RunOptions& options) {
  Corpus corpus = read_corpus(options.text);
  const Split sides = split(corpus.items, options.held_out, static_cast<std::uint64_t>(options.seed));
  Vocabulary vocabulary = Vocabulary::of(corpus.items);
  Data data{.kind = corpus.kind,
            .items = std::move(corpus.items),
            .duplicates = corpus.duplicates,
            .vocabulary = vocabulary,
            .training = vocabulary.encode(sides.training),
            .held_out = vocabulary.encode(sides.held_out),
            .probe = {}};
  data.probe = evenly_spread(data.held_out, probe_size);
  return data;
}

std::int64_t character_count(const Encoded& words) {
  std::int64_t count = 0;
  for (const std::vector<int>& word : words) count += static_cast<std::int64_t>(word.size()) + 1;
  return count;
}

}  // namespace words
