#include <doctest/doctest.h>

#include <retrace/core.hpp>

#include "support/compare.hpp"
#include "support/random_cases.hpp"
#include "support/short_names.hpp"

using namespace retrace;
using namespace retrace::test;

TEST_CASE("accumulation: of forty leaves used twice each gets both of its shares") {
  std::vector<Tensor> leaves;
  Tensor y = zeros({1}, f64);
  for (int i = 0; i < 40; ++i) leaves.push_back(full({1}, 1, f64).requires_grad(true));
  for (int i = 0; i < 40; ++i) y = y + leaves[static_cast<std::size_t>(i)] * i;
  for (int i = 0; i < 40; ++i) y = y + leaves[static_cast<std::size_t>(i)] * (100 * i);
  y.backward();
  for (int i = 0; i < 40; ++i) CHECK(leaves[static_cast<std::size_t>(i)].grad().item() == 101 * i);
}

TEST_CASE(
    "accumulation: products for one weight add up whether or not they are long enough to go "
    "alone") {
  const std::vector<std::vector<std::int64_t>> lists = {
      {300, 300},  {300, 20, 300}, {20, 300, 20}, {256, 256}, {50, 50, 50, 50, 50, 50, 50, 50},
      {1, 255, 1}, {1, 1, 255, 7}};
  for (const DType dtype : {f32, f64})
    for (std::size_t list = 0; list < lists.size(); ++list) {
      CAPTURE(dtype);
      CAPTURE(list);
      Draw draw(list + 1);
      Tensor w = draw.values({5, 3}).to(dtype).requires_grad(true);
      Tensor y = zeros({}, dtype), expected = zeros({5, 3}, dtype);
      for (const std::int64_t rows : lists[list]) {
        const Tensor x = draw.values({rows, 5}).to(dtype),
                     weight = draw.values({rows, 3}).to(dtype);
        y = y + sum(matmul(x, w) * weight);
        expected = expected + matmul(transpose(x), weight);
      }
      y.backward();
      CHECK(close(w.grad(), expected, 0, dtype == f32 ? 1e-3 : 1e-11));
    }
}

TEST_CASE("accumulation: products of rules that see their input as different matrices") {
  const auto as_matrix = [](T x, T w) {  // x [n, k] times w [k * m] as a matrix
    return record(
        "as_matrix",
        [&] {
          return matmul(x, reshape(w, {x.dim(1), w.size() / x.dim(1)}));
        },
        wrt(w, keep(x), [](T dy, T x) { return product(transposed(x), dy); }));
  };
  Draw draw(1);
  const Tensor two = draw.values({4, 2}), three = draw.values({4, 3}), one = draw.values({1, 1});
  const auto f = [&](T w) {
    return sum(as_matrix(two, w)) + sum(as_matrix(three, w) * 2) + sum(as_matrix(one, w)) +
           sum(as_matrix(two, w) * 3);
  };
  CHECK(gradcheck(f, {draw.values({6})}));
}

TEST_CASE("accumulation: grad of some outputs of an op and of its input at once") {
  const Tensor x = tensor({{1, 2}, {3, 4}, {5, 6}}, f64).requires_grad(true);
  const std::vector<Tensor> rows = unstack(x, 0);
  const Tensor y = sum(rows[0] * rows[2] * 2);
  const auto g = grad(y, {rows[2], x, rows[0]});
  CHECK(same(g[0], {2, 4}));
  CHECK(same(g[1], {{10, 12}, {0, 0}, {2, 4}}));
  CHECK(same(g[2], {10, 12}));
}

TEST_CASE("accumulation: an output that nothing depends on has no gradient") {
  const Tensor x = tensor({{1, 2}, {3, 4}}, f64).requires_grad(true);
  const std::vector<Tensor> rows = unstack(x, 0);
  CHECK_THROWS_WITH_AS(grad(sum(rows[0]), {rows[1]}),
                       doctest::Contains("does not depend on input 0 [2]"), Error);
}
