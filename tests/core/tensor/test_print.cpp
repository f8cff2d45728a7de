#include <doctest/doctest.h>

#include <limits>
#include <retrace/core.hpp>
#include <sstream>

#include "support/short_names.hpp"

using namespace retrace;
using namespace retrace::test;

// The expected texts are what NumPy 1.24 prints for the same arrays.

TEST_CASE("print: floats are aligned at the point without needless zeros") {
  CHECK(to_string(tensor({{1, 2.5}, {3, -4.125}})) == "[[ 1.     2.5  ]\n [ 3.    -4.125]]");
  CHECK(to_string(tensor({1, 2, 3}, f64)) == "[1. 2. 3.]");
  CHECK(to_string(tensor(3.5)) == "3.5");
  CHECK(to_string(full({1}, 1.0 / 3)) == "[0.33333334]");
  CHECK(to_string(full({1}, 0.1 + 1e-12, f64)) == "[0.1]");
}

TEST_CASE("print: numbers far apart in size take the exponent form") {
  CHECK(to_string(tensor({1e-9, 1.0, 123456.789}, f64)) ==
        "[1.00000000e-09 1.00000000e+00 1.23456789e+05]");
  CHECK(to_string(tensor({0.01, 100}, f64)) == "[1.e-02 1.e+02]");
  CHECK(to_string(tensor({30, 40}, f64)) == "[30. 40.]");
  CHECK(to_string(tensor({1e8}, f64)) == "[1.e+08]");
  CHECK(to_string(tensor({1e-5}, f64)) == "[1.e-05]");
  CHECK(to_string(tensor({{1.0 / 3, 2.0 / 3, 1e5}})) ==
        "[[3.3333334e-01 6.6666669e-01 1.0000000e+05]]");
}

TEST_CASE("print: what is not finite") {
  CHECK(to_string(tensor({NaN, inf, -inf, 0.5}, f64)) == "[ nan  inf -inf  0.5]");
  CHECK(to_string(full({1}, -NaN)) == "[nan]");
}

TEST_CASE("print: the smallest and the largest numbers there are and exponents of unequal length") {
  CHECK(to_string(tensor({5e-324}, f64)) == "[5.e-324]");
  CHECK(to_string(tensor({1e-310, 2.5e-310}, f64)) == "[1.0e-310 2.5e-310]");
  CHECK(to_string(tensor({std::numeric_limits<double>::max(), 1}, f64)) ==
        "[1.79769313e+308 1.00000000e+000]");
  CHECK(to_string(tensor({1e100, -1.5, 0}, f64)) == "[ 1.0e+100 -1.5e+000  0.0e+000]");
  CHECK(to_string(tensor({NaN, 1e-310}, f64)) == "[    nan 1.e-310]");
}

TEST_CASE("print: no line ends with blanks") {
  Tensor x = ones({40});
  x.mutable_span<float>()[0] = 0.25F;  // the others are filled up with blanks to its width
  const std::string text = to_string(x);
  CHECK(text.find('\n') != text.npos);
  CHECK(text.find(" \n") == text.npos);
}

TEST_CASE("print: integers, several axes, wrapped lines and shortened axes") {
  CHECK(to_string(tensor({{{1, 2}, {3, 4}}, {{5, 6}, {7, 8}}}, i64)) ==
        "[[[1 2]\n  [3 4]]\n\n [[5 6]\n  [7 8]]]");
  CHECK(to_string(arange(30)) ==
        "[ 0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15 16 17 18 19 20 21 22 23\n 24 25 26 27 28 "
        "29]");
  CHECK(to_string(arange(0, 2000, 1, f64)) ==
        "[0.000e+00 1.000e+00 2.000e+00 ... 1.997e+03 1.998e+03 1.999e+03]");
}

TEST_CASE("print: views print in their own order, empty and undefined tensors say so") {
  CHECK(to_string(transpose(tensor({{1, 2}, {3, 4}}, i64))) == "[[1 3]\n [2 4]]");
  CHECK(to_string(zeros({2, 0})) == "[]");
  CHECK(to_string(Tensor()) == "undefined");
}

TEST_CASE("print: through fmt, with its width, and through streams") {
  CHECK(fmt::format("{}|{:>6}|{}", Shape{2, 3}, f64, tensor({1, 2}, i64)) == "[2, 3]|   f64|[1 2]");
  std::ostringstream out;
  out << tensor({1, 2}, i64);
  CHECK(out.str() == "[1 2]");
}
