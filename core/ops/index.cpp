#include <algorithm>

#include "../graph/contribution.hpp"
#include "elementwise.hpp"
#include "ops.hpp"

namespace retrace {
namespace {

void require_i64(const Tensor& index) {
  detail::expect(index.dtype() == i64, "the index must be i64, got {} of shape {}", index.dtype(),
                 index.shape());
}

/// Where the elements lie that an index picks along an axis of x. All are row-major.
struct Gathering {
  const std::int64_t* picked;
  std::int64_t n, axis_step;  // elements that go together, and those from one index to the next
  int axis;
  Shape index, x;
  detail::StridedLoop loop;

  /// Throws Error if one is out of range.
  void check() const {
    for (std::int64_t i = 0; i < index.size(); ++i)
      detail::expect(picked[i] >= 0 && picked[i] < x[axis],
                     "index {} is out of range 0 .. {} for axis {} of shape {}", picked[i],
                     x[axis] - 1, axis, x);
  }
  /// Calls f(offset in what is gathered, offset in x, number of elements) for each.
  template <class F>
  void for_each(F f) const {
    std::int64_t to = 0;
    loop.for_each_run([&](const detail::StridedLoop::Run& run) {
      const std::int64_t* place = picked + run.a;
      std::int64_t from = run.b;
      for (std::int64_t i = 0; i < run.size; ++i, to += n) {
        f(to, from + *place * axis_step, n);
        place += run.a_step;
        from += run.b_step;
      }
    });
  }
};
Gathering gathering(const Tensor& index, const Shape& x, int axis) {
  Strides steps = row_major(x);
  const std::int64_t n = steps[index.rank() - 1], axis_step = std::exchange(steps[axis], 0);
  return {index.data<std::int64_t>(),
          n,
          axis_step,
          axis,
          index.shape(),
          x,
          detail::StridedLoop(index.shape(), detail::layout_of(index), {index.shape(), steps})};
}

/// The shape of what an index picks from x.
Shape gathered_shape(const Shape& x, const Tensor& index, int axis) {
  bool fits = axis < index.rank() && index.rank() <= x.rank();
  for (int i = 0; fits && i < index.rank(); ++i) fits = i == axis || index.shape()[i] <= x[i];
  detail::expect(fits, "index {} does not fit {} off axis {}", index.shape(), x, axis);
  require_i64(index);
  Shape shape = index.shape();
  for (int i = shape.rank(); i < x.rank(); ++i) shape.push_back(x[i]);
  return shape;
}

/// An index as a list, for rows of a table.
Tensor as_list(const Tensor& index) { return reshape(index, {index.size()}); }

Tensor gathered(const Tensor& x, const Tensor& index, int axis) {
  Tensor out = empty(gathered_shape(x.shape(), index, axis), x.dtype());
  const Tensor in = detail::dense(x), picked = detail::dense(index);
  visit(x.dtype(), [&]<class T>(T) {
    launch("gather", out,
           [to = out.data<T>(), from = in.data<T>(), g = gathering(picked, x.shape(), axis)] {
             g.check();
             g.for_each([=](auto i, auto at, auto n) { std::copy_n(from + at, n, to + i); });
           });
  });
  return out;
}

}  // namespace

Tensor gather(const Tensor& x, const Tensor& index, int axis, Caller at) {
  axis = normalize_axis("gather", axis, x.shape());
  return record(
      at("gather"), [&] { return gathered(x, index, axis); },
      wrt(x, keep(index), [axis](const Tensor& dy, const Tensor& index) {
        return Scattered{dy, index, axis};
      }));
}

void detail::add_to(Tensor& to, const Scattered& scattered) {
  const Tensor &values = scattered.value, &index = scattered.index;
  const int axis = normalize_axis("scatter_add", scattered.axis, to.shape());
  named("scatter_add", [&] {
    expect(values.shape() == gathered_shape(to.shape(), index, axis),
           "values {} and index {} do not fit {}", values.shape(), index.shape(), to.shape());
    require_same_dtype(to, values);
    const Tensor in = dense(values), picked = dense(index);
    visit_float(to.dtype(), [&]<class T>(T) {
      launch("scatter_add", to,
             [x = to.data<T>(), from = in.data<T>(), g = gathering(picked, to.shape(), axis)] {
               g.check();
               g.for_each([=](auto i, auto at, auto n) {
                 for (std::int64_t j = 0; j < n; ++j) x[at + j] += from[i + j];
               });
             });
    });
  });
}

Tensor scatter_add(const Tensor& values, const Tensor& index, int axis, const Shape& shape,
                   Caller at) {
  axis = normalize_axis("scatter_add", axis, shape);
  const auto value = [&] {
    Tensor out = zeros(shape, values.dtype());
    detail::add_to(out, Scattered{values, index, axis});
    return out;
  };
  return record(at("scatter_add"), value,
                wrt(values, keep(index), [axis](const Tensor& dy, const Tensor& index) {
                  return gather(dy, index, axis);
                }));
}

Tensor embedding(const Tensor& table, const Tensor& index, Caller at) {
  require(table.rank() == 2 && index.rank() < max_rank,
          "embedding: expected a table [n, d] and an index of less than {} axes, got {} and {}",
          max_rank, table.shape(), index.shape());
  const Shape shape = index.shape().inserted(index.rank(), table.dim(1));
  return record(
      at("embedding"),
      [&] {
        require_i64(index);
        return reshape(gathered(table, as_list(index), 0), shape);
      },
      wrt(table, keep(index), [](const Tensor& dy, const Tensor& index) {
        return Scattered{reshape(dy, {index.size(), dy.dim(-1)}), as_list(index), 0};
      }));
}

}  // namespace retrace
