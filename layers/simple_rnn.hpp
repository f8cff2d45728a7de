#pragma once

#include "recurrent.hpp"

namespace retrace {

/// The recurrent network of Elman (1990): h_t = tanh(x_t w_x + h_{t-1} w_h + b).
class SimpleRNN : public Recurrent<SimpleRNN> {
 public:
  SimpleRNN(std::int64_t features, std::int64_t units, const Generator& generator, RecurrentOptions options = {});

  Tensor advance(Tensor projected, const Tensor& h) const;
};
extern template class Recurrent<SimpleRNN>;

}  // namespace retrace
