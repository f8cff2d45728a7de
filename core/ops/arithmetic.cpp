#include <algorithm>
#include <cmath>
#include <functional>

#include "elementwise.hpp"
#include "ops.hpp"

namespace retrace {
namespace {

Tensor constant_like(const Tensor& x, double c) { return full({}, c, x.dtype()); }
/// The same for a comparison, which takes i64 too.
Tensor constant_like(const char* op, const Tensor& x, double c) {
  require(x.dtype() != i64 || (c == std::trunc(c) && std::abs(c) < 0x1p53),
          "{}: an i64 tensor {} was compared with {}, which is no i64 within 2^53", op, x.shape(), c);
  return constant_like(x, c);
}

template <class Prefer>
Tensor extremum(const char* op, Tensor a, Tensor b, Prefer prefer) {
  const auto pick = [prefer](auto x, auto y) { return prefer(x, y) || std::isnan(x) ? x : y; };
  // The share of the gradient that goes to x: all of it to both when one is NaN, as in PyTorch.
  const auto share_of_x = [prefer](auto x, auto y) { return prefer(y, x) ? 0.0 : x == y ? 0.5 : 1.0; };
  const auto rule = [op, share_of_x](const Tensor& dy, const Tensor& x, const Tensor& y) {
    const Tensor share = zip(op, x, y, share_of_x);
    return where(share, dy, 0.0) * share;  // not infinity times 0
  };
  return record(
      op, [&] { return zip(op, std::move(a), std::move(b), pick); }, wrt(a, keep(a, b), rule),
      wrt(b, keep(b, a), rule));
}

template <class Test>
Tensor compare(const char* op, Tensor a, Tensor b, Test test) {
  detail::require_same_dtype(op, a, b);
  return no_grad([&] { return detail::zip_any(op, a, b, test); });
}

}  // namespace

void detail::require_float(const char* op, const Tensor& x) {
  require(x.dtype() != i64, "{}: expected f32 or f64, got i64 of shape {}; cast with .to(f32)", op, x.shape());
}

void detail::require_same_dtype(const char* op, const Tensor& a, const Tensor& b) {
  require(a.dtype() == b.dtype(), "{}: dtypes differ: {} {} and {} {}; cast one with .to({})", op, a.dtype(), a.shape(),
          b.dtype(), b.shape(), a.dtype() == i64 ? b.dtype() : a.dtype());
}

void detail::BroadcastLoop::append(std::int64_t size, std::int64_t a_step, std::int64_t b_step) {
  const auto next = static_cast<unsigned>(rank++);
  sizes[next] = size;
  a_steps[next] = a_step;
  b_steps[next] = b_step;
}

detail::BroadcastLoop::BroadcastLoop(const Shape& shape, const Operand& a, const Operand& b) {
  const auto step = [&](const Operand& x, int axis) {
    const int own = axis - (shape.rank() - x.shape.rank());
    return own < 0 || x.shape[own] == 1 ? 0 : x.strides[static_cast<unsigned>(own)];
  };
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (shape[axis] == 1) continue;
    const std::int64_t sa = step(a, axis), sb = step(b, axis);
    const auto outer = static_cast<unsigned>(rank - 1);
    // Two axes are one loop when stepping the outer is like running through the inner.
    if (rank > 0 && a_steps[outer] == sa * shape[axis] && b_steps[outer] == sb * shape[axis]) {
      sizes[outer] *= shape[axis];
      a_steps[outer] = sa;
      b_steps[outer] = sb;
    } else {
      append(shape[axis], sa, sb);
    }
  }
  if (rank == 0) append(1, 1, 1);
}

bool detail::BroadcastLoop::advance(Place& at) const {
  for (int axis = rank - 2; axis >= 0; --axis) {
    const auto i = static_cast<unsigned>(axis);
    at.a += a_steps[i];
    at.b += b_steps[i];
    if (++at.index[i] < sizes[i]) return true;
    at.a -= a_steps[i] * sizes[i];
    at.b -= b_steps[i] * sizes[i];
    at.index[i] = 0;
  }
  return false;
}

