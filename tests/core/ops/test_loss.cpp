#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "support/compare.hpp"
#include "support/random_cases.hpp"
#include "support/short_names.hpp"

using namespace retrace;
using namespace retrace::test;

TEST_CASE("mse_loss averages or sums or keeps the squares") {
  const Tensor prediction = tensor({{1, 2}, {3, 4}}), target = tensor({{1, 0}, {0, 5}});
  CHECK(same(mse_loss(prediction, target), 3.5));
  CHECK(same(mse_loss(prediction, target, {.reduction = Reduction::sum}), 14));
  CHECK(same(mse_loss(prediction, target, {.reduction = Reduction::none}), {{0.0, 4}, {9, 1}}));
  CHECK(same(mse_loss(zeros({0, 2}), zeros({0, 2})), NaN));
  CHECK(same(mse_loss(zeros({0, 2}), zeros({0, 2}), {.reduction = Reduction::sum}), 0));
}

TEST_CASE("cross_entropy is the negative log of the softmax at the label") {
  const Tensor logits = log(tensor({{0.5, 0.25, 0.25}, {0.1, 0.1, 0.8}}, f64)) + 3.0,
               labels = tensor({1, 2}, i64);
  const double first = -std::log(0.25), second = -std::log(0.8);
  CHECK(close(cross_entropy(logits, labels), (first + second) / 2, 1e-14));
  CHECK(close(cross_entropy(logits, labels, {.reduction = Reduction::sum}), first + second, 1e-14));
  CHECK(
      close(cross_entropy(logits, labels, {.reduction = Reduction::none}), {first, second}, 1e-14));
  CHECK(close(cross_entropy(select(logits, 0, 0), full({}, 1, i64)), first, 1e-14));
  const Tensor three = stack({logits, logits}, 0), six = stack({labels, labels}, 0);
  CHECK(close(cross_entropy(three, six, {.reduction = Reduction::none}),
              {{first, second}, {first, second}}, 1e-14));
  CHECK(close(cross_entropy(transpose(three, 0, 1), transpose(six), {.reduction = Reduction::none}),
              {{first, first}, {second, second}}, 1e-14));
  CHECK(close(cross_entropy(zeros({2, 65}, f64), tensor({3, 64}, i64)), std::log(65), 1e-14));
}

TEST_CASE("cross_entropy counts the labels that are not ignored") {
  const Tensor logits = zeros({3, 4}, f64);
  const double each = std::log(4);
  const Tensor some = tensor({1, -100, 2}, i64), none = full({3}, -100, i64);
  CHECK(close(cross_entropy(logits, some), each, 1e-14));
  CHECK(close(cross_entropy(logits, some, {.reduction = Reduction::sum}), 2 * each, 1e-14));
  CHECK(close(cross_entropy(logits, some, {.reduction = Reduction::none}), {each, 0, each}, 1e-14));
  CHECK(close(cross_entropy(logits, tensor({0, 9, 0}, i64), {.ignore_index = 9}), each, 1e-14));
  CHECK(close(cross_entropy(logits, tensor({0, 3, 0}, i64),
                            {.ignore_index = 0, .reduction = Reduction::none}),
              {0.0, each, 0}, 1e-14));
  CHECK(same(cross_entropy(logits, none), NaN));
  CHECK(same(cross_entropy(logits, none, {.reduction = Reduction::sum}), 0));
  CHECK(same(cross_entropy(zeros({0, 4}), zeros({0}, i64)), NaN));
  CHECK(same(some, {1, -100, 2}));  // the labels of the caller

  const Tensor x = zeros({3, 4}, f64).requires_grad(true);
  CHECK(close(grad(cross_entropy(x, some), {x})[0],
              {{0.125, -0.375, 0.125, 0.125}, {0.0, 0, 0, 0}, {0.125, 0.125, -0.375, 0.125}},
              1e-14));
}

TEST_CASE("cross_entropy takes any label for the one to ignore") {
  for (const std::int64_t ignored :
       {std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()})
    CHECK(close(cross_entropy(zeros({2, 3}), tensor(std::vector{std::int64_t{0}, ignored}, {2}),
                              {.ignore_index = ignored}),
                std::log(3.0), 1e-6));
}

