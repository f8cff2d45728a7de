#include "elementwise.hpp"

namespace retrace::detail {

ZipPlan plan_zip(Tensor& a, Tensor& b, bool takes_i64) {
  require_same_dtype(a, b);
  if (!takes_i64) require_float(a);
  const std::byte *x = a.node().data, *y = b.node().data;
  if (a.shape() == b.shape() && a.is_contiguous() && b.is_contiguous())
    return {x, y, a.size(), StridedLoop(0), a.expiring() ? lend(a) : reuse_or_empty(b)};
  const Shape shape = broadcast_shapes(a.shape(), b.shape());
  const auto lends = [&](const Tensor& t) { return t.shape() == shape && t.expiring(); };
  return {x, y, -1, StridedLoop(shape, layout_of(a), layout_of(b)),
          lends(a)   ? lend(a)
          : lends(b) ? lend(b)
                     : empty(shape, a.dtype())};
}

}  // namespace retrace::detail
