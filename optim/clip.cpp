#include "clip.hpp"

#include <cmath>

namespace retrace {

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
  if (factor < 1) {
    std::vector<std::pair<Tensor, Tensor>> scaled;  // all of them before the first changes hands
    for (const Parameter& p : parameters)
      if (const Tensor g = p.value.grad(); g.defined()) scaled.emplace_back(p.value, g * factor);
    for (auto& [parameter, g] : scaled) parameter.set_grad(std::move(g));
  }
  return norm;
}

}  // namespace retrace
