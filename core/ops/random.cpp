#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include "elementwise.hpp"
#include "ops.hpp"

namespace retrace {
namespace {

template <class Draw>
Tensor filled(const char* op, const Shape& shape, DType dtype, Draw draw) {
  Tensor out = empty(shape, dtype);
  const auto fill = [&]<class T>(T) {
    launch(op, out, [draw, to = out.data<T>(), n = out.size()] {
      for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<T>(draw());
    });
  };
  detail::named(op, [&] { visit_float(dtype, fill); });
  return out;
}

/// The sums of the first 1, 2, ... n weights of a row of so many.
template <class T>
void sum_up(const T* weights, double* sums, std::int64_t n, std::int64_t row, const Shape& shape) {
  double total = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const auto w = static_cast<double>(weights[i]);
    require(w >= 0 && std::isfinite(w),
            "multinomial: weight {} at {} of row {} is negative or not finite", w, i, row);
    sums[i] = total += w;
  }
  require(total > 0, "multinomial: the weights of row {} of shape {} are all zero", row, shape);
  require(std::isfinite(total), "multinomial: the sum of row {} of shape {} is not finite", row,
          shape);
}

/// The index that a number in [0, 1) means.
std::int64_t drawn(const double* sums, std::int64_t n, double uniform) {
  // The product may round up to the total: the last index of any weight is then meant.
  const double *end = sums + n, *last = std::lower_bound(sums, end, end[-1]);
  return std::upper_bound(sums, last, uniform * end[-1]) - sums;
}

}  // namespace

Tensor randn(const Shape& shape, const Generator& generator, DType dtype) {
  return filled("randn", shape, dtype, [generator] { return generator.normal(); });
}

Tensor uniform(const Shape& shape, double low, double high, const Generator& generator,
               DType dtype) {
  require(low <= high, "uniform: the lower bound {} is above the upper bound {}", low, high);
  const double range =
      dtype == f32 ? static_cast<float>(high) - static_cast<float>(low) : high - low;
  require(std::isfinite(range), "uniform: the range from {} to {} is not finite in {}", low, high,
          dtype);
  // Rounding would take the last numbers below the bound to it.
  const auto narrow = static_cast<float>(high);
  const double most =
      dtype == f32 ? std::nextafter(narrow, static_cast<float>(low)) : std::nextafter(high, low);
  return filled("uniform", shape, dtype,
                [=] { return std::min(most, low + (high - low) * generator.uniform()); });
}

Tensor dropout(Tensor x, double probability, const Generator& generator, Caller at) {
  require(probability >= 0 && probability < 1, "dropout: the probability must be in [0, 1), got {}",
          probability);
  const double scale = 1 / (1 - probability);
  const Tensor mask = filled("dropout", x.shape(), x.dtype(),
                             [=] { return generator.uniform() < probability ? 0.0 : scale; });
  return record(at("dropout"), zipping(x, mask, std::multiplies()),
                wrt(x, keep(mask), std::multiplies()));
}

Tensor multinomial(const Tensor& weights, std::int64_t count, const Generator& generator) {
  require(weights.rank() == 1 || weights.rank() == 2,
          "multinomial: expected weights [n] or [rows, n], got {}", weights.shape());
  require(count >= 0, "multinomial: the count must not be negative, got {}", count);
  const Tensor rows = detail::dense(weights.detach());
  Shape shape = weights.shape();
  shape[weights.rank() - 1] = count;
  const std::int64_t n = weights.dim(-1), row_count = weights.rank() == 2 ? weights.dim(0) : 1;
  Tensor out = empty(shape, i64);
  const Tensor sums = empty({row_count, n}, f64);
  const auto draw = [&]<class T>(T) {
    launch("multinomial", std::array{out, sums},
           [=, of = weights.shape(), w = rows.data<T>(), c = sums.data<double>(),
            to = out.data<std::int64_t>()] {
             for (std::int64_t r = 0; r < row_count; ++r) sum_up(w + r * n, c + r * n, n, r, of);
             for (std::int64_t r = 0; r < row_count; ++r)
               for (std::int64_t i = 0; i < count; ++i)
                 to[r * count + i] = drawn(c + r * n, n, generator.uniform());
           });
  };
  detail::named("multinomial", [&] { visit_float(weights.dtype(), draw); });
  return out;
}

}  // namespace retrace
