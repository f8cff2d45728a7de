#pragma once

#include <retrace/core.hpp>

namespace retrace::test {

/// Parameters named p0, p1, ...
inline Parameters list_of(std::initializer_list<Tensor> tensors) {
  Parameters list;
  for (const Tensor& t : tensors) list.add("p" + std::to_string(list.size()), t);
  return list;
}

inline Tensor leaf(const Literal& values) { return tensor(values, f64).requires_grad(true); }

}  // namespace retrace::test
