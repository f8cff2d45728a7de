#pragma once

#include "../graph/record.hpp"
#include "../vector_unit.hpp"

/// The two loops that element-wise operations are made of; for values of your own ops too.
namespace retrace {

namespace detail {
/// How to walk two operands that broadcast to `shape`: nested loops over axes merged where both
/// allow it, the innermost last. Steps are in elements, 0 along a broadcast axis.
struct BroadcastLoop {
  int rank = 0;
  std::array<std::int64_t, max_rank> sizes, a_steps, b_steps;  // set up to the rank

  struct Operand {
    const Shape& shape;
    Strides strides;
  };
  BroadcastLoop(const Shape& shape, const Operand& a, const Operand& b);
  /// For one run through both.
  explicit BroadcastLoop(std::int64_t size) { append(size, 1, 1); }

  /// Calls f(n, a_offset, b_offset, a_step, b_step) for every innermost run, in row-major order.
  template <class F>
  void for_each_run(F&& f) const {
    const auto last = static_cast<unsigned>(rank - 1);
    const std::int64_t n = sizes[last], a_step = a_steps[last], b_step = b_steps[last];
    Place at;
    do f(n, at.a, at.b, a_step, b_step);
    while (last > 0 && advance(at));
  }

 private:
  struct Place {
    std::array<std::int64_t, max_rank> index{};
    std::int64_t a = 0, b = 0;
  };
  bool advance(Place& at) const;  // false at the end
  void append(std::int64_t size, std::int64_t a_step, std::int64_t b_step);
};

void require_float(const char* op, const Tensor& x);
void require_same_dtype(const char* op, const Tensor& a, const Tensor& b);

/// A floating tensor like x, written by kernel(from, to, n); over x itself where it expires.
template <class Kernel>
Tensor map_all(const char* op, Tensor x, Kernel kernel) {
  require_float(op, x);
  Tensor in = dense(std::move(x));
  return visit_float(op, in.dtype(), [&]<class T>(T) {
    const T* from = in.data<T>();
    const std::int64_t n = in.size();
    Tensor out = reuse_or_empty(in);
    kernel(from, out.data<T>(), n);
    return out;
  });
}
}  // namespace detail

/// f applied to every element of a floating tensor; f takes and returns the element type. `op` is
/// named in errors. The elements of an expiring x are overwritten.
template <class F>
Tensor map(const char* op, Tensor x, F f) {
  return detail::map_all(op, std::move(x), [f]<class T>(const T* from, T* to, std::int64_t n) {
    on_vector_unit([&](auto) RETRACE_INLINE {
      RETRACE_INDEPENDENT
      for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<T>(f(from[i]));
    });
  });
}

namespace detail {
/// Two operands of one dtype to be walked, and a tensor for the result, lent by one of them if that
/// expires.
struct Zipped {
  Zipped(const char* op, Tensor& a, Tensor& b);

  const std::byte *a, *b;
  BroadcastLoop loop;
  Tensor out;
};

/// f over one run; on its own, so that the ops hold one copy of it and what surrounds it stays
/// small.
template <class T, class F>
[[gnu::noinline]] void zip_run(T* to, std::int64_t n, const T* x, const T* y, std::int64_t x_step,
                               std::int64_t y_step, F f) {
  on_vector_unit([&](auto) RETRACE_INLINE {
    if (x_step == 1 && y_step == 1) {
      RETRACE_INDEPENDENT
      for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<T>(f(x[i], y[i]));
    } else if (x_step == 1 && y_step == 0) {
      RETRACE_INDEPENDENT
      for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<T>(f(x[i], *y));
    } else {
      RETRACE_INDEPENDENT
      for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<T>(f(x[i * x_step], y[i * y_step]));
    }
  });
}

/// zip for tensors of any one dtype, named ones too: it is up to the handles whether they expire.
template <class F>
Tensor zip_any(const char* op, Tensor& a, Tensor& b, F f) {
  Zipped z(op, a, b);
  visit(z.out.dtype(), [&]<class T>(T) {
    const T* x = reinterpret_cast<const T*>(z.a);
    const T* y = reinterpret_cast<const T*>(z.b);
    T* to = z.out.data<T>();
    z.loop.for_each_run([&](std::int64_t n, std::int64_t x0, std::int64_t y0, std::int64_t x_step,
                            std::int64_t y_step) {
      zip_run(to, n, x + x0, y + y0, x_step, y_step, f);
      to += n;
    });
  });
  return std::move(z.out);
}
}  // namespace detail

/// f applied to pairs of elements of two floating tensors of one dtype, broadcast by NumPy's rule;
/// `op` is named in errors. The elements of an expiring operand of the result's shape are
/// overwritten.
template <class F>
Tensor zip(const char* op, Tensor a, Tensor b, F f) {
  detail::require_same_dtype(op, a, b);
  detail::require_float(op, a);
  return detail::zip_any(op, a, b, f);
}

}  // namespace retrace
