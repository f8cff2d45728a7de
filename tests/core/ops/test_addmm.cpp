#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "support/check_refused.hpp"
#include "support/compare.hpp"

using namespace retrace;
using namespace retrace::test;

TEST_CASE("addmm records what the sum of its addend and a product records") {
  const Generator generator(1);
  const Tensor x = randn({5, 3, 4}, generator, f64).requires_grad(true),
               w = randn({4, 6}, generator, f64).requires_grad(true);
  const Tensor batches = randn({5, 4, 6}, generator, f64).requires_grad(true);
  for (const Shape& shape : {Shape{5, 3, 6}, Shape{6}, Shape{3, 1}, Shape{}, Shape{2, 5, 3, 6}})
    for (const Tensor& b : {w, batches}) {
      CAPTURE(shape);
      const Tensor c = randn(shape, generator, f64).requires_grad(true);
      const Tensor one = addmm(c, x, b), two = c + matmul(x, b);
      CHECK(close(one, two, 1e-14, 1e-14));
      const auto nodes = recorded_graph(one), expected = recorded_graph(two);
      REQUIRE(nodes.size() == expected.size());
      for (const char* op : {"matmul", "add"}) {
        const auto is_op = [&](const GraphNode& n) { return std::string(n.op) == op; };
        const auto a = std::find_if(nodes.begin(), nodes.end(), is_op),
                   e = std::find_if(expected.begin(), expected.end(), is_op);
        REQUIRE(a != nodes.end());
        CHECK(a->shape == e->shape);
        CHECK(a->inputs.size() == e->inputs.size());
      }
      const Tensor dy = randn(one.shape(), generator, f64);
      const auto g = grad(one, {c, x, b}, {.cotangent = dy}),
                 h = grad(two, {c, x, b}, {.cotangent = dy});
      for (std::size_t i = 0; i < g.size(); ++i) CHECK(close(g[i], h[i], 1e-14, 1e-14));
    }
}

TEST_CASE("addmm overwrites an expiring addend and no other") {
  const Generator generator(1);
  const Tensor x = randn({5, 4}, generator), w = randn({4, 6}, generator);
  const Tensor named = randn({5, 6}, generator), before = named.clone();
  CHECK(close(addmm(named, x, w), named + matmul(x, w), 1e-6, 1e-6));
  CHECK(same(named, before));
  Tensor expiring = named.clone();
  const float* elements = expiring.span<float>().data();
  const Tensor sum = addmm(std::move(expiring), x, w);
  CHECK(sum.span<float>().data() == elements);
  CHECK(close(sum, named + matmul(x, w), 1e-6, 1e-6));
  Tensor seen = named.clone();
  const Tensor row = select(seen, 0, 1);
  static_cast<void>(addmm(std::move(seen), x, w));
  CHECK(same(row, select(before, 0, 1)));
}

TEST_CASE("addmm names the product when that is where an infinity comes from") {
  const DetectAnomalies scope;
  const Tensor large = full({2, 2}, 1e30);
  CHECK_REFUSED(addmm(ones({2, 2}), large, large),
                "'matmul at test_addmm.cpp:", "[2, 2] made an infinity");
}
