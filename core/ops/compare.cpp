#include <algorithm>
#include <cmath>
#include <functional>

#include "elementwise.hpp"
#include "ops.hpp"

namespace retrace {
namespace {

/// The other operand as a tensor; a number in the dtype of x.
Tensor beside(const Tensor& x, TensorOrNumber other) {
  return other.is_number ? full({}, other.number, x.dtype()) : std::move(other.tensor);
}

template <class Prefer>
Tensor extremum(const char* op, Tensor a, TensorOrNumber other, Prefer prefer) {
  Tensor b = beside(a, std::move(other));
  const auto pick = [prefer](auto x, auto y) { return prefer(x, y) || std::isnan(x) ? x : y; };
  // The share of the gradient that goes to x: all of it to both when one is NaN, as in PyTorch.
  const auto share_of_x = [prefer](auto x, auto y) {
    return prefer(y, x) ? 0.0 : x == y ? 0.5 : 1.0;
  };
  const auto rule = [share_of_x](const Tensor& dy, const Tensor& x, const Tensor& y) {
    const Tensor share = zip(x, y, share_of_x);
    return where(share, dy, 0.0) * share;  // not infinity times 0
  };
  return record(op, zipping(a, b, pick), wrt(a, keep(a, b), rule), wrt(b, keep(b, a), rule));
}

template <class Test>
Tensor compare(const char* op, Tensor x, const TensorOrNumber& other, Test test) {
  const double c = other.number;
  require(x.dtype() != i64 || (c == std::trunc(c) && std::abs(c) < 0x1p53),
          "{}: an i64 tensor {} was compared with {}, which is no i64 within 2^53", op, x.shape(),
          c);
  Tensor y = beside(x, other);
  return detail::named(op, [&] { return detail::zip_any(x, y, test, true); });
}

}  // namespace

Tensor maximum(Tensor a, TensorOrNumber b, Caller at) {
  return extremum(at("maximum"), std::move(a), std::move(b), std::greater());
}
Tensor minimum(Tensor a, TensorOrNumber b, Caller at) {
  return extremum(at("minimum"), std::move(a), std::move(b), std::less());
}

Tensor clamp(Tensor x, double low, double high, Caller at) {
  require(low <= high, "clamp: the lower bound {} is above the upper bound {}", low, high);
  return record(at("clamp"),
                mapping(x,
                        [low, high](auto v) {
                          return std::clamp(v, static_cast<decltype(v)>(low),
                                            static_cast<decltype(v)>(high));
                        }),
                wrt(x, keep(x), [low, high](const Tensor& dy, const Tensor& x) {
                  return where(no_grad([&] { return (x >= low) * (x <= high); }), dy, 0.0);
                }));
}

Tensor equal(const Tensor& a, const TensorOrNumber& b) {
  return compare("equal", a, b, std::equal_to());
}
Tensor not_equal(const Tensor& a, const TensorOrNumber& b) {
  return compare("not_equal", a, b, std::not_equal_to());
}
Tensor less(const Tensor& a, const TensorOrNumber& b) { return compare("less", a, b, std::less()); }
Tensor less_equal(const Tensor& a, const TensorOrNumber& b) {
  return compare("less_equal", a, b, std::less_equal());
}
Tensor greater(const Tensor& a, const TensorOrNumber& b) {
  return compare("greater", a, b, std::greater());
}
Tensor greater_equal(const Tensor& a, const TensorOrNumber& b) {
  return compare("greater_equal", a, b, std::greater_equal());
}

Tensor where(const Tensor& condition, const Tensor& a, TensorOrNumber other, Caller at) {
  const Tensor b = beside(a, std::move(other));
  const auto value = [&] {
    detail::require_same_dtype(a, b);
    detail::require_float(a);
    broadcast_shapes(a.shape(), b.shape());
    const Shape shape = broadcast_shapes(broadcast_shapes(condition.shape(), a.shape()),
                                         broadcast_shapes(condition.shape(), b.shape()));
    Tensor out = empty(shape, a.dtype());
    detail::copy_elements(b, out);
    const detail::StridedLoop loop(shape, detail::layout_of(condition), detail::layout_of(a));
    visit(condition.dtype(), [&]<class C>(C) {
      visit(a.dtype(), [&]<class T>(T) {
        launch("where", out, [=, c0 = condition.data<C>(), x0 = a.data<T>(), y = out.data<T>()] {
          T* to = y;
          loop.for_each_run([&](const detail::StridedLoop::Run& run) {
            const C* c = c0 + run.a;
            const T* x = x0 + run.b;
            for (std::int64_t i = 0; i < run.size; ++i)
              to[i] = c[i * run.a_step] != C{} ? x[i * run.b_step] : to[i];
            to += run.size;
          });
        });
      });
    });
    return out;
  };
  return record(
      at("where"), value,
      wrt(a, keep(condition), [](const Tensor& dy, const Tensor& c) { return where(c, dy, 0.0); }),
      wrt(b, keep(condition), [](const Tensor& dy, const Tensor& c) { return where(c, 0.0, dy); }));
}
Tensor where(const Tensor& condition, double a, const Tensor& b, Caller at) {
  return where(condition, beside(b, a), b, at);
}

}  // namespace retrace
