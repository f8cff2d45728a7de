#include "lstm.hpp"

#include "recurrent_loop.hpp"

namespace retrace {

LSTMState LSTM::advance(Tensor projected, const LSTMState& state) const {
  const std::vector<Tensor> gates =
      detail::split_columns(addmm(std::move(projected), state.h, w_h), 4);
  const Tensor i = sigmoid(gates[0]), f = sigmoid(gates[1]), g = tanh(gates[2]),
               o = sigmoid(gates[3]);
  Tensor c = f * state.c + i * g;
  return {o * tanh(c), c};
}

template class Recurrent<LSTM, LSTMState>;

}  // namespace retrace
