#include "clip.hpp"

#include <cmath>

namespace retrace {
namespace {

/// Makes f(g) the gradient in place of g; all of them are there before the first changes hands.
template <class F>
void replace_gradients(const Parameters& parameters, F f) {
  std::vector<std::pair<Tensor, Tensor>> replaced;
  for (const Parameter& p : parameters)
    if (const Tensor g = p.value.grad(); g.defined()) replaced.emplace_back(p.value, f(g));
  for (auto& [parameter, g] : replaced) parameter.set_grad(std::move(g));
}

}  // namespace

double clip_grad_norm(const Parameters& parameters, double max_norm) {
  require(max_norm >= 0, "clip_grad_norm: the limit must not be negative, got {}", max_norm);
  NoGrad scope;
  double squares = 0;
  for (const Parameter& p : parameters)
    if (Tensor g = p.value.grad(); g.defined()) {
      g = g.to(f64);
      squares += sum(g * g).item();
    }
  const double norm = std::sqrt(squares), factor = max_norm / (norm + 1e-6);
  if (std::isnan(factor) || factor < 1) replace_gradients(parameters, [&](const Tensor& g) { return g * factor; });
  return norm;
}

void clip_grad_value(const Parameters& parameters, double limit) {
  require(limit >= 0, "clip_grad_value: the limit must not be negative, got {}", limit);
  NoGrad scope;
  replace_gradients(parameters, [&](const Tensor& g) { return clamp(g, -limit, limit); });
}

}  // namespace retrace
