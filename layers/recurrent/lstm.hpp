#pragma once

#include "recurrent.hpp"

namespace retrace {

/// What an LSTM carries from step to step: h and c.
using LSTMState = RecurrentState;

/// The long short-term memory of Hochreiter and Schmidhuber (1997) with the forget gate of Gers et
/// al. (2000), as PyTorch's nn.LSTM has it:
///
///     i = sigmoid(x_t w_xi + h w_hi + b_i)   input
///     f = sigmoid(x_t w_xf + h w_hf + b_f)   forget
///     g = tanh(x_t w_xg + h w_hg + b_g)      what goes into the cell
///     o = sigmoid(x_t w_xo + h w_ho + b_o)   output
///     c_t = f * c + i * g
///     h_t = o * tanh(c_t)
///
/// w_x = [w_xi w_xf w_xg w_xo], w_h and b likewise. All start uniform in +-1/sqrt(units), as in
/// PyTorch. `const auto [y, state] = lstm(x, state_before);`
class LSTM : public Recurrent {
 public:
  LSTM(std::int64_t features, std::int64_t units, const Generator& generator,
       RecurrentOptions options = {})
      : Recurrent({.name = "LSTM", .gates = 4, .has_c = true}, features, units, generator,
                  options) {}

  State advance(Tensor projected, const State& state) const override;
};

}  // namespace retrace
