#include <functional>

#include "ops.hpp"

namespace retrace {

Tensor Tensor::clone() const {
  return record(
      "clone", [&] { return detail::row_major_copy(*this); }, wrt(*this, std::identity()));
}

Tensor Tensor::contiguous() const { return is_contiguous() ? *this : clone(); }

Tensor Tensor::to(DType target) const {
  if (target == dtype()) return *this;
  const auto convert = [&] {
    Tensor out = empty(shape(), target);
    detail::copy_elements(*this, out);
    return out;
  };
  if (target == i64) return no_grad(convert);
  return record("to", convert,
                wrt(*this, [from = dtype()](const Tensor& dy) { return dy.to(from); }));
}

}  // namespace retrace
