#include "algorithms.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <variant>

namespace retrace {

using detail::require_rates, detail::require_shares;

namespace {

using Constant = std::variant<std::false_type, std::true_type>;

/// Calls change(w, g, i, flags...) for each element, with weight_decay w added to the gradient g
/// and the flags as constants, since a loop that asks for them is not vectorised. The calls must be
/// independent of each other.
template <class T, class F, class... Flags>
void for_each(const Elements<T>& p, double weight_decay, const F& change, Flags... flags) {
  const auto loop = [&, decay = static_cast<T>(weight_decay)](auto... constants) {
    on_vector_unit([=, n = p.n, w = p.w, g = p.g](auto) RETRACE_INLINE {
      RETRACE_INDEPENDENT
      for (std::size_t i = 0; i < n; ++i) change(w[i], g[i] + decay * w[i], i, constants...);
    });
  };
  std::visit(loop, (flags ? Constant(std::true_type()) : std::false_type())...);
}

/// beta * before; for a beta of 0 that is 0, also if `before` is infinite.
template <class T>
T remembered(T beta, T before) {
  return beta > 0 ? beta * before : 0;
}

template <class Options>
UpdateRule adam_rule(const char* name, const Options& o, bool decoupled) {
  require_rates(name, {{"lr", o.lr}, {"eps", o.eps}, {"weight_decay", o.weight_decay}});
  require_shares(name, {{"betas[0]", o.betas[0]}, {"betas[1]", o.betas[1]}});
  const auto update = [o, decoupled]<class T>(const Elements<T>& p) {
    const auto t = static_cast<double>(p.step);
    const T beta1 = o.betas[0], fresh1 = 1 - o.betas[0], beta2 = o.betas[1],
            fresh2 = 1 - o.betas[1], eps = o.eps;
    const T rate = p.lr / (1 - std::pow(o.betas[0], t)),
            root = std::sqrt(1 - std::pow(o.betas[1], t));
    const T kept = decoupled ? 1 - p.lr * o.weight_decay : 1;
    T *m = p.state[0], *v = p.state[1], *u = p.state[2];
    const auto change = [=](T& w, T g, std::size_t i, auto amsgrad) RETRACE_INLINE {
      m[i] = beta1 * m[i] + fresh1 * g;
      v[i] = remembered(beta2, v[i]) + fresh2 * g * g;
      if (amsgrad) u[i] = std::max(u[i], v[i]);
      w = kept * w - rate * m[i] / (std::sqrt(amsgrad ? u[i] : v[i]) / root + eps);
    };
    for_each(p, decoupled ? 0 : o.weight_decay, change, o.amsgrad);
  };
  return {name,
          o.lr,
          {"exp_avg", "exp_avg_sq", o.amsgrad ? "max_exp_avg_sq" : nullptr},
          update,
          update};
}

}  // namespace

UpdateRule rule_of(const SGDOptions& o) {
  require_rates("SGD", {{"lr", o.lr}, {"momentum", o.momentum}, {"weight_decay", o.weight_decay}});
  require(std::isfinite(o.dampening), "SGD: dampening must be finite, got {}", o.dampening);
  require(!o.nesterov || (o.momentum > 0 && o.dampening == 0),
          "SGD: Nesterov needs momentum and no dampening, got momentum = {}, dampening = {}",
          o.momentum, o.dampening);
  const auto update = [o]<class T>(const Elements<T>& p) {
    const T lr = p.lr, momentum = o.momentum;
    const T kept = p.step == 1 ? 0 : momentum, fresh = p.step == 1 ? 1 : 1 - o.dampening;
    T* v = p.state[0];
    const auto change = [=](T& w, T g, std::size_t i, auto heavy, auto nesterov) RETRACE_INLINE {
      if (heavy) {
        v[i] = kept * v[i] + fresh * g;
        g = nesterov ? g + momentum * v[i] : v[i];
      }
      w -= lr * g;
    };
    for_each(p, o.weight_decay, change, o.momentum != 0, o.nesterov);
  };
  return {"SGD", o.lr, {o.momentum != 0 ? "momentum_buffer" : nullptr}, update, update};
}

UpdateRule rule_of(const AdamOptions& o) { return adam_rule("Adam", o, false); }
UpdateRule rule_of(const AdamWOptions& o) { return adam_rule("AdamW", o, true); }

UpdateRule rule_of(const RMSpropOptions& o) {
  require_rates(
      "RMSprop",
      {{"lr", o.lr}, {"eps", o.eps}, {"weight_decay", o.weight_decay}, {"momentum", o.momentum}});
  require_shares("RMSprop", {{"alpha", o.alpha}});
  const auto update = [o]<class T>(const Elements<T>& p) {
    const T lr = p.lr, alpha = o.alpha, fresh = 1 - o.alpha, eps = o.eps, momentum = o.momentum;
    T *v = p.state[0], *a = p.state[1], *b = p.state[2];
    const auto change = [=](T& w, T g, std::size_t i, auto centered, auto heavy) RETRACE_INLINE {
      v[i] = remembered(alpha, v[i]) + fresh * g * g;
      if (centered) a[i] = alpha * a[i] + fresh * g;
      // Rounding must not take v - a^2 below zero, nor squares beyond the dtype make it NaN.
      const T square = centered ? std::min(a[i] * a[i], std::numeric_limits<T>::max()) : 0;
      T step = g / (std::sqrt(std::max(v[i] - square, T(0))) + eps);
      if (heavy) step = b[i] = momentum * b[i] + step;
      w -= lr * step;
    };
    for_each(p, o.weight_decay, change, o.centered, o.momentum != 0);
  };
  const char *a = o.centered ? "grad_avg" : nullptr,
             *b = o.momentum != 0 ? "momentum_buffer" : nullptr;
  return {"RMSprop", o.lr, {"square_avg", a, b}, update, update};
}

UpdateRule rule_of(const AdagradOptions& o) {
  require_rates("Adagrad", {{"lr", o.lr},
                            {"lr_decay", o.lr_decay},
                            {"weight_decay", o.weight_decay},
                            {"eps", o.eps},
                            {"initial_accumulator_value", o.initial_accumulator_value}});
  const auto update = [o]<class T>(const Elements<T>& p) {
    const T rate = p.lr / (1 + static_cast<double>(p.step - 1) * o.lr_decay), eps = o.eps,
            before = p.step == 1 ? o.initial_accumulator_value : 0;
    T* s = p.state[0];
    const auto change = [=](T& w, T g, std::size_t i) RETRACE_INLINE {
      s[i] = before + s[i] + g * g;
      w -= rate * g / (std::sqrt(s[i]) + eps);
    };
    for_each(p, o.weight_decay, change);
  };
  return {"Adagrad", o.lr, {"sum"}, update, update};
}

}  // namespace retrace
