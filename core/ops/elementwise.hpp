#pragma once

#include "../graph.hpp"
#include "../vector_unit.hpp"

/// The two loops that element-wise operations are made of; for values of your own ops too.
namespace retrace {

namespace detail {
/// How to walk two operands that broadcast to `shape`: nested loops over axes merged where both allow it, the innermost
/// last. Steps are in elements, 0 along a broadcast axis.
struct BroadcastLoop {
  int rank = 0;
  std::array<std::int64_t, max_rank> sizes{}, a_steps{}, b_steps{};

  BroadcastLoop(const Shape& shape, const Shape& a, const Shape& b);

  /// Calls f(n, a_offset, b_offset, a_step, b_step) for every innermost run, in row-major order.
  template <class F>
  void for_each_run(F&& f) const {
    const int last = rank - 1;
    const auto at = [](int i) { return static_cast<unsigned>(i); };
    const std::int64_t n = sizes[at(last)], a_step = a_steps[at(last)], b_step = b_steps[at(last)];
    std::array<std::int64_t, max_rank> index{};
    std::int64_t a = 0, b = 0;
    for (;;) {
      f(n, a, b, a_step, b_step);
      int axis = last - 1;
      for (; axis >= 0; --axis) {
        a += a_steps[at(axis)];
        b += b_steps[at(axis)];
        if (++index[at(axis)] < sizes[at(axis)]) break;
        a -= a_steps[at(axis)] * sizes[at(axis)];
        b -= b_steps[at(axis)] * sizes[at(axis)];
        index[at(axis)] = 0;
      }
      if (axis < 0) return;
    }
  }
};

void require_float(const char* op, const Tensor& x);
void require_same_dtype(const char* op, const Tensor& a, const Tensor& b);
}  // namespace detail

/// f applied to every element of a floating tensor; f takes and returns the element type. `op` is named in errors. The
/// elements of an expiring x are overwritten.
template <class F>
Tensor map(const char* op, Tensor x, F f) {
  detail::require_float(op, x);
  Tensor in = detail::dense(std::move(x));
  return visit_float(op, in.dtype(), [&]<class T>(T) {
    const T* from = in.data<T>();
    const std::int64_t n = in.size();
    Tensor out = detail::reuse_or_empty(in);
    T* to = out.data<T>();
    on_vector_unit([&](auto) RETRACE_INLINE {
      RETRACE_INDEPENDENT
      for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<T>(f(from[i]));
    });
    return out;
  });
}

namespace detail {
/// zip for tensors of any one dtype.
template <class F>
Tensor zip_any(const char* op, Tensor a, Tensor b, F f) {
  require_same_dtype(op, a, b);
  const Shape shape = broadcast_shapes(op, a.shape(), b.shape());
  const BroadcastLoop loop(shape, a.shape(), b.shape());
  a = dense(std::move(a));
  b = dense(std::move(b));
  return visit(a.dtype(), [&]<class T>(T) {
    const T* pa = a.data<T>();
    const T* pb = b.data<T>();
    Tensor out = a.shape() == shape && a.expiring()   ? reuse_or_empty(a)
                 : b.shape() == shape && b.expiring() ? reuse_or_empty(b)
                                                      : empty(shape, a.dtype());
    T* to = out.data<T>();
    if (out.size() == 0) return out;
    loop.for_each_run([&](std::int64_t n, std::int64_t a0, std::int64_t b0, std::int64_t a_step, std::int64_t b_step) {
      const T* x = pa + a0;
      const T* y = pb + b0;
      on_vector_unit([&](auto) RETRACE_INLINE {
        if (a_step && b_step) {
          RETRACE_INDEPENDENT
          for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<T>(f(x[i], y[i]));
        } else if (a_step) {
          RETRACE_INDEPENDENT
          for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<T>(f(x[i], *y));
        } else {
          RETRACE_INDEPENDENT
          for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<T>(f(*x, y[i * b_step]));
        }
      });
      to += n;
    });
    return out;
  });
}
}  // namespace detail

/// f applied to pairs of elements of two floating tensors of one dtype, broadcast by NumPy's rule; `op` is named in
/// errors. The elements of an expiring operand of the result's shape are overwritten.
template <class F>
Tensor zip(const char* op, Tensor a, Tensor b, F f) {
  detail::require_same_dtype(op, a, b);
  detail::require_float(op, a);
  return detail::zip_any(op, std::move(a), std::move(b), f);
}

}  // namespace retrace
