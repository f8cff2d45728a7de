#include "gru.hpp"

#include "recurrent_loop.hpp"

namespace retrace {

Tensor GRU::advance(const Tensor& projected, const Tensor& h) const {
  const std::vector<Tensor> x = detail::split_columns(projected, 3),
                            s = detail::split_columns(matmul(h, w_h), 3);
  const Tensor r = sigmoid(x[0] + s[0]), z = sigmoid(x[1] + s[1]);
  const Tensor n = tanh(x[2] + r * (s[2] + b_hn));
  return n + z * (h - n);
}

template class Recurrent<GRU>;

}  // namespace retrace
