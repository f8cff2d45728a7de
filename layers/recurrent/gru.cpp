#include "gru.hpp"

namespace retrace {

RecurrentState GRU::advance(Tensor projected, const State& state) const {
  const std::vector<Tensor> x = gates_of(projected), s = gates_of(matmul(state.h, w_h));
  const Tensor r = sigmoid(x[0] + s[0]), z = sigmoid(x[1] + s[1]);
  const Tensor n = tanh(x[2] + r * (s[2] + b_hn));
  return n + z * (state.h - n);
}

}  // namespace retrace