detail::Zipped::Zipped(const char* op, Tensor& x, Tensor& y) : loop(x.size()) {
  a = x.node().data;
  b = y.node().data;
  if (x.shape() == y.shape() && x.is_contiguous() && y.is_contiguous()) {
    out = x.expiring() ? lend(x) : reuse_or_empty(y);
    return;
  }
  const Shape shape = broadcast_shapes(op, x.shape(), y.shape());
  loop =
      shape.size() == 0 ? BroadcastLoop(0) : BroadcastLoop(shape, {x.shape(), x.strides()}, {y.shape(), y.strides()});
  out = x.shape() == shape && x.expiring()   ? lend(x)
        : y.shape() == shape && y.expiring() ? lend(y)
                                             : empty(shape, x.dtype());
}

Tensor operator+(Tensor a, Tensor b) {
  return record(
      "add", [&] { return zip("add", std::move(a), std::move(b), [](auto x, auto y) { return x + y; }); },
      wrt(a, [](Tensor dy) { return dy; }), wrt(b, [](Tensor dy) { return dy; }));
}

Tensor operator-(Tensor a, Tensor b) {
  return record(
      "sub", [&] { return zip("sub", std::move(a), std::move(b), [](auto x, auto y) { return x - y; }); },
      wrt(a, [](Tensor dy) { return dy; }), wrt(b, [](Tensor dy) { return -std::move(dy); }));
}

Tensor operator*(Tensor a, Tensor b) {
  return record(
      "mul", [&] { return zip("mul", std::move(a), std::move(b), [](auto x, auto y) { return x * y; }); },
      wrt(a, keep(b), [](Tensor dy, Tensor b) { return std::move(dy) * std::move(b); }),
      wrt(b, keep(a), [](Tensor dy, Tensor a) { return std::move(dy) * std::move(a); }));
}

Tensor operator/(Tensor a, Tensor b) {
  return record(
      "div", [&] { return zip("div", std::move(a), std::move(b), [](auto x, auto y) { return x / y; }); },
      wrt(a, keep(b), [](Tensor dy, Tensor b) { return std::move(dy) / std::move(b); }),
      wrt(b, keep(b), [](Tensor dy, const Tensor& b, const Tensor& y) { return -(std::move(dy) * (y / b)); }));
}

Tensor operator-(Tensor x) {
  return record(
      "neg", [&] { return map("neg", std::move(x), [](auto v) { return -v; }); },
      wrt(x, [](Tensor dy) { return -std::move(dy); }));
}

Tensor operator+(Tensor x, double c) {
  return record(
      "add", [&] { return map("add", std::move(x), [c](auto v) { return v + static_cast<decltype(v)>(c); }); },
      wrt(x, [](Tensor dy) { return dy; }));
}

Tensor operator*(Tensor x, double c) {
  return record(
      "mul", [&] { return map("mul", std::move(x), [c](auto v) { return v * static_cast<decltype(v)>(c); }); },
      wrt(x, [c](Tensor dy) { return std::move(dy) * c; }));
}

Tensor operator-(double c, Tensor x) {
  return record(
      "sub", [&] { return map("sub", std::move(x), [c](auto v) { return static_cast<decltype(v)>(c) - v; }); },
      wrt(x, [](Tensor dy) { return -std::move(dy); }));
}

Tensor operator/(Tensor x, double c) {
  return record(
      "div", [&] { return map("div", std::move(x), [c](auto v) { return v / static_cast<decltype(v)>(c); }); },
      wrt(x, [c](Tensor dy) { return std::move(dy) / c; }));
}

Tensor operator/(double c, Tensor x) {
  return record(
      "div", [&] { return map("div", std::move(x), [c](auto v) { return static_cast<decltype(v)>(c) / v; }); },
      wrt(x, keep(x), [](Tensor dy, const Tensor& x, const Tensor& y) { return -(std::move(dy) * (y / x)); }));
}

Tensor pow(Tensor x, double p, Caller at) {
  return record(
      at("pow"),
      [&] { return map("pow", std::move(x), [p](auto v) { return std::pow(v, static_cast<decltype(v)>(p)); }); },
      wrt(x, keep(x), [p](const Tensor& dy, const Tensor& x) {
        return p == 0 ? zeros(dy.shape(), dy.dtype()) : dy * (pow(x, p - 1) * p);
      }));
}

