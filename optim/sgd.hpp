#pragma once

#include <retrace/core.hpp>

namespace retrace {

struct SGDOptions {
  double lr = 0.01;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;
  bool nesterov = false;
};

/// Stochastic gradient descent as PyTorch's torch.optim.SGD defines it. For a parameter w with gradient g:
///
///     g += weight_decay w
///     v  = g at the parameter's first step, momentum v + (1 - dampening) g afterwards
///     g  = g + momentum v if nesterov, else v        (only with momentum)
///     w -= lr g
///
/// Parameters without a gradient, and those that require none, are left alone.
class SGD {
 public:
  /// An Error for no trained parameter, one that was computed, a negative or non-finite rate, or Nesterov without
  /// momentum or with dampening.
  explicit SGD(const Parameters& parameters, SGDOptions options = {});

  /// Changes every parameter by its gradient.
  void step();
  /// Forgets the gradients, as is due before the next backward.
  void zero_grad() const { parameters_.zero_grad(); }

  double lr() const { return options_.lr; }
  void set_lr(double lr);
  /// The velocities, named like the parameters they belong to: what is saved and loaded to go on training. Before the
  /// first step of a parameter its velocity is not listed; `state(true)` makes all of them, zero, to be loaded into.
  Parameters state(bool all = false);

 private:
  Parameters parameters_;
  SGDOptions options_;
  std::vector<Tensor> velocities_;  // one for each parameter, undefined before its first step
};

}  // namespace retrace
