#include <doctest/doctest.h>

#include <retrace/core.hpp>

using namespace retrace;

namespace {

struct Net {
  Tensor w = ones({27, 16}).requires_grad(true), long_name = ones({8}, f64).requires_grad(true), counts = ones({}, i64);

  void parts(auto& list) {
    list("w", w);
    list("long_name", long_name);
    list("counts", counts);
    list("tied", w);
  }
};

}  // namespace

TEST_CASE("parameters: a summary shows each tensor once and the totals") {
  const std::string table =
      "name       shape     dtype  elements\n"
      "w          [27, 16]  f32         432\n"
      "long_name  [8]       f64           8\n"
      "counts     []        i64           1  frozen\n"
      "441 elements in 1800 bytes: 440 trained, 1 frozen\n";
  CHECK(summary(Net()) == table);
  CHECK(summary(parameters(Net())) == table);
}

TEST_CASE("parameters: a summary of none is a table without rows") {
  CHECK(summary(Parameters()) == "name  shape  dtype  elements\n0 elements in 0 bytes: 0 trained, 0 frozen\n");
}
