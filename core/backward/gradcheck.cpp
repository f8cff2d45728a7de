#include "gradcheck.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <ostream>

#include "../ops/ops.hpp"

namespace retrace {
namespace {

using Tensors = std::vector<Tensor>;

struct Check {
  const char* op;
  const GradcheckOptions& options;
  GradcheckReport report = {};

  /// Compares the gradients of the scalar function `value` at `xs` with differences.
  template <class Value>
  void against_differences(const char* order, const Tensors& xs, const Tensors& gradients,
                           Value value) {
    for (std::size_t k = 0; k < xs.size(); ++k) {
      Tensor x = xs[k];
      const std::vector<double> given = gradients[k].to_vector<double>();
      std::vector<double> differences;
      for (std::size_t i = 0; i < given.size(); ++i) {
        const double at = x.span<double>()[i], h = options.step;
        const auto moved = [&](double by) {
          x.mutable_span<double>()[i] = at + by;
          const double v = value();
          x.mutable_span<double>()[i] = at;
          return v;
        };
        const double near = moved(h) - moved(-h), far = moved(2 * h) - moved(-2 * h);
        differences.push_back((8 * near - far) / (12 * h));
      }
      compare(order, "differences give", k, x.shape(), given, differences, options.tolerance);
    }
  }

  /// Compares the same gradients, computed in two ways.
  void against_each_other(const char* way, const Tensors& one, const Tensors& other) {
    for (std::size_t k = 0; k < one.size(); ++k)
      compare("first order", way, k, one[k].shape(), one[k].to_vector<double>(),
              other[k].to_vector<double>(), 1e-12);
  }

  void compare(const char* order, const char* other, std::size_t input, const Shape& shape,
               const std::vector<double>& a, const std::vector<double>& b, double tolerance) {
    double scale = 1e-3;
    for (std::size_t i = 0; i < a.size(); ++i)
      scale = std::max({scale, std::abs(a[i]), std::abs(b[i])});
    for (std::size_t i = 0; i < a.size(); ++i) {
      const double difference = std::abs(a[i] - b[i]) / scale;
      const double error =
          std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference;
      if (error > tolerance && (report.ok || error > report.worst)) {
        report.ok = false;
        report.text = fmt::format(
            "gradcheck of '{}', {}: input {} {}, element {}: the gradient is {}, {} {} (relative "
            "difference {:.2e})",
            op, order, input, shape, i, a[i], other, b[i], error);
      }
      report.worst = std::max(report.worst, error);
    }
  }
};

}  // namespace

GradcheckReport detail::gradcheck(const TensorFunction& f, std::span<const Tensor> inputs,
                                  const GradcheckOptions& options) {
  require(
      options.step > 0 && options.tolerance >= 0 && std::isfinite(options.step + options.tolerance),
      "gradcheck: expected a finite step above 0 and a finite tolerance, not negative, got {} "
      "and {}",
      options.step, options.tolerance);
  // `leaves` are copies, so that the caller's tensors are not written to; `xs` are those varied.
  Tensors leaves, xs;
  for (const Tensor& x : inputs) {
    leaves.push_back(x.detach().clone().requires_grad(x.dtype() == f64));
    if (x.dtype() == f64) xs.push_back(leaves.back());
  }
  require(!xs.empty(), "gradcheck: expected one f64 input or more among {}", inputs.size());
  const Tensor y = f(leaves);
  require(y.dtype() == f64, "gradcheck: '{}' returns {}, expected f64", y.op(), y.dtype());
  Check check{y.op(), options};
  if (!y.requires_grad()) {
    check.report.ok = false;
    check.report.text = fmt::format(
        "gradcheck of '{}': the result {} does not depend on the inputs", y.op(), y.shape());
    return check.report;
  }
  const Generator generator(options.seed);
  Tensor v = uniform(y.shape(), -1, 1, generator, f64);
  const auto gradients = [&](bool create_graph) {
    return grad(f(leaves), xs,
                {.cotangent = v, .create_graph = create_graph, .allow_unused = true});
  };

  const Tensors plain = gradients(false);
  check.against_differences("first order", xs, plain,
                            [&] { return no_grad([&] { return sum(f(leaves) * v).item(); }); });
  check.against_each_other("with create_graph it is", plain, gradients(true));
  f(leaves).backward(v);
  Tensors accumulated;
  for (const Tensor& x : xs) {
    accumulated.push_back(x.grad().defined() ? x.grad() : zeros(x.shape(), f64));
    x.zero_grad();
  }
  check.against_each_other("backward leaves", plain, accumulated);
  if (!options.second_order || !check.report.ok) return check.report;

  // The cotangent is an input of the gradient like the others.
  Tensors all = xs, weights;
  all.push_back(v.requires_grad(true));
  for (const Tensor& x : xs) weights.push_back(uniform(x.shape(), -1, 1, generator, f64));
  const auto weighted = [&](const Tensors& first) {
    Tensor s = zeros({}, f64);
    for (std::size_t i = 0; i < xs.size(); ++i) s = s + sum(first[i] * weights[i]);
    return s;
  };
  check.against_differences(
      "second order (the last input is the cotangent)", all,
      grad(gradients(true), all, {.cotangent = weights, .allow_unused = true}),
      [&] { return weighted(gradients(false)).item(); });
  return check.report;
}

std::ostream& operator<<(std::ostream& out, const GradcheckReport& report) {
  return out << (report.ok ? fmt::format("gradients agree to {:.1e}", report.worst) : report.text);
}

}  // namespace retrace
