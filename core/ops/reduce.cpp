#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "../kernels/vector_math.hpp"
#include "elementwise.hpp"
#include "ops.hpp"

namespace retrace {
namespace {

/// The shape with the listed axes reduced to 1, and without them.
struct Reduced {
  Shape kept, dropped;
  std::int64_t count = 1;  // elements that become one
  std::int64_t runs = 1;   // along the last axis, or elements of it, that become one

  Reduced(const char* op, const Tensor& x, const Axes& axes) : kept(x.shape()) {
    const auto marked = marked_axes(op, axes, x.shape());
    for (int i = 0; i < x.rank(); ++i) {
      if (marked[i]) {
        if (i + 1 < x.rank()) runs *= kept[i];
        count *= kept[i];
        kept[i] = 1;
      } else {
        dropped.push_back(kept[i]);
      }
    }
  }
};

/// A sum by halves, so that the rounding error grows with the logarithm of n; below that eight
/// running sums, which the compiler vectorises.
template <class T>
T pairwise_sum(const T* p, std::int64_t n) {
  if (n > 256) {
    const std::int64_t half = n / 2 / 8 * 8;
    return pairwise_sum(p, half) + pairwise_sum(p + half, n - half);
  }
  T sums[8] = {};
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int j = 0; j < 8; ++j) sums[j] += p[i + j];
  for (; i < n; ++i) sums[i % 8] += p[i];
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

/// Reduces x: whole runs along a reduced innermost axis by `run`, and otherwise element by
/// element onto the result, which starts as `initial`, by `combine`.
template <class Run, class Combine>
Tensor reduce(const Tensor& x, const Reduced& shape, bool keepdims, double initial, Run run,
              Combine combine) {
  const Tensor in = detail::dense(x);
  return visit_float(x.dtype(), [&]<class T>(T) {
    Tensor out = full(keepdims ? shape.kept : shape.dropped, initial, x.dtype());
    using Loop = detail::StridedLoop;
    const detail::Layout result{shape.kept, row_major(shape.kept)};
    launch("reduce", out,
           [combine, run, from = in.data<T>(), to = out.data<T>(),
            loop = Loop(x.shape(), detail::layout_of(in), result)] {
             loop.for_each_run([&](const detail::StridedLoop::Run& r) {
               T* y = to + r.b;
               const T* x0 = from + r.a;
               if (r.b_step == 0)
                 *y = combine(*y, run(x0, r.size));
               else
                 for (std::int64_t i = 0; i < r.size; ++i) y[i] = combine(y[i], x0[i]);
             });
           });
    return out;
  });
}

constexpr auto larger = [](auto a, auto b) { return a > b || std::isnan(a) ? a : b; };
constexpr auto largest = [](const auto* p, std::int64_t n) {
  return std::accumulate(p, p + n, p[0], larger);
};

/// to = exp(from - top) in every row along an axis, then finish(from, to, n, top, sum of to). `top`
/// is the largest, so that it cannot overflow.
template <class Finish>
Tensor exponentials(const Tensor& x, int axis, Finish finish) {
  const Tensor in = detail::dense(transpose(x, axis, -1));
  return visit_float(x.dtype(), [&]<class T>(T) {
    Tensor out = empty(in.shape(), in.dtype());
    launch("exponentials", out,
           [=, first = in.data<T>(), y = out.data<T>(), n = in.dim(-1), size = in.size()] {
             for (std::int64_t row = 0; row < size; row += n) {
               const T* from = first + row;
               T* to = y + row;
               const T top = largest(from, n);
               for (std::int64_t i = 0; i < n; ++i) to[i] = from[i] - top;
               vector_math::exp(to, to, n);
               finish(from, to, n, top, pairwise_sum(to, n));
             }
           });
    return detail::dense(transpose(out, axis, -1));
  });
}

}  // namespace

Tensor sum(const Tensor& x, const Axes& axes, ReduceOptions options, Caller at) {
  const Reduced shape("sum", x, axes);
  const auto value = [&] {
    // Many runs are added pairwise as well, by halves, for the same small rounding error.
    const bool many_runs = shape.kept.size() > 1 && shape.runs > 512;
    for (int axis = 0; many_runs && axis + 1 < x.rank(); ++axis)
      if (const std::int64_t n = x.dim(axis); n > 1 && shape.kept[axis] == 1)
        return sum(slice(x, axis, 0, n / 2), axes, options) +
               sum(slice(x, axis, n / 2, n), axes, options);
    const auto run = [](const auto* p, std::int64_t n) { return pairwise_sum(p, n); };
    return reduce(x, shape, options.keepdims, 0, run, std::plus());
  };
  return record(at("sum"), value, wrt(x, [full = x.shape(), kept = shape.kept](const Tensor& dy) {
                  return broadcast_to(dy.rank() == 0 ? dy : reshape(dy, kept), full);
                }));
}

Tensor mean(const Tensor& x, const Axes& axes, ReduceOptions options, Caller at) {
  detail::named("mean", [&] { detail::require_float(x); });
  const auto count = static_cast<double>(Reduced("mean", x, axes).count);
  return sum(x, axes, options, at) / count;
}

Tensor max(const Tensor& x, const Axes& axes, ReduceOptions options, Caller at) {
  const Reduced shape("max", x, axes);
  require(shape.count > 0, "max: no elements to choose from in shape {}", x.shape());
  const auto value = [&] {
    return reduce(x, shape, options.keepdims, -std::numeric_limits<double>::infinity(), largest,
                  larger);
  };
  return record(at("max"), value,
                wrt(x, keep(x), with_result,
                    [kept = shape.kept](const Tensor& dy, const Tensor& x, const Tensor& y) {
                      const Tensor share = no_grad([&] {
                        const Tensor best = equal(x, reshape(y, kept));
                        return best / sum_to(best, kept);
                      });
                      return reshape(dy, kept) * share;
                    }));
}

Tensor argmax(const Tensor& x, int axis, ReduceOptions options) {
  axis = normalize_axis("argmax", axis, x.shape());
  require(x.shape()[axis] > 0, "argmax: axis {} of shape {} has no elements", axis, x.shape());
  NoGrad scope;
  const Tensor in = detail::dense(transpose(x, axis, -1));
  Shape shape = in.shape();
  const std::int64_t n = std::exchange(shape[x.rank() - 1], 1);
  Tensor out = empty(shape, i64);
  visit(x.dtype(), [&]<class T>(T) {
    const auto less = [](T a, T b) { return a < b || (std::isnan(b) && !std::isnan(a)); };
    launch("argmax", out,
           [=, first = in.data<T>(), best = out.data<std::int64_t>(), rows = out.size()] {
             for (std::int64_t i = 0; i < rows; ++i) {
               const T* row = first + i * n;
               best[i] = std::max_element(row, row + n, less) - row;
             }
           });
  });
  out = detail::dense(transpose(out, axis, -1));
  return options.keepdims ? out : reshape(out, out.shape().erased(axis));
}

Tensor softmax(const Tensor& x, int axis, Caller at) {
  axis = normalize_axis("softmax", axis, x.shape());
  const auto finish = []<class T>(const T*, T* to, std::int64_t n, T, T total) {
    for (std::int64_t i = 0; i < n; ++i) to[i] /= total;
  };
  return record(
      at("softmax"), [&] { return exponentials(x, axis, finish); },
      wrt(x, with_result, [axis](const Tensor& dy, const Tensor& y) {
        const Tensor weighted = dy * y;
        return weighted - y * sum(weighted, axis, {.keepdims = true});
      }));
}

Tensor log_softmax(const Tensor& x, int axis, Caller at) {
  axis = normalize_axis("log_softmax", axis, x.shape());
  const auto finish = []<class T>(const T* from, T* to, std::int64_t n, T top, T total) {
    const T log_total = std::log(total);
    for (std::int64_t i = 0; i < n; ++i) to[i] = from[i] - top - log_total;
  };
  return record(
      at("log_softmax"), [&] { return exponentials(x, axis, finish); },
      wrt(x, with_result, [axis](const Tensor& dy, const Tensor& y) {
        return dy - exp(y) * sum(dy, axis, {.keepdims = true});
      }));
}

}  // namespace retrace
