// The network.
#pragma once

#include "batches.hpp"

#include <retrace/core.hpp>
#include <retrace/layers.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace words {

/// Sizes of a network.
struct NetSizes {
  std::int64_t symbols = 0;    ///< of the vocabulary
  std::int64_t embedding = 0;  ///< width of the vector that stands for a symbol
  std::int64_t units = 0;      ///< of each recurrent layer
  std::int64_t layers = 0;     ///< recurrent ones
};

/// Says at every character of a word which one may come next.
class Net {
 public:
  /// The last state of each layer [batch, units].
  using States = std::vector<retrace::Tensor>;
  struct Output {
    retrace::Tensor logits;  ///< [batch, steps, symbols]
    States states;
  };

  Net(const NetSizes& sizes, const retrace::Generator& generator);

  /// Symbols i64 [batch, steps], from the states of the steps before, or from the start.
  Output operator()(const retrace::Tensor& symbols, const States& states) const;
  Output operator()(const retrace::Tensor& symbols) const { return (*this)(symbols, start(symbols.dim(0))); }

  /// The states before the first step: zeros.
  States start(std::int64_t batch) const;

  void parts(auto& list) {
    list("emb", emb_);
    for (std::size_t i = 0; i < rnn_.size(); ++i) list("rnn." + std::to_string(i), rnn_[i]);
    list("head", head_);
  }

 private:
  retrace::Embedding emb_;
  std::vector<retrace::SimpleRNN> rnn_;
  retrace::Linear head_;
};

/// Mean of -log P of the characters of `words` in nats, the end of each counted as one and each word judged on its own:
/// the same figure as NGram::cross_entropy gives. Throws retrace::Error if there are no words.
double cross_entropy(const Net& net, const Encoded& words);

}  // namespace words
