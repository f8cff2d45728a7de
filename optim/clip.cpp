#include "clip.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace retrace {
namespace {

/// Calls f(parameter, its gradient) for all that have one.
void for_each_gradient(const Parameters& parameters, auto f) {
  for (const Parameter& p : parameters)
    if (const Tensor g = p.value.grad(); g.defined()) detail::named("clip", [&] { f(p.value, g); });
}
/// Calls f(elements as a span of their type) for each gradient.
struct EachOf {
  const Parameters& parameters;

  void operator()(auto f) const {
    for_each_gradient(parameters, [f](const Tensor&, const Tensor& gradient) {
      visit_float(gradient.dtype(), [&, g = detail::dense(gradient)]<class T>(T) {
        f(std::span(g.data<T>(), static_cast<std::size_t>(g.size())));
      });
    });
  }
};
/// The same for a recorded step.
struct EachRecorded {
  struct Gradient {
    DType dtype;
    std::byte* elements;
    std::size_t size;
  };
  std::vector<Gradient> gradients;

  void operator()(auto f) const {
    for (const auto& [dtype, elements, size] : gradients)
      visit_float(dtype, [&, at = elements, n = size]<class T>(T) {
        f(std::span(reinterpret_cast<T*>(at), n));
      });
  }
};

/// The gradients are to be changed in place: those of which somebody else sees the elements are
/// replaced by copies, all of which are there before the first takes its place.
void own_gradients(const Parameters& parameters) {
  std::vector<std::pair<Tensor, Tensor>> copies;
  for_each_gradient(parameters, [&](const Tensor& w, const Tensor& g) {
    detail::require_float(g);
    // Two handles: the parameter's and g.
    const bool shared = g.node().handles > 2 || g.node().storage->users() > 1;
    if (shared || !g.is_contiguous()) copies.emplace_back(w, detail::row_major_copy(g));
  });
  for (auto& [w, copy] : copies) w.set_grad(std::move(copy));
  for_each_gradient(parameters,
                    [](const Tensor&, const Tensor& g) { g.node().storage->changed(); });
}

/// Calls work(each) with each of the gradients, which it may change; while a step is recorded, in a
/// kernel. They are our own by then.
void launch_on_gradients(const char* name, const Parameters& parameters, auto work,
                         std::vector<Tensor> outputs = {}) {
  if (!detail::this_thread.recorder) return work(EachOf{parameters});
  EachRecorded each;
  for_each_gradient(parameters, [&](const Tensor&, const Tensor& g) {
    outputs.push_back(g);
    each.gradients.push_back({g.dtype(), g.bytes(), static_cast<std::size_t>(g.size())});
  });
  launch(name, outputs, [each, work] { work(each); });
}

/// The sum of (scale g)^2 over all gradients in f64, as 256 running sums, so that the order is the
/// same on every vector unit.
double sum_of_squares(const auto& each, double scale) {
  std::array<double, 256> sums{};
  each([&](auto all) {
    on_vector_unit([&sums, scale, all](auto) RETRACE_INLINE {
      for (std::size_t at = 0; at < all.size(); at += sums.size())
        for (std::size_t i = 0; i < std::min(sums.size(), all.size() - at); ++i)
          sums[i] += scale * all[at + i] * (scale * all[at + i]);
    });
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

void change(const auto& each, auto f) {
  each([f]<class T>(std::span<T> all) {
    on_vector_unit([f, all](auto) RETRACE_INLINE {
      for (T& x : all) x = static_cast<T>(f(x));
    });
  });
}

/// The norm of gradients, and how they are scaled to clip it.
struct Clipping {
  double norm, scale = 1, ratio;

  Clipping(const auto& each, double max_norm) {
    double squares = sum_of_squares(each, scale);
    // Beyond the range of f64: again, of gradients nearer to 1.
    if (squares < 0x1p-900 || std::isinf(squares)) {
      scale = squares < 1 ? 0x1p600 : 0x1p-600;
      squares = sum_of_squares(each, scale);
    }
    norm = std::sqrt(squares);
    ratio = max_norm / (norm + scale * 1e-6);
    norm /= scale;
  }
  bool changes() const { return std::isnan(ratio * scale) || ratio * scale < 1; }
  void apply(const auto& each) const {
    change(each, [*this](auto g) RETRACE_INLINE { return g * scale * ratio; });
  }
};

}  // namespace

GradientNorm clip_grad_norm(const Parameters& parameters, double max_norm) {
  require(max_norm >= 0, "clip_grad_norm: max_norm must not be negative, got {}", max_norm);
  if (detail::this_thread.recorder) {  // whether a replay will change them is not known
    own_gradients(parameters);
    const Tensor norm = empty({}, f64);
    const auto clip = [max_norm, to = norm.data<double>()](const auto& each) {
      const Clipping clipping(each, max_norm);
      *to = clipping.norm;
      if (clipping.changes()) clipping.apply(each);
    };
    launch_on_gradients("clip_grad_norm", parameters, clip, {norm});
    return GradientNorm(norm);
  }
  const Clipping clipping(EachOf{parameters}, max_norm);
  if (clipping.changes()) {
    own_gradients(parameters);
    clipping.apply(EachOf{parameters});
  }
  return GradientNorm(clipping.norm);
}

void clip_grad_value(const Parameters& parameters, double limit) {
  require(limit >= 0, "clip_grad_value: the limit must not be negative, got {}", limit);
  own_gradients(parameters);
  launch_on_gradients("clip_grad_value", parameters, [limit](const auto& each) {
    change(each, [=]<class T>(T g) RETRACE_INLINE {
      return std::clamp(g, static_cast<T>(-limit), static_cast<T>(limit));
    });
  });
}

}  // namespace retrace
