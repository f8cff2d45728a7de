#pragma once

#include "embedding.hpp"
#include "layer_norm.hpp"
#include "linear.hpp"
#include "recurrent/gru.hpp"
#include "recurrent/lstm.hpp"
#include "recurrent/simple_rnn.hpp"
#include "recurrent/stacked.hpp"

namespace retrace {
namespace detail {

/// What parts() fills with views of a model's tensors, under PyTorch's names and in its layout.
class TorchList : PartNames {
 public:
  explicit TorchList(auto& model) { add(model); }

  void operator()(std::string_view name, Tensor& t) { put(name, t); }
  void operator()(std::string_view, Generator&) {}
  void operator()(std::string_view name, auto& part) {
    within(name, [&] { add(part); });
  }

  const Parameters& weights() const { return weights_; }
  /// Once they have been read: makes one bias of PyTorch's two, which it adds up but for the n of a
  /// GRU. Allocates nothing, so that it cannot fail once the other tensors have changed.
  void merge_biases() const;

 private:
  // Also what is derived from one of the layers below, for which this is the exact match: it may
  // have parts of its own.
  void add(auto& part) { list_parts(part, *this); }
  void add(auto& part, const std::string& suffix) { (*this)(suffix, part); }
  void add(Linear& layer) {
    put("weight", transpose(layer.w));
    put("bias", layer.b);
  }
  void add(Embedding& layer) { put("weight", layer.w); }
  void add(LayerNorm& layer) {
    put("weight", layer.w);
    put("bias", layer.b);
  }
  void add(SimpleRNN& cell, const std::string& suffix = "_l0") { add_cell(cell, {}, suffix); }
  void add(GRU& cell, const std::string& suffix = "_l0") { add_cell(cell, cell.b_hn, suffix); }
  void add(LSTM& cell, const std::string& suffix = "_l0") { add_cell(cell, {}, suffix); }
  template <class Layer>
  void add(Bidirectional<Layer>& both, const std::string& suffix = "_l0") {
    add(both.forward, suffix);
    add(both.backward, suffix + "_reverse");
  }
  template <class Layer>
  void add(Stacked<Layer>& stack) {
    for (int i = 0; auto& layer : stack.layers) add(layer, "_l" + std::to_string(i++));
  }

  struct Biases {
    Tensor b, b_hn, from_input, from_hidden, hidden_n;  // hidden_n: of from_hidden, for b_hn
  };

  // Tied tensors are listed under each of their names, as PyTorch does.
  void put(std::string_view name, const Tensor& t) { weights_.add(full(name), t.detach()); }
  void add_cell(const Recurrent& cell, const Tensor& b_hn, const std::string& suffix);

  Parameters weights_;
  std::vector<Biases> biases_;
};

}  // namespace detail

/// Writes weights for PyTorch's `load_state_dict`, by its names and in its layout: Linear as
/// nn.Linear ("head.weight", "head.bias"), Embedding, LayerNorm; SimpleRNN, GRU and LSTM as nn.RNN,
/// nn.GRU and nn.LSTM ("rnn.weight_ih_l0", ...; the second of the two biases is zero where they are
/// added up), Bidirectional with bidirectional=True, Stacked with num_layers, Sequential as
/// nn.Sequential, a vector of layers as nn.ModuleList. Structs of parts, also those derived from a
/// layer, are modules with attributes of these names, and tensors of their own are as they are.
/// Throws Error for a layer with reverse = true, which PyTorch has in bidirectional layers alone.
///
/// PyTorch trains both biases, so their sum moves twice as far in a step as the one bias here. To
/// train on alike, freeze bias_hh_l0 in PyTorch (and b_hn of a GRU here); or, of SimpleRNN and
/// LSTM, give b a group with twice the learning rate and half the weight decay here, which is the
/// same unless gradients are clipped.
template <HasParts Model>
void save_torch(const std::string& path, Model model, const Metadata& metadata = {}) {
  const NoGrad scope;
  save(path, detail::TorchList(model).weights(), metadata);
}

/// Reads what PyTorch's `state_dict()` holds into a model. Throws Error and changes nothing, as
/// `load` does, if a name is missing or not known, a shape or dtype differs, or the file is
/// malformed. Modules without biases do not fit recurrent layers.
template <HasParts Model>
Metadata load_torch(const std::string& path, Model model) {
  const NoGrad scope;
  detail::require_settable(path, parameters(model));
  const detail::TorchList list(model);
  Metadata metadata = load(path, list.weights());
  list.merge_biases();
  return metadata;
}

}  // namespace retrace
