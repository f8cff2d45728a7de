#include "simple_rnn.hpp"

#include "recurrent_loop.hpp"

namespace retrace {

SimpleRNN::SimpleRNN(std::int64_t features, std::int64_t units, const Generator& generator, RecurrentOptions options)
    : Recurrent("SimpleRNN", 1, features, units, generator, options) {}

Tensor SimpleRNN::advance(Tensor projected, const Tensor& h) const { return tanh(addmm(std::move(projected), h, w_h)); }

template class Recurrent<SimpleRNN>;

}  // namespace retrace
