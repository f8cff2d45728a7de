#include <doctest/doctest.h>

#include <cmath>

#include "support/compare.hpp"
#include "support/short_names.hpp"

using namespace retrace;
using namespace retrace::test;

TEST_CASE("masks: where keeps what it leaves out from every derivative") {
  const Tensor taken = tensor({1, 0, 1, 0}, f64), weights = tensor({1, 2, 3, 4}, f64);
  for (const double bad : {NaN, inf, -inf}) {
    CAPTURE(bad);
    // In the value that is left out, on either side.
    const Tensor x = tensor({2, bad, 3, bad}, f64).requires_grad(true),
                 other = tensor({bad, 7, bad, 7}, f64);
    for (const Tensor& y :
         {where(taken, x, 0.5), where(1 - taken, 0.5, x), where(taken, x, other)}) {
      const Tensor first = grad(sum(y * y * y * weights), {x}, {.create_graph = true})[0];
      CHECK(same(first, {12, 0, 81, 0}));
      CHECK(same(grad(sum(first), {x})[0], {12, 0, 54, 0}));
    }
    // In the cotangent that comes back for it, whatever its side is repeated from.
    const Tensor dy = tensor({1, bad, 1, bad}, f64);
    for (const Tensor& from : {tensor({2, 5, 3, 5}, f64), tensor({4}, f64), full({}, 4, f64)}) {
      const Tensor z = from.clone().requires_grad(true);
      const Tensor expected = sum_to(taken, z.shape());
      CHECK(same(grad(where(taken, z, 0), {z}, {.cotangent = dy})[0], expected));
      CHECK(same(grad(where(1 - taken, 0, z), {z}, {.cotangent = dy})[0], expected));
    }
    // A function is spared what it cannot take if its input is masked.
    const Tensor safe = where(taken, x, 1);
    CHECK(close(grad(sum(where(taken, log(safe) + sqrt(safe), 0)), {x})[0],
                {1 / 2.0 + 0.5 / std::sqrt(2), 0, 1 / 3.0 + 0.5 / std::sqrt(3), 0}, 1e-14));
  }
}

TEST_CASE(
    "masks: softmax and log_softmax of masked scores have the derivatives of the scores that are "
    "left") {
  const Tensor mask = tensor({{1, 1, 0, 1}, {0, 1, 1, 0}}, f64),
               weights = tensor({{1, -2, 3, 0.5}, {2, 1, -1, 3}}, f64);
  for (const double hidden : {0.0, NaN, inf, -inf})
    for (const bool in_logs : {false, true}) {
      CAPTURE(hidden);
      CAPTURE(in_logs);
      const auto f = [in_logs](const Tensor& scores) {
        return in_logs ? log_softmax(scores) : softmax(scores);
      };
      const Tensor x =
          where(mask, tensor({{0.3, 2, 0, -1}, {0, 5, 4, 0}}, f64), hidden).requires_grad(true);
      const Tensor y = f(where(mask, x, -inf));
      CHECK(same(where(mask, 0, y), where(mask, 0, full({}, in_logs ? -inf : 0, f64))));
      const Tensor first = grad(sum(where(mask, y, 0) * weights), {x}, {.create_graph = true})[0];
      const Tensor second = grad(sum(first * first), {x})[0];
      for (const std::int64_t row : {0, 1}) {
        const Tensor left = row == 0 ? tensor({0, 1, 3}, i64) : tensor({1, 2}, i64);
        const auto kept = [&](const Tensor& t) {
          return gather(select(t.detach(), 0, row), left, 0);
        };
        const Tensor alone = kept(x).requires_grad(true), own = f(alone);
        const Tensor slope = grad(sum(own * kept(weights)), {alone}, {.create_graph = true})[0];
        CHECK(close(kept(y), own, 1e-14));
        CHECK(close(kept(first), slope, 1e-13, 1e-15));
        CHECK(close(kept(second), grad(sum(slope * slope), {alone})[0], 1e-12, 1e-15));
      }
      CHECK(same(where(mask, 0, first), zeros({2, 4}, f64)));
      CHECK(same(where(mask, 0, second), zeros({2, 4}, f64)));
    }
}
