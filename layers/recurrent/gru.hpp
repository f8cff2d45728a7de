#pragma once

#include "recurrent.hpp"

namespace retrace {

/// The gated recurrent unit of Cho et al. (2014), with the reset gate after the product, as
/// PyTorch's nn.GRU has it:
///
///     r = sigmoid(x_t w_xr + b_r + h w_hr)             reset
///     z = sigmoid(x_t w_xz + b_z + h w_hz)             update
///     n = tanh(x_t w_xn + b_n + r * (h w_hn + b_hn))   new
///     h_t = (1 - z) * n + z * h
///
/// w_x = [w_xr w_xz w_xn], w_h and b likewise. All start uniform in +-1/sqrt(units), as in PyTorch.
class GRU : public Recurrent {
 public:
  GRU(std::int64_t features, std::int64_t units, const Generator& generator,
      RecurrentOptions options = {})
      : Recurrent({.name = "GRU", .gates = 3}, features, units, generator, options),
        b_hn(initial({units}, units, generator)) {}

  State advance(Tensor projected, const State& state) const override;

  void parts(auto& list) {
    Recurrent::parts(list);
    list("b_hn", b_hn);
  }

  Tensor b_hn;  ///< [units], which the reset gate multiplies, too
};

}  // namespace retrace
