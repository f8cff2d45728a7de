#pragma once

#include <retrace/core.hpp>

namespace retrace {

struct SimpleRNNOptions {
  bool last_only = false;  ///< return the last state [batch, units] instead of all of them
  DType dtype = f32;
};

/// What a recurrent layer returns together with its state.
struct Recurrence {
  Tensor y;      ///< all states [batch, steps, units], or the last one
  Tensor state;  ///< the last state [batch, units]
};

/// The recurrent network of Elman (1990): h_t = tanh(x_t w_x + h_{t-1} w_h + b). Backpropagation through time is what
/// generic backprop makes of these nodes.
class SimpleRNN {
 public:
  /// Weights and bias uniform in +-1/sqrt(units), as PyTorch's nn.RNN starts (whose two biases are one here).
  SimpleRNN(std::int64_t features, std::int64_t units, const Generator& generator, SimpleRNNOptions options = {});

  /// x [batch, steps, features], from a state of zeros.
  Tensor operator()(const Tensor& x) const { return (*this)(x, Tensor()).y; }
  /// The same from a given state [batch, units] (undefined: zeros). For truncated backpropagation through time detach
  /// the returned state before it is carried into the next chunk.
  Recurrence operator()(const Tensor& x, const Tensor& state) const;
  /// One step: x_t [batch, features], h [batch, units] -> [batch, units].
  Tensor step(const Tensor& x_t, const Tensor& h) const;

  /// The share of the input in what tanh is taken of, x w_x + b: for all steps in one product.
  Tensor project(const Tensor& x) const { return addmm(b, x, w_x); }
  /// A step from the projected input.
  Tensor advance(Tensor projected, const Tensor& h) const { return tanh(addmm(std::move(projected), h, w_h)); }

  void parts(auto& list) {
    list("w_x", w_x);
    list("w_h", w_h);
    list("b", b);
  }

  Tensor w_x;  ///< [features, units]
  Tensor w_h;  ///< [units, units]
  Tensor b;    ///< [units]

 private:
  bool last_only_;
};

}  // namespace retrace
