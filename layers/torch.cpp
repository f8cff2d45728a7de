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

std::string TorchList::joined(std::string_view name) const {
  return prefix_ + (prefix_.empty() || name.empty() ? "" : ".") + std::string(name);
}

void TorchList::put(std::string_view name, const Tensor& t) {
  // Tied tensors are listed under each of their names, as PyTorch does.
  if (t.defined()) weights_.add(joined(name), t.detach());
}

void TorchList::add(const Linear& layer) {
  put("weight", transpose(layer.w));
  put("bias", layer.b);
}

void TorchList::add(const Embedding& layer) { put("weight", layer.w); }

void TorchList::add(const LayerNorm& layer) {
  put("weight", layer.w);
  put("bias", layer.b);
}

void TorchList::add_cell(const RecurrentWeights& cell, const Tensor& b_hn, const std::string& suffix) {
  put("weight_ih" + suffix, transpose(cell.w_x));
  put("weight_hh" + suffix, transpose(cell.w_h));
  const Tensor b = cell.b.detach(), from_input = b.clone(), from_hidden = zeros(b.shape(), b.dtype());
  if (b_hn.defined()) slice(from_hidden, 0, b.size() - b_hn.size(), b.size()).assign(b_hn);
  put("bias_ih" + suffix, from_input);
  put("bias_hh" + suffix, from_hidden);
  biases_.push_back({b, b_hn.defined() ? b_hn.detach() : b_hn, from_input, from_hidden});
}

}  // namespace retrace::detail
