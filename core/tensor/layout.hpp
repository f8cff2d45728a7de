#pragma once

#include <algorithm>

#include "shape.hpp"

namespace retrace {

/// Step from one element to the next along each axis, in elements; beyond the rank without meaning.
struct Strides {
  std::int64_t steps[max_rank];

  std::int64_t operator[](int axis) const { return steps[axis]; }
  std::int64_t& operator[](int axis) { return steps[axis]; }
};
inline Strides row_major(const Shape& shape) {
  Strides strides;
  std::int64_t step = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    strides[i] = step;
    step *= shape[i];
  }
  return strides;
}

namespace detail {

/// Where the elements of a view lie among those of a tensor.
struct Layout {
  Shape shape;
  Strides strides;
  std::int64_t offset = 0;  // of the first element

  void erase(int axis) {
    shape = shape.erased(axis);
    std::copy(strides.steps + axis + 1, strides.steps + max_rank, strides.steps + axis);
  }
  /// The step along an axis of a shape that this one broadcasts to.
  std::int64_t step_in(const Shape& to, int axis) const {
    const int own = axis - (to.rank() - shape.rank());
    return own < 0 || shape[own] == 1 ? 0 : strides[own];
  }
};

/// Walks two operands that broadcast to one shape, in row-major order: nested loops over axes that
/// are merged where both allow it.
class StridedLoop {
 public:
  StridedLoop(const Shape& shape, const Layout& a, const Layout& b);
  /// Over two row-major operands of that many elements.
  explicit StridedLoop(std::int64_t size) { axes_[0] = {size, 1, 1}; }

  /// One turn of the innermost loop: `size` elements from the offsets a and b on.
  struct Run {
    std::int64_t size, a, b, a_step, b_step;
  };
  /// Calls f(run) for every run; a shape without elements has none.
  template <class F>
  [[gnu::always_inline]] inline void for_each_run(F&& f) const {
    const int last = rank_ - 1;
    const Axis inner = axes_[last];
    if (inner.size == 0) return;
    Run run{inner.size, 0, 0, inner.a_step, inner.b_step};
    std::int64_t index[max_rank] = {};
    for (int i = last; i >= 0;) {
      f(Run(run));  // a copy, so that this one stays in registers
      for (i = last - 1; i >= 0; --i) {
        const Axis& axis = axes_[i];
        run.a += axis.a_step;
        run.b += axis.b_step;
        if (++index[i] < axis.size) break;
        run.a -= axis.a_step * axis.size;
        run.b -= axis.b_step * axis.size;
        index[i] = 0;
      }
    }
  }

 private:
  struct Axis {
    std::int64_t size, a_step, b_step;
  };
  int rank_ = 1;
  Axis axes_[max_rank];  // set up to the rank
};

}  // namespace detail

}  // namespace retrace
