#include "random_cases.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace retrace::test {

Shape Draw::shape(int min_rank, int max_rank, int sizes_from) {
  Shape shape;
  const int rank = integer(min_rank, max_rank);
  for (int i = 0; i < rank; ++i) {
    const auto room = most_elements_ / std::max<std::int64_t>(1, shape.size());
    const int largest = static_cast<int>(std::min(largest_, room));
    shape.push_back(sizes_from == 0 && chance(0.04)
                        ? 0
                        : integer(std::min(std::max(1, sizes_from), largest), largest));
  }
  return shape;
}

Shape Draw::broadcasting_to(const Shape& shape) {
  const int left_out = chance(0.3) ? integer(0, shape.rank()) : 0;
  Shape own;
  for (int i = left_out; i < shape.rank(); ++i) own.push_back(chance(0.25) ? 1 : shape[i]);
  return own;
}

Axes Draw::axes(const Shape& shape) {
  std::vector<int> some;
  for (int i = 0; i < shape.rank(); ++i)
    if (chance(0.5)) some.push_back(chance(0.5) ? i : i - shape.rank());
  return Axes(some);
}

Region Draw::region(const Shape& shape) {
  Region r;
  r.axis = integer(0, shape.rank() - 1);
  const int n = static_cast<int>(shape[r.axis]);
  r.drop = n > 0 && chance(0.4);
  r.start = n > 0 ? integer(0, n - 1) : 0;
  r.step = integer(1, 3);
  const std::int64_t most = (n - r.start + r.step - 1) / r.step;
  r.size = r.drop ? 1 : integer(0, static_cast<int>(most));
  return r;
}

Tensor Draw::values(const Shape& shape, double low, double high) {
  return uniform(shape, low, high, generator_, f64);
}

Tensor Draw::away_from_zero(const Shape& shape, double from, double to) {
  const Tensor sign = 1 - 2 * (values(shape, 0, 1) < 0.5);
  return values(shape, from, to) * sign;
}

Tensor Draw::on_grid(const Shape& shape, double offset) {
  Tensor x = empty(shape, f64);
  for (double& v : x.mutable_span<double>()) v = 0.1 * integer(-20, 20) + offset;
  return x;
}

Tensor Draw::all_different(const Shape& shape) {
  Tensor x = empty(shape, f64);
  const std::span<double> to = x.mutable_span<double>();
  std::iota(to.begin(), to.end(), -0.5 * static_cast<double>(to.size()));
  for (std::size_t i = to.size(); i > 1; --i)
    std::swap(to[i - 1],
              to[static_cast<std::size_t>(generator_.below(static_cast<std::int64_t>(i)))]);
  return x * 0.05;
}

std::int64_t Draw::size(std::int64_t most) {
  const double orders = std::log(static_cast<double>(most) + 2);
  return std::min(most, static_cast<std::int64_t>(std::exp(orders * generator_.uniform())) - 1);
}

Tensor Draw::matrix(std::int64_t rows, std::int64_t columns, DType dtype) {
  const auto made = [&](const Shape& shape) { return values(shape).to(dtype); };
  switch (integer(0, 6)) {
    case 0:
      return transpose(made({columns, rows}));
    case 1:
      return slice(made({rows, columns + 3}), 1, 2, 2 + columns);
    case 2:
      return slice(made({2 * rows + 1, columns}), 0, 1, 2 * rows + 1, 2);
    case 3:
      return slice(made({rows, 2 * columns}), 1, 0, 2 * columns, 2);
    case 4:
      return transpose(slice(made({columns, rows + 2}), 1, 1, rows + 1));
    case 5:
      return broadcast_to(made({1, columns}), {rows, columns});
    default:
      return made({rows, columns});
  }
}

Tensor Draw::indices(const Shape& shape, std::int64_t limit) {
  Tensor x = empty(shape, i64);
  for (std::int64_t& i : x.mutable_span<std::int64_t>()) i = generator_.below(limit);
  return x;
}

OpCase Draw::with_views(OpCase given) {
  using View = std::function<Tensor(const Tensor&)>;
  std::vector<View> views;
  for (Tensor& x : given.inputs) {
    views.emplace_back([](const Tensor& t) { return t; });
    if (x.dtype() != f64 || x.rank() == 0 || chance(0.4)) continue;
    const int axis = integer(0, x.rank() - 1), other = integer(0, x.rank() - 1);
    if (chance(0.5)) {
      x = transpose(x, axis, other).clone();
      views.back() = [=](const Tensor& t) { return transpose(t, axis, other); };
    } else if (x.rank() < max_rank && chance(0.5)) {  // one of two along one more axis
      x = stack({x, x + 1}, axis);
      views.back() = [=](const Tensor& t) { return select(t, axis, 0); };
    } else {  // between elements that play no part
      const Region part{axis, 1, 2, x.dim(axis), false};
      Shape larger = x.shape();
      larger[axis] = 2 * larger[axis] + 1;
      x = place(x, part, larger) + 0.0;
      views.back() = [=](const Tensor& t) {
        return slice(t, axis, part.start, larger[axis], part.step);
      };
    }
  }
  return {[f = std::move(given.f), views](std::span<const Tensor> xs) {
            std::vector<Tensor> seen;
            for (std::size_t i = 0; i < xs.size(); ++i) seen.push_back(views[i](xs[i]));
            return f(seen);
          },
          std::move(given.inputs)};
}

}  // namespace retrace::test
