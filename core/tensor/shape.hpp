#pragma once

#include <array>
#include <initializer_list>
#include <span>
#include <string>

#include "dtype.hpp"

namespace retrace {

inline constexpr int max_rank = 6;

/// Sizes of the axes, outermost first; {} is the shape of a single number. Throws Error for more
/// axes than max_rank.
class Shape {
 public:
  constexpr Shape() = default;
  Shape(std::initializer_list<std::int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const std::int64_t> dims);

  int rank() const { return rank_; }
  /// Unchecked, like the accessors below; Tensor::dim checks and takes negative axes.
  std::int64_t operator[](int axis) const { return dims_[axis]; }
  std::int64_t& operator[](int axis) { return dims_[axis]; }
  const std::int64_t* begin() const { return dims_; }
  const std::int64_t* end() const { return dims_ + rank_; }
  std::int64_t back() const { return dims_[rank_ - 1U]; }

  /// Number of elements.
  std::int64_t size() const {
    std::int64_t n = 1;
    for (std::int64_t d : *this) n *= d;
    return n;
  }

  void push_back(std::int64_t dim);
  /// This shape with one axis less, or with one more, which then is `axis` of size `dim`.
  Shape erased(int axis) const;
  Shape inserted(int axis, std::int64_t dim) const;

  bool operator==(const Shape& other) const {
    if (rank_ != other.rank_) return false;
    for (unsigned i = 0; i < rank_; ++i)  // std::equal would call memcmp, which costs more
      if (dims_[i] != other.dims_[i]) return false;
    return true;
  }

 private:
  std::int64_t dims_[max_rank] = {};
  std::uint8_t rank_ = 0;
};

std::string to_string(const Shape& shape);

}  // namespace retrace

template <>
struct fmt::formatter<retrace::Shape> : retrace::detail::TextFormatter {
  auto format(const retrace::Shape& s, format_context& context) const {
    return write(retrace::to_string(s), context);
  }
};

namespace retrace {

/// A list of axes, as reductions and permute take it; negative axes count from the end. To a
/// reduction `{}` means all of them.
class Axes {
 public:
  Axes() = default;
  Axes(int axis) : Axes({axis}) {}
  Axes(std::initializer_list<int> axes) : Axes(std::span(axes.begin(), axes.size())) {}
  explicit Axes(std::span<const int> axes);

  int size() const { return size_; }
  int operator[](int i) const { return axes_[i]; }
  int& operator[](int i) { return axes_[i]; }
  void push_back(int axis) { axes_[size_++] = axis; }

 private:
  int axes_[max_rank] = {};
  int size_ = 0;
};

/// `axis` as 0 .. rank-1. Throws Error, which names `op`, unless it is one of -rank .. rank-1.
int normalize_axis(const char* op, int axis, const Shape& shape);
/// Marks which axes are listed; an empty list marks all. Throws Error if one is listed twice.
std::array<bool, max_rank> marked_axes(const char* op, const Axes& axes, const Shape& shape);
/// Whether a tensor could have these sizes: none negative and, those that are 0 aside, not more
/// elements than memory could be asked for.
bool is_possible(const Shape& shape);
/// The shape that both broadcast to by NumPy's rule. Throws Error if there is none. The last `left`
/// axes are not broadcast: they are those of the shape of higher rank.
Shape broadcast_shapes(const Shape& a, const Shape& b, int left = 0);
bool broadcasts_to(const Shape& from, const Shape& to);

}  // namespace retrace
