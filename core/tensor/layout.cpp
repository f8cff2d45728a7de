#include "layout.hpp"

namespace retrace::detail {

StridedLoop::StridedLoop(const Shape& shape, const Layout& a, const Layout& b)
    : StridedLoop(shape.size() > 0 ? 1 : 0) {
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (shape[axis] == 1) continue;
    const Axis inner{shape[axis], a.step_in(shape, axis), b.step_in(shape, axis)};
    Axis& outer = axes_[rank_ - 1];
    // Two axes are one loop when stepping the outer is like running through the inner.
    const bool merge =
        outer.a_step == inner.a_step * inner.size && outer.b_step == inner.b_step * inner.size;
    if (merge || outer.size <= 1)
      outer = {outer.size * inner.size, inner.a_step, inner.b_step};
    else
      axes_[rank_++] = inner;
  }
}

}  // namespace retrace::detail
