#pragma once

#include <doctest/doctest.h>

#include <iosfwd>
#include <retrace/core.hpp>
#include <string>

/// Tensors in checks: CHECK(same(actual, {{1, 2}, {3, 4}})) prints both and where they differ.
namespace retrace::test {

struct Comparison {
  bool ok = true;
  std::string text;

  explicit operator bool() const { return ok; }
};
std::ostream& operator<<(std::ostream& out, const Comparison& comparison);

/// Equal shape and dtype, and every |actual - expected| <= atol + rtol * |expected|. NaN matches
/// NaN, an infinity itself.
Comparison close(const Tensor& actual, const Tensor& expected, double rtol, double atol = 0);
/// Equal in shape, dtype and every element.
Comparison same(const Tensor& actual, const Tensor& expected);
/// The expected values written down, in the dtype of `actual`.
Comparison same(const Tensor& actual, const Literal& expected);
Comparison close(const Tensor& actual, const Literal& expected, double rtol, double atol = 0);

}  // namespace retrace::test

namespace doctest {
template <>
struct StringMaker<retrace::Shape> {
  static String convert(const retrace::Shape& shape) { return retrace::to_string(shape).c_str(); }
};
template <>
struct StringMaker<retrace::DType> {
  static String convert(retrace::DType dtype) { return retrace::name_of(dtype); }
};
}  // namespace doctest
