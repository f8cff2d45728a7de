#include "model.hpp"

#include <algorithm>
#include <numeric>

namespace words {
namespace {

/// Rows times steps that are judged at once: what is computed on the way stays small.
constexpr std::size_t judged_at_once = 4096;
constexpr std::int64_t judged_steps = 1024;

using retrace::Tensor;

}  // namespace

Net::Net(const NetOptions& o, const retrace::Generator& generator)
    : emb_(o.symbols, o.embedding, generator),
      dropout_(o.dropout, generator),
      head_(o.units, o.symbols, generator) {
  for (std::int64_t i = 0; i < o.layers; ++i)
    rnn_.push_back(layer(o.cell, i == 0 ? o.embedding : o.units, o.units, generator));
}

Net::Layer Net::layer(const std::string& cell, std::int64_t features, std::int64_t units,
                      const retrace::Generator& generator) {
  if (cell == "rnn") return retrace::SimpleRNN(features, units, generator);
  if (cell == "gru") return retrace::GRU(features, units, generator);
  if (cell == "lstm") return retrace::LSTM(features, units, generator);
  retrace::fail("network: the cell is '{}', not rnn, gru or lstm", cell);
}

Net::Output Net::operator()(const Tensor& symbols, const States& states) const {
  retrace::require(states.size() == rnn_.size(), "network: expected {} states, got {}", rnn_.size(),
                   states.size());
  Tensor x = dropout_(emb_(symbols));
  States after;
  for (std::size_t i = 0; i < rnn_.size(); ++i) {
    const auto [y, state] =
        std::visit([&](const auto& layer) { return layer(x, states[i]); }, rnn_[i]);
    x = dropout_(y);
    after.push_back(state);
  }
  return {head_(x), std::move(after)};
}

Net::States Net::start(std::int64_t batch) const {
  const auto zeros = [&] { return retrace::zeros({batch, head_.w.dim(0)}); };
  States states;
  for (const Layer& any : rnn_)
    states.push_back({zeros(), std::holds_alternative<retrace::LSTM>(any) ? zeros() : Tensor()});
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
    // A long text goes in pieces, from state to state.
    Net::States states = net.start(batch.input.dim(0));
    for (std::int64_t from = 0; from < batch.input.dim(1); from += judged_steps) {
      const std::int64_t to = std::min(from + judged_steps, batch.input.dim(1));
      auto [logits, after] = net(retrace::slice(batch.input, 1, from, to), states);
      const Tensor target = retrace::slice(batch.target, 1, from, to);
      sum += retrace::cross_entropy(logits, target, {.reduction = retrace::Reduction::sum}).item();
      states = std::move(after);
    }
    characters += batch.characters();
    begin = end;
  }
  return sum / static_cast<double>(characters);
}

}  // namespace words