Tensor maximum(Tensor a, Tensor b, Caller at) {
  return extremum(at("maximum"), std::move(a), std::move(b), std::greater());
}
Tensor minimum(Tensor a, Tensor b, Caller at) {
  return extremum(at("minimum"), std::move(a), std::move(b), std::less());
}
Tensor maximum(Tensor x, double c, Caller at) {
  Tensor other = constant_like(x, c);
  return maximum(std::move(x), std::move(other), at);
}
Tensor minimum(Tensor x, double c, Caller at) {
  Tensor other = constant_like(x, c);
  return minimum(std::move(x), std::move(other), at);
}

Tensor clamp(Tensor x, double low, double high, Caller at) {
  require(low <= high, "clamp: the lower bound {} is above the upper bound {}", low, high);
  return record(
      at("clamp"),
      [&] {
        return map("clamp", std::move(x), [low, high](auto v) {
          return std::clamp(v, static_cast<decltype(v)>(low), static_cast<decltype(v)>(high));
        });
      },
      wrt(x, keep(x), [low, high](const Tensor& dy, const Tensor& x) {
        return where(no_grad([&] { return (x >= low) * (x <= high); }), dy, 0.0);
      }));
}

Tensor equal(const Tensor& a, const Tensor& b) { return compare("equal", a, b, std::equal_to()); }
Tensor not_equal(const Tensor& a, const Tensor& b) { return compare("not_equal", a, b, std::not_equal_to()); }
Tensor less(const Tensor& a, const Tensor& b) { return compare("less", a, b, std::less()); }
Tensor less_equal(const Tensor& a, const Tensor& b) { return compare("less_equal", a, b, std::less_equal()); }
Tensor greater(const Tensor& a, const Tensor& b) { return compare("greater", a, b, std::greater()); }
Tensor greater_equal(const Tensor& a, const Tensor& b) { return compare("greater_equal", a, b, std::greater_equal()); }
Tensor operator==(const Tensor& x, double c) { return equal(x, constant_like("equal", x, c)); }
Tensor operator!=(const Tensor& x, double c) { return not_equal(x, constant_like("not_equal", x, c)); }
Tensor operator<(const Tensor& x, double c) { return less(x, constant_like("less", x, c)); }
Tensor operator<=(const Tensor& x, double c) { return less_equal(x, constant_like("less_equal", x, c)); }
Tensor operator>(const Tensor& x, double c) { return greater(x, constant_like("greater", x, c)); }
Tensor operator>=(const Tensor& x, double c) { return greater_equal(x, constant_like("greater_equal", x, c)); }

Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b, Caller at) {
  detail::require_same_dtype("where", a, b);
  detail::require_float("where", a);
  broadcast_shapes("where", a.shape(), b.shape());
  const Shape shape = broadcast_shapes("where", broadcast_shapes("where", condition.shape(), a.shape()),
                                       broadcast_shapes("where", condition.shape(), b.shape()));
  const auto value = [&] {
    const auto full_size = [&](const Tensor& x) { return detail::dense(broadcast_to(x, shape)); };
    const Tensor c = full_size(condition), x = full_size(a), y = full_size(b);
    Tensor out = empty(shape, a.dtype());
    visit(c.dtype(), [&]<class C>(C) {
      visit(x.dtype(), [&]<class T>(T) {
        const C* pc = c.data<C>();
        const T* px = x.data<T>();
        const T* py = y.data<T>();
        T* to = out.data<T>();
        for (std::int64_t i = 0, n = out.size(); i < n; ++i) to[i] = pc[i] != C{} ? px[i] : py[i];
      });
    });
    return out;
  };
  return record(at("where"), value,
                wrt(a, keep(condition), [](const Tensor& dy, const Tensor& c) { return where(c, dy, 0.0); }),
                wrt(b, keep(condition), [](const Tensor& dy, const Tensor& c) { return where(c, 0.0, dy); }));
}
Tensor where(const Tensor& condition, const Tensor& a, double b, Caller at) {
  return where(condition, a, constant_like(a, b), at);
}
Tensor where(const Tensor& condition, double a, const Tensor& b, Caller at) {
  return where(condition, constant_like(b, a), b, at);
}

}  // namespace retrace
