// The network.
#pragma once

#include "batches.hpp"

#include <retrace/core.hpp>
#include <retrace/layers.hpp>

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace words {

struct NetOptions {
  std::int64_t symbols = 0;    ///< of the vocabulary
  std::int64_t embedding = 0;  ///< width of the vector that stands for a symbol
  std::int64_t units = 0;      ///< of each recurrent layer
  std::int64_t layers = 1;     ///< recurrent ones
  std::string cell = "rnn";    ///< what they are: "rnn", "gru" or "lstm"
  /// Share of what enters a recurrent layer or the head that is zeroed in training, but not of what
  /// goes from step to step: Zaremba, Sutskever and Vinyals, "Recurrent neural network
  /// regularization", 2014.
  double dropout = 0;
};

/// Says at every character of a word which one may come next.
class Net {
 public:
  /// The last state of each layer, its tensors [batch, units].
  using States = retrace::States<retrace::RecurrentState>;
  struct Output {
    retrace::Tensor logits;  ///< [batch, steps, symbols]
    States states;
  };

  /// Throws retrace::Error for a cell of another name. Dropout goes on drawing from `generator`.
  Net(const NetOptions& options, const retrace::Generator& generator);

  /// Symbols i64 [batch, steps], from the states of the steps before, or from the start.
  Output operator()(const retrace::Tensor& symbols, const States& states) const;
  Output operator()(const retrace::Tensor& symbols) const {
    return (*this)(symbols, start(symbols.dim(0)));
  }

  /// The states before the first step: zeros.
  States start(std::int64_t batch) const;

  void parts(auto& list) {
    list("emb", emb_);
    list("dropout", dropout_);
    for (std::size_t i = 0; i < rnn_.size(); ++i)
      std::visit([&](auto& layer) { list("rnn." + std::to_string(i), layer); }, rnn_[i]);
    list("head", head_);
  }

 private:
  using Layer = std::variant<retrace::SimpleRNN, retrace::GRU, retrace::LSTM>;
  static Layer layer(const std::string& cell, std::int64_t features, std::int64_t units,
                     const retrace::Generator& generator);

  retrace::Embedding emb_;
  retrace::Dropout dropout_;
  std::vector<Layer> rnn_;
  retrace::Linear head_;
};

/// Mean of -log P of the characters of `words` in nats, the end of each counted as one and each
/// word judged on its own: the same figure as NGram::cross_entropy gives. Throws retrace::Error if
/// there are no words.
double cross_entropy(const Net& net, const Encoded& words);

}  // namespace words
