#include "torch.hpp"

namespace retrace::detail {

void TorchList::merge_biases() const {
  for (const auto& [b, b_hn, from_input, from_hidden] : biases_) {
    const std::int64_t apart = b_hn.defined() ? b_hn.size() : 0, added = b.size() - apart;
    const auto head = [&](const Tensor& t) { return slice(t, 0, 0, added); };
    const auto tail = [&](const Tensor& t) { return slice(t, 0, added, t.size()); };
    head(b).assign(head(from_input) + head(from_hidden));
    tail(b).assign(tail(from_input));
    if (b_hn.defined()) Tensor(b_hn).assign(tail(from_hidden));
  }
}

void TorchList::add(Linear& layer) {
  put("weight", transpose(layer.w));
  put("bias", layer.b);
}

void TorchList::add(Embedding& layer) { put("weight", layer.w); }

void TorchList::add(LayerNorm& layer) {
  put("weight", layer.w);
  put("bias", layer.b);
}

void TorchList::add_cell(const RecurrentWeights& cell, const Tensor& b_hn, const std::string& suffix) {
  require(cell.reversed() == suffix.ends_with("_reverse"),
          "tensor '{}': PyTorch has reverse = true in the second half of a bidirectional layer, and only there",
          joined(prefix_, "weight_ih" + suffix));
  put("weight_ih" + suffix, transpose(cell.w_x));
  put("weight_hh" + suffix, transpose(cell.w_h));
  const Tensor b = cell.b.detach(), from_input = b.clone(), from_hidden = zeros(b.shape(), b.dtype());
  if (b_hn.defined()) slice(from_hidden, 0, b.size() - b_hn.size(), b.size()).assign(b_hn);
  put("bias_ih" + suffix, from_input);
  put("bias_hh" + suffix, from_hidden);
  biases_.push_back({b, b_hn.detach(), from_input, from_hidden});
}

}  // namespace retrace::detail
