#include "model.hpp"

#include <algorithm>
#include <numeric>

namespace words {
namespace {

/// Rows times steps that are judged at once: what is computed on the way stays small.
constexpr std::size_t judged_at_once = 4096;

}  // namespace

Net::Net(const NetSizes& sizes, const retrace::Generator& generator)
    : emb_(sizes.symbols, sizes.embedding, generator), head_(sizes.units, sizes.symbols, generator) {
  for (std::int64_t i = 0; i < sizes.layers; ++i) {
    rnn_.emplace_back(i == 0 ? sizes.embedding : sizes.units, sizes.units, generator);
  }
}

Net::Output Net::operator()(const retrace::Tensor& symbols, const States& states) const {
  retrace::require(states.size() == rnn_.size(), "network: {} states for {} layers", states.size(), rnn_.size());
  retrace::Tensor x = emb_(symbols);
  States after;
  for (std::size_t i = 0; i < rnn_.size(); ++i) {
    auto [y, state] = rnn_[i](x, states[i]);
    x = std::move(y);
    after.push_back(std::move(state));
  }
  return {head_(x), std::move(after)};
}

Net::States Net::start(std::int64_t batch) const {
  States states;
  for (const retrace::SimpleRNN& rnn : rnn_) states.push_back(retrace::zeros({batch, rnn.w_h.dim(0)}));
  return states;
}

double cross_entropy(const Net& net, const Encoded& words) {
  retrace::require(!words.empty(), "cross entropy: there are no words to judge");
  retrace::NoGrad scope;
  std::vector<std::size_t> order(words.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return words[a].size() < words[b].size(); });

  double sum = 0;
  std::int64_t characters = 0;
  for (std::size_t begin = 0; begin < order.size();) {
    const std::size_t length = words[order[begin]].size();
    const std::size_t most = begin + std::max<std::size_t>(judged_at_once / (length + 1), 1);
    std::size_t end = begin;
    while (end < std::min(most, order.size()) && words[order[end]].size() == length) ++end;
    const Batch batch = word_batch(words, std::span(order).subspan(begin, end - begin));
    const retrace::Tensor logits = net(batch.input).logits;
    sum += retrace::cross_entropy(logits, batch.target, {.reduction = retrace::Reduction::sum}).item();
    characters += batch.characters();
    begin = end;
  }
  return sum / static_cast<double>(characters);
}

}  // namespace words
