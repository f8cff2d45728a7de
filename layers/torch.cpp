#include "torch.hpp"

namespace retrace::detail {

void TorchList::merge_biases() const {
  for (const Biases& part : biases_) {
    const auto add_up = [&]<class T>(T) {
      const std::span<T> sum = Tensor(part.from_input).mutable_span<T>();
      const std::span<const T> more = part.from_hidden.span<T>();
      const std::size_t apart =
          part.b_hn.defined() ? static_cast<std::size_t>(part.b_hn.size()) : 0;
      for (std::size_t i = 0; i < sum.size() - apart; ++i) sum[i] += more[i];
    };
    named("load_torch", [&] { visit_float(part.b.dtype(), add_up); });
    part.b.assign(part.from_input);
    if (part.b_hn.defined()) part.b_hn.assign(part.hidden_n);
  }
}

void TorchList::add_cell(const Recurrent& cell, const Tensor& b_hn, const std::string& suffix) {
  require(cell.reversed() == suffix.ends_with("_reverse"),
          "tensor '{}': PyTorch has reverse = true in the second half of a bidirectional layer, "
          "and only there",
          full("weight_ih" + suffix));
  put("weight_ih" + suffix, transpose(cell.w_x));
  put("weight_hh" + suffix, transpose(cell.w_h));
  const Tensor b = cell.b.detach(), from_input = b.clone(),
               from_hidden = zeros(b.shape(), b.dtype());
  Tensor hidden_n;
  if (b_hn.defined()) {
    hidden_n = slice(from_hidden, 0, b.size() - b_hn.size(), b.size());
    hidden_n.assign(b_hn);
  }
  put("bias_ih" + suffix, from_input);
  put("bias_hh" + suffix, from_hidden);
  biases_.push_back({b, b_hn.detach(), from_input, from_hidden, hidden_n});
}

}  // namespace retrace::detail
