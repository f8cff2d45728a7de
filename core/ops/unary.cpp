#include <cmath>
#include <functional>

#include "../kernels/vector_math.hpp"
#include "elementwise.hpp"
#include "ops.hpp"

namespace retrace {
namespace {

template <class Kernel>
auto mapping_all(Tensor& x, Kernel kernel) {
  return [&x, kernel] { return detail::map_all(std::move(x), kernel); };
}

/// value(dy, y), which is the rule of an operation with the result y. `by_y` is the rule for y.
template <class F, class Rule, class ByY>
Tensor vjp(const char* op, Tensor& dy, Tensor& y, F value, Rule rule, ByY by_y) {
  require(dy.shape() == y.shape(), "{}: the cotangent is {}, the output {}", op, dy.shape(),
          y.shape());
  return record(op, zipping(dy, y, value), wrt(dy, keep(y), rule), wrt(y, keep(dy, y), by_y));
}

constexpr auto tanh_rule = [](Tensor dy, Tensor y) {
  return tanh_vjp(std::move(dy), std::move(y));
};
constexpr auto sigmoid_rule = [](Tensor dy, Tensor y) {
  return sigmoid_vjp(std::move(dy), std::move(y));
};

}  // namespace

Tensor tanh(Tensor x, Caller at) {
  return record(at("tanh"), mapping_all(x, [](auto... run) { vector_math::tanh(run...); }),
                wrt(x, with_result, tanh_rule));
}

Tensor tanh_vjp(Tensor dy, Tensor y, Caller at) {
  return vjp(
      at("tanh_vjp"), dy, y, [](auto d, auto v) { return d * (1 - v * v); }, tanh_rule,
      [](Tensor d, const Tensor& dy, const Tensor& y) { return std::move(d) * dy * y * -2; });
}

Tensor sigmoid(Tensor x, Caller at) {
  return record(at("sigmoid"), mapping_all(x, [](auto... run) { vector_math::sigmoid(run...); }),
                wrt(x, with_result, sigmoid_rule));
}

Tensor sigmoid_vjp(Tensor dy, Tensor y, Caller at) {
  return vjp(
      at("sigmoid_vjp"), dy, y, [](auto d, auto v) { return d * v * (1 - v); }, sigmoid_rule,
      [](Tensor d, const Tensor& dy, const Tensor& y) {
        return std::move(d) * dy * (1 - y * 2);  // in one product: an infinite cotangent stays one
      });
}

Tensor relu(Tensor x, Caller at) {
  return record(at("relu"), mapping(x, [](auto v) { return v < 0 ? 0 : v; }),
                wrt(x, with_result,
                    [](const Tensor& dy, const Tensor& y) { return where(y <= 0.0, 0.0, dy); }));
}

Tensor exp(Tensor x, Caller at) {
  return record(at("exp"), mapping_all(x, [](auto... run) { vector_math::exp(run...); }),
                wrt(x, with_result, std::multiplies()));
}

Tensor log(Tensor x, Caller at) {
  return record(at("log"), mapping(x, [](auto v) { return std::log(v); }),
                wrt(x, keep(x), std::divides()));
}

Tensor sqrt(Tensor x, Caller at) {
  return record(
      at("sqrt"), mapping(x, [](auto v) { return std::sqrt(v); }),
      wrt(x, with_result, [](Tensor dy, const Tensor& y) { return std::move(dy) / (y * 2); }));
}

Tensor abs(Tensor x, Caller at) {
  return record(at("abs"), mapping(x, [](auto v) { return std::abs(v); }),
                wrt(x, keep(x), [](Tensor dy, const Tensor& x) {
                  return std::move(dy) * ((x > 0.0) - (x < 0.0));
                }));
}

}  // namespace retrace
