#include "shape.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace retrace {

Shape::Shape(std::span<const std::int64_t> dims) {
  require(dims.size() <= max_rank, "a tensor has at most {} axes, got {}", max_rank, dims.size());
  std::copy(dims.begin(), dims.end(), dims_);
  rank_ = static_cast<std::uint8_t>(dims.size());
}

void Shape::push_back(std::int64_t dim) {
  require(rank_ < max_rank, "a tensor has at most {} axes, got {}", max_rank, rank_ + 1);
  dims_[rank_++] = dim;
}

Shape Shape::erased(int axis) const {
  Shape s = *this;
  std::copy(begin() + axis + 1, end(), s.dims_ + axis);
  --s.rank_;
  return s;
}

Shape Shape::inserted(int axis, std::int64_t dim) const {
  Shape s = *this;
  s.push_back(dim);
  std::copy(begin() + axis, end(), s.dims_ + axis + 1);
  s[axis] = dim;
  return s;
}

Axes::Axes(std::span<const int> axes) {
  require(axes.size() <= max_rank, "a tensor has at most {} axes, got a list of {}", max_rank,
          axes.size());
  std::copy(axes.begin(), axes.end(), axes_);
  size_ = static_cast<int>(axes.size());
}

int normalize_axis(const char* op, int axis, const Shape& shape) {
  require(axis >= -shape.rank() && axis < shape.rank(), "{}: axis {} is out of range for shape {}",
          op, axis, shape);
  return axis < 0 ? axis + shape.rank() : axis;
}

std::array<bool, max_rank> marked_axes(const char* op, const Axes& axes, const Shape& shape) {
  std::array<bool, max_rank> marked{};
  for (int i = 0; i < axes.size(); ++i) {
    bool& mark = marked[normalize_axis(op, axes[i], shape)];
    require(!mark, "{}: axis {} is listed twice for shape {}", op, axes[i], shape);
    mark = true;
  }
  if (axes.size() == 0) marked.fill(true);
  return marked;
}

bool is_possible(const Shape& shape) {
  std::int64_t room = std::numeric_limits<std::int64_t>::max() / 16;
  for (const std::int64_t d : shape) {
    if (d < 0) return false;
    if (d > 0) room /= d;
  }
  return room > 0;
}

Shape broadcast_shapes(const Shape& a, const Shape& b, int left) {
  if (a == b) return a;
  Shape out = a.rank() >= b.rank() ? a : b;
  const Shape& other = a.rank() >= b.rank() ? b : a;
  for (int i = 1 + left; i <= other.rank(); ++i) {
    std::int64_t& d = out[out.rank() - i];
    const std::int64_t e = other[other.rank() - i];
    detail::expect(d == e || d == 1 || e == 1, "shapes do not broadcast: {} and {}", a, b);
    if (d == 1) d = e;
  }
  return out;
}

bool broadcasts_to(const Shape& from, const Shape& to) {
  if (from.rank() > to.rank()) return false;
  for (int i = 1; i <= from.rank(); ++i) {
    const std::int64_t d = from[from.rank() - i];
    if (d != 1 && d != to[to.rank() - i]) return false;
  }
  return true;
}

std::string to_string(const Shape& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

}  // namespace retrace
