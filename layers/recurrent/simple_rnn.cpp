#include "simple_rnn.hpp"

namespace retrace {

RecurrentState SimpleRNN::advance(Tensor projected, const State& state) const {
  return tanh(addmm(std::move(projected), state.h, w_h));
}

}  // namespace retrace
