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
    const Tensor in = detail::dense(*this);
    Tensor out = empty(shape(), target);
    visit(dtype(), [&]<class From>(From) {
      visit(target, [&]<class To>(To) {
        for (std::int64_t i = 0, n = in.size(); i < n; ++i) {
          const From value = in.data<From>()[i];
          if constexpr (std::is_same_v<To, std::int64_t> && !std::is_same_v<From, To>)
            check_i64("to", value);
          out.data<To>()[i] = static_cast<To>(value);
        }
      });
    });
    return out;
  };
  if (target == i64) return no_grad(convert);
  return record("to", convert,
                wrt(*this, [from = dtype()](const Tensor& dy) { return dy.to(from); }));
}

}  // namespace retrace
