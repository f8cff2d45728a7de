#include <doctest/doctest.h>

#include "support/compare.hpp"
#include "support/random_cases.hpp"

using namespace retrace;
using test::Draw;
using test::same;

TEST_CASE("gather reads along one axis") {
  const Tensor x = tensor({{1, 2, 3}, {4, 5, 6}});
  CHECK(same(gather(x, tensor({{2, 0}, {1, 1}}, i64), 1), {{3, 1}, {5, 5}}));
  CHECK(same(gather(x, tensor({{1, 0, 1}}, i64), 0), Literal({{4, 2, 6}})));
  CHECK(same(gather(x, tensor({{1, 0}}, i64), -2), Literal({{4, 2}})));
  CHECK(same(gather(transpose(x), tensor({{1, 0}, {0, 0}, {1, 1}}, i64), 1),
             {{4, 1}, {2, 2}, {6, 6}}));
  CHECK(same(gather(x, transpose(tensor({{2, 1}, {0, 1}}, i64)), 1), {{3, 1}, {5, 5}}));
  CHECK(gather(x, zeros({2, 0}, i64), 1).shape() == Shape{2, 0});
  for (const DType dtype : {f32, f64, i64}) {
    const Tensor y = gather(tensor({7, 8, 9}, dtype), tensor({2, 2, 0, 1}, i64), 0);
    CHECK(y.dtype() == dtype);
    CHECK(same(y, {9, 9, 7, 8}));
  }
}

TEST_CASE("gather and scatter_add agree with loops over three axes") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    Draw draw(seed);
    const Shape shape{draw.integer(1, 4), draw.integer(1, 4), draw.integer(1, 4)};
    const int axis = draw.integer(0, 2);
    Shape places;
    for (int i = 0; i < 3; ++i)
      places.push_back(draw.integer(0, i == axis ? 5 : static_cast<int>(shape[i])));
    const Tensor x = draw.values(shape), index = draw.indices(places, shape[axis]),
                 values = draw.values(places);
    const Tensor y = gather(x, index, axis), z = scatter_add(values, index, axis, shape);
    Tensor expected = zeros(shape, f64);
    const auto at = [&](std::int64_t i, std::int64_t j, std::int64_t k, std::int64_t to) {
      return axis == 0   ? std::array{to, j, k}
             : axis == 1 ? std::array{i, to, k}
                         : std::array{i, j, to};
    };
    for (std::int64_t i = 0; i < places[0]; ++i)
      for (std::int64_t j = 0; j < places[1]; ++j)
        for (std::int64_t k = 0; k < places[2]; ++k) {
          const auto p = at(i, j, k, index.at<std::int64_t>({i, j, k}));
          CHECK(y.at({i, j, k}) == x.at({p[0], p[1], p[2]}));
          expected.mutable_span<double>()[static_cast<std::size_t>(
              (p[0] * shape[1] + p[1]) * shape[2] + p[2])] += values.at({i, j, k});
        }
    CHECK(test::close(z, expected, 1e-15, 1e-15));
  }
}

TEST_CASE("gather takes axes that its index lacks whole") {
  const Tensor x = tensor({{{1, 2}, {3, 4}}, {{5, 6}, {7, 8}}});
  CHECK(same(gather(x, tensor({1, 1}, i64), 0), {{{5, 6}, {7, 8}}, {{5, 6}, {7, 8}}}));
  const Tensor index = tensor({{1, 0, 0}, {1, 1, 0}}, i64);
  const Tensor y = gather(x, index, 1);
  CHECK(same(y, {{{3, 4}, {1, 2}, {1, 2}}, {{7, 8}, {7, 8}, {5, 6}}}));
  CHECK(same(scatter_add(y, index, 1, x.shape()), {{{2, 4}, {3, 4}}, {{5, 6}, {14, 16}}}));
  CHECK(gather(zeros({2, 0}), tensor({1, 1, 0}, i64), 0).shape() == Shape{3, 0});
}

TEST_CASE("scatter_add adds what comes to the same place") {
  const Tensor index = tensor({{0, 0, 2}}, i64);
  CHECK(same(scatter_add(tensor({{1, 2, 3}}), index, 1, {2, 3}), {{3, 0, 3}, {0.0, 0, 0}}));
  const Tensor x = tensor({1, 2}).requires_grad(true);
  CHECK(same(grad(sum(gather(x, tensor({1, 1, 0, 1}, i64), 0)), {x})[0], {1, 3}));
}

TEST_CASE("embedding picks rows by an index of any shape") {
  const Tensor rows = tensor({{0.0, 1}, {10, 11}, {20, 21}});
  CHECK(same(embedding(rows, tensor({2, 0, 2}, i64)), {{20, 21}, {0.0, 1}, {20, 21}}));
  CHECK(same(embedding(rows, tensor({{1}, {2}}, i64)), {{{10, 11}}, {{20, 21}}}));
  CHECK(same(embedding(rows, full({}, 1, i64)), {10, 11}));
  CHECK(same(embedding(transpose(rows), tensor({1}, i64)), Literal({{1, 11, 21}})));
  CHECK(same(embedding(rows, transpose(tensor({{0, 1}, {2, 2}}, i64))),
             {{{0.0, 1}, {20, 21}}, {{10, 11}, {20, 21}}}));
  CHECK(embedding(rows, zeros({0}, i64)).shape() == Shape{0, 2});
  CHECK(embedding(zeros({0, 4}), zeros({3, 0}, i64)).shape() == Shape{3, 0, 4});
  CHECK(embedding(zeros({3, 0}), tensor({1, 2}, i64)).shape() == Shape{2, 0});
}

TEST_CASE("the gradient of embedding adds up repeated rows and is 0 for the others") {
  const Tensor rows = ones({4, 2}).requires_grad(true);
  const Tensor y = embedding(rows, tensor({{3, 1}, {3, 3}}, i64));
  const Tensor dy = tensor({{{1, 2}, {3, 4}}, {{5, 6}, {7, 8}}});
  CHECK(same(grad(y, {rows}, {.cotangent = dy})[0], {{0.0, 0}, {3, 4}, {0.0, 0}, {13, 16}}));
  const Tensor list = reshape(dy, {4, 2});
  CHECK(same(scatter_add(list, tensor({3, 1, 3, 3}, i64), 0, {4, 2}),
             {{0.0, 0}, {3, 4}, {0.0, 0}, {13, 16}}));
  // Used twice, together with a plain use: everything is added.
  const Tensor total = sum(embedding(rows, tensor({0, 1}, i64))) + sum(rows * 10) +
                       sum(embedding(rows, tensor({0.0}, i64)));
  CHECK(same(grad(total, {rows})[0], {{12, 12}, {11, 11}, {10, 10}, {10, 10}}));
}
