#pragma once

#include "optimizer.hpp"

/// The optimizers, as PyTorch 1.13 defines them in torch.optim. In the formulas g is the gradient
/// of a parameter w, t the number of its step, from 1, and all else is zero before the first.
/// Options must be finite and not negative, and what is marked so in [0, 1). The state is named as
/// PyTorch names it. As in PyTorch, an eps of 0 (or so small that the dtype has none) makes NaN of
/// an element without gradient, 0 / 0, and a g whose square the dtype does not hold, in f32 above
/// 1.8e19, makes the steps of its element 0 from then on (with a betas[1] or alpha of 0, which
/// remember nothing, that step alone): clip gradients that may be so large.
namespace retrace {

struct SGDOptions {
  double lr = 0.01;
  double momentum = 0;
  double dampening = 0;  ///< may be negative
  double weight_decay = 0;
  bool nesterov = false;  ///< needs momentum and no dampening
};
/// Stochastic gradient descent:
///
///     g += weight_decay w
///     v  = g at the parameter's first step, momentum v + (1 - dampening) g afterwards
///     g  = g + momentum v if nesterov, else v        (only with momentum)
///     w -= lr g
///
/// State with momentum: v, "momentum_buffer".
using SGD = OptimizerOf<SGDOptions>;

struct AdamOptions {
  double lr = 1e-3;
  std::array<double, 2> betas{0.9, 0.999};  ///< in [0, 1)
  double eps = 1e-8;
  double weight_decay = 0;
  bool amsgrad = false;
};
/// Adam (Kingma and Ba, arXiv:1412.6980; amsgrad: Reddi et al., arXiv:1904.09237):
///
///     g += weight_decay w
///     m  = beta1 m + (1 - beta1) g
///     v  = beta2 v + (1 - beta2) g^2
///     u  = max(u, v) if amsgrad, else v
///     w -= lr / (1 - beta1^t) m / (sqrt(u) / sqrt(1 - beta2^t) + eps)
///
/// State: m, "exp_avg"; v, "exp_avg_sq"; with amsgrad u, "max_exp_avg_sq".
using Adam = OptimizerOf<AdamOptions>;

struct AdamWOptions {
  double lr = 1e-3;
  std::array<double, 2> betas{0.9, 0.999};  ///< in [0, 1)
  double eps = 1e-8;
  double weight_decay = 0.01;
  bool amsgrad = false;
};
/// Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101). The first line is
///
///     w -= lr weight_decay w
using AdamW = OptimizerOf<AdamWOptions>;

struct RMSpropOptions {
  double lr = 0.01;
  double alpha = 0.99;  ///< in [0, 1)
  double eps = 1e-8;
  double weight_decay = 0;
  double momentum = 0;
  bool centered = false;
};
/// RMSprop (Hinton's lectures; centered: Graves, arXiv:1308.0850):
///
///     g += weight_decay w
///     v  = alpha v + (1 - alpha) g^2
///     a  = alpha a + (1 - alpha) g if centered, else 0
///     b  = momentum b + g / (sqrt(v - a^2) + eps)
///     w -= lr b
///
/// Where rounding would take v - a^2 below 0, as while g is constant, it is 0; PyTorch gives NaN.
/// State: v, "square_avg"; if centered a, "grad_avg"; with momentum b, "momentum_buffer".
using RMSprop = OptimizerOf<RMSpropOptions>;

struct AdagradOptions {
  double lr = 0.01;
  double lr_decay = 0;
  double weight_decay = 0;
  double initial_accumulator_value = 0;
  double eps = 1e-10;
};
/// Adagrad (Duchi, Hazan and Singer, JMLR 12, 2011):
///
///     g += weight_decay w
///     s  = g^2 + s, before the first step initial_accumulator_value
///     w -= lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)
///
/// State: s, "sum".
using Adagrad = OptimizerOf<AdagradOptions>;

/// The update rule of an optimizer of these options. Throws Error for options out of range.
UpdateRule rule_of(const SGDOptions& options);
UpdateRule rule_of(const AdamOptions& options);
UpdateRule rule_of(const AdamWOptions& options);
UpdateRule rule_of(const RMSpropOptions& options);
UpdateRule rule_of(const AdagradOptions& options);

}  // namespace retrace
