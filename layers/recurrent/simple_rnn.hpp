#pragma once

#include "recurrent.hpp"

namespace retrace {

/// The recurrent network of Elman (1990): h_t = tanh(x_t w_x + h_{t-1} w_h + b). Weights and bias
/// start uniform in +-1/sqrt(units), as in PyTorch.
class SimpleRNN : public Recurrent {
 public:
  SimpleRNN(std::int64_t features, std::int64_t units, const Generator& generator,
            RecurrentOptions options = {})
      : Recurrent({.name = "SimpleRNN"}, features, units, generator, options) {}

  State advance(Tensor projected, const State& state) const override;
};

}  // namespace retrace
