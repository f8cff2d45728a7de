#include <cmath>
#include <functional>

#include "elementwise.hpp"
#include "ops.hpp"

namespace retrace {

Tensor operator+(Tensor a, Tensor b) {
  return record("add", zipping(a, b, std::plus()), wrt(a, std::identity()),
                wrt(b, std::identity()));
}

Tensor operator-(Tensor a, Tensor b) {
  return record("sub", zipping(a, b, std::minus()), wrt(a, std::identity()), wrt(b, std::negate()));
}

Tensor operator*(Tensor a, Tensor b) {
  return record("mul", zipping(a, b, std::multiplies()), wrt(a, keep(b), std::multiplies()),
                wrt(b, keep(a), std::multiplies()));
}

Tensor operator/(Tensor a, Tensor b) {
  return record("div", zipping(a, b, std::divides()), wrt(a, keep(b), std::divides()),
                wrt(b, keep(b), with_result, [](Tensor dy, const Tensor& b, const Tensor& y) {
                  return -(std::move(dy) * (y / b));
                }));
}

Tensor operator-(Tensor x) {
  return record("neg", mapping(x, std::negate()), wrt(x, std::negate()));
}

Tensor operator+(Tensor x, double c) {
  return record("add", mapping(x, c, std::plus()), wrt(x, std::identity()));
}

Tensor operator*(Tensor x, double c) {
  return record("mul", mapping(x, c, std::multiplies()),
                wrt(x, [c](Tensor dy) { return std::move(dy) * c; }));
}

Tensor operator-(double c, Tensor x) {
  return record("sub", mapping(x, c, [](auto v, auto c) { return c - v; }), wrt(x, std::negate()));
}

Tensor operator/(Tensor x, double c) {
  return record("div", mapping(x, c, std::divides()),
                wrt(x, [c](Tensor dy) { return std::move(dy) / c; }));
}

Tensor operator/(double c, Tensor x) {
  return record("div", mapping(x, c, [](auto v, auto c) { return c / v; }),
                wrt(x, keep(x), with_result, [](Tensor dy, const Tensor& x, const Tensor& y) {
                  return -(std::move(dy) * (y / x));
                }));
}

Tensor pow(Tensor x, double p, Caller at) {
  return record(at("pow"), mapping(x, p, [](auto v, auto p) { return std::pow(v, p); }),
                wrt(x, keep(x), [p](const Tensor& dy, const Tensor& x) {
                  return p == 0 ? zeros(dy.shape(), dy.dtype()) : dy * (pow(x, p - 1) * p);
                }));
}

}  // namespace retrace
