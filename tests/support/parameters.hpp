#pragma once

#include <retrace/core.hpp>
#include <string>

/// Parameters written down, and their names read off.
namespace retrace::test {

inline Tensor leaf(const Literal& values, DType dtype = f64) {
  return tensor(values, dtype).requires_grad(true);
}

/// Parameters named p0, p1, ...
inline Parameters list_of(std::initializer_list<Tensor> tensors) {
  Parameters list;
  for (const Tensor& t : tensors) list.add("p" + std::to_string(list.size()), t);
  return list;
}
inline Parameters list_of(std::initializer_list<std::pair<const char*, Tensor>> tensors) {
  Parameters list;
  for (const auto& [name, tensor] : tensors) list.add(name, tensor);
  return list;
}

/// "w b" of parameters w and b.
inline std::string names_of(const Parameters& list) {
  std::string names;
  for (const Parameter& p : list) names += (names.empty() ? "" : " ") + p.name;
  return names;
}

}  // namespace retrace::test
