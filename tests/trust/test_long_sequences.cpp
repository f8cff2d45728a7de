#include <doctest/doctest.h>

#include <retrace/layers.hpp>

#include "support/process.hpp"
#include "support/small_stack.hpp"

using namespace retrace;

TEST_CASE("long sequences: an RNN over a hundred thousand steps runs backward and is freed on a small stack") {
  constexpr std::int64_t steps = test::is_sanitized ? 20000 : 100000;
  for (const bool last_only : {false, true})
    test::with_small_stack([last_only] {
      const SimpleRNN rnn(2, 3, Generator(1), {.last_only = last_only, .dtype = f64});
      Tensor x = randn({1, steps, 2}, Generator(2), f64).requires_grad(true);
      const std::int64_t before = live_nodes();
      rnn(x);
      require(live_nodes() == before, "{} nodes are left without backward", live_nodes() - before);
      try {
        const Tensor y = rnn(x);
        fail("unwind");
      } catch (const Error&) {
      }
      require(live_nodes() == before, "{} nodes are left after an exception", live_nodes() - before);
      const Tensor y = rnn(x);
      sum(y).backward();
      // The last step's gradient by hand: (1 - h^2) w_x^T.
      const Tensor last = (last_only ? y : select(y, 1, -1)).detach();
      const Tensor expected = no_grad([&] { return matmul(1 - last * last, transpose(rnn.w_x)); });
      const double off = max(abs(select(x.grad(), 1, -1) - expected)).item();
      require(off < 1e-12, "the gradient of the last step is off by {}", off);
    });
}
