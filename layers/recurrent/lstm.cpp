#include "lstm.hpp"

namespace retrace {

RecurrentState LSTM::advance(Tensor projected, const State& state) const {
  const std::vector<Tensor> gates = gates_of(addmm(std::move(projected), state.h, w_h));
  const Tensor i = sigmoid(gates[0]), f = sigmoid(gates[1]), g = tanh(gates[2]),
               o = sigmoid(gates[3]);
  Tensor c = f * state.c + i * g;
  return {o * tanh(c), c};
}

}  // namespace retrace
