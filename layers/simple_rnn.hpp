#pragma once

#include "recurrent.hpp"

namespace retrace {

/// The recurrent network of Elman (1990): h_t = tanh(x_t w_x + h_{t-1} w_h + b). Weights and bias
/// start uniform in
/// +-1/sqrt(units), as in PyTorch.
class SimpleRNN : public Recurrent<SimpleRNN> {
 public:
  SimpleRNN(std::int64_t features, std::int64_t units, const Generator& generator,
            RecurrentOptions options = {})
      : Recurrent("SimpleRNN", 1, features, units, generator, options) {}

  /// One step: projected [batch, units] and the state [batch, units] -> the next state.
  Tensor advance(Tensor projected, const Tensor& h) const;
};
extern template class Recurrent<SimpleRNN>;

}  // namespace retrace
