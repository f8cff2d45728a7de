#include "sampler.hpp"

#include <algorithm>
#include <numeric>

namespace words {
namespace {

constexpr std::int64_t words_at_once = 64;
constexpr std::size_t passage_length = 400;

using retrace::Tensor;

/// Rows `keep` of the tensors of a state.
retrace::RecurrentState rows(const retrace::RecurrentState& state,
                             const std::vector<std::int64_t>& keep) {
  const Tensor index = retrace::tensor(keep, {static_cast<std::int64_t>(keep.size())});
  return {retrace::embedding(state.h, index),
          state.c.defined() ? retrace::embedding(state.c, index) : Tensor()};
}

Encoded invent_encoded(const Net& net, const std::vector<int>& prime, std::int64_t count,
                       const SampleOptions& o, const retrace::Generator& generator) {
  Encoded words(static_cast<std::size_t>(count), prime);
  std::vector<std::size_t> open(words.size());  // the words that have not ended, a row each
  std::iota(open.begin(), open.end(), std::size_t{0});

  Tensor input = word_batch(words, open).input;
  Net::States states = net.start(count);
  while (words[open[0]].size() < o.length) {
    Net::Output output = net(input, states);
    const Tensor logits = retrace::select(output.logits, 1, -1) / o.temperature;
    const std::vector<std::int64_t> next =
        retrace::multinomial(retrace::softmax(logits), 1, generator).to_vector<std::int64_t>();

    std::vector<std::int64_t> keep, symbols;
    std::vector<std::size_t> still_open;
    for (std::size_t row = 0; row < open.size(); ++row) {
      if (next[row] == Vocabulary::end) continue;
      words[open[row]].push_back(static_cast<int>(next[row]));
      keep.push_back(static_cast<std::int64_t>(row));
      symbols.push_back(next[row]);
      still_open.push_back(open[row]);
    }
    open = std::move(still_open);
    if (open.empty()) break;
    input = retrace::tensor(symbols, {static_cast<std::int64_t>(symbols.size()), 1});
    states.clear();
    for (const auto& state : output.states) states.push_back(rows(state, keep));
  }
  return words;
}

}  // namespace

std::vector<std::string> invent(const Net& net, const Vocabulary& vocabulary,
                                const SampleOptions& options, const retrace::Generator& generator) {
  retrace::NoGrad scope;
  const std::vector<int> prime = vocabulary.encode(options.prime);
  std::vector<std::string> words;
  for (std::int64_t left = options.count; left > 0; left -= words_at_once) {
    const std::int64_t count = std::min(left, words_at_once);
    for (const std::vector<int>& word : invent_encoded(net, prime, count, options, generator)) {
      words.push_back(vocabulary.decode(word));
    }
  }
  return words;
}

std::vector<std::string> invent_passages(const Net& net, const Vocabulary& vocabulary,
                                         const SampleOptions& options,
                                         const retrace::Generator& generator) {
  const std::string start = vocabulary.knows("\n") ? "\n" : "";
  const SampleOptions own{options.count, options.temperature, start + options.prime,
                          passage_length};
  std::vector<std::string> passages = invent(net, vocabulary, own, generator);
  for (std::string& passage : passages) passage.erase(0, start.size());
  return passages;
}

}  // namespace words
