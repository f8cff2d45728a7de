#include <cmath>

#include "../kernels/vector_math.hpp"
#include "elementwise.hpp"
#include "ops.hpp"

namespace retrace {
Tensor tanh(Tensor x, Caller at) {
  return record(
      at("tanh"),
      [&] {
        return detail::map_all("tanh", std::move(x), [](auto* from, auto* to, auto n) {
          vector_math::tanh(from, to, n);
        });
      },
      wrt(x, [](Tensor dy, Tensor y) { return tanh_vjp(std::move(dy), std::move(y)); }));
}

Tensor tanh_vjp(Tensor dy, Tensor y, Caller at) {
  require(dy.shape() == y.shape(), "tanh_vjp: the cotangent is {}, the output {}", dy.shape(),
          y.shape());
  return record(
      at("tanh_vjp"),
      [&] {
        return zip("tanh_vjp", std::move(dy), std::move(y),
                   [](auto d, auto y) { return d * (1 - y * y); });
      },
      wrt(dy, keep(y), [](Tensor d, Tensor y) { return tanh_vjp(std::move(d), std::move(y)); }),
      wrt(y, keep(dy, y),
          [](Tensor d, const Tensor& dy, const Tensor& y) { return std::move(d) * dy * y * -2; }));
}

Tensor sigmoid(Tensor x, Caller at) {
  return record(
      at("sigmoid"),
      [&] {
        return detail::map_all("sigmoid", std::move(x), [](auto* from, auto* to, auto n) {
          vector_math::sigmoid(from, to, n);
        });
      },
      wrt(x, [](Tensor dy, Tensor y) { return sigmoid_vjp(std::move(dy), std::move(y)); }));
}

Tensor sigmoid_vjp(Tensor dy, Tensor y, Caller at) {
  require(dy.shape() == y.shape(), "sigmoid_vjp: the cotangent is {}, the output {}", dy.shape(),
          y.shape());
  return record(
      at("sigmoid_vjp"),
      [&] {
        return zip("sigmoid_vjp", std::move(dy), std::move(y),
                   [](auto d, auto y) { return d * y * (1 - y); });
      },
      wrt(dy, keep(y), [](Tensor d, Tensor y) { return sigmoid_vjp(std::move(d), std::move(y)); }),
      wrt(y, keep(dy, y), [](Tensor d, const Tensor& dy, const Tensor& y) {
        return std::move(d) * dy * (1 - y * 2);  // in one product: an infinite cotangent stays one
      }));
}

Tensor relu(Tensor x, Caller at) {
  return record(
      at("relu"), [&] { return map("relu", std::move(x), [](auto v) { return v < 0 ? 0 : v; }); },
      wrt(x, [](const Tensor& dy, const Tensor& y) { return where(y <= 0.0, 0.0, dy); }));
}

Tensor exp(Tensor x, Caller at) {
  return record(
      at("exp"),
      [&] {
        return detail::map_all("exp", std::move(x),
                               [](auto* from, auto* to, auto n) { vector_math::exp(from, to, n); });
      },
      wrt(x, [](Tensor dy, const Tensor& y) { return std::move(dy) * y; }));
}

Tensor log(Tensor x, Caller at) {
  return record(
      at("log"), [&] { return map("log", std::move(x), [](auto v) { return std::log(v); }); },
      wrt(x, keep(x), [](Tensor dy, const Tensor& x) { return std::move(dy) / x; }));
}

Tensor sqrt(Tensor x, Caller at) {
  return record(
      at("sqrt"), [&] { return map("sqrt", std::move(x), [](auto v) { return std::sqrt(v); }); },
      wrt(x, [](Tensor dy, const Tensor& y) { return std::move(dy) / (y * 2); }));
}

Tensor abs(Tensor x, Caller at) {
  return record(
      at("abs"), [&] { return map("abs", std::move(x), [](auto v) { return std::abs(v); }); },
      wrt(x, keep(x),
          [](Tensor dy, const Tensor& x) { return std::move(dy) * ((x > 0.0) - (x < 0.0)); }));
}

}  // namespace retrace
