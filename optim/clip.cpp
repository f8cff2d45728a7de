#include "clip.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace retrace {
namespace {

/// The elements of a gradient.
struct Gradient {
  DType dtype;
  std::byte* elements;
  std::int64_t size;

  /// Calls f(elements as a span of their type).
  void visit(auto f) const {
    visit_float(dtype, [&]<class T>(T) {
      f(std::span(reinterpret_cast<T*>(elements), static_cast<std::size_t>(size)));
    });
  }
};

/// The gradients of all parameters that have one.
std::vector<Tensor> gradients_of(const Parameters& parameters) {
  std::vector<Tensor> list;
  for (const Parameter& p : parameters)
    if (Tensor g = p.value.grad(); g.defined()) {
      detail::named("clip", [&] { detail::require_float(g); });
      list.push_back(std::move(g));
    }
  return list;
}
std::vector<Gradient> elements_of(std::span<const Tensor> gradients) {
  std::vector<Gradient> list;
  for (const Tensor& g : gradients) list.push_back({g.dtype(), g.bytes(), g.size()});
  return list;
}

/// The gradients, to be changed in place: those of which somebody else sees the elements are first
/// replaced by copies, all of which are there before the first takes its place.
std::vector<Tensor> own_gradients(const Parameters& parameters) {
  std::vector<std::pair<Tensor, Tensor>> copies;
  for (const Parameter& p : parameters)
    if (const Tensor g = p.value.grad(); g.defined()) {
      const detail::Node& n = g.node();
      // Two handles: the parameter's and g.
      const bool shared = n.handles > 2 || n.storage->users() > 1;
      if (shared || !g.is_contiguous()) copies.emplace_back(p.value, detail::row_major_copy(g));
    }
  for (auto& [w, copy] : copies) w.set_grad(std::move(copy));
  std::vector<Tensor> list = gradients_of(parameters);
  for (const Tensor& g : list) g.node().storage->changed();
  return list;
}

/// The sum of (scale g)^2 over all gradients in f64, as 256 running sums, so that the order is the
/// same on every vector unit.
double sum_of_squares(std::span<const Gradient> gradients, double scale) {
  std::array<double, 256> sums{};
  for (const Gradient& gradient : gradients)
    gradient.visit([&](auto all) {
      on_vector_unit([&sums, scale, all](auto) RETRACE_INLINE {
        for (std::size_t at = 0; at < all.size(); at += sums.size())
          for (std::size_t i = 0; i < std::min(sums.size(), all.size() - at); ++i)
            sums[i] += scale * all[at + i] * (scale * all[at + i]);
      });
    });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

template <class F>
void change(std::span<const Gradient> gradients, F f) {
  for (const Gradient& gradient : gradients)
    gradient.visit([&]<class T>(std::span<T> all) {
      on_vector_unit([f, all](auto) RETRACE_INLINE {
        for (T& x : all) x = static_cast<T>(f(x));
      });
    });
}

/// A norm, and how gradients are scaled to clip it.
struct Clipping {
  double norm, scale, ratio;

  Clipping(std::span<const Gradient> gradients, double max_norm) : scale(1) {
    double squares = sum_of_squares(gradients, scale);
    // Beyond the range of f64: again, of gradients nearer to 1.
    if (squares < 0x1p-900 || std::isinf(squares)) {
      scale = squares < 1 ? 0x1p600 : 0x1p-600;
      squares = sum_of_squares(gradients, scale);
    }
    norm = std::sqrt(squares);
    ratio = max_norm / (norm + scale * 1e-6);
    norm /= scale;
  }
  bool changes() const { return std::isnan(ratio * scale) || ratio * scale < 1; }
  void apply(std::span<const Gradient> gradients) const {
    change(gradients, [*this](auto g) RETRACE_INLINE { return g * scale * ratio; });
  }
};

}  // namespace

GradientNorm clip_grad_norm(const Parameters& parameters, double max_norm) {
  require(max_norm >= 0, "clip_grad_norm: max_norm must not be negative, got {}", max_norm);
  if (detail::this_thread.recorder) {  // whether a replay changes them is not known
    const std::vector<Tensor> own = own_gradients(parameters);
    launch("clip_grad_norm", own, [max_norm, list = elements_of(own)] {
      if (const Clipping clipping(list, max_norm); clipping.changes()) clipping.apply(list);
    });
    return {};
  }
  std::vector<Tensor> gradients = gradients_of(parameters);
  for (Tensor& g : gradients) g = detail::dense(std::move(g));
  const Clipping clipping(elements_of(gradients), max_norm);
  gradients.clear();  // so that they are seen from nowhere else
  if (clipping.changes()) clipping.apply(elements_of(own_gradients(parameters)));
  return GradientNorm(clipping.norm);
}

void clip_grad_value(const Parameters& parameters, double limit) {
  require(limit >= 0, "clip_grad_value: the limit must not be negative, got {}", limit);
  const std::vector<Tensor> own = own_gradients(parameters);
  launch("clip_grad_value", own, [limit, list = elements_of(own)] {
    change(list, [=]<class T>(T g) RETRACE_INLINE {
      return std::clamp(g, static_cast<T>(-limit), static_cast<T>(limit));
    });
  });
}

}  // namespace retrace
