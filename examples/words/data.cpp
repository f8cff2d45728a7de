#include "data.hpp"

#include <utility>

namespace words {
namespace {

/// Held-out words to look at during a run: enough for an error of about 0.01 nats, quick enough to
/// do often.
constexpr std::size_t probe_size = 2000;

Encoded evenly_spread(const Encoded& words, std::size_t most) {
  Encoded some;
  const std::size_t count = std::min(most, words.size());
  for (std::size_t i = 0; i < count; ++i) some.push_back(words[i * words.size() / count]);
  return some;
}

/// The beginning of a text and its end; of the latter, so much to look at as of words.
Data split_text(Corpus corpus, double held_out_share) {
  constexpr std::size_t shortest = 100, probed = 10 * probe_size;
  Vocabulary vocabulary = Vocabulary::of(corpus.items);
  const std::vector<int> text = vocabulary.encode(corpus.items[0]);
  retrace::require(text.size() >= shortest,
                   "a text of {} characters is too short to hold some out; at least {} are needed",
                   text.size(), shortest);
  const auto end =
      std::max(std::int64_t{1},
               static_cast<std::int64_t>(held_out_share * static_cast<double>(text.size())));
  const std::vector<int> held_out(text.end() - end, text.end());
  const auto some = static_cast<std::int64_t>(std::min(probed, held_out.size()));
  return {.kind = corpus.kind,
          .items = std::move(corpus.items),
          .vocabulary = std::move(vocabulary),
          .training = {{text.begin(), text.end() - end}},
          .held_out = {held_out},
          .probe = {{held_out.begin(), held_out.begin() + some}}};
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
  Corpus corpus = read_corpus(options.text, options.as);
  if (corpus.kind == TextKind::as_it_is) return split_text(std::move(corpus), options.held_out);
  const Split sides =
      split(corpus.items, options.held_out, static_cast<std::uint64_t>(options.seed));
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
