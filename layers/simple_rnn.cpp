#include "simple_rnn.hpp"

#include "recurrent_loop.hpp"

namespace retrace {

Tensor SimpleRNN::advance(Tensor projected, const Tensor& h) const {
  return tanh(addmm(std::move(projected), h, w_h));
}

template class Recurrent<SimpleRNN>;

}  // namespace retrace
