#include <algorithm>
#include <cstring>
#include <functional>

#include "../graph/contribution.hpp"
#include "elementwise.hpp"
#include "ops.hpp"

namespace retrace {

using detail::Layout;

namespace {

Shape resolved(const Tensor& x, const Shape& asked) {
  Shape shape = asked;
  int unknown = -1;
  for (int i = 0; i < shape.rank(); ++i) {
    if (asked[i] != -1) continue;
    require(unknown < 0, "reshape: only one size may be -1: {} to {}", x.shape(), asked);
    shape[unknown = i] = 1;
  }
  require(is_possible(shape), "reshape: sizes are negative or too large: {} to {}", x.shape(),
          asked);
  if (unknown >= 0) {
    const std::int64_t known = shape.size();
    require(known > 0 && x.size() % known == 0, "reshape: no size in place of -1 fits: {} to {}",
            x.shape(), asked);
    shape[unknown] = x.size() / known;
  }
  require(shape.size() == x.size(), "reshape: sizes differ: {} to {}", x.shape(), asked);
  return shape;
}

Layout part_of(const Tensor& x, const Region& r) {
  Layout part = detail::layout_of(x);
  if (r.size > 0) part.offset = r.start * part.strides[r.axis];
  if (r.size > 1) part.strides[r.axis] *= r.step;
  part.shape[r.axis] = r.size;
  if (r.drop) part.erase(r.axis);
  return part;
}

void check_region(const Region& r, const Shape& shape) {
  const bool axis_fits = r.axis >= 0 && r.axis < shape.rank();
  detail::expect(
      axis_fits && r.start >= 0 && r.size >= 0 && r.step >= 1 && (!r.drop || r.size == 1) &&
          (r.size == 0 ||
           (r.start < shape[r.axis] && r.size - 1 <= (shape[r.axis] - 1 - r.start) / r.step)),
      "{} elements from {} in steps of {} do not fit axis {} of shape {}", r.size, r.start, r.step,
      r.axis, shape);
}

Tensor take_region(const char* op, const Tensor& x, const Region& region) {
  const auto value = [&] {
    check_region(region, x.shape());
    return detail::view(x, part_of(x, region));
  };
  return record(op, value, wrt(x, [region](const Tensor& dy) { return Placed{dy, region}; }));
}

/// The elements at a region of `to`, where x goes.
Tensor place_for(const Tensor& x, const Tensor& to, const Region& region) {
  check_region(region, to.shape());
  Tensor part = detail::view(to, part_of(to, region));
  detail::expect(x.shape() == part.shape(), "expected shape {}, got {}", part.shape(), x.shape());
  return part;
}

/// Tensors side by side along an axis of `shape`, which they lack when it is to be dropped.
Tensor joined(const char* op, const Shape& shape, std::span<const Tensor> xs, int axis, bool drop) {
  struct Part {
    Region region;
    const std::byte* from = nullptr;
  };
  std::vector<Part> parts;
  parts.reserve(xs.size());
  std::int64_t start = 0, outer = 1;
  for (int i = 0; i < axis; ++i) outer *= shape[i];
  for (const Tensor& x : xs) {
    parts.push_back({{axis, start, 1, drop ? 1 : x.dim(axis), drop}});
    start += parts.back().region.size;
  }
  const auto value = [&] {
    for (const Tensor& x : xs) detail::require_same_dtype(xs[0], x);
    Tensor out = empty(shape, xs[0].dtype());
    std::vector<Tensor> copies;
    for (std::size_t i = 0; i < xs.size(); ++i) {
      if (!xs[i].is_contiguous()) copies.push_back(detail::row_major_copy(xs[i]));
      parts[i].from = (xs[i].is_contiguous() ? xs[i] : copies.back()).bytes();
    }
    // Rows of bytes: copy_elements would set out anew for every step of a sequence.
    const std::int64_t bytes = row_major(shape)[axis] * static_cast<int>(size_of(out.dtype()));
    launch("join", out,
           [parts = std::move(parts), to = out.bytes(), outer, bytes, step = shape[axis] * bytes] {
             std::byte* first = to;
             for (const Part& part : parts) {
               const std::int64_t width = part.region.size * bytes;
               for (std::int64_t row = 0; row < outer; ++row)
                 std::memcpy(first + row * step, part.from + row * width,
                             static_cast<std::size_t>(width));
               first += width;
             }
           });
    return out;
  };
  return record(op, value, wrt_each(xs, [&](std::size_t i) {
                  return [own = parts[i].region](const Tensor& dy) { return region_of(dy, own); };
                }));
}

}  // namespace

Tensor reshape(const Tensor& x, Shape shape, Caller at) {
  shape = resolved(x, shape);
  return record(
      at("reshape"),
      [&] {
        return detail::view(detail::dense(x), {shape, row_major(shape)});
      },
      wrt(x, [before = x.shape()](const Tensor& dy) { return reshape(dy, before); }));
}

Tensor permute(const Tensor& x, const Axes& axes, Caller at) {
  require(axes.size() == x.rank(), "permute: expected {} axes for shape {}, got {}", x.rank(),
          x.shape(), axes.size());
  marked_axes("permute", axes, x.shape());  // refuses axes out of range or listed twice
  Axes back = axes;
  const Layout own = detail::layout_of(x);
  Layout layout = own;
  for (int i = 0; i < x.rank(); ++i) {
    const int from = normalize_axis("permute", axes[i], x.shape());
    layout.shape[i] = own.shape[from];
    layout.strides[i] = own.strides[from];
    back[from] = i;
  }
  return record(
      at("permute"), [&] { return detail::view(x, layout); },
      wrt(x, [back](const Tensor& dy) { return permute(dy, back); }));
}

Tensor transpose(const Tensor& x, int axis_a, int axis_b, Caller at) {
  const int a = normalize_axis("transpose", axis_a, x.shape()),
            b = normalize_axis("transpose", axis_b, x.shape());
  Layout layout = detail::layout_of(x);
  std::swap(layout.shape[a], layout.shape[b]);
  std::swap(layout.strides[a], layout.strides[b]);
  return record(
      at("transpose"), [&] { return detail::view(x, layout); },
      wrt(x, [a, b](const Tensor& dy) { return transpose(dy, a, b); }));
}

Tensor broadcast_to(const Tensor& x, const Shape& shape, Caller at) {
  require(broadcasts_to(x.shape(), shape) && is_possible(shape),
          "broadcast_to: {} does not broadcast to {}", x.shape(), shape);
  const Layout own = detail::layout_of(x);
  Layout layout{shape, {}};
  for (int i = 0; i < shape.rank(); ++i) layout.strides[i] = own.step_in(shape, i);
  // The backward pass sums the cotangent over what was repeated, as for every op.
  return record(
      at("broadcast_to"), [&] { return detail::view(x, layout); }, wrt(x, std::identity()));
}

Tensor sum_to(Tensor x, const Shape& shape, Caller at) {
  if (x.shape() == shape) return x;
  require(broadcasts_to(shape, x.shape()), "sum_to: {} does not broadcast to {}", shape, x.shape());
  const int extra = x.rank() - shape.rank();
  Axes repeated;
  for (int i = 0; i < x.rank(); ++i)
    if (i < extra || (shape[i - extra] == 1 && x.shape()[i] != 1)) repeated.push_back(i);
  if (repeated.size() > 0) x = sum(x, repeated, {.keepdims = repeated.size() > extra}, at);
  return x.shape() == shape ? x : reshape(x, shape, at);
}

Tensor slice(const Tensor& x, int axis, std::int64_t start, std::int64_t stop, std::int64_t step,
             Caller at) {
  axis = normalize_axis("slice", axis, x.shape());
  require(step >= 1, "slice: the step must be 1 or more, got {}", step);
  const std::int64_t n = x.shape()[axis];
  const auto clipped = [n](std::int64_t i) {
    return std::clamp<std::int64_t>(i < 0 ? i + n : i, 0, n);
  };
  start = clipped(start);
  const std::int64_t length = std::max<std::int64_t>(0, clipped(stop) - start);
  return take_region(at("slice"), x,
                     {axis, start, step, length / step + (length % step != 0), false});
}

Tensor select(const Tensor& x, int axis, std::int64_t index, Caller at) {
  axis = normalize_axis("select", axis, x.shape());
  const std::int64_t n = x.shape()[axis];
  require(index >= -n && index < n, "select: index {} is out of range for axis {} of shape {}",
          index, axis, x.shape());
  return take_region(at("select"), x, {axis, index < 0 ? index + n : index, 1, 1, true});
}

std::vector<Tensor> unstack(const Tensor& x, int axis, Caller at) {
  axis = normalize_axis("unstack", axis, x.shape());
  const auto value = [&] {
    Layout part = detail::layout_of(x);
    const std::int64_t n = part.shape[axis], step = part.strides[axis];
    part.erase(axis);
    std::vector<Tensor> parts;
    parts.reserve(static_cast<std::size_t>(n));
    for (std::int64_t i = 0; i < n; ++i, part.offset += step)
      parts.push_back(detail::view(x, part));
    return parts;
  };
  return record(at("unstack"), value, wrt(x, all_cotangents, [axis](std::span<const Tensor> dys) {
                  if (std::ranges::all_of(dys, &Tensor::defined)) return stack(dys, axis);
                  // An output that nobody used has no cotangent: zeros like those of its sisters.
                  const Tensor& sister = *std::ranges::find_if(dys, &Tensor::defined);
                  std::vector<Tensor> all(dys.begin(), dys.end());
                  std::ranges::replace(all, false, zeros(sister.shape(), sister.dtype()),
                                       &Tensor::defined);
                  return stack(all, axis);
                }));
}

Tensor stack(std::span<const Tensor> xs, int axis, Caller at) {
  require(!xs.empty(), "stack: expected one tensor or more, got none");
  Shape shape = xs[0].shape();
  for (const Tensor& x : xs)
    require(x.shape() == shape, "stack: shapes differ: {} and {}", shape, x.shape());
  require(axis >= -shape.rank() - 1 && axis <= shape.rank(),
          "stack: axis {} is out of range for shape {}", axis, shape);
  require(shape.rank() < max_rank, "stack: one axis more than {} has are over {} axes", shape,
          max_rank);
  if (axis < 0) axis += shape.rank() + 1;
  return joined(at("stack"), shape.inserted(axis, static_cast<std::int64_t>(xs.size())), xs, axis,
                true);
}
Tensor stack(std::initializer_list<Tensor> xs, int axis, Caller at) {
  return stack(std::span(xs.begin(), xs.size()), axis, at);
}

Tensor concat(std::span<const Tensor> xs, int axis, Caller at) {
  require(!xs.empty(), "concat: expected one tensor or more, got none");
  Shape shape = xs[0].shape();
  axis = normalize_axis("concat", axis, shape);
  shape[axis] = 0;
  for (const Tensor& x : xs) {
    require(x.rank() == shape.rank() && x.shape().erased(axis) == shape.erased(axis),
            "concat: shapes differ off axis {}: {} and {}", axis, xs[0].shape(), x.shape());
    require(!__builtin_add_overflow(shape[axis], x.dim(axis), &shape[axis]),
            "concat: too many elements on axis {}", axis);
  }
  return joined(at("concat"), shape, xs, axis, false);
}
Tensor concat(std::initializer_list<Tensor> xs, int axis, Caller at) {
  return concat(std::span(xs.begin(), xs.size()), axis, at);
}

Tensor region_of(const Tensor& x, const Region& region, Caller at) {
  return take_region(at("region_of"), x, region);
}

Tensor place(const Tensor& x, const Region& region, const Shape& shape, Caller at) {
  const auto value = [&] {
    Tensor out = zeros(shape, x.dtype());
    detail::copy_elements(x, place_for(x, out, region));
    return out;
  };
  return record(at("place"), value,
                wrt(x, [region](const Tensor& dy) { return region_of(dy, region); }));
}

void detail::add_to(Tensor& to, const Placed& placed) {
  named("place", [&] {
    const Tensor part = place_for(placed.value, to, placed.region);
    copy_elements(zip(part, placed.value, std::plus()), part);
  });
}

}  // namespace retrace
