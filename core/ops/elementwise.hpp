#pragma once

#include "../graph/record.hpp"
#include "../tensor/launch.hpp"
#include "../vector_unit.hpp"

/// The two loops that element-wise operations are made of; for values of your own ops too.
namespace retrace {

namespace detail {
inline void require_float(const Tensor& x) {
  expect(x.dtype() != i64, "expected f32 or f64, got i64 of shape {}; cast with .to(f32)",
         x.shape());
}

inline void require_same_dtype(const Tensor& a, const Tensor& b) {
  expect(a.dtype() == b.dtype(), "dtypes differ: {} {} and {} {}; cast one with .to({})", a.dtype(),
         a.shape(), b.dtype(), b.shape(), a.dtype() == i64 ? b.dtype() : a.dtype());
}

/// A floating tensor like x, written by kernel(from, to, n); over x itself where it expires.
template <class Kernel>
Tensor map_all(Tensor x, Kernel kernel) {
  require_float(x);
  Tensor in = dense(std::move(x));
  return visit_float(in.dtype(), [&]<class T>(T) {
    const T* from = reinterpret_cast<const T*>(in.node().data);
    const std::int64_t n = in.size();
    Tensor out = reuse_or_empty(in);
    T* to = reinterpret_cast<T*>(out.node().data);
    launch(
        "map", out, [=] { kernel(from, to, n); }, in.get());
    return out;
  });
}
}  // namespace detail

/// f applied to every element of a floating tensor; f takes and returns the element type. The
/// elements of an expiring x are overwritten.
template <class F>
Tensor map(Tensor x, F f) {
  return detail::map_all(std::move(x), [f]<class T>(const T* from, T* to, std::int64_t n) {
    on_vector_unit([&](auto) RETRACE_INLINE {
      RETRACE_INDEPENDENT
      for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<T>(f(from[i]));
    });
  });
}

/// The value of an operation for `record`: map(x, f) when it is run. It takes over an operand that
/// the operation takes by value.
template <class X, class F>
auto mapping(X& x, F f) {
  return [&x, f] { return map(std::move(x), f); };
}
/// The same with a number: f(element, c in its type).
template <class X, class F>
auto mapping(X& x, double c, F f) {
  return mapping(x, [c, f](auto v) { return f(v, static_cast<decltype(v)>(c)); });
}

namespace detail {
/// The elements of two operands of one dtype, how to walk them, and a tensor for the result.
struct ZipPlan {
  const std::byte *a, *b;
  std::int64_t size;  // of all three, if they lie alike; else -1 and there is a loop
  StridedLoop loop;
  Tensor out;
};
/// `out` takes the elements of an operand that expires.
ZipPlan plan_zip(Tensor& a, Tensor& b, bool takes_i64);

/// f over one run; not inlined, so that an op has one copy of it and what surrounds it stays small.
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

/// zip on the caller's own handles: one that is the only handle to its elements is overwritten.
template <class F>
Tensor zip_any(Tensor& a, Tensor& b, F f, bool takes_i64) {
  ZipPlan plan = plan_zip(a, b, takes_i64);
  visit(plan.out.dtype(), [&]<class T>(T) {
    const T* x = reinterpret_cast<const T*>(plan.a);
    const T* y = reinterpret_cast<const T*>(plan.b);
    T* to = reinterpret_cast<T*>(plan.out.node().data);
    if (const std::int64_t n = plan.size; n >= 0)
      return launch(
          "zip", plan.out, [=] { zip_run(to, n, x, y, 1, 1, f); }, a.get(), b.get());
    const auto walk = [=, loop = plan.loop] {
      T* at = to;
      loop.for_each_run([&](const StridedLoop::Run& run) {
        zip_run(at, run.size, x + run.a, y + run.b, run.a_step, run.b_step, f);
        at += run.size;
      });
    };
    launch("zip", plan.out, walk, a.get(), b.get());
  });
  return std::move(plan.out);
}
}  // namespace detail

/// f applied to pairs of elements of two floating tensors of one dtype, broadcast by NumPy's rule.
/// The elements of an expiring operand of the result's shape are overwritten.
template <class F>
Tensor zip(Tensor a, Tensor b, F f) {
  return detail::zip_any(a, b, f, false);
}
/// The value of an operation: zip(a, b, f).
template <class A, class B, class F>
auto zipping(A& a, B& b, F f) {
  return [&a, &b, f] { return zip(std::move(a), std::move(b), f); };
}

}  // namespace retrace
