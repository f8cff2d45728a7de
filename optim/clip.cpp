#include "clip.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace retrace {
namespace {

/// Calls f(parameter, its gradient, a zero of its type) for all that have a gradient.
void for_each_gradient(const Parameters& parameters, auto f) {
  for (const Parameter& p : parameters)
    if (Tensor g = p.value.grad(); g.defined())
      detail::named("clip",
                    [&] { visit_float(g.dtype(), [&](auto zero) { f(p.value, g, zero); }); });
}

/// The sum of (scale g)^2 over all gradients in f64, as 256 running sums, so that the order is the
/// same on every vector unit.
double sum_of_squares(const Parameters& parameters, double scale) {
  std::array<double, 256> sums{};
  for_each_gradient(parameters, [&]<class T>(const Tensor&, const Tensor& given, T) {
    const Tensor g = detail::dense(given);
    on_vector_unit([&sums, scale, all = g.span<T>()](auto) RETRACE_INLINE {
      for (std::size_t at = 0; at < all.size(); at += sums.size())
        for (std::size_t i = 0; i < std::min(sums.size(), all.size() - at); ++i)
          sums[i] += scale * all[at + i] * (scale * all[at + i]);
    });
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

/// Puts f(g) for each element g of the gradients: in place, or in a copy where somebody else sees
/// the elements. All copies are made before the first gradient changes.
template <class F>
void change_gradients(const Parameters& parameters, F f) {
  std::vector<std::pair<Tensor, Tensor>> copies;
  for_each_gradient(parameters, [&](const Tensor& w, const Tensor& g, auto) {
    const detail::Node& n = g.node();
    // Two handles: the parameter's and g.
    const bool shared = n.handles > 2 || !n.storage->unique();
    if (shared || !g.is_contiguous()) copies.emplace_back(w, detail::row_major_copy(g));
  });
  for (auto& [w, copy] : copies) w.set_grad(std::move(copy));
  for_each_gradient(parameters, [f]<class T>(const Tensor&, Tensor& g, T) {
    on_vector_unit([f, all = g.mutable_span<T>()](auto) RETRACE_INLINE {
      for (T& x : all) x = static_cast<T>(f(x));
    });
  });
}

}  // namespace

double clip_grad_norm(const Parameters& parameters, double max_norm) {
  require(max_norm >= 0, "clip_grad_norm: max_norm must not be negative, got {}", max_norm);
  double scale = 1, squares = sum_of_squares(parameters, scale);
  // Beyond the range of f64: again, of gradients nearer to 1.
  if (squares < 0x1p-900 || std::isinf(squares)) {
    scale = squares < 1 ? 0x1p600 : 0x1p-600;
    squares = sum_of_squares(parameters, scale);
  }
  const double norm = std::sqrt(squares), ratio = max_norm / (norm + scale * 1e-6),
               factor = ratio * scale;
  if (std::isnan(factor) || factor < 1)
    change_gradients(parameters, [=](auto g) RETRACE_INLINE { return g * scale * ratio; });
  return norm / scale;
}

void clip_grad_value(const Parameters& parameters, double limit) {
  require(limit >= 0, "clip_grad_value: the limit must not be negative, got {}", limit);
  change_gradients(parameters, [=]<class T>(T g) RETRACE_INLINE {
    return std::clamp(g, static_cast<T>(-limit), static_cast<T>(limit));
  });
}

}  // namespace retrace