TEST_CASE("an ignored row adds nothing to the gradient however large its logits") {
  const Tensor x = tensor({{0.0, 0}, {1e300, -1e300}, {-1e300, 1}}, f64).requires_grad(true);
  const Tensor loss = cross_entropy(x, tensor({0, -100, -100}, i64));
  CHECK(close(loss, std::log(2), 1e-14));
  const Tensor g = grad(loss, {x})[0];
  CHECK(close(g, {{-0.5, 0.5}, {0.0, 0}, {0.0, 0}}, 1e-14));
}

TEST_CASE("what the logits of an ignored row hold has no influence on any derivative") {
  for (const DType dtype : {f32, f64})
    for (const Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::none})
      for (const Literal& bad : {Literal{NaN, NaN, NaN}, Literal{-inf, -inf, -inf},
                                 Literal{inf, 0, inf}, Literal{0, NaN, -inf}}) {
        const Tensor counted = tensor({{1, 2, 3}, {0.5, -1, 2}}, dtype),
                     ignored = tensor(bad, dtype);
        const auto derivatives = [&](const Tensor& in_between, std::int64_t ignore_index) {
          const Tensor x =
              stack({select(counted, 0, 0), in_between, select(counted, 0, 1), in_between}, 0)
                  .requires_grad(true);
          const Tensor labels = tensor({1, ignore_index, 0, ignore_index}, i64);
          Tensor loss =
              cross_entropy(x, labels, {.ignore_index = ignore_index, .reduction = reduction});
          const Tensor value = loss.detach();
          if (reduction == Reduction::none) loss = sum(loss * tensor({1, 2, 3, 4}, dtype));
          const Tensor first = grad(loss, {x}, {.create_graph = true})[0];
          return std::vector{value, first.detach(), grad(sum(first * first), {x})[0]};
        };
        const auto right = derivatives(zeros({3}, dtype), -100);
        for (const std::int64_t ignore_index : {-100, 7}) {
          const auto found = derivatives(ignored, ignore_index);
          for (std::size_t order = 0; order < right.size(); ++order) {
            CAPTURE(order);
            CHECK(same(found[order], right[order]));
            if (order == 0) continue;
            CHECK(same(select(found[order], 0, 1), {0, 0, 0}));
            CHECK(same(select(found[order], 0, 3), {0, 0, 0}));
          }
        }
      }
}

TEST_CASE("a batch of ignored rows alone has gradient zero as in PyTorch") {
  const Tensor none = tensor({-100, -100}, i64);
  for (const Literal& logits : {Literal{{1, 2}, {3, 4}}, Literal{{NaN, 2}, {-inf, -inf}}})
    for (const Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::none}) {
      const Tensor x = tensor(logits, f64).requires_grad(true);
      const Tensor loss = sum(cross_entropy(x, none, {.reduction = reduction}));
      CHECK(same(loss, reduction == Reduction::mean ? NaN : 0));
      const Tensor first = grad(loss, {x}, {.create_graph = true})[0];
      CHECK(same(first, {{0, 0}, {0, 0}}));
      CHECK(same(grad(sum(first), {x}, {.allow_unused = true})[0], {{0, 0}, {0, 0}}));
    }
}

TEST_CASE("cross_entropy of huge logits is finite") {
  const Tensor labels = tensor({1, 0}, i64);
  for (const DType dtype : {f32, f64}) {
    const Tensor x = tensor({{1000, -1000}, {1000, -1000}}, dtype).requires_grad(true);
    const Tensor losses = cross_entropy(x, labels, {.reduction = Reduction::none});
    CHECK(same(losses, {2000, 0}));
    CHECK(same(grad(sum(losses), {x})[0], {{1, -1}, {0.0, 0}}));
  }
  const Tensor x = tensor({{1e300, 0}, {1e300, 0}}, f64).requires_grad(true);
  const Tensor losses = cross_entropy(x, labels, {.reduction = Reduction::none});
  CHECK(same(losses, {1e300, 0}));
  CHECK(same(grad(sum(losses), {x})[0], {{1, -1}, {0.0, 0}}));
}
