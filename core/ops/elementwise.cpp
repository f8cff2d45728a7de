#include "elementwise.hpp"

namespace retrace::detail {

void BroadcastLoop::append(std::int64_t size, std::int64_t a_step, std::int64_t b_step) {
  const auto next = static_cast<unsigned>(rank++);
  sizes[next] = size;
  a_steps[next] = a_step;
  b_steps[next] = b_step;
}

BroadcastLoop::BroadcastLoop(const Shape& shape, const Operand& a, const Operand& b) {
  const auto step = [&](const Operand& x, int axis) {
    const int own = axis - (shape.rank() - x.shape.rank());
    return own < 0 || x.shape[own] == 1 ? 0 : x.strides[static_cast<unsigned>(own)];
  };
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (shape[axis] == 1) continue;
    const std::int64_t sa = step(a, axis), sb = step(b, axis);
    const auto outer = static_cast<unsigned>(rank - 1);
    // Two axes are one loop when stepping the outer is like running through the inner.
    if (rank > 0 && a_steps[outer] == sa * shape[axis] && b_steps[outer] == sb * shape[axis]) {
      sizes[outer] *= shape[axis];
      a_steps[outer] = sa;
      b_steps[outer] = sb;
    } else {
      append(shape[axis], sa, sb);
    }
  }
  if (rank == 0) append(1, 1, 1);
}

bool BroadcastLoop::advance(Place& at) const {
  for (int axis = rank - 2; axis >= 0; --axis) {
    const auto i = static_cast<unsigned>(axis);
    at.a += a_steps[i];
    at.b += b_steps[i];
    if (++at.index[i] < sizes[i]) return true;
    at.a -= a_steps[i] * sizes[i];
    at.b -= b_steps[i] * sizes[i];
    at.index[i] = 0;
  }
  return false;
}

Zipped::Zipped(Tensor& x, Tensor& y, bool takes_i64) : loop(x.size()) {
  require_same_dtype(x, y);
  if (!takes_i64) require_float(x);
  a = x.node().data;
  b = y.node().data;
  if (x.shape() == y.shape() && x.is_contiguous() && y.is_contiguous()) {
    out = x.expiring() ? lend(x) : reuse_or_empty(y);
    return;
  }
  const Shape shape = broadcast_shapes(x.shape(), y.shape());
  loop = shape.size() == 0
             ? BroadcastLoop(0)
             : BroadcastLoop(shape, {x.shape(), x.strides()}, {y.shape(), y.strides()});
  out = x.shape() == shape && x.expiring()   ? lend(x)
        : y.shape() == shape && y.expiring() ? lend(y)
                                             : empty(shape, x.dtype());
}

}  // namespace retrace::detail
