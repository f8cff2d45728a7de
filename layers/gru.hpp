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
class GRU : public Recurrent<GRU> {
 public:
  GRU(std::int64_t features, std::int64_t units, const Generator& generator,
      RecurrentOptions options = {})
      : Recurrent("GRU", 3, features, units, generator, options),
        b_hn(initial({units}, units, generator)) {}

  /// One step: projected [batch, 3 * units] and the state [batch, units] -> the next state.
  Tensor advance(const Tensor& projected, const Tensor& h) const;

  void parts(auto& list) {
    Recurrent::parts(list);
    list("b_hn", b_hn);
  }

  Tensor b_hn;  ///< [units], within the reach of the reset gate
};
extern template class Recurrent<GRU>;

}  // namespace retrace
