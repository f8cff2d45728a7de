#include <doctest/doctest.h>

#include <algorithm>
#include <retrace/layers.hpp>

#include "support/compare.hpp"
#include "support/process.hpp"
#include "support/small_stack.hpp"

using namespace retrace;

TEST_CASE(
    "long sequences: an RNN over a hundred thousand steps runs backward and is freed on a small "
    "stack") {
  constexpr std::int64_t steps = test::is_sanitized ? 20000 : 100000;
  for (const bool last_only : {false, true})
    test::with_small_stack([last_only] {
      const SimpleRNN rnn(2, 3, Generator(1), {.last_only = last_only, .dtype = f64});
      Tensor x = randn({1, steps, 2}, Generator(2), f64).requires_grad(true);
      const std::int64_t before = live_nodes();
      static_cast<void>(rnn(x));
      require(live_nodes() == before, "{} nodes are left without backward", live_nodes() - before);
      try {
        const Tensor y = rnn(x);
        fail("unwind");
      } catch (const Error&) {
      }
      require(live_nodes() == before, "{} nodes are left after an exception",
              live_nodes() - before);
      const Tensor y = rnn(x);
      sum(y).backward();
      // The last step's gradient by hand: (1 - h^2) w_x^T.
      const Tensor last = (last_only ? y : select(y, 1, -1)).detach();
      const Tensor expected = no_grad([&] { return matmul(1 - last * last, transpose(rnn.w_x)); });
      const double off = max(abs(select(x.grad(), 1, -1) - expected)).item();
      require(off < 1e-12, "the gradient of the last step is off by {}", off);
    });
}

TEST_CASE(
    "long sequences: with checkpoints the graph grows with the root of the steps and gradients "
    "stay") {
  constexpr std::int64_t steps = test::is_sanitized ? 10000 : 100000,
                         segment = test::is_sanitized ? 100 : 316;
  const SimpleRNN rnn(2, 3, Generator(1), {.last_only = true, .dtype = f64});
  const Tensor x = randn({1, steps, 2}, Generator(2), f64);
  const std::int64_t before = live_nodes();
  std::int64_t most = 0;
  const auto part = [&](const Tensor& x, const Tensor& h) {
    Tensor last = rnn(x, h).state;
    most = std::max(most, live_nodes() - before);
    return last;
  };
  Tensor h;
  for (std::int64_t start = 0; start < steps; start += segment)
    h = checkpoint(part, slice(x, 1, start, std::min(steps, start + segment)), h);
  const std::vector<Tensor> weights{rnn.w_x, rnn.w_h, rnn.b};
  const Tensor dy = randn({1, 3}, Generator(3), f64);
  const std::vector<Tensor> gradients = grad(h, weights, {.cotangent = dy});
  CHECK(most < 12 * segment);
  const std::vector<Tensor> plain = grad(rnn(x), weights, {.cotangent = dy});
  for (std::size_t i = 0; i < plain.size(); ++i)
    CHECK(test::close(gradients[i], plain[i], 1e-12, 1e-12));
}
