#include <cmath>

#include "elementwise.hpp"
#include "ops.hpp"

namespace retrace {
Tensor operator+(Tensor a, Tensor b) {
  return record(
      "add",
      [&] { return zip("add", std::move(a), std::move(b), [](auto x, auto y) { return x + y; }); },
      wrt(a, [](Tensor dy) { return dy; }), wrt(b, [](Tensor dy) { return dy; }));
}

Tensor operator-(Tensor a, Tensor b) {
  return record(
      "sub",
      [&] { return zip("sub", std::move(a), std::move(b), [](auto x, auto y) { return x - y; }); },
      wrt(a, [](Tensor dy) { return dy; }), wrt(b, [](Tensor dy) { return -std::move(dy); }));
}

Tensor operator*(Tensor a, Tensor b) {
  return record(
      "mul",
      [&] { return zip("mul", std::move(a), std::move(b), [](auto x, auto y) { return x * y; }); },
      wrt(a, keep(b), [](Tensor dy, Tensor b) { return std::move(dy) * std::move(b); }),
      wrt(b, keep(a), [](Tensor dy, Tensor a) { return std::move(dy) * std::move(a); }));
}

Tensor operator/(Tensor a, Tensor b) {
  return record(
      "div",
      [&] { return zip("div", std::move(a), std::move(b), [](auto x, auto y) { return x / y; }); },
      wrt(a, keep(b), [](Tensor dy, Tensor b) { return std::move(dy) / std::move(b); }),
      wrt(b, keep(b),
          [](Tensor dy, const Tensor& b, const Tensor& y) { return -(std::move(dy) * (y / b)); }));
}

Tensor operator-(Tensor x) {
  return record(
      "neg", [&] { return map("neg", std::move(x), [](auto v) { return -v; }); },
      wrt(x, [](Tensor dy) { return -std::move(dy); }));
}

Tensor operator+(Tensor x, double c) {
  return record(
      "add",
      [&] {
        return map("add", std::move(x), [c](auto v) { return v + static_cast<decltype(v)>(c); });
      },
      wrt(x, [](Tensor dy) { return dy; }));
}

Tensor operator*(Tensor x, double c) {
  return record(
      "mul",
      [&] {
        return map("mul", std::move(x), [c](auto v) { return v * static_cast<decltype(v)>(c); });
      },
      wrt(x, [c](Tensor dy) { return std::move(dy) * c; }));
}

Tensor operator-(double c, Tensor x) {
  return record(
      "sub",
      [&] {
        return map("sub", std::move(x), [c](auto v) { return static_cast<decltype(v)>(c) - v; });
      },
      wrt(x, [](Tensor dy) { return -std::move(dy); }));
}

Tensor operator/(Tensor x, double c) {
  return record(
      "div",
      [&] {
        return map("div", std::move(x), [c](auto v) { return v / static_cast<decltype(v)>(c); });
      },
      wrt(x, [c](Tensor dy) { return std::move(dy) / c; }));
}

Tensor operator/(double c, Tensor x) {
  return record(
      "div",
      [&] {
        return map("div", std::move(x), [c](auto v) { return static_cast<decltype(v)>(c) / v; });
      },
      wrt(x, keep(x),
          [](Tensor dy, const Tensor& x, const Tensor& y) { return -(std::move(dy) * (y / x)); }));
}

Tensor pow(Tensor x, double p, Caller at) {
  return record(
      at("pow"),
      [&] {
        return map("pow", std::move(x),
                   [p](auto v) { return std::pow(v, static_cast<decltype(v)>(p)); });
      },
      wrt(x, keep(x), [p](const Tensor& dy, const Tensor& x) {
        return p == 0 ? zeros(dy.shape(), dy.dtype()) : dy * (pow(x, p - 1) * p);
      }));
}

}  // namespace retrace
