#include "clip.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace retrace {
namespace {

/// The sum of (scale g)^2 in f64, by halves so that the rounding error grows with the logarithm of n, and in an order
/// that no vector unit changes.
template <class T>
double sum_of_squares(const T* g, std::size_t n, double scale) {
  constexpr std::size_t lanes = 16, few = 4096;
  if (n > few) {
    const std::size_t half = n / 2 / lanes * lanes;
    return sum_of_squares(g, half, scale) + sum_of_squares(g + half, n - half, scale);
  }
  double total = 0;
  on_vector_unit([=, &total](auto) RETRACE_INLINE {
    double sums[lanes] = {};
    const auto square = [=](std::size_t i) RETRACE_INLINE {
      const double v = scale * static_cast<double>(g[i]);
      return v * v;
    };
    std::size_t i = 0;
    for (; i + lanes <= n; i += lanes)
      for (std::size_t lane = 0; lane < lanes; ++lane) sums[lane] += square(i + lane);
    for (; i < n; ++i) sums[i % lanes] += square(i);
    for (const double sum : sums) total += sum;
  });
  return total;
}
/// The same of all gradients.
double sum_of_squares(const Parameters& parameters, double scale) {
  double sum = 0;
  for (const Parameter& p : parameters)
    if (const Tensor given = p.value.grad(); given.defined()) {
      const Tensor g = detail::dense(given);
      visit_float("clip_grad_norm", g.dtype(),
                  [&]<class T>(T) { sum += sum_of_squares(g.data<T>(), static_cast<std::size_t>(g.size()), scale); });
    }
  return sum;
}

/// Makes f(g) each element g of the gradients: in place, or in a copy where somebody else sees the elements. All
/// copies are there before the first value changes.
template <class F>
void change_gradients(const Parameters& parameters, const F& f) {
  for (const Parameter& p : parameters) {
    const Tensor g = p.value.grad();
    if (!g.defined()) continue;
    const detail::Node& n = g.node();
    const bool shared = n.handles > 2 || !n.storage->unique();  // two handles: the parameter's and g
    if (shared || !g.is_contiguous()) Tensor(p.value).set_grad(detail::row_major_copy(g));
  }
  for (const Parameter& p : parameters) {
    Tensor g = p.value.grad();
    if (!g.defined()) continue;
    visit_float("clip", g.dtype(), [&]<class T>(T) {
      const std::span<T> elements = g.mutable_span<T>();
      on_vector_unit([f, elements](auto) RETRACE_INLINE {
        for (T& x : elements) x = f(x);
      });
    });
  }
}

}  // namespace

double clip_grad_norm(const Parameters& parameters, double max_norm) {
  require(max_norm >= 0, "clip_grad_norm: the limit must not be negative, got {}", max_norm);
  double scale = 1, squares = sum_of_squares(parameters, scale);
  // Squares that leave the range of f64 are taken again of gradients brought nearer to 1.
  if (squares < 0x1p-900 || squares == std::numeric_limits<double>::infinity()) {
    scale = squares < 1 ? 0x1p600 : 0x1p-600;
    squares = sum_of_squares(parameters, scale);
  }
  const double norm = std::sqrt(squares), ratio = max_norm / (norm + scale * 1e-6), factor = ratio * scale;
  if (std::isnan(factor) || factor < 1)
    change_gradients(parameters, [=]<class T>(T g) RETRACE_INLINE { return static_cast<T>(g * scale * ratio); });
  return norm / scale;
}

void clip_grad_value(const Parameters& parameters, double limit) {
  require(limit >= 0, "clip_grad_value: the limit must not be negative, got {}", limit);
  change_gradients(parameters, [=]<class T>(T g) RETRACE_INLINE {
    return std::clamp(g, static_cast<T>(-limit), static_cast<T>(limit));
  });
}

}  // namespace retrace
