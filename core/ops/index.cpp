#include "../engine.hpp"
#include "elementwise.hpp"
#include "ops.hpp"

namespace retrace {
namespace {

void require_index(const char* op, const Tensor& index, std::int64_t limit) {
  require(index.dtype() == i64, "{}: the index must be i64, got {} of shape {}", op, index.dtype(), index.shape());
  const Tensor dense = detail::dense(index);
  for (const std::int64_t i : dense.span<std::int64_t>())
    require(i >= 0 && i < limit, "{}: index {} is out of range 0 .. {}", op, i, limit - 1);
}

/// Calls f(place in the index, place in x) for every element of a gather along an axis; both are row-major.
template <class F>
void for_each_gathered(const Tensor& index, const Shape& x, int axis, F f) {
  const Tensor dense = detail::dense(index);
  const auto places = dense.span<std::int64_t>();
  const Strides strides = row_major(x);
  std::array<std::int64_t, max_rank> at{};
  for (std::size_t i = 0; i < places.size(); ++i) {
    std::int64_t offset = 0;
    for (int d = 0; d < x.rank(); ++d) {
      const auto u = static_cast<unsigned>(d);
      offset += (d == axis ? places[i] : at[u]) * strides[u];
    }
    f(static_cast<std::int64_t>(i), offset);
    for (int d = x.rank() - 1; d >= 0 && ++at[static_cast<unsigned>(d)] == index.shape()[d]; --d)
      at[static_cast<unsigned>(d)] = 0;
  }
}

void check_gather(const char* op, const Shape& x, const Tensor& index, int axis) {
  bool fits = index.rank() == x.rank();
  for (int i = 0; fits && i < x.rank(); ++i) fits = i == axis || index.shape()[i] <= x[i];
  require(fits, "{}: index {} does not fit {} off axis {}", op, index.shape(), x, axis);
  require_index(op, index, x[axis]);
}

void check_rows(const char* op, const Shape& table, const Tensor& index) {
  require(table.rank() == 2, "{}: expected a table [n, d], got {}", op, table);
  require_index(op, index, table[0]);
}

}  // namespace

Tensor gather(const Tensor& x, const Tensor& index, int axis) {
  axis = normalize_axis("gather", axis, x.shape());
  check_gather("gather", x.shape(), index, axis);
  const auto value = [&] {
    const Tensor in = detail::dense(x);
    Tensor out = empty(index.shape(), x.dtype());
    visit(x.dtype(), [&]<class T>(T) {
      for_each_gathered(index, x.shape(), axis,
                        [&](std::int64_t i, std::int64_t from) { out.data<T>()[i] = in.data<T>()[from]; });
    });
    return out;
  };
  return record("gather", value, wrt(x, keep(index), [axis](const Tensor& dy, const Tensor& index) {
                  return Scattered{dy, index, axis};
                }));
}

void detail::add_to(Tensor& to, const Scattered& scattered) {
  const Tensor &values = scattered.value, &index = scattered.index;
  const int axis = normalize_axis("scatter_add", scattered.axis, to.shape());
  check_gather("scatter_add", to.shape(), index, axis);
  require(values.shape() == index.shape(), "scatter_add: values {} and index {} differ", values.shape(), index.shape());
  require_same_dtype("scatter_add", to, values);
  const Tensor in = dense(values);
  visit_float("scatter_add", to.dtype(), [&]<class T>(T) {
    for_each_gathered(index, to.shape(), axis,
                      [&](std::int64_t i, std::int64_t at) { to.data<T>()[at] += in.data<T>()[i]; });
  });
}

Tensor scatter_add(const Tensor& values, const Tensor& index, int axis, const Shape& shape) {
  axis = normalize_axis("scatter_add", axis, shape);
  const auto value = [&] {
    Tensor out = zeros(shape, values.dtype());
    detail::add_to(out, Scattered{values, index, axis});
    return out;
  };
  return record("scatter_add", value, wrt(values, keep(index), [axis](const Tensor& dy, const Tensor& index) {
                  return gather(dy, index, axis);
                }));
}

Tensor embedding(const Tensor& table, const Tensor& index) {
  check_rows("embedding", table.shape(), index);
  const std::int64_t width = table.dim(1);
  const auto value = [&] {
    const Tensor from = detail::dense(table), rows = detail::dense(index);
    Tensor out = empty(index.shape().inserted(index.rank(), width), table.dtype());
    visit(table.dtype(), [&]<class T>(T) {
      T* to = out.data<T>();
      for (const std::int64_t row : rows.span<std::int64_t>())
        to = std::copy_n(from.data<T>() + row * width, width, to);
    });
    return out;
  };
  return record("embedding", value, wrt(table, keep(index), [](const Tensor& dy, const Tensor& index) {
                  return ScatteredRows{dy, index};
                }));
}

void detail::add_to(Tensor& to, const ScatteredRows& scattered) {
  const Tensor &values = scattered.value, &index = scattered.index;
  check_rows("scatter_rows", to.shape(), index);
  require(values.shape() == index.shape().inserted(index.rank(), to.dim(1)),
          "scatter_rows: values {} do not fit index {} and shape {}", values.shape(), index.shape(), to.shape());
  require_same_dtype("scatter_rows", to, values);
  const Tensor in = dense(values), rows = dense(index);
  const std::int64_t width = to.dim(1);
  visit_float("scatter_rows", to.dtype(), [&]<class T>(T) {
    const T* from = in.data<T>();
    for (const std::int64_t row : rows.span<std::int64_t>()) {
      T* at = to.data<T>() + row * width;
      for (std::int64_t j = 0; j < width; ++j) at[j] += from[j];
      from += width;
    }
  });
}

Tensor scatter_rows(const Tensor& values, const Tensor& index, const Shape& shape) {
  const auto value = [&] {
    Tensor out = zeros(shape, values.dtype());
    detail::add_to(out, ScatteredRows{values, index});
    return out;
  };
  return record("scatter_rows", value,
                wrt(values, keep(index), [](const Tensor& dy, const Tensor& index) { return embedding(dy, index); }));
}

}  // namespace retrace
